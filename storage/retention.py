"""What is not needed any longer goes by itself: old texts, old keys, and people whose parked term is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from storage import bulk, erasures, joining, notices
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
    touched += notices.sweep(connection, past, batch)
    touched += joining.sweep(connection, now, batch) + erasures.forget_old(connection, batch)
    return touched + _forget_addresses(connection, batch) + _end_terms(connection, now, batch)


def _forget_addresses(connection: Connection, batch: int) -> int:
    """Whoever asked to be forgotten loses the address as soon as nothing waits to be sent to it."""
    return connection.execute(
        text(
            "UPDATE identity SET address = NULL WHERE id IN (SELECT i.id FROM identity i WHERE i.address IS NOT NULL "
            "AND i.parked_until IS NOT NULL AND NOT EXISTS (SELECT 1 FROM delivery d "
            "WHERE d.subscriber = i.subscriber AND d.identity = i.id "
            "AND d.state IN ('passive', 'queued', 'claimed', 'sending')) LIMIT :n)"
        ),
        {"n": batch},
    ).rowcount


def _end_terms(connection: Connection, now: datetime, batch: int) -> int:
    """The digest is what still ties the kept rows to an address: without it they are nobody's."""
    ended = connection.execute(
        text(
            "UPDATE identity SET digest = 'gone:' || id, parked_until = NULL, following = FALSE WHERE id IN "
            "(SELECT id FROM identity WHERE parked_until < :now AND address IS NULL LIMIT :n) RETURNING subscriber"
        ),
        {"now": micros(now), "n": batch},
    ).scalars()
    people = sorted(set(ended.all()))
    left = "NOT EXISTS (SELECT 1 FROM identity i WHERE i.subscriber = {} AND substr(i.digest, 1, 5) <> 'gone:')"
    for change, person in (
        ("UPDATE subscriber SET status = 'erased' WHERE id", "subscriber.id"),
        ("DELETE FROM memory WHERE subscriber", "memory.subscriber"),
        ("DELETE FROM person_key WHERE subscriber", "person_key.subscriber"),
        ("DELETE FROM profile WHERE subscriber", "profile.subscriber"),
        ("UPDATE standing SET why = '' WHERE subscriber", "standing.subscriber"),
        ("DELETE FROM quiz_best WHERE subscriber", "quiz_best.subscriber"),
        ("DELETE FROM survey_answer WHERE subscriber", "survey_answer.subscriber"),
        ("DELETE FROM survey_taken WHERE subscriber", "survey_taken.subscriber"),
        ("DELETE FROM notice WHERE subscriber", "notice.subscriber"),
    ):
        bulk.select(connection, f"{change} IN {{set}} AND {left.format(person)} RETURNING {person}", people)
    return len(people)
