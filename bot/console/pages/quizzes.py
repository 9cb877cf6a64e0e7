"""How each quiz goes: how many began, finished and passed, and of each question what was picked.

Counts are kept as answers come in, so the page costs the same whatever the number of people. Testers are not in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page
from bot.console.visit import Missing, Visit
from content.bundle import Bundle
from content.plan.terms import show_share
from content.quizzes import Question, Quiz, read
from storage import quizzes, revisions

WORDS = {
    "title": ("答题", "Quizzes"),
    "none": (
        "方案里没有答题，也没有人答过题。在方案的 [[social.quizzes]] 里写上，再运行 koukou plan apply。",
        "The plan has no quiz, and nobody took one. Write [[social.quizzes]], then koukou plan apply.",
    ),
    "lead": (
        "测试用户不计在内；换过方案的题，编号相同的合在一起。",
        "Testers are left out. A question keeps its counts by its id when the plan changes.",
    ),
    "campaign": ("活动", "Campaign"),
    "gone": ("已不在方案里", "no longer in the plan"),
    "open_quiz": ("公开（Telegram 原生测验）", "open (native Telegram polls)"),
    "started": ("开始", "Started"),
    "finished": ("答完", "Finished"),
    "passed": ("及格", "Passed"),
    "average": ("平均答对", "Right on average"),
    "of_finished": ("{count}（占答完的 {share}）", "{count} ({share} of finished)"),
    "terms": ("规则", "Terms"),
    "terms_told": (
        "{count} 题，每题 {points} 积分，及格线 {share}，每人 {tries} 次",
        "{count} questions, {points} points each, pass mark {share}, tries {tries}",
    ),
    "questions": ("每一题", "Question by question"),
    "question": ("题目", "Question"),
    "answers": ("作答", "Answers"),
    "right": ("答对", "Right"),
    "late": ("超时", "Out of time"),
    "choices": ("选项", "Choices"),
    "picked": ("选的人次", "Picked"),
    "the_right": ("正确", "right"),
    "earlier": ("以前的题 {id}", "an earlier question, {id}"),
    "nobody": ("还没有人答过。", "Nobody has answered yet."),
}
QUIZZES = f"{ROOT}/quizzes"


@dataclass(frozen=True, slots=True)
class Row:
    """One question: its `name`, counts as shown, and its choices: label, whether right, how often, share of answers."""

    name: str
    answers: int
    right: str
    late: int
    choices: list[tuple[str, bool, int, str]]


@page(QUIZZES, "plan.read", menu=("答题", "Quizzes"), order=45)
async def overview(visit: Visit) -> Response:
    """Every quiz of the campaign's plan, and any that was taken before."""
    told = await visit.read(lambda connection: _read(visit, connection))
    return visit.show("quizzes.html", WORDS, **told)


def _read(visit: Visit, connection: Any) -> dict[str, Any]:
    known = revisions.campaigns(connection)
    campaign = visit.query("campaign", 80) or (known[0] if known else "")
    if campaign and campaign not in known:
        raise Missing
    if not campaign:
        return {"campaign": "", "known": [], "quizzes": []}
    number = revisions.current(connection, campaign) or 0
    bundle = Bundle.of(revisions.files(connection, campaign, number))
    plan = bundle.plan
    language = visit.language if visit.language in plan.languages else plan.languages[0]
    listed = read((plan.social.quizzes if plan.social else None) or (), bundle.files, plan.languages)
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (quiz, question, what), times in quizzes.tallies(connection, campaign).items():
        counts.setdefault(quiz, {}).setdefault(question, {})[what] = times
    names = [*listed, *sorted(counts.keys() - listed.keys())]
    shown = [_quiz(visit, name, listed.get(name), counts.get(name, {}), language) for name in names]
    return {"campaign": campaign, "known": known, "quizzes": shown}


def _quiz(
    visit: Visit, name: str, quiz: Quiz | None, counts: dict[str, dict[str, int]], language: str
) -> dict[str, Any]:
    whole = counts.get("", {})
    finished, passed = whole.get("finished", 0), whole.get("passed", 0)
    asked = quiz.questions if quiz else ()
    rows = [_row(question.ask[language], counts.get(question.id, {}), question, language) for question in asked]
    known = {question.id for question in asked}
    for old in sorted(counts.keys() - known - {""}):
        rows.append(_row(visit.tell(*WORDS["earlier"]).format(id=old), counts[old], None, language))
    facts = [
        (visit.tell(*WORDS["started"]), f"{whole.get('started', 0):,}"),
        (visit.tell(*WORDS["finished"]), f"{finished:,}"),
        (visit.tell(*WORDS["passed"]), _of(visit, passed, finished)),
        (visit.tell(*WORDS["average"]), _share(whole.get("right", 0), whole.get("asked", 0))),
    ]
    if quiz:
        terms = {"count": len(asked), "points": quiz.points_each, "tries": quiz.tries}
        told = visit.tell(*WORDS["terms_told"]).format(share=show_share(quiz.pass_at), **terms)
        facts.append((visit.tell(*WORDS["terms"]), told))
    title = quiz.name[language] if quiz else name
    return {
        "id": name,
        "title": title,
        "gone": quiz is None,
        "open": bool(quiz and quiz.open),
        "facts": facts,
        "rows": rows,
    }


def _row(name: str, counts: dict[str, int], question: Question | None, language: str) -> Row:
    picked = {int(what): times for what, times in counts.items() if what.isdecimal()}
    late = counts.get("late", 0)
    answers = sum(picked.values()) + late
    labels = question.choices[language] if question else ()
    numbers = range(1, max([len(labels), *picked]) + 1)
    choices = [
        (
            labels[number - 1] if number <= len(labels) else str(number),
            question is not None and number - 1 == question.right,
            picked.get(number, 0),
            _share(picked.get(number, 0), answers),
        )
        for number in numbers
    ]
    return Row(name, answers, _share(counts.get("right", 0), answers), late, choices)


def _of(visit: Visit, part: int, whole: int) -> str:
    return visit.tell(*WORDS["of_finished"]).format(count=f"{part:,}", share=_share(part, whole)) if whole else "0"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "–"
