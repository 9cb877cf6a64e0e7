"""Surveys: questions to rate, choose or answer in one's own words, once per person over all channels.

Which words lead to which survey, and what an answer means that is early, late or of another time. A tapped answer says
`问卷 ID REVISION-QUESTION-VALUE`, so that an old one is known as such.
"""

from __future__ import annotations

import re
from typing import Any

from campaigns import survey_asking as asking
from campaigns.refusals import NotRunning
from campaigns.survey_asking import State, Way
from campaigns.turn import Turn
from content.message import Choice
from content.questions import same
from storage.tables import instant, micros

CLAUSES = ("social.surveys",)
WORDS = {"survey": ("问卷", "问卷调查", "调查问卷", "survey")}
SKIP = frozenset({"跳过", "skip"})
_SPELLED = re.compile(
    r"/?(?:问卷|survey)\s+(?P<name>[a-z0-9][a-z0-9-]{0,39})"
    r"(?:\s+(?:(?P<go>开始|go)|(?P<revision>\d{1,9})-(?P<place>\d{1,3})-(?P<value>\d{1,3})))?",
    re.IGNORECASE,
)
# Whose commands go before the words that a question waits for: they are about the person or this conversation. What the
# campaign offers (签到, 积分, 海报…) may well be what somebody writes about. 人工 and 退订 go before any form.
_BEFORE_WORDS = frozenset({"consent", "joining", "menu", "privacy", "survey"})
_ENDS = " \t\r\n.!。！~～"


def answer(turn: Turn, command: str) -> None:
    """Show the surveys there are, or the one there is; go on with it when it was begun."""
    names = [*turn.surveys(), *(name for name in asking.begun(turn) if name not in turn.surveys())]
    if not names:
        raise NotRunning("menu", "human", what=turn.phrase("choice.survey"))
    if len(names) == 1:
        _enter(turn, names[0])
        return
    word = turn.phrase("word.survey")
    turn.say("survey.list", *(Choice(asking.title(turn, name), f"{word} {name}") for name in names), "menu")


def heard(turn: Turn, said: str = "") -> bool:
    """Take what an answer of ours says, the words of one while its question is the newest list, or a survey's name."""
    if turn.heard.kind not in ("text", "voice"):
        return False
    found = _SPELLED.fullmatch(turn.heard.text.strip())
    if found is None:
        if _typed(turn):
            return True
        name = turn.library.survey_words.get(said)
        if name and not _asked_for_words(turn):
            _enter(turn, name)
            return True
        return False
    name = found["name"].lower()
    if name not in turn.surveys() and not asking.kept(turn, name):
        return False
    if found["value"] is not None:
        _take(turn, name, int(found["revision"]), int(found["place"]) - 1, int(found["value"]))
    elif found["go"]:
        _start(turn, name)
    else:
        _enter(turn, name)
    return True


def on_form(turn: Turn, form: dict[str, Any]) -> bool:
    """Take words that answer the question asked last; what is too long, or no words, is asked for once more."""
    if heard(turn):  # the number of a choice of ours
        return True
    way = asking.under_way(turn, form["survey"])
    if way is None or way.place != form["place"] or micros(turn.now) > form["until"] or not asking.newest(turn, way):
        return False
    if _tapped(turn) or (turn.meeting and turn.meeting.state == "live"):
        return False
    said = turn.heard.text.strip()
    if turn.heard.kind not in ("text", "voice") or not said:
        asking.ask(turn, way, turn.phrase("survey.only_words"))
        return True
    lowered = same(said).strip(_ENDS)
    command = turn.library.meant(lowered)
    if command and (command[0] in _BEFORE_WORDS or said.startswith("/")):
        return False
    if lowered in SKIP:
        asking.record(turn, way, 0)
    elif len(said) > way.question.longest:
        most = way.question.longest
        asking.ask(turn, way, turn.phrase("survey.too_long", count=len(said), most=most))
    else:
        asking.record(turn, way, 1, in_words=True)
    return True


