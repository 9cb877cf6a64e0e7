"""The language in which people say who a push is for: one line, in Chinese or English, read into a plain tree and back.

`parse(write(tree, language)).tree == tree` for every tree. The tree's shape is the store's (`storage/segments.py`);
whether a name exists in a plan is judged elsewhere (`content/plan/audience.py`). What is not written is not assumed.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from content.segment_words import (
    BETWEEN,
    COMPARISONS,
    DATES,
    FACTS,
    NUMBER_MAX,
    RESERVED,
    SIGNS,
    TOOK_ONE,
    VALUES,
    RuleFault,
    Token,
    tokens,
    word,
)

__all__ = ["Rule", "RuleFault", "Tree", "Use", "parse", "write"]

RULE_MAX = 2_000  # characters
NESTED_MAX = 50  # brackets and `not` within each other
FACTS_MAX = 100
DAYS_MAX = 3_650

Tree = list[Any]
Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Use:
    """One fact as it stands in a rule: its branch of the tree, and the column where its name stands."""

    branch: Tree
    column: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read: its tree, and each fact in the order written."""

    tree: Tree
    uses: tuple[Use, ...]


def parse(text: str) -> Rule:
    """Read a rule in either language, or in both mixed. Raises RuleFault, the first from the left.

    >>> parse("channel is telegram and points >= 100").tree
    ['and', ['channel', '=', 'telegram'], ['points', '>=', 100]]
    """
    if len(text) > RULE_MAX:
        zh, en = f"规则太长：{len(text)} 字，最多 {RULE_MAX} 字", f"{len(text)} characters; at most {RULE_MAX}"
        raise RuleFault(RULE_MAX + 1, zh, en, "拆成几个客群", "make several segments of it")
    return _Reader(tokens(text), len(text)).rule()


def write(tree: Tree, language: Language) -> str:
    """The rule of a tree in its one canonical form in that language."""
    return _written(tree, 0 if language == "zh" else 1)


