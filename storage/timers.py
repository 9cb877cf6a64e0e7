"""What falls due for one person: found here, fired once by key in the group that takes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage.stops import GOING, lengthened
from storage.store import machine_now
from storage.tables import micros

LEASE_SECONDS = 10  # another node leaves it alone so long; firing twice would still be one effect


@dataclass(frozen=True, slots=True)
class Due:
    """A timer whose time has come."""

    id: int
    key: str
    subscriber: int
    kind: str
    data: dict[str, Any]


def due(connection: Connection, now: datetime, limit: int) -> list[Due]:
    """Take a lease on timers that are due at `now` (campaign time), oldest first.

    None while an emergency stop stands, and each later by as long as sending stood still since it was set.
    """
    machine = machine_now(connection)
    skip = "" if connection.dialect.name == "sqlite" else " FOR UPDATE SKIP LOCKED"
    rows = connection.execute(
        text(
            "UPDATE timer SET lease_until = :until WHERE id IN (SELECT id FROM timer WHERE NOT fired "
            f"AND due_at <= :now AND {GOING} AND {lengthened('due_at', 'made_at')} <= :now "
            "AND (lease_until IS NULL OR lease_until < :machine) "
            f"ORDER BY due_at, id LIMIT :n{skip}) "
            "RETURNING due_at, id, key, subscriber, kind, data"
        ),
        {"until": machine + LEASE_SECONDS * 1_000_000, "now": micros(now), "machine": machine, "n": limit},
    )
    oldest_first = sorted(rows, key=lambda row: (row.due_at, row.id))
    return [Due(row.id, row.key, row.subscriber, row.kind, json.loads(row.data)) for row in oldest_first]