def unite(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    """What both did, once: who finished a survey alone has taken it, else the older; `storage.surveys.unite` agrees."""
    return {key: _united(older.get(key), younger.get(key)) for key in older.keys() | younger.keys()}


def _united(one: State | None, other: State | None) -> State:
    if one is None or other is None:
        return one or other or {}
    return other if "done" in other and "done" not in one else one


# ---- before


def _enter(turn: Turn, name: str) -> None:
    """Go on where the person stands, else tell what the survey is."""
    way = asking.under_way(turn, name)
    if way:
        asking.ask(turn, way, turn.phrase("survey.back"))
    else:
        _about(turn, name)


def _about(turn: Turn, name: str) -> None:
    if _done(turn, name):
        return
    survey = turn.surveys().get(name)
    if survey is None:
        raise NotRunning("survey", "menu", what=asking.title(turn, name))
    lines = [
        turn.phrase("survey.about", name=survey.name[turn.language], count=len(survey.questions)),
        survey.intro[turn.language],
        turn.phrase("survey.points", points=survey.points) if survey.points and turn.in_window else "",
        turn.phrase("survey.how"),
    ]
    word = turn.phrase("survey.go_word")
    go = Choice(turn.phrase("survey.go"), f"{turn.phrase('word.survey')} {name} {word}")
    turn.say_text("\n".join(line for line in lines if line), go, "menu")


def _done(turn: Turn, name: str) -> bool:
    """Say that the person has answered it, if they have."""
    state = asking.kept(turn, name)
    if "done" not in state:
        return False
    turn.say("survey.done", "menu", name=asking.title(turn, name), day=turn.local_date(instant(state["done"])))
    return True


def _start(turn: Turn, name: str) -> None:
    """Begin; a start that is tapped twice goes on with what the first tap began. Once the campaign is over, surveys go
    on as long as the plan has them, without points."""
    survey = turn.surveys().get(name)
    if asking.kept(turn, name) or survey is None:
        _enter(turn, name)
        return
    if turn.now < turn.plan.window.start:
        turn.require_window()
    asking.begin(turn, survey)


def _take(turn: Turn, name: str, revision: int, place: int, value: int) -> None:
    way = asking.under_way(turn, name)
    if way is None:
        _about(turn, name)
        return
    if revision != way.revision:
        asking.ask(turn, way, turn.phrase("survey.other_time"))
    elif place != way.place:
        key = "survey.repeated" if place < way.place else "survey.early"
        asking.ask(turn, way, turn.phrase(key, number=place + 1))
    elif (value == 0) != (way.question.kind == "text") or value > way.question.count:
        asking.ask(turn, way, turn.phrase("survey.no_choice"))
    else:
        asking.record(turn, way, value)


# ---- what is typed instead of tapped


def _typed(turn: Turn) -> bool:
    """An answer's very words, or a number beyond all answers, while the question is the newest list shown."""
    way = _current(turn)
    if way is None or way.question.kind == "text":
        return False
    said = same(turn.heard.text).replace(" ", "")
    for value, label in enumerate(asking.labels(turn, way.question), 1):
        if same(label).replace(" ", "") == said:
            asking.record(turn, way, value)
            return True
    if said.isdecimal() and len(said) <= 2 and not 1 <= int(said) <= way.question.count:
        asking.ask(turn, way, turn.phrase("survey.no_choice"))
        return True
    return False


def _current(turn: Turn) -> Way | None:
    """Where the person stands in the survey whose question is the newest list shown."""
    for name in asking.begun(turn):  # most people have none: nothing more is looked at
        way = asking.under_way(turn, name)
        if way and asking.newest(turn, way):
            return way
    return None


def _asked_for_words(turn: Turn) -> bool:
    """Whether words are waited for, which may well be a survey's name."""
    return turn.recall("form").get("mechanic") == "survey"


def _tapped(turn: Turn) -> bool:
    """Whether a button was tapped instead of words being written, where the channel tells."""
    return bool(turn.heard.data.get("message")) or turn.heard.data.get("by") == "menu"
