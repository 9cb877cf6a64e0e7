"""A restored copy: whether it must keep silent, what waits in it to leave, and its release.

What was being sent when the backup was made may have reached its person since; nothing leaves a copy by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage import channel_posts, pushes
from storage.store import Store
from storage.tables import instant, micros

RESTORED = "restored"  # the reason of rows that may have been sent by the database the copy was made of


@dataclass(frozen=True, slots=True)
class Waiting:
    """What would leave a copy: queued messages and their people by channel account, timers due, rows in doubt."""

    restored_at: datetime
    accounts: dict[str, tuple[int, int]]  # channel:account → messages, people
    timers: int
    doubtful: int
    pushes: tuple[int, ...] = ()  # that were going out at the backup, or fell due since: the release pauses them

    @property
    def messages(self) -> int:
        """All queued messages."""
        return sum(count for count, _ in self.accounts.values())

    def tree(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "restored_at": self.restored_at.isoformat(),
            "queued": self.messages,
            "accounts": {name: {"messages": n, "people": p} for name, (n, p) in self.accounts.items()},
            "timers_due": self.timers,
            "doubtful": self.doubtful,
            "pushes": list(self.pushes),
        }


class NotTheNumber(Exception):
    """Another number of messages waits than was agreed to; `waiting` is how many."""

    def __init__(self, waiting: int) -> None:
        super().__init__(str(waiting))
        self.waiting = waiting


def held_since(connection: Connection) -> datetime | None:
    """When this copy was restored, while it must keep silent; None for what is no copy or was released."""
    found = connection.execute(text("SELECT restored_at FROM installation WHERE released_at IS NULL")).scalar()
    return None if found is None else instant(found)


def held(store: Store) -> datetime | None:
    """The same, read in a snapshot of its own."""
    with store.read() as connection:
        return held_since(connection)


def waiting(connection: Connection, now: datetime) -> Waiting | None:
    """What waits in a copy at campaign time `now`; None for what is no copy or was released."""
    since = held_since(connection)
    if since is None:
        return None
    queued = connection.execute(
        text(
            "SELECT account, COUNT(*), COUNT(DISTINCT subscriber) FROM delivery WHERE state = 'queued' "
            "GROUP BY account ORDER BY account"
        )
    )
    timers = connection.execute(
        text("SELECT COUNT(*) FROM timer WHERE NOT fired AND due_at <= :now"), {"now": micros(now)}
    ).scalar_one()
    doubtful = connection.execute(
        text("SELECT COUNT(*) FROM delivery WHERE state = 'doubtful' AND reason = :r"), {"r": RESTORED}
    ).scalar_one()
    accounts = {name: (int(n), int(p)) for name, n, p in queued}
    return Waiting(since, accounts, int(timers), int(doubtful), tuple(_late_pushes(connection, now)))


def doubt_begun(connection: Connection, now: datetime) -> int:
    """What somebody held in hand when the backup was made may have left: it is in doubt, for people to settle."""
    channel_posts.doubt_restored(connection, RESTORED, now)
    return connection.execute(
        text(
            "UPDATE delivery SET state = 'doubtful', reason = :why, lease = '', lease_until = NULL, ended_at = :now "
            "WHERE state IN ('passive', 'claimed', 'sending')"
        ),
        {"why": RESTORED, "now": micros(now)},
    ).rowcount


def release(connection: Connection, expected: int, now: datetime, drop: bool) -> tuple[int, list[int]]:
    """Let the copy speak, if `expected` messages wait; returns how many were put in doubt instead of being sent, and
    the numbers of the pushes that are paused by it.

    Pushes that were going out, or fell due meanwhile, are paused: their messages wait until somebody resumes them.
    With `drop` those that were queued before the restore go on the doubtful list: the original may have sent them.
    Raises NotTheNumber, and LookupError for what is no copy or was released.
    """
    found = waiting(connection, now)
    if found is None:
        raise LookupError
    if found.messages != expected:
        raise NotTheNumber(found.messages)
    dropped = 0
    if drop:
        dropped = connection.execute(
            text(
                "UPDATE delivery SET state = 'doubtful', reason = :why, lease = '', lease_until = NULL, "
                "ended_at = :now WHERE state = 'queued' AND text IN (SELECT id FROM text WHERE at < :restored)"
            ),
            {"why": RESTORED, "now": micros(now), "restored": micros(found.restored_at)},
        ).rowcount
    paused = _pause_pushes(connection, now)
    connection.execute(text("UPDATE installation SET released_at = :now"), {"now": micros(now)})
    return dropped, paused


def _late_pushes(connection: Connection, now: datetime) -> list[int]:
    """Pushes that were going out, or fell due since."""
    late = "state = 'running' OR (state = 'scheduled' AND next_at <= :now)"
    numbers = connection.execute(text(f"SELECT number FROM push WHERE {late} ORDER BY number"), {"now": micros(now)})
    return [int(number) for number in numbers.scalars()]


def _pause_pushes(connection: Connection, now: datetime) -> list[int]:
    """Pushes that were going out, or fell due since, the original may have sent: somebody looks, and resumes them."""
    numbers = _late_pushes(connection, now)
    for number in numbers:
        connection.execute(text("UPDATE push SET state = 'paused' WHERE number = :n"), {"n": number})
        pushes.note_step(connection, number, pushes.Step("pause", "paused", "system", now, RESTORED))
    connection.execute(text("UPDATE push_run SET state = 'paused' WHERE state IN ('opening', 'running')"))
    return numbers
