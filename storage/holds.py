"""Holds: an amount reserved in its account until it is posted, voided, or expires. Each step is done once by key.

Promises that what is held cannot be spent otherwise, and that a hold ends in exactly one way. Knows no rule of when.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from storage import acts, bulk, ids, loading, tables
from storage.ledger import Book, Posting
from storage.stops import lengthened
from storage.tables import instant, micros


class HoldEnded(Exception):
    """The hold is over: `state` says how (posted, voided or expired)."""

    def __init__(self, key: str, state: str) -> None:
        super().__init__(f"hold {key} is {state}")
        self.key, self.state = key, state


@dataclass(frozen=True, slots=True)
class Hold:
    """`amount` of `unit` kept in `source` for `destination`; `expires_at` is campaign time, None for no end."""

    key: str
    unit: str
    source: str
    destination: str
    amount: int
    campaign: str
    revision: int
    reason: str
    expires_at: datetime | None = None


def reserve(connection: Connection, hold: Hold, now: datetime) -> bool:
    """Reserve the amount; False when this very hold exists already, whatever became of it.

    Raises ledger.Short when the account has not enough free, ValueError when the key stands for another hold.
    """
    if hold.amount <= 0:
        raise ValueError(f"hold {hold.key}: amount {hold.amount}")
    known = _find(connection, hold.key)
    if known:
        if known[0] != hold:
            raise ValueError(f"hold key {hold.key} was used for another hold")
        return False
    _shift(connection, hold, hold.amount)
    columns = (
        *("id", "key", "unit", "source", "destination", "amount", "campaign", "revision", "reason", "state"),
        *("expires_at", "at"),
    )
    expires = micros(hold.expires_at) if hold.expires_at else None
    row = (
        *(
            ids.take_apart(connection, 1),
            hold.key,
            hold.unit,
            hold.source,
            hold.destination,
            hold.amount,
            hold.campaign,
        ),
        *(hold.revision, hold.reason, "open", expires, micros(now)),
    )
    bulk.insert(connection, tables.metadata.tables["hold"], columns, [row])
    return True


def post(connection: Connection, key: str, now: datetime) -> bool:
    """Turn the hold into its movement; False when that was done before. Raises HoldEnded, KeyError for no such hold."""
    hold, state = _known(connection, key)
    if state == "posted":
        return False
    if state != "open":
        raise HoldEnded(key, state)
    _shift(connection, hold, -hold.amount)
    movement = (hold.unit, hold.source, hold.destination, hold.amount, hold.campaign, hold.revision, hold.reason)
    acts.post(connection, Posting(f"hold/{key}", *movement), now)
    _end(connection, key, "posted", now)
    return True


def void(connection: Connection, key: str, now: datetime, state: str = "voided") -> bool:
    """Free what was held; False when that was done before. Raises HoldEnded when it was posted, KeyError for none."""
    hold, before = _known(connection, key)
    if before == "posted":
        raise HoldEnded(key, before)
    if before != "open":
        return False
    _shift(connection, hold, -hold.amount)
    _end(connection, key, state, now)
    return True


def expire(connection: Connection, now: datetime, limit: int = 200) -> int:
    """Free the holds whose time is over, emergency stops added; returns how many."""
    due = connection.execute(
        text(
            "SELECT key FROM hold WHERE state = 'open' AND expires_at <= :now "
            f"AND {lengthened('expires_at', 'at')} <= :now ORDER BY expires_at, id LIMIT :n"
        ),
        {"now": micros(now), "n": limit},
    ).scalars()
    return sum(void(connection, key, now, "expired") for key in due.all())


def _known(connection: Connection, key: str) -> tuple[Hold, str]:
    known = _find(connection, key)
    if not known:
        raise KeyError(key)
    return known


def _find(connection: Connection, key: str) -> tuple[Hold, str] | None:
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    row = connection.execute(
        text(
            "SELECT key, unit, source, destination, amount, campaign, revision, reason, expires_at, state FROM hold "
            f"WHERE key = :key{locking}"
        ),
        {"key": key},
    ).one_or_none()
    if row is None:
        return None
    expires = instant(row.expires_at) if row.expires_at is not None else None
    fields = (row.key, row.unit, row.source, row.destination, row.amount, row.campaign, row.revision, row.reason)
    return Hold(*fields, expires), row.state


def _shift(connection: Connection, hold: Hold, amount: int) -> None:
    book = Book()
    loading.lock_accounts(connection, book, {hold.source: hold.unit})
    book.hold(hold.source, hold.unit, amount)
    bulk.update(connection, tables.metadata.tables["balance"], "account", ("held+",), [(amount, hold.source)])


def _end(connection: Connection, key: str, state: str, now: datetime) -> None:
    connection.execute(
        text("UPDATE hold SET state = :state, ended_at = :now WHERE key = :key"),
        {"state": state, "now": micros(now), "key": key},
    )
