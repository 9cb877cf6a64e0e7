"""What staff see of a survey: its figures, for everybody or for a group of people, and what was said in own words.

Promises that no group is shown that is so small, or leaves so few out, that answers could be laid to somebody; and that
own words are shown once a purpose is on record.
"""

from __future__ import annotations

from dataclasses import dataclass

from campaigns import push_audience
from campaigns.desk import ActRefused, Desk
from campaigns.revealing import PURPOSES as OF_PEOPLE
from content.plan.model import Plan
from storage import survey_results
from storage.segment_sql import Audience, NotRunning
from storage.survey_results import Figures, Words

SMALLEST = 5  # people in a group that is shown, and people left out of it, unless nobody is
WORDS_MOST = 500
PURPOSES: dict[str, tuple[str, str]] = {
    "evaluation": ("评估和改进服务", "evaluating and improving the service"),
    **{purpose: OF_PEOPLE[purpose] for purpose in ("complaint", "abuse", "law")},
}


@dataclass(frozen=True, slots=True)
class Told:
    """A survey's figures: of everybody, and of a group if one was asked for. `hidden` says why the group's are not
    there: `few` are in it, or `rest`: few are not. `kept_back` are the questions that are so for the group."""

    whole: Figures
    group: Figures | None = None
    hidden: str = ""
    kept_back: frozenset[str] = frozenset()


def figures(desk: Desk, plan: Plan, survey: str, group: str = "") -> Told:
    """How a survey stands; `group` is a segment of the plan or a rule. Needs `surveys.read`; raises ActRefused, with
    the column, for what is no group or asks what this version does not know."""
    desk.require("surveys.read")
    whole = survey_results.figures(desk.connection, plan.id, survey)
    if not group:
        return Told(whole)
    push_audience.check(plan, group)
    audience = Audience(plan.id, push_audience.tree(plan, group), desk.now, plan.zone)
    try:
        found = survey_results.figures(desk.connection, plan.id, survey, audience)
    except NotRunning as unknown:
        raise ActRefused(
            f"这个版本还不知道“{unknown.fact}”，请换一个条件",
            f"{unknown.fact} is not known yet; ask for something else",
        ) from None
    if hidden := _hidden(found.began, whole.began):
        return Told(whole, None, hidden)
    kept_back = {
        question
        for question, values in whole.answers.items()
        if _hidden(sum(found.answers.get(question, {}).values()), sum(values.values()))
    }
    return Told(whole, found, "", frozenset(kept_back))


def _hidden(part: int, whole: int) -> str:
    if part < SMALLEST:
        return "few"
    return "rest" if 0 < whole - part < SMALLEST else ""


def words(desk: Desk, plan: Plan, survey: str, question: str, purpose: str) -> tuple[list[Words], int]:
    """What was answered in own words, newest first and without who said it, and how many there are; of a branch's staff
    those of its people. Needs `surveys.texts`; raises ActRefused without a purpose. Recorded in the audit log."""
    desk.require("surveys.texts")
    if purpose not in PURPOSES:
        raise ActRefused("请选择查看的用途", "choose what you need it for")
    desk.note("surveys.revealed", plan.id, 0, {"purpose": purpose, "survey": survey, "question": question})
    return survey_results.words(desk.connection, plan.id, survey, question, WORDS_MOST, desk.branch)
