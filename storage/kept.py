"""Small values shared by all nodes, each with an end in machine time: access tokens, picture ids, leases, counts."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, text

from storage.store import machine_now


def recall(connection: Connection, key: str) -> dict[str, Any] | None:
    """The value, unless there is none or its time is over."""
    value = connection.execute(
        text("SELECT value FROM kept WHERE key = :key AND until > :now"), {"key": key, "now": machine_now(connection)}
    ).scalar()
    return json.loads(value) if value else None


def keep(connection: Connection, key: str, value: dict[str, Any], seconds: float) -> None:
    """Keep the value for so many seconds from now, in place of what was kept."""
    until = machine_now(connection) + int(seconds * 1_000_000)
    connection.execute(
        text(
            "INSERT INTO kept (key, value, until) VALUES (:key, :value, :until) "
            "ON CONFLICT (key) DO UPDATE SET value = :value, until = :until"
        ),
        {"key": key, "value": json.dumps(value), "until": until},
    )


def count(connection: Connection, key: str, most: int, seconds: float) -> bool:
    """Count one under `key`; False, and nothing counted, when that would be more than `most` (at least 1).

    The count lives for `seconds` from its first one; a key should name its day or hour.
    """
    until = machine_now(connection) + int(seconds * 1_000_000)
    counted = connection.execute(
        text(
            "INSERT INTO kept (key, value, until) VALUES (:key, '1', :until) ON CONFLICT (key) DO UPDATE "
            "SET value = CAST(CAST(kept.value AS INTEGER) + 1 AS TEXT) WHERE CAST(kept.value AS INTEGER) < :most"
        ),
        {"key": key, "until": until, "most": most},
    )
    return counted.rowcount == 1


def hold(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take the lease `name`, or renew it, for so many seconds from now; 0 gives it back. False: another holds it."""
    now = machine_now(connection)
    taken = connection.execute(
        text(
            "INSERT INTO kept (key, value, until) VALUES (:key, :holder, :until) ON CONFLICT (key) DO UPDATE "
            "SET value = :holder, until = :until WHERE kept.until <= :now OR kept.value = :holder RETURNING key"
        ),
        {"key": f"lease:{name}", "holder": json.dumps(holder), "until": now + int(seconds * 1_000_000), "now": now},
    ).scalar()
    return taken is not None
