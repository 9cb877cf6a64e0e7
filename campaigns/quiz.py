"""Quizzes: questions one at a time, by button or number, points for what is right, once per person on all channels.

Which words lead to which quiz, what it promises before it begins, and its board. A tapped choice says `答题 ID
ATTEMPT-QUESTION-CHOICE`, so that an old one is known as such.
"""

from __future__ import annotations

import re
from typing import Any

from campaigns import quiz_asking as asking
from campaigns import quiz_attempt as attempts
from campaigns.naming import FIELD
from campaigns.quiz_asking import State
from campaigns.refusals import NotRunning
from campaigns.turn import Turn
from content.message import Choice
from content.plan.terms import show_share
from content.questions import same
from content.quizzes import Quiz
from storage.quizzes import Best
from storage.tables import instant, micros

CLAUSES = ("social.quizzes",)
WORDS = {
    "quiz": ("答题", "quiz"),
    "board": ("排行榜", "答题排行榜", "leaderboard", "quiz board"),
}
TIMERS = ("quiz_over",)
_SHOWN = 10
_SPELLED = re.compile(
    r"/?(?P<word>答题|quiz|排行榜|leaderboard)\s+(?P<name>[a-z0-9][a-z0-9-]{0,39})"
    r"(?:\s+(?P<number>\d{1,4})(?:-(?P<place>\d{1,3})-(?P<choice>\d{1,3}))?)?",
    re.IGNORECASE,
)


def answer(turn: Turn, command: str) -> None:
    """Show the quizzes there are, or the one there is; go on with it when it was begun."""
    open_too = [name for name in asking.begun(turn) if name not in turn.quizzes()]
    names = [*turn.quizzes(), *open_too]
    if not names:
        raise NotRunning("menu", "human", what=turn.phrase("choice.quiz"))
    show = _board if command == "board" else _enter
    if len(names) == 1:
        show(turn, names[0])
        return
    word = turn.phrase(f"word.{command}")
    listed = [Choice(asking.title(turn, name), f"{word} {name}") for name in names]
    turn.say_text(turn.phrase("quiz.board_list" if command == "board" else "quiz.list"), *listed, "menu")


def heard(turn: Turn) -> bool:
    """Take what a choice of ours says, or the words of a choice while its question is the newest list."""
    if turn.heard.kind not in ("text", "voice"):
        return False
    found = _SPELLED.fullmatch(turn.heard.text.strip()) or _typed_choice(turn)
    if not found:
        return False
    name, number = found["name"].lower(), found["number"]
    if name not in turn.quizzes() and name not in asking.begun(turn) and not asking.kept(turn, name):
        return False
    if found["word"].lower() in WORDS["board"]:
        _board(turn, name)
    elif number is None:
        _enter(turn, name)
    elif found["place"] is None:
        _start(turn, name, int(number))
    else:
        _take(turn, name, int(number), int(found["place"]) - 1, int(found["choice"]) - 1)
    return True


def on_timer(turn: Turn, kind: str) -> None:
    """The time of a quiz is up: close the attempt, unless it is over already or another."""
    name = str(turn.heard.data["quiz"])
    opened = asking.under_way(turn, name)
    if opened and opened[1].began == turn.heard.data["began"] and asking.is_over(turn, opened[1]):
        asking.finish(turn, name, *opened, turn.phrase("quiz.time_up"))


