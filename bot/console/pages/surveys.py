"""How each survey goes: who began and finished, what was answered to each question, for everybody and by segment.

What was said in own words is shown once a purpose is given, without who said it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.pages.proposals import sheet
from bot.console.pages.surveys_words import WORDS
from bot.console.visit import Missing, Visit
from campaigns import sheets, survey_results
from campaigns.desk import ActRefused, Desk
from campaigns.survey_results import SMALLEST, WORDS_MOST, Told
from content.bundle import Bundle
from content.plan.model import Plan
from content.surveys import Question, Survey, read
from storage import revisions
from storage import survey_results as stored
from storage.survey_results import Figures

KINDS = {"surveys.revealed": ("查看问卷的文字回答", "Looked at a survey's answers in own words")}
SURVEYS = f"{ROOT}/surveys"
_RULE_MOST = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """One answer that could be given: how often it was, its share, and the same of the group."""

    label: str
    times: int
    share: str
    group_times: int = 0
    group_share: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as shown. `kind` is empty for one that the survey no longer has; `kept_back` for the group."""

    id: str
    kind: str
    name: str
    answers: int
    skipped: int
    mean: str = ""
    group_answers: int = 0
    group_mean: str = ""
    kept_back: bool = False
    rows: list[Row] = field(default_factory=list)


@page(SURVEYS, "surveys.read", menu=("问卷", "Surveys"), order=46)
async def overview(visit: Visit) -> Response:
    """Every survey of the campaign's plan, and any that was taken before."""

    def look(connection: Any) -> dict[str, Any]:
        known = revisions.campaigns(connection)
        campaign = _campaign(visit, known)
        if not campaign:
            return {"campaign": "", "known": [], "surveys": []}
        plan, there = _plan(connection, campaign)
        counts = stored.listed(connection, campaign)
        names = [*there, *sorted(counts.keys() - there.keys())]
        shown = [(name, _title(visit, plan, there, name), counts.get(name, (0, 0)), name in there) for name in names]
        return {"campaign": campaign, "known": known, "surveys": shown}

    return visit.show("surveys.html", WORDS, **await visit.read(look))


@page(f"{SURVEYS}/{{survey}}", "surveys.read")
async def one(visit: Visit) -> Response:
    """One survey, for everybody and for the group asked for."""
    return await _shown(visit)


@page(f"{SURVEYS}/{{survey}}/table", "surveys.read")
async def table(visit: Visit) -> Response:
    """The same as a sheet."""
    context = await visit.read(lambda connection: _read(visit, connection))
    if context["refused"]:
        raise context["refused"]
    told: Told = context["told"]
    head = [visit.tell(*WORDS[name]) for name in ("question", "answer", "people", "share")]
    grouped = told.group is not None
    if grouped:
        head += [f"{context['group']} {visit.tell(*WORDS[name])}" for name in ("people", "share")]
    rows: list[list[object]] = [[*head]]
    for asked in context["asked"]:
        for row in asked.rows:
            hidden = grouped and asked.kept_back
            more: list[object] = [visit.tell(*WORDS["kept_back_short"]), ""] if hidden else []
            more = more or ([row.group_times, row.group_share] if grouped else [])
            rows.append([asked.name, row.label, row.times, row.share, *more])
    return sheet(sheets.write(rows), f"survey-{context['survey']}.csv")


@post(f"{SURVEYS}/{{survey}}/words", "surveys.texts")
async def words(visit: Visit) -> Response:
    """What was said in own words, once the purpose is recorded; on the page or as a sheet."""
    form = visit.form
    question, purpose = form.text("question", 40, needed=False), form.text("purpose", 40, needed=False)
    context = await visit.read(lambda connection: _read(visit, connection, form.text("campaign", 80, needed=False)))
    if question not in {asked.id for asked in context["asked"] if asked.kind in ("text", "")}:
        raise Missing
    plan, name = context["plan"], context["survey"]

    def work(desk: Desk) -> tuple[list[stored.Words], int]:
        return survey_results.words(desk, plan, name, question, purpose)

    try:
        said, count = await visit.act(work)
    except ActRefused as refused:
        if purpose:
            raise
        return visit.show("survey_result.html", WORDS, 409, **{**context, "refused": refused})
    if form.ticked("sheet"):
        rows: list[list[object]] = [[visit.tell(*WORDS[name]) for name in ("when", "own_words")]]
        rows += [[visit.when(one.at), _words(visit, one)] for one in said]
        return sheet(sheets.write(rows), f"survey-{name}-{question}.csv")
    shown = [(one.at, _words(visit, one)) for one in said]
    spoken = {"question": question, "rows": shown, "count": count}
    return visit.show("survey_result.html", WORDS, **{**context, "spoken": spoken})


def _words(visit: Visit, one: stored.Words) -> str:
    return visit.tell(*WORDS["gone_words"]) if one.words is None else one.words


async def _shown(visit: Visit) -> Response:
    context = await visit.read(lambda connection: _read(visit, connection))
    return visit.show("survey_result.html", WORDS, 400 if context["refused"] else 200, **context)


