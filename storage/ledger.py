"""Points, credit, minutes, stock and budget: units moved between accounts, never edited.

Pure arithmetic on balances already loaded: `Book` checks floors and remembers what to write and how to take it back.
It knows no SQL; the group writes what it collected, where the database's own constraints check it once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Accounts of these kinds may not go below zero and have a balance row; all others are mere origins and ends
# (`mint/points`, `points-fund/<campaign>`), keep no row and are never contended.
_WITH_FLOOR = frozenset({"s", "held", "issue", "budget", "stock", "test"})


class Short(Exception):
    """The source account does not hold enough: `account`, `unit`, and how much is `available`."""

    def __init__(self, account: str, unit: str, available: int) -> None:
        super().__init__(f"{account} has only {available} {unit}")
        self.account, self.unit, self.available = account, unit, available


def person(subscriber: int, unit: str) -> str:
    """A subscriber's account for one unit."""
    return f"s/{subscriber}/{unit}"


def held(subscriber: int, unit: str) -> str:
    """Where a guest's earnings wait until the person is known by a messenger or a number."""
    return f"held/{subscriber}/{unit}"


def test(subscriber: int, unit: str) -> str:
    """What a tester has in a test: apart from what is theirs, and of no worth."""
    return f"test/{subscriber}/{unit}"


def mint_test(unit: str) -> str:
    """Where a unit of tests comes from and goes back to. Nothing moves between it, or a test's account, and others."""
    return f"mint-test/{unit}"


def test_campaign(campaign: str) -> str:
    """The campaign under whose name a test of it is recorded."""
    return f"{campaign}/test"


def issue(slot: int, campaign: str, unit: str) -> str:
    """A writer's own account from which a campaign's units are awarded, filled in blocks."""
    return f"issue/{slot}/{campaign}/{unit}"


def budget(campaign: str, line: str) -> str:
    """What is left of a budget line, in fen."""
    return f"budget/{campaign}/{line}"


def stock(campaign: str, item: str) -> str:
    """How many of a gift or a prize there are left to give."""
    return f"stock/{campaign}/{item}"


def stock_unit(item: str) -> str:
    """The unit in which a gift or a prize is counted."""
    return f"stock:{item}"


def opening_key(campaign: str, unit: str, subscriber: int) -> str:
    """The key under which somebody's balance from an older programme is posted, once for ever."""
    return f"opening/{campaign}/{unit}/{subscriber}"


def points_fund(campaign: str) -> str:
    """Money set aside, in fen, for points that were issued."""
    return f"points-fund/{campaign}"


def mint(unit: str) -> str:
    """Where a unit comes from."""
    return f"mint/{unit}"


def has_floor(account: str) -> bool:
    """Whether the account may not go below its floor (and therefore has a balance row)."""
    return account.partition("/")[0] in _WITH_FLOOR


def owner(account: str) -> int | None:
    """The subscriber whose account it is, if a person's."""
    kind, _, rest = account.partition("/")
    return int(rest.partition("/")[0]) if kind in ("s", "held", "test") else None


class Posting(NamedTuple):
    """`amount` (whole, > 0) of `unit` from `source` to `destination`; `key` makes the same effect count once."""

    key: str
    unit: str
    source: str
    destination: str
    amount: int
    campaign: str
    revision: int
    reason: str
    reverses: int | None = None


@dataclass(slots=True)
class Balance:
    """A balance row as loaded and as changed since; `stored` says whether the row exists in the database."""

    unit: str
    amount: int = 0
    held: int = 0
    floor: int = 0
    stored: bool = False
    amount_before: int = 0
    held_before: int = 0

    @property
    def available(self) -> int:
        """What may leave the account."""
        return self.amount - self.held - self.floor


class Book:
    """The balances that a group loaded, what it moved so far, and a way back for a message that was refused."""

    def __init__(self) -> None:
        self._rows: dict[str, Balance] = {}
        self._openable: set[int] = set()
        self._undo: list[tuple[Balance, int, int]] = []
        self.postings: list[Posting] = []

    def load(self, account: str, row: Balance) -> None:
        """Take a balance row as the database holds it under this group's locks."""
        row.stored, row.amount_before, row.held_before = True, row.amount, row.held
        self._rows[account] = row

    def may_open(self, subscriber: int) -> None:
        """This person's row is locked: accounts of theirs that have no balance row yet start at zero."""
        self._openable.add(subscriber)

    def open(self, account: str, unit: str) -> None:
        """An account locked by this group that has no balance row yet."""
        self._rows.setdefault(account, Balance(unit))

    def __contains__(self, account: str) -> bool:
        return account in self._rows

    def available(self, account: str, unit: str) -> int:
        """What the account may spend now. Raises KeyError when it was not loaded."""
        return self._row(account, unit).available

    def post(self, posting: Posting) -> None:
        """Move the amount. Raises Short at the floor, ValueError for an amount that is not a positive whole number."""
        amount = posting.amount
        if type(amount) is not int or amount <= 0:
            raise ValueError(f"posting {posting.key}: amount {amount!r}")
        if self._keeps(posting.source):
            row = self._row(posting.source, posting.unit)
            if row.available < amount:
                raise Short(posting.source, posting.unit, row.available)
            self._change(row, -amount, 0)
        if self._keeps(posting.destination):
            self._change(self._row(posting.destination, posting.unit), amount, 0)
        self.postings.append(posting)

    def hold(self, account: str, unit: str, amount: int) -> None:
        """Reserve (or, when negative, free) an amount in an account. Raises Short at the floor."""
        row = self._row(account, unit)
        if row.available < amount:
            raise Short(account, unit, row.available)
        self._change(row, 0, amount)

    def mark(self) -> tuple[int, int]:
        """A point to come back to."""
        return len(self._undo), len(self.postings)

    def back_to(self, mark: tuple[int, int]) -> None:
        """Undo everything since `mark`."""
        changes, postings = mark
        while len(self._undo) > changes:
            row, amount, held_amount = self._undo.pop()
            row.amount -= amount
            row.held -= held_amount
        del self.postings[postings:]

    def changed(self) -> Mapping[str, Balance]:
        """Accounts whose amount or hold differs from the database's."""
        return {
            account: row
            for account, row in self._rows.items()
            if row.amount != row.amount_before or row.held != row.held_before
        }

    def _keeps(self, account: str) -> bool:
        """Whether a balance is kept of the account: of any that has a row, which need not be asked for its kind."""
        return account in self._rows or has_floor(account)

    def _row(self, account: str, unit: str) -> Balance:
        row = self._rows.get(account)
        if row is None:
            if owner(account) not in self._openable:
                raise KeyError(f"account {account} was not loaded by this group")
            row = self._rows[account] = Balance(unit)
        if row.unit != unit:
            raise ValueError(f"account {account} holds {row.unit}, not {unit}")
        return row

    def _change(self, row: Balance, amount: int, held_amount: int) -> None:
        row.amount += amount
        row.held += held_amount
        self._undo.append((row, amount, held_amount))
