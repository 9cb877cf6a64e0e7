"""What is not needed any longer goes by itself: old texts, old keys, and people whose parked term is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from storage.store import machine_now
from storage.tables import micros

KEY_DAYS = 30  # platforms repeat a message within a day; a month is past any of them


def step(connection: Connection, now: datetime, text_days: int, batch: int = 1000) -> int:
    """Do one small batch of each; returns how many rows were touched. `now` is campaign time."""
    past = micros(now - timedelta(days=text_days))
    old_keys = machine_now(connection) - KEY_DAYS * 86_400_000_000
    touched = connection.execute(
        text(
            "UPDATE text SET heard = NULL, said = NULL WHERE id IN (SELECT id FROM text WHERE at < :past "
            "AND (heard IS NOT NULL OR said IS NOT NULL) ORDER BY at LIMIT :n)"
        ),
        {"past": past, "n": batch},
    ).rowcount
    touched += connection.execute(
        text("DELETE FROM inbox_key WHERE key IN (SELECT key FROM inbox_key WHERE at < :old ORDER BY at LIMIT :n)"),
        {"old": old_keys, "n": batch},
    ).rowcount
    touched += connection.execute(
        text("DELETE FROM kept WHERE until < :now"), {"now": machine_now(connection)}
    ).rowcount
    # The digest is what still ties the kept rows to an address: without it they are nobody's.
    touched += connection.execute(
        text(
            "UPDATE identity SET digest = 'gone:' || id, parked_until = NULL WHERE id IN (SELECT id FROM identity "
            "WHERE parked_until < :now AND address IS NULL LIMIT :n)"
        ),
        {"now": micros(now), "n": batch},
    ).rowcount
    return touched
