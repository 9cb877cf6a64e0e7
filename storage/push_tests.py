"""A push sent to one tester: who is one, where they are reached best, and the row that goes before all pushes.

Writes what it is told; whether it may be sent is decided above.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from storage import ids
from storage.tables import micros


class Place(NamedTuple):
    """One identity of a person that can be written to; `account` is `channel:account`."""

    identity: int
    account: str
    language: str


def is_tester(connection: Connection, subscriber: int) -> bool:
    """Whether a subscriber is a tester now."""
    query = "SELECT tester_since FROM subscriber WHERE id = :s"
    return connection.execute(text(query), {"s": subscriber}).scalar() is not None


def place(connection: Connection, subscriber: int, active: Collection[str], pages: Collection[str]) -> Place | None:
    """Where a person is reached best: of the `active` accounts the one they spoke on last, else one of `pages`."""
    rows = connection.execute(
        text(
            "SELECT i.id, i.channel || ':' || i.account AS account, s.language FROM identity i "
            "JOIN subscriber s ON s.id = i.subscriber WHERE i.subscriber = :s AND i.following "
            "AND i.address IS NOT NULL ORDER BY COALESCE(i.heard_at, 0) DESC, i.id"
        ),
        {"s": subscriber},
    ).all()
    for accounts in (active, pages):
        for row in rows:
            if row.account in accounts:
                return Place(row.id, row.account, row.language)
    return None


def queue(connection: Connection, subscriber: int, to: Place, said: str, part: int, now: datetime) -> int:
    """Let the sender take `said` (JSON, of which `part` is meant) among its replies; returns the delivery's number."""
    number = ids.take_apart(connection, 2)
    values = {"id": number, "text": number + 1, "s": subscriber, "i": to.identity, "at": micros(now)}
    connection.execute(
        text(
            "INSERT INTO text (id, subscriber, identity, at, kind, heard, said) "
            "VALUES (:text, :s, :i, :at, 'push', NULL, :said)"
        ),
        {**values, "said": said},
    )
    connection.execute(
        text(
            "INSERT INTO delivery (id, subscriber, identity, account, text, part, kind, lane, state, due_at, lease, "
            "tries, reason) VALUES (:id, :s, :i, :account, :text, :part, 'reminder', 0, 'queued', :at, '', 0, '')"
        ),
        {**values, "account": to.account, "part": part},
    )
    return number
