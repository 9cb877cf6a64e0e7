"""The named refusals: rules that said no. Each becomes a sentence in the person's language: why, and what next.

A refusal undoes what the turn did. `phrase` is its key in the phrase files; `fields` fill the sentence; `choices` are
the words offered next.
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A rule said no. Subclasses name the rule."""

    phrase = ""

    def __init__(self, *choices: str, **fields: Any) -> None:
        super().__init__(type(self).__name__)
        self.choices = choices
        self.fields = fields


class Blocked(Refusal):
    """Staff keep the person from taking part."""

    phrase = "blocked.why"


class OutsideWindow(Refusal):
    """The campaign has not begun, or is over. Fields: `start`, `end` (local dates)."""

    phrase = "refusal.outside_window"


class NotEnoughPoints(Refusal):
    """Fields: `have`, `need`."""

    phrase = "refusal.not_enough_points"


class SoldOut(Refusal):
    """The last one is gone. Fields: `item`."""

    phrase = "refusal.sold_out"


class BudgetSpent(Refusal):
    """The budget line behind the award is used up."""

    phrase = "refusal.budget_spent"


class GuestLimit(Refusal):
    """A guest of the web chat has gathered all that can be held. Fields: `cap`."""

    phrase = "refusal.guest_limit"


class AlreadyDone(Refusal):
    """Once is all, or once a day. `phrase` is given by the mechanic."""

    def __init__(self, phrase: str, *choices: str, **fields: Any) -> None:
        super().__init__(*choices, **fields)
        self.phrase = phrase


class NotRunning(Refusal):
    """The plan does not offer this, or this version cannot run it yet. Fields: `what`, `hotline`."""

    phrase = "refusal.not_running"
