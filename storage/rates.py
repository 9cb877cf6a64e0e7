"""One rate row per channel account, obeyed by all nodes: so many requests in any second, and a common pause.

Requests get their own instants, evenly spaced and a moment ahead, so that neither a commit nor a look into the queue
costs any of them; those that nobody asked for are gone. Instants are microseconds of machine time. Knows no channel and
sends nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

_SECOND = 1_000_000
# What is spaced over so much more than a second stays within the limit although one request takes longer than another.
_WINDOW = 1_045_000
_AHEAD = 150_000  # more would hold up a reply, and what another node must not send during a pause


def room(connection: Connection, account: str, per_second: float, machine_now: int) -> int:
    """How many requests could be granted now; a look without a promise."""
    row = connection.execute(
        text("SELECT second, used, pause_until FROM rate WHERE account = :account"), {"account": account}
    ).first()
    return len(_instants(row, per_second, machine_now, 0))


def take(
    connection: Connection, account: str, per_second: float, wanted: int, machine_now: int, away: int = 0
) -> range:
    """Take up to `wanted` requests; returns the instants at which they are to begin, none of them before `away`
    microseconds from now, when the commit will be through.

    Over all nodes at most `per_second` (at least 1) begin in any second. The row stays locked until the commit.
    """
    lite = connection.dialect.name == "sqlite"
    query = text(f"SELECT second, used, pause_until FROM rate WHERE account = :account{'' if lite else ' FOR UPDATE'}")
    row = connection.execute(query, {"account": account}).first()
    if row is None:
        _ensure(connection, account)
        row = connection.execute(query, {"account": account}).one()
    granted = _instants(row, per_second, machine_now, away)[:wanted]
    if granted:
        second, used = divmod(granted[-1] + granted.step, _SECOND)
        connection.execute(
            text("UPDATE rate SET second = :second, used = :used WHERE account = :account"),
            {"second": second, "used": used, "account": account},
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


def _instants(row: Any, per_second: float, machine_now: int, away: int) -> range:
    """When requests may begin that could be granted now."""
    distance = max(1, int(_WINDOW / per_second))
    first = machine_now + away
    if row is not None:
        if machine_now < row.pause_until:
            return range(0, 0, distance)
        first = max(first, row.second * _SECOND + row.used)
    return range(first, machine_now + away + max(_AHEAD, 1), distance)
