"""A survey with one person: asks its questions, records the answers, and thanks at the end.

What is remembered of a person's surveys is read and kept here alone, and no answer is among it. Which words lead here
is `campaigns.survey`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from campaigns.refusals import BudgetSpent, GuestLimit, OutsideWindow
from campaigns.turn import Turn
from content.message import Choice
from content.surveys import Question, Survey
from storage.tables import micros

WAITS = timedelta(hours=1)  # so long the next words are taken as the answer; later they are a message like any

State = dict[str, Any]  # of one survey: while open revision, began, place, skipped; when done, when


@dataclass(frozen=True, slots=True)
class Way:
    """Where somebody stands in a survey: `place` questions are behind, of the survey as it was when they began
    (`revision`; `began` in stored microseconds)."""

    survey: Survey
    revision: int
    began: int
    place: int
    skipped: int = 0

    @property
    def question(self) -> Question:
        """What is asked now."""
        return self.survey.questions[self.place]


def _key(turn: Turn, name: str) -> str:
    return f"{turn.plan.id}/{name}"


def kept(turn: Turn, name: str) -> State:
    """What is remembered of the person and this survey."""
    state: State = turn.recall("survey").get(_key(turn, name), {})
    return state


def _keep(turn: Turn, name: str, state: State) -> None:
    turn.remember("survey", {**turn.recall("survey"), _key(turn, name): state})


def begun(turn: Turn) -> list[str]:
    """The surveys that the person has begun and not finished."""
    kept_of_all = turn.recall("survey")
    if not kept_of_all:  # as of most people
        return []
    ours = _key(turn, "")
    return [key.removeprefix(ours) for key, state in kept_of_all.items() if "place" in state and key.startswith(ours)]


def under_way(turn: Turn, name: str) -> Way | None:
    """Where the person stands in a survey, as it was when they began; None when they are not in it."""
    state = kept(turn, name)
    if "place" not in state:
        return None
    survey = turn.surveys(state["revision"]).get(name)
    if survey is None or state["place"] >= len(survey.questions):
        return None
    return Way(survey, state["revision"], state["began"], state["place"], state.get("skipped", 0))


def title(turn: Turn, name: str) -> str:
    """What the survey is called."""
    way = under_way(turn, name)
    survey = turn.surveys().get(name) or (way.survey if way else None)
    return survey.name[turn.language] if survey else name


def say_of(turn: Turn, way: Way, value: int) -> str:
    """What tapping an answer to the current question says."""
    return f"{turn.phrase('word.survey')} {way.survey.id} {way.revision}-{way.place + 1}-{value}"


def newest(turn: Turn, way: Way) -> bool:
    """Whether the current question is the newest list that was shown, in whichever language."""
    says = turn.recall("shown").get("says", ())
    behind = f" {way.survey.id} {way.revision}-{way.place + 1}-"
    return bool(says) and behind in says[0]


def labels(turn: Turn, question: Question) -> tuple[str, ...]:
    """The answers of a rating or a choice as buttons, the first standing for 1."""
    if question.choices:
        return question.choices[turn.language]
    return tuple(turn.phrase("survey.score", value=value) for value in range(1, question.scale + 1))


# ---- question by question


def begin(turn: Turn, survey: Survey) -> None:
    """Begin, and ask the first question."""
    way = Way(survey, turn.library.revision, micros(turn.now), 0)
    _keep(turn, survey.id, {"revision": way.revision, "began": way.began, "place": 0})
    turn.note("survey_started", survey=survey.id)
    turn.took_survey(survey.id, way.began)
    ask(turn, way, "")


def ask(turn: Turn, way: Way, before: str) -> None:
    """Ask the current question; words that come next answer one that wants words."""
    question = way.question
    asks = question.ask[turn.language]
    lines = [turn.phrase("survey.question", number=way.place + 1, count=len(way.survey.questions)), asks]
    if question.low and question.high:
        ends = {"low": question.low[turn.language], "high": question.high[turn.language]}
        lines.append(turn.phrase("survey.ends", most=question.scale, **ends))
    if question.kind == "text":
        lines.append(turn.phrase("survey.words", most=question.longest))
        form = {"mechanic": "survey", "survey": way.survey.id, "place": way.place, "until": micros(turn.now + WAITS)}
        turn.remember("form", form)
        choices = [
            Choice(turn.phrase("survey.skip"), say_of(turn, way, 0)),
            Choice(turn.phrase("survey.later"), turn.phrase("word.menu")),
        ]
    else:
        if turn.recall("form").get("mechanic") == "survey":
            turn.remember("form", {})  # of the question before
        choices = [Choice(label, say_of(turn, way, n)) for n, label in enumerate(labels(turn, question), 1)]
    text = "\n".join(lines)
    turn.say_text(f"{before}\n\n{text}" if before else text, *choices)


def record(turn: Turn, way: Way, value: int, *, in_words: bool = False) -> None:
    """Keep an answer to the current question, 0 for none, and go on."""
    name, question = way.survey.id, way.question
    turn.note("survey_answered", survey=name, question=question.id, number=way.place + 1, skipped=int(not value))
    turn.answered(name, question.id, value, in_words=in_words)
    place, skipped = way.place + 1, way.skipped + (not value)
    told = _told(turn, question, value)
    if place == len(way.survey.questions):
        _finish(turn, way, skipped, told)
        return
    turn.took_survey(name, way.began)
    _keep(turn, name, {"revision": way.revision, "began": way.began, "place": place, "skipped": skipped})
    ask(turn, Way(way.survey, way.revision, way.began, place, skipped), told)


def _told(turn: Turn, question: Question, value: int) -> str:
    """What was understood; own words are not said back."""
    if not value:
        return turn.phrase("survey.skipped")
    if question.kind == "text":
        return turn.phrase("survey.noted")
    return turn.phrase("survey.taken", answer=labels(turn, question)[value - 1])


def _finish(turn: Turn, way: Way, skipped: int, told: str) -> None:
    name, now = way.survey.id, micros(turn.now)
    _keep(turn, name, {"done": now})
    if turn.recall("form").get("mechanic") == "survey":
        turn.remember("form", {})
    turn.took_survey(name, way.began, now)
    turn.note("survey_finished", survey=name, asked=len(way.survey.questions), skipped=skipped)
    lines = [told, "", way.survey.thanks[turn.language], _pay(turn, way.survey)]
    choices = (("connect",) if turn.is_guest else ("points",)) if way.survey.points else ()
    turn.say_text("\n".join(lines).rstrip(), *choices, "menu")


def _pay(turn: Turn, survey: Survey) -> str:
    """Award the points; the answers count all the same when nothing can be paid, and the sentence says why."""
    if not survey.points:
        return ""
    if not turn.in_window:
        return turn.phrase("survey.no_points_now")
    try:
        turn.award(survey.points, f"survey/{turn.plan.id}/{survey.id}", "survey")
    except (BudgetSpent, GuestLimit, OutsideWindow) as refusal:
        return turn.phrase(refusal.phrase, **refusal.fields)
    key = "survey.earned_held" if turn.is_guest else "survey.earned"
    return turn.phrase(key, points=survey.points, total=turn.held() if turn.is_guest else turn.balance())
