"""The words of the segment language, equal in Chinese and English, and the cutting of a line into them.

Every fact, operator and value that can be written stands here once, with all its spellings. It knows no grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

NUMBER_MAX = 10**12
Form = Literal["plain", "count", "name", "moment", "silence", "part"]


class RuleFault(Exception):
    """A rule that cannot be read: the `column` (from 1), what is wrong and what to do, in both languages."""

    def __init__(self, column: int, zh: str, en: str, hint_zh: str = "", hint_en: str = "") -> None:
        super().__init__(f"column {column}: {en}")
        self.column, self.zh, self.en, self.hint_zh, self.hint_en = column, zh, en, hint_zh, hint_en

    def text(self, language: str) -> str:
        """The fault on one line."""
        if language == "zh":
            return f"第 {self.column} 列：{self.zh}" + (f"（{self.hint_zh}）" if self.hint_zh else "")
        return f"column {self.column}: {self.en}" + (f" ({self.hint_en})" if self.hint_en else "")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that can be asked of a person. `words` are its names (Chinese, English), `form` what follows them,
    `example` how it is written, `clause` the clause of a plan without which nobody can have it yet."""

    name: str
    form: Form
    words: tuple[str, str]
    meaning: tuple[str, str]
    example: tuple[str, str]
    others: tuple[str, ...] = ()
    clause: str = ""

    @property
    def said(self) -> tuple[str, ...]:
        """Every spelling."""
        return (*self.words, *self.others)


def _facts(*facts: Fact) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts}


FACTS = _facts(
    Fact("everyone", "plain", ("所有人", "everyone"), ("每个人", "everybody"), ("所有人", "everyone"), ("全部",)),
    Fact(
        "channel",
        "name",
        ("渠道", "channel"),
        ("在这个渠道上关注着我们（任一账号；或写明账号）", "follows us there, on any account or on the one named"),
        ("渠道 是 微信", "channel is wechat/shop"),
    ),
    Fact("language", "name", ("语言", "language"), ("使用的语言", "the language they use"), ("语言 是 en",) * 2),
    Fact(
        "points",
        "count",
        ("积分", "points"),
        ("现在可用的积分；访客暂存的不算", "points they can spend now; what is held for a guest does not count"),
        ("积分 >= 100", "points >= 100"),
    ),
    Fact(
        "joined",
        "moment",
        ("首次来访", "joined"),
        ("首次来访的日期（活动时区），或最近多少天内", "the local day of their first contact, or within so many days"),
        ("首次来访 在 30 天内", "joined >= 2026-11-01"),
        ("来访",),
    ),
    Fact(
        "inactive",
        "silence",
        ("未互动", "inactive"),
        ("这么多天没有任何互动；从未互动也算", "nothing was heard from them for so long, or ever"),
        ("30 天未互动", "inactive 30 days"),
    ),
    Fact(
        "friends",
        "count",
        ("推荐", "friends"),
        ("带来的好友数；被拒绝和已扣回的不算", "friends they brought, without those rejected or clawed back"),
        ("推荐 >= 1", "friends >= 1"),
    ),
    Fact(
        "qualified",
        "count",
        ("有效推荐", "qualified friends"),
        ("其中有效的（含观察期内和已奖励）", "of those, who qualified (held and rewarded included)"),
        ("有效推荐 = 0", "qualified friends = 0"),
    ),
    Fact(
        "referred",
        "plain",
        ("有推荐人", "referred"),
        ("由好友带来", "was brought by a friend"),
        ("有推荐人", "referred"),
    ),
    Fact(
        "placement",
        "name",
        ("点位", "placement"),
        ("扫过或打开过这个推广点位的码", "came by this placement's code, at first or later"),
        ("点位 是 north-square", "placement is north-square"),
        ("推广点位",),
    ),
    Fact(
        "branch",
        "name",
        ("网点", "branch"),
        ("归这个网点服务", "is looked after by this branch"),
        ("网点 是 north", "branch is north"),
    ),
    Fact(
        "took",
        "part",
        ("参加过", "took part in"),
        (
            "参加过签到、答题或问卷（任一份，或某一份）、海报、抽奖",
            "checked in, took a quiz or survey (any or one), asked for a poster, drew",
        ),
        ("参加过 答题 family", "took part in quiz family"),
    ),
    Fact("guest", "plain", ("访客", "guest"), ("只在网页上聊过", "known by the web chat alone"), ("访客", "guest")),
    Fact(
        "applied",
        "plain",
        ("已办理", "applied"),
        ("办理过业务", "applied for the product"),
        ("已办理", "applied"),
        clause="applications",
    ),
)

