"""Who a plan's pushes are for: its segments, what the four words for an audience mean, and whether all names exist.

The language of a rule is `content/segments.py`'s; who is in a segment is the store's business.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from content.faults import Said
from content.plan.terms import Id, Table, refuse, term
from content.plan.texts import Name
from content.segment_words import FACTS, TOOK_CLAUSES, TOOK_ONE, RuleFault
from content.segments import Rule, Tree, Use, parse

if TYPE_CHECKING:
    from content.plan.model import Plan
    from content.plan.reading import Finding

# The four words of `to`: everybody, who has the product, who has not, who brought a friend.
WORDS: dict[str, Tree] = {
    "everyone": ["everyone"],
    "members": ["applied"],
    "prospects": ["not", ["applied"]],
    "referrers": ["friends", ">=", 1],
}


def _readable(text: str) -> str:
    try:
        parse(text)
    except RuleFault as fault:
        zh, en = f"第 {fault.column} 列：{fault.zh}", f"column {fault.column}: {fault.en}"
        raise refuse(zh, en, fault.hint_zh, fault.hint_en) from None
    return text


class Segment(Table):
    """One segment: a name for staff, and the rule in either language."""

    id: Id = term("代号", "id")
    name: Name = term("名称", "name")
    rule: Annotated[str, Field(strict=True), AfterValidator(_readable)] = term("规则", "rule")

    @property
    def tree(self) -> Tree:
        """The rule as the store takes it."""
        return parse(self.rule).tree


def tree_of(plan: Plan, to: str) -> Tree:
    """The tree of one of the four words, or of a segment of the plan. Raises KeyError."""
    return {**{one.id: one.tree for one in plan.segments or ()}, **WORDS}[to]


def holdout(plan: Plan) -> int:
    """A plan's holdout as buckets out of 10000."""
    share = plan.evaluation.holdout if plan.evaluation else None
    return int((share or 0) * 10_000)


def ids(segments: Sequence[Segment] | None) -> list[str]:
    """The names of a plan's segments."""
    return [one.id for one in segments or ()]


def audiences(parts: Mapping[str, Any], data: Mapping[str, Any], runs: frozenset[str]) -> Iterator[Finding]:
    """Every `to` names a segment or is one of the four words; every name in a rule exists; every fact can be known.

    While segments cannot be read, `to` is not judged.
    """
    known = [*WORDS, *ids(parts.get("segments"))]
    unread = "segments" in data and "segments" not in parts
    social = parts.get("social")
    for index, push in enumerate((social.pushes if social else None) or ()):
        path = ("social", "pushes", index, "to")
        if push.to not in known and not unread:
            yield path, "fault", _unknown("客群", "segment", push.to, known)
        elif push.to in ("members", "prospects") and "applications" not in runs:
            zh, en = f"「{push.to}」要看业务办理，这个版本还不知道谁办理过", f"{push.to}: applications do not run yet"
            yield path, "note", Said(zh, en, "先用一个客群", "use a segment until then")
    for index, segment in enumerate(parts.get("segments") or ()):
        if segment.id in WORDS:
            said = Said(
                f"{segment.id} 另有含义", f"{segment.id} has a meaning of its own", "换个代号", "take another id"
            )
            yield ("segments", index, "id"), "fault", said
        for fault in faults(parse(segment.rule), parts, runs):
            zh, en = f"第 {fault.column} 列：{fault.zh}", f"column {fault.column}: {fault.en}"
            yield ("segments", index, "rule"), "fault", Said(zh, en, fault.hint_zh, fault.hint_en)


def faults(rule: Rule, parts: Mapping[str, Any], runs: frozenset[str]) -> Iterator[RuleFault]:
    """What in a rule does not fit a plan's parts, or cannot be known by a version that runs only `runs`."""
    for use in rule.uses:
        name, *rest = use.branch
        clause = TOOK_CLAUSES[rest[0]] if name == "took" else FACTS[name].clause
        if clause and clause not in runs:
            named = FACTS[name].words if name != "took" else (f"参加过 {rest[0]}", f"took part in {rest[0]}")
            zh, en = f"这个版本还不知道「{named[0]}」", f"this version does not know “{named[1]}” yet"
            yield RuleFault(use.column, zh, en, "先去掉这个条件", "leave this fact out until then")
        elif found := _strange(use, parts):
            yield RuleFault(use.column, found.zh, found.en, found.hint_zh, found.hint_en)


def _strange(use: Use, parts: Mapping[str, Any]) -> Said | None:
    name, *rest = use.branch
    offline, social = parts.get("offline"), parts.get("social")
    spots = offline.spots if offline else ()
    if name == "placement" and rest[1] not in (known := [spot.id for spot in spots]):
        return _unknown("点位", "placement", rest[1], known)
    if name == "branch" and rest[1] not in (known := sorted({spot.branch for spot in spots if spot.branch})):
        return _unknown("网点", "branch", rest[1], known)
    if name == "took" and len(rest) == 2:
        offered = {"quiz": social.quizzes, "survey": social.surveys} if social else {}
        known = [one.id for one in offered.get(rest[0]) or ()]
        return None if rest[1] in known else _unknown(*TOOK_ONE[rest[0]], rest[1], known)
    if name == "language" and rest[1] not in (known := list(parts.get("languages") or (rest[1],))):
        return _unknown("语言", "language", rest[1], known)
    if name == "channel" and (channel := rest[1].partition("/")[0]) not in (
        known := list(parts.get("channels") or (channel,))
    ):
        return _unknown("渠道", "channel", channel, known)
    return None


def _unknown(zh: str, en: str, name: str, known: Sequence[str]) -> Said:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = known[:20]
    hints = (f"现有：{'、'.join(listed) or '一个也没有'}", f"there are: {', '.join(listed) or 'none'}")
    hints = (f"是不是 {near[0]}？", f"did you mean {near[0]}?") if near else hints
    return Said(f"方案里没有{zh} {name}", f"the plan has no {en} {name}", *hints)
