"""Emergency stops: one row each, read wherever a request begins or a deadline is asked for.

Promises that stopping or resuming twice is one effect, and that a deadline lengthens by the time sending stood still
since it was set, without its row being rewritten. It sends nothing and decides about nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from storage.tables import instant, micros

# What a statement that begins something asks in itself, so that being stoppable costs no query of its own.
GOING: Final = "NOT EXISTS (SELECT 1 FROM stop WHERE ended_at IS NULL)"


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop, in campaign time. `ended_at` is None while it stands."""

    number: int
    began_at: datetime
    began_by: str
    began_why: str
    ended_at: datetime | None
    ended_by: str
    ended_why: str


def begin(connection: Connection, now: datetime, by: str, why: str) -> int | None:
    """Stop sending; the stop's number, or None when one stands already."""
    last = latest(connection, 1)
    if last and last[0].ended_at is None:
        return None
    number = last[0].number + 1 if last else 1
    began = max(now, last[0].ended_at) if last and last[0].ended_at else now  # clocks of two nodes may differ
    return connection.execute(
        text(
            "INSERT INTO stop (number, began_at, began_by, began_why, ended_by, ended_why) "
            "VALUES (:number, :at, :by, :why, '', '') ON CONFLICT (number) DO NOTHING RETURNING number"
        ),
        {"number": number, "at": micros(began), "by": by, "why": why},
    ).scalar()


def end(connection: Connection, now: datetime, by: str, why: str) -> int | None:
    """Go on; the number of the stop that ended, or None when none stood."""
    return connection.execute(
        text(
            "UPDATE stop SET ended_at = CASE WHEN began_at > :at THEN began_at ELSE :at END, ended_by = :by, "
            "ended_why = :why WHERE ended_at IS NULL RETURNING number"
        ),
        {"at": micros(now), "by": by, "why": why},
    ).scalar()


def standing(connection: Connection) -> Stop | None:
    """The stop that stands now."""
    found = _stops(connection, "WHERE ended_at IS NULL")
    return found[0] if found else None


def latest(connection: Connection, limit: int) -> list[Stop]:
    """The last stops, newest first."""
    return _stops(connection, "ORDER BY number DESC LIMIT :n", n=limit)


def stopped(connection: Connection, since: int | None, now: int) -> int:
    """How long sending stood still between the two (stored microseconds); a missing `since` is before any stop."""
    query = text(f"SELECT {lengthened('0', ':since')}")
    return int(connection.execute(query, {"since": since or 0, "now": now}).scalar_one())


def lengthened(deadline: str, since: str, now: str = ":now") -> str:
    """SQL for a deadline with the time added that sending stood still from `since` up to `now`.

    Take it beside the plain comparison, which keeps to its index: a deadline never becomes shorter. It is over when
    the result is not after `now`; for a moment at which it was over already, nothing is added.
    """
    return (
        f"{deadline} + (SELECT COALESCE(SUM(CASE WHEN COALESCE(ended_at, {now}) < {now} THEN ended_at ELSE {now} END "
        f"- CASE WHEN began_at > COALESCE({since}, 0) THEN began_at ELSE COALESCE({since}, 0) END), 0) FROM stop "
        f"WHERE began_at < {now} AND COALESCE(ended_at, {now}) > COALESCE({since}, 0))"
    )


def _stops(connection: Connection, rest: str, **values: Any) -> list[Stop]:
    rows = connection.execute(
        text(f"SELECT number, began_at, began_by, began_why, ended_at, ended_by, ended_why FROM stop {rest}"), values
    )
    return [
        Stop(
            *(row.number, instant(row.began_at), row.began_by, row.began_why),
            *(None if row.ended_at is None else instant(row.ended_at), row.ended_by, row.ended_why),
        )
        for row in rows
    ]
