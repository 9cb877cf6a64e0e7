"""One rate row per channel account, obeyed by all nodes: so many requests in any second, and a common pause.

Requests get their own instants, evenly spaced and a moment ahead, so that neither a commit nor a look into the queue
costs any of them. A stall is caught up for half a second and no further, and never beyond the limit. Instants are
microseconds of machine time. Knows no channel and sends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

_SECOND = 1_000_000
_SLOT = 10_000
# What is spaced over so much more than a second stays within the limit although one request takes longer than another.
_SLOTS = 106
_WINDOW = _SLOTS * _SLOT
# Turns as many as a second may hold lie at least so many seconds apart, since they are remembered by their slots.
APART_SECONDS = (_SLOTS - 1) * _SLOT / _SECOND
_CAUGHT_UP = 500_000
# Of so many a second each is remembered; beyond, they are only spaced.
PACED = 200.0
_AHEAD = 150_000  # more would hold up a reply, and what another node must not send during a pause


def room(connection: Connection, account: str, per_second: float, machine_now: int) -> tuple[int, int]:
    """How many requests could be granted now, and until when the account pauses, or did last; a look without a
    promise."""
    row = connection.execute(
        text("SELECT second, used, pause_until, recent FROM rate WHERE account = :account"), {"account": account}
    ).first()
    return len(_Turns(row, per_second, machine_now, 0).next(int(per_second) + 1)), row.pause_until if row else 0


def take(
    connection: Connection, account: str, per_second: float, wanted: int, machine_now: int, away: int = 0
) -> Sequence[int]:
    """Take up to `wanted` requests; returns the instants at which they are to begin, none of them before `away`
    microseconds from now, when the commit will be through.

    Over all nodes at most `per_second` (at least 1) begin in any second. The row stays locked until the commit.
    """
    lite = connection.dialect.name == "sqlite"
    query = text(
        f"SELECT second, used, pause_until, recent FROM rate WHERE account = :account{'' if lite else ' FOR UPDATE'}"
    )
    row = connection.execute(query, {"account": account}).first()
    if row is None:
        _ensure(connection, account)
        row = connection.execute(query, {"account": account}).one()
    turns = _Turns(row, per_second, machine_now, away)
    granted = turns.next(wanted)
    if granted:
        second, used = divmod(turns.spent, _SECOND)
        connection.execute(
            text("UPDATE rate SET second = :second, used = :used, recent = :recent WHERE account = :account"),
            {"second": second, "used": used, "recent": turns.recent(), "account": account},
        )
    return granted


def pause(connection: Connection, account: str, until: int) -> None:
    """Nobody begins a request on this account before `until`; a longer pause stands."""
    _ensure(connection, account)
    connection.execute(
        text("UPDATE rate SET pause_until = :until WHERE account = :account AND pause_until < :until"),
        {"account": account, "until": until},
    )


def paused(connection: Connection, machine_now: int) -> dict[str, int]:
    """The accounts that pause now, each with the end of its pause."""
    rows = connection.execute(
        text("SELECT account, pause_until FROM rate WHERE pause_until > :now"), {"now": machine_now}
    )
    return {account: until for account, until in rows}


def _ensure(connection: Connection, account: str) -> None:
    connection.execute(
        text(
            "INSERT INTO rate (account, second, used, pause_until) VALUES (:account, 0, 0, 0) "
            "ON CONFLICT (account) DO NOTHING"
        ),
        {"account": account},
    )


class _Turns:
    """The instants that are still to be had. `spent` is when all before them are paid for at the even pace."""

    def __init__(self, row: Any, per_second: float, machine_now: int, away: int) -> None:
        self._limit = max(1, int(per_second))
        self._distance = max(1, int(_WINDOW / per_second))
        self._paced = per_second <= PACED
        self._first, self._behind = machine_now + away, machine_now + away + _AHEAD
        self.spent, self._slots = self._first, []
        if row is not None:
            if machine_now < row.pause_until:
                self._behind = self._first
            # After a pause that the platform asked for, nothing is made up.
            steady = not self._paced or machine_now < row.pause_until + _SECOND
            self.spent = max(row.second * _SECOND + row.used, self._first - (0 if steady else _CAUGHT_UP))
            self._slots = _slots(row.recent, machine_now) if self._paced else []

    def next(self, wanted: int) -> Sequence[int]:
        """The next up to `wanted` of them."""
        if not self._paced:
            begin = max(self._first, self.spent)
            instants = range(begin, max(self._behind, begin), self._distance)[:wanted]
            self.spent = begin + len(instants) * self._distance
            return instants
        granted: list[int] = []
        while len(granted) < wanted:
            instant = max(self._first, self.spent)
            if self._slots:  # twice the pace, as long as something is caught up
                before = granted[-1] if granted else (self._slots[-1] + 1) * _SLOT
                instant = max(instant, before + self._distance // 2)
            if len(self._slots) >= self._limit:
                instant = max(instant, (self._slots[-self._limit] + _SLOTS) * _SLOT)
            if instant >= self._behind:
                break
            granted.append(instant)
            self._slots.append(instant // _SLOT)
            self.spent += self._distance
        return granted

    def recent(self) -> str:
        """Those that still count, as they are stored: slot:count."""
        return " ".join(f"{slot}:{count}" for slot, count in Counter(self._slots).items())


def _slots(recent: str | None, machine_now: int) -> list[int]:
    """The slot of each request that still counts, in order."""
    oldest = machine_now // _SLOT - _SLOTS
    found = (entry.split(":") for entry in (recent or "").split())
    return sorted(int(slot) for slot, count in found if int(slot) >= oldest for _ in range(int(count)))