# ---- read in one snapshot


def _campaign(visit: Visit, known: list[str], given: str = "") -> str:
    campaign = given or visit.query("campaign", 80) or (known[0] if known else "")
    if campaign and campaign not in known:
        raise Missing
    return campaign


def _plan(connection: Any, campaign: str) -> tuple[Plan, dict[str, Survey]]:
    number = revisions.current(connection, campaign) or 0
    bundle = Bundle.of(revisions.files(connection, campaign, number))
    plan = bundle.plan
    return plan, read((plan.social.surveys if plan.social else None) or (), bundle.files, plan.languages)


def _spoken(visit: Visit, plan: Plan) -> str:
    return visit.language if visit.language in plan.languages else plan.languages[0]


def _title(visit: Visit, plan: Plan, there: dict[str, Survey], name: str) -> str:
    return there[name].name[_spoken(visit, plan)] if name in there else name


def _read(visit: Visit, connection: Any, given: str = "") -> dict[str, Any]:
    """Everything on a survey's page. A group that cannot be asked for is `refused`, and the rest is there."""
    campaign, name = _campaign(visit, revisions.campaigns(connection), given), str(visit.params["survey"])
    if not campaign:
        raise Missing
    plan, there = _plan(connection, campaign)
    if name not in there and name not in stored.listed(connection, campaign):
        raise Missing
    segment, rule = visit.query("segment", 80), visit.query("rule", _RULE_MOST)
    desk, refused = visit.desk(connection), None
    try:
        told = survey_results.figures(desk, plan, name, rule or segment)
    except ActRefused as found:
        refused, told = found, survey_results.figures(desk, plan, name)
    language = _spoken(visit, plan)
    segments = [("", visit.tell(*WORDS["everybody"])), *((one.id, one.name[language]) for one in plan.segments or ())]
    purposes = [("", visit.tell(*WORDS["choose"]))]
    purposes += [(key, visit.tell(*pair)) for key, pair in survey_results.PURPOSES.items()]
    return {
        **{"campaign": campaign, "survey": name, "plan": plan, "gone": name not in there, "refused": refused},
        **{"title": _title(visit, plan, there, name), "told": told, "segments": segments, "purposes": purposes},
        **{"segment": segment, "rule": rule, "group": rule or dict(segments).get(segment, segment)},
        **{"asked": _asked(visit, there.get(name), told, language), "smallest": SMALLEST, "most": WORDS_MOST},
        **{"finished": _share(told.whole.finished, told.whole.began), "spoken": None},
        "group_finished": _share(told.group.finished, told.group.began) if told.group else "",
    }


def _asked(visit: Visit, survey: Survey | None, told: Told, language: str) -> list[Asked]:
    questions = {question.id: question for question in (survey.questions if survey else ())}
    old = sorted(told.whole.answers.keys() - questions.keys())
    return [_one(visit, name, questions.get(name), told, language) for name in [*questions, *old]]


def _one(visit: Visit, name: str, question: Question | None, told: Told, language: str) -> Asked:
    """A question with its figures; one that the survey no longer has shows its values as they are stored."""
    values, group = told.whole.answers.get(name, {}), _of(told.group, name)
    given = {value: times for value, times in values.items() if value}
    kind = question.kind if question else ""
    labels: dict[int, str] = {}
    if question and question.choices:
        labels = dict(enumerate(question.choices[language], 1))
    elif question and question.low and question.high:
        ends = {1: question.low[language], question.scale: question.high[language]}
        for value in range(1, question.scale + 1):
            labels[value] = f"{value} · {ends[value]}" if value in ends else str(value)
    elif kind == "text":
        labels = {1: visit.tell(*WORDS["wrote"]), 0: visit.tell(*WORDS["skipped"])}
    else:
        labels = {value: str(value) for value in sorted(values)}
    labels = {**labels, **{value: str(value) for value in sorted(values.keys() - labels.keys())}}
    whole, part = sum(values.values()), sum(group.values())
    rows = []
    for value, label in labels.items():
        times, group_times = values.get(value, 0), group.get(value, 0)
        rows.append(Row(label, times, _share(times, whole), group_times, _share(group_times, part)))
    return Asked(
        id=name,
        kind=kind,
        name=question.ask[language] if question else visit.tell(*WORDS["earlier"]).format(id=name),
        answers=sum(given.values()),
        skipped=values.get(0, 0),
        mean=_mean(values) if kind == "rating" else "",
        group_answers=part - group.get(0, 0),
        group_mean=_mean(group) if kind == "rating" else "",
        kept_back=name in told.kept_back,
        rows=rows,
    )


def _of(figures: Figures | None, question: str) -> dict[int, int]:
    return figures.answers.get(question, {}) if figures else {}


def _mean(values: dict[int, int]) -> str:
    times = sum(values.values())
    return f"{sum(value * n for value, n in values.items()) / times:.2f}" if times else "–"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "–"
