"""How a subscriber stands: blocked or not, a tester or not, and the record of who decided that and why.

Promises that a test leaves nothing behind in what counts: its points go back to where tests' points come from, its
holds are voided, what it laid down to fall due never does, and what it remembered is dropped. Knows no right.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from storage import acts, bulk, holds, ids, tables
from storage.ledger import Posting, mint_test, test_campaign
from storage.tables import instant, micros

_COLUMNS = ("id", "subscriber", "kind", "actor", "at", "why")
_LATER = timedelta(microseconds=1)
# What a test wrote under these names is the test's alone: see `campaigns/books.py`.
TEST = "test/"


@dataclass(frozen=True, slots=True)
class Locked:
    """A subscriber whose row is locked now: whose branch, blocked, and since when they test."""

    id: int
    branch: str | None
    blocked: bool
    tester_since: datetime | None


@dataclass(frozen=True, slots=True)
class Record:
    """One decision. `kind`: blocked, unblocked, tested, untested or rejected."""

    kind: str
    actor: str
    at: datetime
    why: str


def locked(connection: Connection, number: int) -> Locked:
    """The person whom this number is now, locked until the transaction ends. Raises KeyError for nobody."""
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    query = text(f"SELECT id, alias_of, branch, blocked_at, tester_since FROM subscriber WHERE id = :n{locking}")
    row: Any = None
    while row is None or row.alias_of is not None:
        row = connection.execute(query, {"n": row.alias_of if row else number}).one_or_none()
        if row is None:
            raise KeyError(number)
    since = None if row.tester_since is None else instant(row.tester_since)
    return Locked(row.id, row.branch, row.blocked_at is not None, since)


def record(connection: Connection, person: int, kind: str, actor: str, at: datetime, why: str) -> None:
    """Write down who decided what about a person, and why."""
    row = (ids.take_apart(connection, 1), person, kind, actor, micros(at), why)
    bulk.insert(connection, tables.metadata.tables["standing"], _COLUMNS, [row])


def records(connection: Connection, person: int, limit: int) -> list[Record]:
    """What was decided about a person, newest first."""
    rows = connection.execute(
        text("SELECT kind, actor, at, why FROM standing WHERE subscriber = :s ORDER BY at DESC, id DESC LIMIT :n"),
        {"s": person, "n": limit},
    )
    return [Record(row.kind, row.actor, instant(row.at), row.why) for row in rows]


def forget_reasons(connection: Connection, person: int) -> None:
    """Empty the reasons kept about a person, but for that of a block that stands: staff need it to lift the block."""
    connection.execute(
        text(
            "UPDATE standing SET why = '' WHERE subscriber = :s AND id NOT IN (SELECT MAX(b.id) FROM standing b "
            "JOIN subscriber p ON p.id = b.subscriber WHERE b.subscriber = :s AND b.kind = 'blocked' "
            "AND p.blocked_at IS NOT NULL)"
        ),
        {"s": person},
    )


def set_blocked(connection: Connection, person: int, at: datetime | None) -> None:
    """A locked person is blocked since `at`, or no longer."""
    connection.execute(
        text("UPDATE subscriber SET blocked_at = :at WHERE id = :s"),
        {"at": None if at is None else micros(at), "s": person},
    )


def begin_test(connection: Connection, person: int, now: datetime) -> datetime:
    """A locked person tests from now on; returns since when exactly, which no earlier test of theirs shares."""
    last = connection.execute(
        text("SELECT MAX(at) FROM standing WHERE subscriber = :s AND kind = 'tested'"), {"s": person}
    ).scalar()
    since = now if last is None else max(now, instant(last) + _LATER)
    _set_tester(connection, person, micros(since))
    return since


def end_test(connection: Connection, one: Locked, campaign: str, revision: int, now: datetime) -> dict[str, int]:
    """Take a locked person's test back; returns how many points, holds, timers and referrals went with it."""
    assert one.tester_since
    done = {"holds": _void_holds(connection, one.id, now), "points": 0}
    key = f"untest/{micros(one.tester_since)}/{one.id}"
    rows = connection.execute(
        text("SELECT account, unit, amount FROM balance WHERE owner = :s AND amount > 0 ORDER BY account"),
        {"s": one.id},
    ).all()
    for account, unit, amount in rows:
        if account.startswith(TEST):
            what = (account, mint_test(unit), int(amount), test_campaign(campaign), revision, "test_over")
            acts.post(connection, Posting(f"{key}/{unit}", unit, *what), now)
            done["points"] += int(amount) * (unit == "points")
    for name, change in (
        ("timers", "UPDATE timer SET fired = TRUE WHERE subscriber = :s AND NOT fired AND substr(key, 1, 5) = :test"),
        ("memory", "DELETE FROM memory WHERE subscriber = :s AND substr(name, 1, 5) = :test"),
    ):
        done[name] = connection.execute(text(change), {"s": one.id, "test": TEST}).rowcount
    del done["memory"]
    _set_tester(connection, one.id, None)
    return done


def _void_holds(connection: Connection, person: int, now: datetime) -> int:
    """Free what the test reserved."""
    keys = connection.execute(
        text(
            "SELECT key FROM hold WHERE state = 'open' AND source IN "
            "(SELECT account FROM balance WHERE owner = :s AND substr(account, 1, 5) = :test) ORDER BY id"
        ),
        {"s": person, "test": TEST},
    ).scalars()
    return sum(holds.void(connection, key, now) for key in keys.all())


def _set_tester(connection: Connection, person: int, since: int | None) -> None:
    connection.execute(text("UPDATE subscriber SET tester_since = :t WHERE id = :s"), {"t": since, "s": person})