def unite(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    """What both did, once: tries add up, what was paid stays paid, the better attempt stands, one goes on."""
    return {key: _united(older.get(key, {}), younger.get(key, {})) for key in older.keys() | younger.keys()}


def joined(turn: Turn) -> None:
    """After two became one: their best attempts stand on the boards under who they are now."""
    for key, state in turn.recall("quiz").items():
        if "best" in state and not turn.is_guest:
            campaign, _, name = key.partition("/")
            turn.rank(campaign, name, *state["best"])


def _united(one: State, other: State) -> State:
    both: State = {"tries": one.get("tries", 0) + other.get("tries", 0)}
    for name in ("paid", "prizes"):
        both[name] = sorted({*one.get(name, ()), *other.get(name, ())})
    if best := [state["best"] for state in (one, other) if "best" in state]:
        both["best"] = min(best)
    going = next((state for state in (one, other) if "open" in state), None)
    if going:
        # A number of its own, so that no old choice of the other's attempt counts in this one.
        both |= {"open": {**going["open"], "number": both["tries"]}}
        # What the younger got for the same as the older is taken back, so it was not earned.
        twice = going is other and {*one.get("paid", ())} & {*other.get("paid", ())}
        both["earned"] = 0 if twice else going.get("earned", 0)
    return both


# ---- before


def _enter(turn: Turn, name: str) -> None:
    """Go on with the attempt under way, else tell what the quiz is."""
    opened = asking.under_way(turn, name)
    if opened is None:
        _about(turn, name)
    elif asking.is_over(turn, opened[1]):
        asking.finish(turn, name, *opened, turn.phrase("quiz.time_up"))
    else:
        asking.go_on(turn, name, *opened, turn.phrase("quiz.back"))


def _about(turn: Turn, name: str, before: str = "") -> None:
    quiz, state = turn.quizzes().get(name), asking.kept(turn, name)
    if quiz is None:
        raise NotRunning("quiz", "menu", what=asking.title(turn, name))
    used = state.get("tries", 0)
    if used >= quiz.tries:
        _done(turn, name, quiz, state, before)
        return
    lines = [
        before,
        turn.phrase(
            "quiz.about",
            name=quiz.name[turn.language],
            count=len(quiz.questions),
            points=quiz.points_each,
            share=show_share(quiz.pass_at),
            left=quiz.tries - used,
        ),
        turn.phrase("quiz.minutes", minutes=quiz.minutes) if quiz.minutes else "",
        *(asking.prize_told(turn, prize) for prize in quiz.prizes),
        turn.phrase("quiz.open") if quiz.open and turn.heard.channel == "telegram" else "",
    ]
    go = Choice(turn.phrase("quiz.go"), f"{turn.phrase('word.quiz')} {name} {used + 1}")
    turn.say_text("\n".join(line for line in lines if line), go, asking.board_choice(turn, name), "menu")


def _done(turn: Turn, name: str, quiz: Quiz, state: State, before: str = "") -> None:
    title = quiz.name[turn.language]
    if "best" in state:
        _, took, right, asked = state["best"]
        told = turn.phrase("quiz.done", name=title, right=right, asked=asked, took=asking.clock(took))
    else:
        told = turn.phrase("quiz.used", name=title)
    turn.say_text("\n".join(filter(None, [before, told])), asking.board_choice(turn, name), "points", "menu")


def _start(turn: Turn, name: str, number: int) -> None:
    """Begin attempt `number`; a start that is tapped twice goes on with what the first tap began."""
    if asking.under_way(turn, name):
        _enter(turn, name)
        return
    quiz, state = turn.quizzes().get(name), asking.kept(turn, name)
    tries = state.get("tries", 0)
    if quiz is None or tries >= quiz.tries:
        _about(turn, name)
        return
    if number <= tries:
        _about(turn, name, turn.phrase("quiz.over_already"))
        return
    turn.require_window()
    now, end = micros(turn.now), micros(turn.plan.window.end)
    attempt = attempts.begin(quiz, tries + 1, turn.library.revision, now, end, turn.dice)
    asking.keep(turn, name, {**state, "tries": tries + 1, "earned": 0, "open": attempt.tree()})
    turn.note("quiz_started", quiz=name, attempt=attempt.number)
    turn.tally(name, "started")
    if quiz.minutes:
        due = instant(attempt.until + attempts.GRACE + asking.SECOND)
        turn.later(f"quiz/{turn.plan.id}/{name}/{now}", "quiz_over", due, quiz=name, began=now)
    asking.ask(turn, name, quiz, attempt, "", first=True)


def _take(turn: Turn, name: str, number: int, place: int, choice: int) -> None:
    opened = asking.under_way(turn, name)
    if opened is None:
        _about(turn, name, turn.phrase("quiz.over_already"))
        return
    quiz, attempt = opened
    if number != attempt.number:  # of an attempt that ended; the one under way goes on
        asking.go_on(turn, name, quiz, attempt, turn.phrase("quiz.other_attempt"))
        return
    step = attempts.answer(attempt, quiz, place, choice, micros(turn.now), turn.dice, asking.stopped(turn))
    if step.verdict == "over":
        asking.finish(turn, name, quiz, attempt, turn.phrase("quiz.time_up"))
    elif step.question is None:
        told = {
            "repeated": turn.phrase("quiz.repeated", number=place + 1),
            "early": turn.phrase("quiz.early", number=place + 1),
            "no_choice": turn.phrase("quiz.no_choice"),
        }[step.verdict]
        asking.go_on(turn, name, quiz, attempt, told)
    else:
        asking.answered(turn, name, quiz, step)


def _typed_choice(turn: Turn) -> re.Match[str] | None:
    """What the choice would have said whose very words were typed, while its question is the newest list shown; or a
    number beyond all of them, which must not go astray to what answers else."""
    if not asking.begun(turn):  # most people have none: nothing more is looked at
        return None
    said = same(turn.heard.text)
    shown: list[str] = turn.recall("shown").get("says", [])
    for say in shown:
        found = _SPELLED.fullmatch(say)
        opened = asking.under_way(turn, found["name"]) if found and found["choice"] else None
        if not found or not opened or opened[1].finished:
            return None
        quiz, attempt = opened
        choice = int(found["choice"]) - 1
        if (int(found["number"]), int(found["place"])) != (attempt.number, attempt.place + 1):
            return None
        if choice < len(attempt.shown):
            label = attempt.question(quiz).choices[turn.language][attempt.shown[choice]]
            if same(label) == said:
                return found
    beyond = said.isdecimal() and len(said) <= 2 and not 1 <= int(said) <= len(shown)
    return _SPELLED.fullmatch(f"{shown[-1].rpartition('-')[0]}-{said}") if shown and beyond else None


# ---- the board


def _board(turn: Turn, name: str) -> None:
    """The best attempts, their people masked, and the person's own place."""
    rows = turn.board(name, _SHOWN)
    lines = [
        turn.phrase(
            "quiz.board_line",
            place=place,
            who=_masked(turn, row),
            right=row.correct,
            asked=row.asked,
            took=asking.clock(row.took),
        )
        for place, row in enumerate(rows, 1)
    ]
    best = asking.kept(turn, name).get("best")
    if turn.is_guest:
        lines.append(turn.phrase("quiz.guest_board"))
    elif best:
        lines.append(asking.place_told(turn, name, best))
    elif rows:
        lines.append(turn.phrase("quiz.no_place"))
    if not rows:
        lines.insert(0, turn.phrase("quiz.board_empty"))
    text = "\n".join([turn.phrase("quiz.board", name=asking.title(turn, name)), *lines])
    turn.say_text(text, Choice(turn.phrase("choice.quiz"), f"{turn.phrase('word.quiz')} {name}"), "menu")


def _masked(turn: Turn, row: Best) -> str:
    """Somebody as others may see them: of the name they chose for their poster the first letter, or none."""
    if row.subscriber == turn.person:
        return turn.phrase("quiz.you")
    name = str(row.profile.get(FIELD) or "")
    return f"{name[0]}**" if name else turn.phrase("quiz.someone")