class _Reader:
    """Reads by descent: `or` binds loosest, then `and`, then `not`; brackets as usual."""

    def __init__(self, read: Sequence[Token], end: int) -> None:
        self._tokens = read
        self._end = end + 1
        self._place = 0
        self._depth = 0
        self._uses: list[Use] = []

    def rule(self) -> Rule:
        if not self._tokens:
            raise self._expected("一个条件", "a fact", _OPENERS)
        tree = self._either()
        if self._token is not None:
            raise self._expected("「且」「或」或者结束", "`and`, `or` or the end", ("and", "or", "且", "或"))
        return Rule(tree, tuple(self._uses))

    @property
    def _token(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _is(self, *meanings: str) -> bool:
        return self._token is not None and self._token.meaning in meanings

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place += 1
        return token

    def _expected(self, zh: str, en: str, near: Sequence[str] = ()) -> RuleFault:
        token = self._token
        if token is None:
            hint = ("把它补上", "add it") if self._tokens else (f"例如 {_EXAMPLE[0]}", f"e.g. {_EXAMPLE[1]}")
            ended = f"这里应该是{zh}，规则却结束了", f"the rule ends where {en} should stand"
            return RuleFault(self._end, *ended, *hint)
        swapped = {"=>": ">=", "=<": "<="}.get(token.text)
        close = [swapped] if swapped else difflib.get_close_matches(token.text[:40].casefold(), near, n=1, cutoff=0.5)
        hint = (f"是不是 {close[0]}？", f"did you mean {close[0]}?") if close else _HINT
        shown = token.text if len(token.text) <= 30 else f"{token.text[:30]}…"
        return RuleFault(token.column, f"这里应该是{zh}，不是「{shown}」", f"expected {en}, not “{shown}”", *hint)

    def _either(self) -> Tree:
        return self._series("or", self._every)

    def _every(self) -> Tree:
        return self._series("and", self._one)

    def _series(self, meaning: str, part: Any) -> Tree:
        parts = [part()]
        while self._is(meaning):
            self._take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else [meaning, *parts]

    def _one(self) -> Tree:
        token = self._token
        if not self._is("not", "("):
            return self._fact()
        assert token is not None
        self._depth += 1
        if self._depth > NESTED_MAX:
            zh, en = f"括号和「非」嵌套超过 {NESTED_MAX} 层", f"brackets and `not` more than {NESTED_MAX} deep"
            raise RuleFault(token.column, zh, en, "去掉多余的括号", "take away brackets that are not needed")
        self._take()
        if token.meaning == "not":
            tree = ["not", self._one()]
        else:
            tree = self._either()
            if not self._is(")"):
                at = f"第 {token.column} 列", f"column {token.column}"
                raise self._expected(f"与{at[0]}的左括号成对的「)」", f"`)` for the bracket of {at[1]}", ())
            self._take()
        self._depth -= 1
        return tree

    def _fact(self) -> Tree:
        token = self._token
        if token is not None and token.number is not None:
            return self._used(self._inactive_in_chinese(), token.column)
        if token is None or token.meaning not in FACTS:
            raise self._expected("一个条件", "a fact", _OPENERS)
        self._take()
        fact = FACTS[token.meaning]
        branch: Tree = getattr(self, f"_{fact.form}")(fact.name)
        return self._used(branch, token.column)

    def _used(self, branch: Tree, column: int) -> Tree:
        negated = branch[0] == "not"
        self._uses.append(Use(branch[1] if negated else branch, column))
        if len(self._uses) > FACTS_MAX:
            raise RuleFault(column, f"条件超过 {FACTS_MAX} 个", f"more than {FACTS_MAX} facts", *_SPLIT)
        return branch

    # ---- the forms that facts have

    def _plain(self, name: str) -> Tree:
        return [name]

    def _count(self, name: str) -> Tree:
        return [name, self._comparison(), self._number(NUMBER_MAX)]

    def _name(self, name: str) -> Tree:
        if not self._is("=", "!="):
            raise self._expected("「是」或「不是」", "`is` or `is not`", ("is", "是", "不是"))
        negated = self._take().meaning == "!="
        token = self._token
        known = VALUES.get(name)
        if token is None or not token.can_name:
            raise self._expected("一个名称", "a name", tuple(known or ()))
        if known and (said := known.get(token.text.casefold())):
            value = said
        elif known and name == "channel" and (home := token.text.partition("/"))[1] and home[0].casefold() in known:
            value = f"{known[home[0].casefold()]}/{home[2]}"
        elif known or not token.latin:
            choices = "、".join(sorted(set(known.values()))) if known else ""
            zh, en = (f" {choices} 之一", f"one of {choices.replace('、', ', ')}") if known else ("一个代号", "an id")
            raise self._expected(zh, en, tuple(known or ()))
        else:
            value = token.text
        self._take()
        branch: Tree = [name, "=", value]
        return ["not", branch] if negated else branch

    def _moment(self, name: str) -> Tree:
        if self._is("within"):
            self._take()
            return [name, "within", self._days("within")]
        if self._token is not None and self._token.number is not None:
            return [name, "within", self._days("within")]
        return [name, self._comparison(DATES), self._date()]

    def _silence(self, name: str) -> Tree:
        return [name, self._days("")]

    def _part(self, name: str) -> Tree:
        token = self._token
        what = VALUES[name].get(token.text.casefold()) if token else None
        if what is None:
            choices = "签到、答题、问卷、海报、抽奖之一", "checkin, quiz, survey, poster or lottery"
            raise self._expected(*choices, tuple(VALUES[name]))
        self._take()
        follows = self._token
        if what in TOOK_ONE and follows is not None and follows.latin and follows.can_name:
            return [name, what, self._take().text]
        return [name, what]

    def _inactive_in_chinese(self) -> Tree:
        return ["inactive", self._days("inactive")]

    # ---- the pieces of those forms

    def _comparison(self, more: dict[str, str] = {}) -> str:  # noqa: B006  (only looked at)
        meaning = self._token.meaning if self._token else ""
        sign = more.get(meaning) or (meaning if meaning in COMPARISONS else "")
        if not sign:
            raise self._expected("比较符号 >=、<=、>、<、=、!=", "a comparison: >=, <=, >, <, =, !=", SIGNS)
        self._take()
        return sign

    def _number(self, most: int) -> int:
        token = self._token
        if token is None or token.number is None:
            raise self._expected("一个整数", "a whole number")
        if token.number > most:
            raise RuleFault(token.column, f"数太大，最多 {most}", f"too large; at most {most}", *_HINT)
        self._take()
        return token.number

    def _days(self, after: str) -> int:
        token, days = self._token, self._number(DAYS_MAX)
        if days < 1:
            assert token is not None
            raise RuleFault(token.column, "至少 1 天", "at least 1 day", *_HINT)
        if not self._is("days"):
            raise self._expected("「天」", "`days`", ("days", "day", "天"))
        self._take()
        if after == "inactive":
            if not self._is("inactive"):
                raise self._expected("「未互动」", "`inactive` before the number", ("未互动",))
            self._take()
        elif after and self._is("inside"):
            self._take()
        return days

    def _date(self) -> str:
        token = self._token
        try:
            if token is None or len(token.text) != 10:
                raise ValueError
            day = date.fromisoformat(token.text)
        except ValueError:
            raise self._expected("一个日期，如 2026-11-01", "a date such as 2026-11-01") from None
        if not 1970 < day.year < 9999:
            raise RuleFault(token.column, "日期不合理", "a date beyond all measure", *_HINT) from None
        self._take()
        return token.text


def _written(tree: Tree, place: int) -> str:
    name, *rest = tree
    if name in ("and", "or"):
        within = ("and", "or") if name == "and" else ("or",)
        joint = f" {BETWEEN[name][place]} "
        return joint.join(f"({_written(one, place)})" if one[0] in within else _written(one, place) for one in rest)
    if name == "not":
        inner = rest[0]
        if inner[0] in _NAMED:
            return f"{FACTS[inner[0]].words[place]} {BETWEEN['!='][place]} {word(inner[0], inner[2], place)}"
        said = _written(inner, place)
        return f"{BETWEEN['not'][place]} {f'({said})' if inner[0] in ('and', 'or') else said}"
    fact = FACTS[name].words[place]
    if name in _NAMED:
        return f"{fact} {BETWEEN['='][place]} {word(name, rest[1], place)}"
    if name == "inactive":
        return f"{rest[0]} 天{fact}" if place == 0 else f"{fact} {rest[0]} days"
    if name == "took":
        which = [f'"{one}"' if one in RESERVED else one for one in rest[1:]]
        return " ".join([fact, word(name, rest[0], place), *which])
    if rest and rest[0] == "within":
        return f"{fact} 在 {rest[1]} 天内" if place == 0 else f"{fact} within {rest[1]} days"
    return " ".join([fact, *map(str, rest)])


_NAMED = frozenset(fact.name for fact in FACTS.values() if fact.form == "name")
_OPENERS = (*(said for fact in FACTS.values() for said in fact.said), "not", "非")
_EXAMPLE = "渠道 是 telegram 且 积分 >= 100", "channel is telegram and points >= 100"
_HINT = "写法见 docs/segments.zh.md", "the language is in docs/segments.md"
_SPLIT = "拆成几个客群", "make several segments of it"