# Values that come from a fixed set: every spelling (small letters) → as the tree has it.
VALUES: dict[str, dict[str, str]] = {
    "channel": {"wechat": "wechat", "微信": "wechat", "telegram": "telegram", "web": "web", "网页": "web"},
    "language": {"zh": "zh", "中文": "zh", "chinese": "zh", "en": "en", "英文": "en", "english": "en"},
    "took": {
        **{"checkin": "checkin", "签到": "checkin", "quiz": "quiz", "答题": "quiz"},
        **{"survey": "survey", "问卷": "survey"},
        **{"poster": "poster", "海报": "poster", "lottery": "lottery", "抽奖": "lottery"},
    },
}
# Without these clauses nobody can have taken part yet.
TOOK_CLAUSES = {
    **{"checkin": "", "quiz": "social.quizzes", "survey": "social.surveys"},
    **{"poster": "", "lottery": "social.lottery"},
}
# Of these one alone can be meant, by its id: what the plan calls them, for whoever wrote an id that it has not.
TOOK_ONE = {"quiz": ("答题", "quiz"), "survey": ("问卷", "survey")}
_IN_CHINESE = {
    **{"wechat": "微信", "web": "网页", "checkin": "签到", "quiz": "答题", "survey": "问卷"},
    **{"poster": "海报", "lottery": "抽奖"},
}

# What joins facts, and how each is written (Chinese, English).
BETWEEN = {"and": ("且", "and"), "or": ("或", "or"), "not": ("非", "not"), "=": ("是", "is"), "!=": ("不是", "is not")}
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
SIGNS = (*COMPARISONS, "≥", "≤", "≠")
DATES = {"before": "<", "after": ">", "since": ">=", "until": "<="}
_MEANT = {
    **{"and": "and", "且": "and", "并且": "and", "or": "or", "或": "or", "或者": "or"},
    **{"not": "not", "非": "not", "不": "not", "is": "=", "是": "=", "is not": "!=", "不是": "!="},
    **{"before": "before", "早于": "before", "after": "after", "晚于": "after"},
    **{"since": "since", "不早于": "since", "until": "until", "不晚于": "until"},
    **{"within": "within", "在": "within", "day": "days", "days": "days", "天": "days", "内": "inside"},
    **{"(": "(", ")": ")", "==": "=", "<>": "!=", "≥": ">=", "≤": "<=", "≠": "!="},
    **{sign: sign for sign in COMPARISONS},
}
RESERVED = frozenset(said for said in _MEANT if said.isascii() and said.isalpha())
MEANINGS = {**_MEANT, **{said: fact.name for fact in FACTS.values() for said in fact.said}}

_PHRASES = sorted((said.split() for said in MEANINGS if " " in said), key=len, reverse=True)
_LONGEST = len(_PHRASES[0])
_HAN = sorted((w for w in {*MEANINGS, *(v for one in VALUES.values() for v in one)} if not w.isascii()), key=len)[::-1]
_LATIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_CUT = re.compile(rf'"[^"\n]{{0,80}}"|{_LATIN.pattern}|[<>=!]=|<>|=[<>]|[<>=≤≥≠()]|[^\sA-Za-z0-9_<>=!≤≥≠()"]+|\S')
# What a Chinese keyboard gives in place of these, one character for one, so that columns stay.
_WIDE: dict[int, int | str] = {
    **{wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)},
    ord("“"): '"',
    ord("”"): '"',
    ord("〈"): "<",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word as written, where it begins (from 1), and what it means to the grammar (empty: a name, or nothing)."""

    text: str
    column: int
    meaning: str = ""
    quoted: bool = False

    @property
    def number(self) -> int | None:
        """The whole number it is."""
        return int(self.text) if self.text.isascii() and self.text.isdecimal() and not self.quoted else None

    @property
    def latin(self) -> bool:
        """Whether it is written like an id."""
        return bool(_LATIN.fullmatch(self.text))

    @property
    def can_name(self) -> bool:
        """Whether it may stand where a name is expected."""
        return self.quoted or not self.meaning or self.meaning in FACTS


def word(fact: str, value: str, place: int) -> str:
    """A value as it is written in Chinese (0) or English (1)."""
    if fact in ("channel", "took"):
        home, slash, account = value.partition("/")
        return f"{_IN_CHINESE.get(home, home) if place == 0 and not slash else home}{slash}{account}"
    return f'"{value}"' if value in RESERVED else value


def tokens(text: str) -> list[Token]:
    """The words of a line, longest first. Never fails: what is no word is a token that means nothing."""
    cut = list(_cut(text.translate(_WIDE)))
    found: list[Token] = []
    while cut:
        next_few = ["" if token.quoted else token.text.casefold() for token in cut[:_LONGEST]]
        several = next((len(one) for one in _PHRASES if next_few[: len(one)] == one), 1)
        some, cut = cut[:several], cut[several:]
        said = " ".join(token.text for token in some)
        meaning = "" if some[0].quoted else MEANINGS.get(said.casefold(), "")
        found.append(Token(said, some[0].column, meaning, some[0].quoted))
    return found


def _cut(text: str) -> Iterator[Token]:
    for piece in _CUT.finditer(text):
        said, column = piece[0], piece.start() + 1
        if len(said) > 1 and said[0] == said[-1] == '"':
            yield Token(said[1:-1], column, quoted=True)
        elif said.isascii():
            yield Token(said, column)
        else:
            yield from _chinese(said, column)


def _chinese(run: str, column: int) -> Iterator[Token]:
    """Words that stand without spaces between them; from the first that is unknown on, the rest is one."""
    place = 0
    while place < len(run):
        known = next((one for one in _HAN if run.startswith(one, place)), "")
        if not known:
            yield Token("".join(c if c.isprintable() else "\ufffd" for c in run[place:]), column + place)
            return
        yield Token(known, column + place)
        place += len(known)
