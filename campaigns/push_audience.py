"""Whom a push is for: one of the plan's four words, one of its segments, or a rule of its own, checked when written."""

from __future__ import annotations

from campaigns import running
from campaigns.desk import ActRefused
from content.plan import audience as known
from content.plan.model import Plan
from content.segment_words import RuleFault
from content.segments import Tree, parse

_OF_APPLICATIONS = ("members", "prospects")


def tree(plan: Plan, audience: str) -> Tree:
    """The audience as the store takes it. Raises RuleFault for what is no rule."""
    try:
        return known.tree_of(plan, audience)
    except KeyError:
        return parse(audience).tree


def check(plan: Plan, audience: str) -> None:
    """Raises ActRefused, with the column, for what is no audience or asks what this version does not know."""
    runs = running()
    if audience in _OF_APPLICATIONS and "applications" not in runs:
        raise ActRefused(
            f"这个版本还不知道谁办理过，不能用“{audience}”，请换一个客群",
            f"who applied is not known yet, so {audience!r} cannot be used; take a segment",
        )
    if audience in known.WORDS:
        return
    own = {one.id: one.rule for one in plan.segments or ()}
    try:
        rule = parse(own.get(audience, audience))
    except RuleFault as fault:
        raise _refused(fault) from None
    parts = {name: getattr(plan, name) for name in type(plan).model_fields}
    for found in known.faults(rule, parts, runs):
        raise _refused(found)


def _refused(fault: RuleFault) -> ActRefused:
    zh, en = f"客群第 {fault.column} 列：{fault.zh}", f"audience, column {fault.column}: {fault.en}"
    return ActRefused("；".join(filter(None, (zh, fault.hint_zh))), "; ".join(filter(None, (en, fault.hint_en))))
