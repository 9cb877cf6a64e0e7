"""One rate row per channel account, obeyed by all nodes: so many requests in any second, and a common pause.

Requests are spaced; a stall is caught up for a fifth of a second and no further, and never beyond the limit. Instants
are microseconds of machine time. Knows no channel and sends nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

_SECOND = 1_000_000
_SLOT = 10_000
# What leaves within 1.04 s of grants stays within the limit: a request may start a commit's length after its grant.
_WINDOW = 104  # slots


def room(connection: Connection, account: str, per_second: float, machine_now: int) -> int:
    """How many requests could begin now; a look without a promise."""
    row = connection.execute(
        text("SELECT second, used, pause_until, recent FROM rate WHERE account = :account"), {"account": account}
    ).first()
    if row is None:
        return _shape(per_second)[0]
    return _room(row, _slots(row.recent, machine_now), per_second, machine_now)


def take(connection: Connection, account: str, per_second: float, wanted: int, machine_now: int) -> int:
    """Take up to `wanted` requests that begin right after this commit; returns how many are granted.

    Over all nodes at most `per_second` (at least 1) are granted in any second. The row stays locked until the commit.
    """
    _ensure(connection, account)
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    row = connection.execute(
        text(f"SELECT second, used, pause_until, recent FROM rate WHERE account = :account{locking}"),
        {"account": account},
    ).one()
    recent = _slots(row.recent, machine_now)
    granted = min(wanted, _room(row, recent, per_second, machine_now))
    if granted > 0:
        spent = max(_spent_until(row.second, row.used), machine_now)
        spent += granted * _shape(per_second)[1]
        slot = machine_now // _SLOT
        recent[slot] = recent.get(slot, 0) + granted
        connection.execute(
            text("UPDATE rate SET second = :second, used = :used, recent = :recent WHERE account = :account"),
            {
                **{"second": spent // _SECOND, "used": spent % _SECOND, "account": account},
                "recent": " ".join(f"{slot}:{count}" for slot, count in recent.items()),
            },
        )
    return max(granted, 0)


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


def _shape(per_second: float) -> tuple[int, int]:
    """How many may begin at once, and the distance of the others in microseconds, so that a second holds the limit."""
    burst = max(1, int(per_second) // 5)
    return burst, int((_WINDOW + 1) * _SLOT / per_second) + 1


def _spent_until(second: int, used: int) -> int:
    return second * _SECOND + used


def _slots(recent: str | None, machine_now: int) -> dict[int, int]:
    """Slot → grants, of those that still count."""
    oldest = machine_now // _SLOT - _WINDOW
    found = (entry.split(":") for entry in (recent or "").split())
    return {int(slot): int(count) for slot, count in found if int(slot) >= oldest}


def _room(row: Any, recent: dict[int, int], per_second: float, machine_now: int) -> int:
    if machine_now < row.pause_until:
        return 0
    burst, distance = _shape(per_second)
    spent = max(_spent_until(row.second, row.used), machine_now)
    return min((machine_now + burst * distance - spent) // distance, max(1, int(per_second)) - sum(recent.values()))
