"""In whose books a turn writes: the campaign's, or those of a test that touches nothing of it.

Promises that whatever a tester gets, does and is remembered for bears the test's name, so that budgets, balances and
every figure of the campaign leave it out. It moves nothing by itself.
"""

from __future__ import annotations

from typing import NamedTuple

from storage import ledger
from storage.standing import TEST

# What is remembered of the person rather than of their part in the campaign: the conversation goes on through a test,
# and whoever left in words has left.
_OF_THE_PERSON = frozenset({"shown", "form", "misses", "handover", "joined", "wrong_codes", "consent", "blocked"})


class Books(NamedTuple):
    """Names for one person's turn. `since` is when their test began (microseconds), None for what counts."""

    plan: str
    slot: int
    person: int
    since: int | None

    @property
    def campaign(self) -> str:
        """What events, postings and referrals are recorded for."""
        return self.plan if self.since is None else ledger.test_campaign(self.plan)

    def once(self, key: str) -> str:
        """A once-mark, a test's own if it is one: the person meets the campaign fresh in each."""
        return key if self.since is None else f"{TEST}{self.since}/{key}"

    def memory(self, name: str) -> str:
        """Under which name something is remembered."""
        return name if self.since is None or name in _OF_THE_PERSON else f"{TEST}{name}"

    def owned(self, unit: str, *, guest: bool) -> str:
        """The account of what the person has of a unit; a guest's, in which it waits."""
        if self.since is not None:
            return ledger.test(self.person, unit)
        return ledger.held(self.person, unit) if guest else ledger.person(self.person, unit)

    def source(self, unit: str) -> str:
        """Where an award comes from."""
        return ledger.issue(self.slot, self.plan, unit) if self.since is None else ledger.mint_test(unit)

    def sink(self, to: str, unit: str) -> str:
        """Where what is spent goes, instead of `to` in a test."""
        return to if self.since is None else ledger.mint_test(unit)
