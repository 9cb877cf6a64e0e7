"""Serving processes and their slots: a slot's number names the accounts its writer awards from, for ever."""

from __future__ import annotations

from sqlalchemy import Connection, text

from storage.store import machine_now


class NoSlot(Exception):
    """Sixty-four nodes serve already."""


SLOTS = 64


def take_slot(connection: Connection, holder: str, stale_seconds: float) -> int:
    """The lowest slot that nobody holds, or whose holder has not been heard of for so long. Raises NoSlot."""
    now = machine_now(connection)
    stale = now - int(stale_seconds * 1_000_000)
    everything_else_stops = connection.dialect.name == "sqlite"  # its lock file says that we are alone
    for slot in range(1, SLOTS + 1):
        taken = connection.execute(
            text(
                "INSERT INTO node (slot, holder, beat_at) VALUES (:slot, :holder, :now) ON CONFLICT (slot) DO UPDATE "
                "SET holder = :holder, beat_at = :now WHERE node.beat_at < :stale OR :alone RETURNING slot"
            ),
            {"slot": slot, "holder": holder, "now": now, "stale": stale, "alone": everything_else_stops},
        ).scalar()
        if taken:
            return slot
    raise NoSlot


def beat(connection: Connection, slot: int, holder: str) -> bool:
    """Say that we are alive; False when somebody else took the slot meanwhile."""
    done = connection.execute(
        text("UPDATE node SET beat_at = :now WHERE slot = :slot AND holder = :holder"),
        {"now": machine_now(connection), "slot": slot, "holder": holder},
    )
    return done.rowcount == 1


def leave(connection: Connection, slot: int, holder: str) -> None:
    """Give the slot back."""
    connection.execute(
        text("UPDATE node SET beat_at = 0 WHERE slot = :slot AND holder = :holder"), {"slot": slot, "holder": holder}
    )
