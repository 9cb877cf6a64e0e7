"""Posts to channels that a bot administers: each channel of a run gets one, which is nobody's delivery.

Promises one row per run and channel, that a post is begun in a commit just before its request, and that one which may
have been taken is never repeated: the platform knows no key, and everybody in a channel would see it twice. Knows no
platform; leases are machine time, others campaign time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from storage import ids, pauses, rates
from storage.stops import GOING
from storage.tables import micros

MAX_TRIES: Final = 5
_LEASE_SECONDS = 60
_LONGEST_BACKOFF = 300
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Post:
    """One post in our hands; `tries` before this one. `message` is empty when its text was erased."""

    id: int
    account: str
    channel: str
    lease: str
    message: dict[str, Any]
    tries: int


def add(connection: Connection, run: int, account: str, channels: Sequence[str], said: str, now: datetime) -> None:
    """Let each of these channels get `said` (a message tree as JSON) once in this run, from an account's bot."""
    first = ids.take_apart(connection, 1 + len(channels))
    connection.execute(
        text("INSERT INTO text (id, subscriber, identity, at, kind, heard, said) "
             "VALUES (:id, 0, NULL, :at, 'push', NULL, :said)"),
        {"id": first, "at": micros(now), "said": said},
    )  # fmt: skip
    for number, channel in enumerate(channels, first + 1):
        connection.execute(
            text("INSERT INTO channel_post (id, run, account, channel, text, state, lease, tries, reason, made_at) "
                 "VALUES (:id, :run, :account, :channel, :text, 'queued', '', 0, '', :at) "
                 "ON CONFLICT (run, channel) DO NOTHING"),
            {"id": number, "run": run, "account": account, "channel": channel, "text": first, "at": micros(now)},
        )  # fmt: skip


def take(
    connection: Connection, account: str, per_second: float, lease: str, machine_now: int, now: datetime
) -> Post | None:
    """The next post of an account whose request may begin once this is committed, within the account's rate.

    None while an emergency stop stands, while its push is paused, and when there is nothing to do. One whose holder
    went silent is in doubt from here on.
    """
    connection.execute(
        text("UPDATE channel_post SET state = 'doubtful', reason = 'lease_ended', ended_at = :at "
             "WHERE account = :account AND state = 'sending' AND lease_until <= :machine"),
        {"at": micros(now), "account": account, "machine": machine_now},
    )  # fmt: skip
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE OF p SKIP LOCKED"
    row = connection.execute(
        text(
            "SELECT p.id, p.channel, p.tries, t.said FROM channel_post p JOIN push_run r ON r.id = p.run "
            "JOIN text t ON t.id = p.text WHERE p.account = :account AND p.state = 'queued' "
            "AND (p.lease_until IS NULL OR p.lease_until <= :machine) AND r.state IN ('opening', 'running') "
            f"AND {GOING} ORDER BY p.id LIMIT 1{locking}"
        ),
        {"account": account, "machine": machine_now},
    ).first()
    if row is None or not rates.take(connection, account, per_second, 1, machine_now):
        return None
    connection.execute(
        text("UPDATE channel_post SET state = 'sending', lease = :lease, lease_until = :until WHERE id = :id"),
        {"lease": lease, "until": machine_now + _LEASE_SECONDS * _SECOND, "id": row.id},
    )
    return Post(row.id, account, row.channel, lease, json.loads(row.said) if row.said else {}, row.tries)


def finish(
    connection: Connection, post: Post, state: str, reason: str, wait: float, machine_now: int, now: datetime
) -> None:
    """Write how a request ended: `sent`, `refused`, `failed`, `doubtful`, or `retry` / `slow` after `wait` seconds.

    Late truth is better than doubt: the result counts also when its lease has run out meanwhile.
    """
    tries = post.tries + (state == "retry")
    again = state == "slow" or (state == "retry" and tries < MAX_TRIES)
    if state == "slow":
        pauses.note(connection, post.account, reason, wait)
    elif state == "retry" and not again:
        state = "failed"
    rest = timedelta(seconds=max(wait, float(min(2**tries, _LONGEST_BACKOFF))))
    connection.execute(
        text("UPDATE channel_post SET state = :state, reason = :reason, tries = :tries, lease_until = :until, "
             "ended_at = :ended WHERE id = :id AND lease = :lease AND state IN ('sending', 'doubtful')"),
        {
            **{"state": "queued" if again else state, "reason": reason, "tries": tries, "id": post.id},
            **{"until": machine_now + rest // timedelta(microseconds=1) if again else None, "lease": post.lease},
            "ended": None if again else micros(now),
        },
    )  # fmt: skip


def give_up(connection: Connection, run: int, reason: str, machine_now: int, now: datetime, account: str = "") -> None:
    """End the posts of a run (with `account`: those of this one) that nobody has in hand: not begun, they are refused;
    begun by somebody who went silent, they are in doubt."""
    connection.execute(
        text("UPDATE channel_post SET state = CASE state WHEN 'queued' THEN 'refused' ELSE 'doubtful' END, "
             "reason = :reason, ended_at = :at WHERE run = :run AND :account IN (account, '') "
             "AND (state = 'queued' OR (state = 'sending' AND lease_until <= :machine))"),
        {"reason": reason, "at": micros(now), "run": run, "account": account, "machine": machine_now},
    )  # fmt: skip


def doubt_restored(connection: Connection, reason: str, now: datetime) -> None:
    """In a restored copy: what was not over when the backup was made may have been posted since."""
    connection.execute(
        text("UPDATE channel_post SET state = 'doubtful', reason = :reason, lease = '', lease_until = NULL, "
             "ended_at = :at WHERE state IN ('queued', 'sending')"),
        {"reason": reason, "at": micros(now)},
    )  # fmt: skip


def of_run(connection: Connection, run: int) -> list[dict[str, Any]]:
    """The posts of a run, in the order of its push."""
    rows = connection.execute(
        text("SELECT account, channel, state, reason FROM channel_post WHERE run = :run ORDER BY id"), {"run": run}
    )
    return [dict(row._mapping) for row in rows]
