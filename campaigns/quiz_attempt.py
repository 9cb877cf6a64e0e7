"""One attempt at a quiz as plain data: what is asked now, what an answer means, and when it is over.

Promises that every question is answered at most once, whatever comes in whatever order; that an attempt goes on as it
began, whatever becomes of the plan; and that nothing counts after its time. It knows no person, no points, no sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from content.quizzes import Question, Quiz

GRACE = 3_000_000  # microseconds that a question's answer may take on its way
_MINUTE, _SECOND = 60_000_000, 1_000_000

Verdict = Literal["right", "wrong", "late", "repeated", "early", "no_choice", "over"]
Stopped = Callable[[int], int]  # since an instant, for how many microseconds sending stood still


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt under way. Instants are stored microseconds of campaign time.

    `number` counts the person's attempts from 1; `revision` is the plan's as it began; `order` holds the questions'
    places in the file, of which `place` are behind; `shown` the current one's choices, as shown; `right` how many were
    answered rightly; `asked` when the current one was; `until` when all is over.
    """

    number: int
    revision: int
    began: int
    until: int
    order: tuple[int, ...]
    place: int
    shown: tuple[int, ...]
    asked: int
    right: int = 0

    def tree(self) -> dict[str, Any]:
        """As it is remembered."""
        return asdict(self)

    @classmethod
    def of(cls, tree: dict[str, Any]) -> Attempt:
        """As it was remembered."""
        return cls(**{**tree, "order": tuple(tree["order"]), "shown": tuple(tree["shown"])})

    @property
    def finished(self) -> bool:
        """Whether no question is left."""
        return self.place >= len(self.order)

    def question(self, quiz: Quiz) -> Question:
        """What is asked now; there is something while it is not finished."""
        return quiz.questions[self.order[self.place]]


@dataclass(frozen=True, slots=True)
class Step:
    """What came of an answer: the attempt after it, and the question it answered, None when it had no effect.

    `choice` is the one picked, counted from 0 as the file has them, None for none in time.
    """

    verdict: Verdict
    attempt: Attempt
    question: Question | None = None
    choice: int | None = None


def begin(quiz: Quiz, number: int, revision: int, now: int, end: int, dice: random.Random) -> Attempt:
    """A new attempt, which is over at `end` at the latest."""
    order = list(range(len(quiz.questions)))
    if quiz.shuffled:
        dice.shuffle(order)
    until = min(now + quiz.minutes * _MINUTE, end) if quiz.minutes else end
    return _ask(Attempt(number, revision, now, until, tuple(order), 0, (), now), quiz, now, dice)


def answer(
    attempt: Attempt, quiz: Quiz, place: int, choice: int, now: int, dice: random.Random, stopped: Stopped
) -> Step:
    """What it means that `choice` (from 0, as shown) is picked at the question in `place` (from 0) at `now`."""
    if is_over(attempt, now, stopped):
        return Step("over", attempt)
    if place < attempt.place:
        return Step("repeated", attempt)
    if place > attempt.place:
        return Step("early", attempt)
    question = attempt.question(quiz)
    if is_late(attempt, question, now, stopped):
        return miss(attempt, quiz, now, dice)
    if not 0 <= choice < len(attempt.shown):
        return Step("no_choice", attempt)
    picked = attempt.shown[choice]
    right = picked == question.right
    after = replace(attempt, right=attempt.right + right)
    return Step("right" if right else "wrong", _next(after, quiz, now, dice), question, picked)


def miss(attempt: Attempt, quiz: Quiz, now: int, dice: random.Random) -> Step:
    """The current question's time ran out: go on without an answer to it."""
    return Step("late", _next(attempt, quiz, now, dice), attempt.question(quiz))


def is_over(attempt: Attempt, now: int, stopped: Stopped) -> bool:
    """Whether the whole time is up; an emergency stop lengthens it."""
    return now > attempt.until + GRACE and now > attempt.until + GRACE + stopped(attempt.began)


def is_late(attempt: Attempt, question: Question, now: int, stopped: Stopped) -> bool:
    """Whether the current question's own time is up."""
    until = attempt.asked + question.seconds * _SECOND + GRACE
    return bool(question.seconds) and now > until and now > until + stopped(attempt.asked)


def _next(attempt: Attempt, quiz: Quiz, now: int, dice: random.Random) -> Attempt:
    after = replace(attempt, place=attempt.place + 1, shown=())
    return after if after.finished else _ask(after, quiz, now, dice)


def _ask(attempt: Attempt, quiz: Quiz, now: int, dice: random.Random) -> Attempt:
    shown = list(range(attempt.question(quiz).count))
    if quiz.shuffled:
        dice.shuffle(shown)
    return replace(attempt, shown=tuple(shown), asked=now)
