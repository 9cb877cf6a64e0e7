"""The set-wise reads and writes about everybody who follows one channel account: who is unknown, adding them, paging
through those known. It knows no platform and decides nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage import acts, bulk, ids, tables
from storage.group import CODE_LETTERS
from storage.store import machine_now
from storage.tables import micros

_TABLES = tables.metadata.tables
WORDING = "imported"  # what stands for the words of consent of somebody who followed before us


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who follows the account and is perhaps not known yet. `language` is zh or en."""

    address: str
    digest: str
    language: str


def unknown(connection: Connection, digests: Sequence[str]) -> set[str]:
    """Those of the digests behind which there is nobody yet."""
    known = bulk.select(connection, "SELECT digest FROM identity WHERE digest IN {set}", digests)
    return set(digests) - {row.digest for row in known}


def add(
    connection: Connection, channel: str, account: str, people: Sequence[Newcomer], now: datetime, plan: tuple[str, int]
) -> int:
    """Add those who are not known yet, as following and agreeing to messages, with nothing heard from them.

    `plan` is campaign and revision, for the event. Returns how many were added; the same people again add nobody.
    Raises DatabaseFault when another node adds one of them at this moment: try again.
    """
    missing = unknown(connection, [person.digest for person in people])
    fresh = sorted((p for p in people if p.digest in missing), key=lambda p: p.digest)
    if not fresh:
        return 0
    first, at = ids.take_apart(connection, 3 * len(fresh)), micros(now)
    numbered = list(zip(range(first, first + 3 * len(fresh), 3), fresh, strict=True))
    bulk.insert(
        connection,
        _TABLES["subscriber"],
        ("id", "created_at", "language", "status", "code", "consent", "guest"),
        [(n, at, p.language, "active", _code(), True, False) for n, p in numbered],
    )
    bulk.insert(
        connection,
        _TABLES["identity"],
        ("id", "subscriber", "channel", "account", "digest", "address", "following", "heard_kind", "sent_since"),
        [(n + 1, n, channel, account, p.digest, p.address, True, "", 0) for n, p in numbered],
    )
    bulk.insert(
        connection,
        _TABLES["consent"],
        ("id", "subscriber", "given", "wording", "at"),
        [(n + 2, n, True, WORDING, at) for n, _ in numbered],
    )
    acts.event(connection, "followers.imported", "operator", *plan, now, {"new": len(fresh)})
    return len(fresh)


def page(connection: Connection, channel: str, account: str, after: int, limit: int) -> Sequence[Any]:
    """Identities of one channel account beyond id `after`, in order: `id`, `address`, `following`, and `seen`, the
    instant in microseconds when they were last heard or became known. Those who left are not among them."""
    return connection.execute(
        text(
            "SELECT i.id, i.address, i.following, COALESCE(i.heard_at, s.created_at) AS seen FROM identity i "
            "JOIN subscriber s ON s.id = i.subscriber WHERE i.id > :after AND i.channel = :channel "
            "AND i.account = :account AND i.address IS NOT NULL ORDER BY i.id LIMIT :limit"
        ),
        {"after": after, "channel": channel, "account": account, "limit": limit},
    ).all()


def claim(connection: Connection, key: str, seconds: float) -> bool:
    """Take a piece of work that one node is to do, for so many seconds; False while somebody has it."""
    now = machine_now(connection)
    taken = connection.execute(
        text(
            "INSERT INTO kept (key, value, until) VALUES (:key, '{}', :until) ON CONFLICT (key) DO UPDATE "
            "SET value = '{}', until = :until WHERE kept.until <= :now RETURNING key"
        ),
        {"key": key, "until": now + int(seconds * 1_000_000), "now": now},
    ).scalar()
    return taken is not None


def _code() -> str:
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
