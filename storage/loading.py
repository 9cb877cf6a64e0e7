"""The set-wise reads of a group: keys, stored answers, people, and what is remembered and owned.

On PostgreSQL it takes each lock once, in key order, so that two nodes cannot wait for each other in a ring.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from storage import bulk
from storage.draft import Speaker
from storage.incoming import Answer
from storage.ledger import Balance, Book, Posting
from storage.store import counted, machine_now, transaction_number


def lock_keys(connection: Connection, keys: Iterable[str]) -> tuple[set[str], int, int]:
    """Lock inbox keys for this transaction.

    Returns the keys that another node is working on, this transaction's number, and machine time in microseconds.
    """
    if connection.dialect.name == "sqlite":
        return (
            set(),
            transaction_number(connection),
            time.time_ns() // 1000,
        )  # one writer; and the database's machine is this one
    sql = (
        f"SELECT key, pg_try_advisory_xact_lock(hashtextextended(key, 0)), {counted('pg_current_xact_id()')}, "
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM {set} AS keys(key)"
    )
    rows = bulk.select(connection, sql, keys)
    if not rows:
        return set(), transaction_number(connection), machine_now(connection)
    return {key for key, locked, _, _ in rows if not locked}, rows[0][2], rows[0][3]


def stored_answers(connection: Connection, keys: Iterable[str]) -> dict[str, Answer]:
    """The answers of keys heard before; a statement of its own after the locks, to see what they waited for."""
    sql = (
        "SELECT k.key, t.id, t.subscriber, t.said FROM {each} inbox_key k JOIN text t ON t.id = k.text "
        "WHERE k.key = listed.value"
    )
    found = bulk.tuples(connection, sql, keys)
    if not found:
        return {}
    sql = "SELECT id, text, part, state, reason FROM delivery WHERE text IN {set} AND run IS NULL ORDER BY text, part"
    parts: dict[int, list[tuple[int, int]]] = {}
    for delivery, text, part, state, reason in bulk.select(connection, sql, [row[1] for row in found]):
        # What the sender took, or may have sent, is not said a second time here.
        if state in ("passive", "queued") or (state == "sent" and reason == "passive"):
            parts.setdefault(text, []).append((delivery, part))
    answers = {}
    for key, text, subscriber, said in found:
        messages = json.loads(said) if said else []
        left = [(delivery, messages[part]) for delivery, part in parts.get(text, ()) if part < len(messages)]
        answers[key] = Answer(subscriber, tuple(m for _, m in left), tuple(d for d, _ in left), repeated=True)
    return answers


def by_digest(connection: Connection, digests: Iterable[str]) -> dict[str, Speaker]:
    """The people behind these identities, locked, by digest."""
    found = _speakers(connection, "i.digest", digests)
    if any(speaker.status == "alias" for _, _, speaker in found):  # joined while we waited for the lock: moved
        found = _speakers(connection, "i.digest", digests)
    return {digest: speaker for digest, _, speaker in found}


def by_number(connection: Connection, subscribers: Sequence[int]) -> dict[int, Speaker]:
    """These people, locked, each with the identity where they can be reached and were heard last.

    For somebody who was joined to another, the older person stands.
    """
    newest: dict[int, tuple[int, Speaker]] = {}
    for _, heard_at, speaker in _speakers(connection, "i.subscriber", subscribers):
        rank = (heard_at or 0) if speaker.address else -1
        if speaker.status != "alias" and (speaker.id not in newest or rank > newest[speaker.id][0]):
            newest[speaker.id] = (rank, speaker)
    found = {subscriber: speaker for subscriber, (_, speaker) in newest.items()}
    if len(found) < len(subscribers):
        joined = standing(connection, [number for number in subscribers if number not in found])
        older = by_number(connection, sorted(set(joined.values()))) if joined else {}
        found.update((number, older[stands]) for number, stands in joined.items() if stands in older)
    return found


def standing(connection: Connection, subscribers: Sequence[int]) -> dict[int, int]:
    """Those of these people who were joined to an older one, and whom they are now."""
    sql = "SELECT id, alias_of FROM subscriber WHERE id IN {set} AND alias_of IS NOT NULL"
    return {row.id: row.alias_of for row in bulk.select(connection, sql, subscribers)}


def memory(connection: Connection, subscribers: Sequence[int]) -> Sequence[Any]:
    """What mechanics remember of these people: (subscriber, name, raw JSON)."""
    sql = "SELECT subscriber, name, data FROM {each} memory WHERE subscriber = listed.value"
    return bulk.tuples(connection, sql, subscribers)


def balances(connection: Connection, subscribers: Sequence[int]) -> Sequence[Any]:
    """Balance rows of these people; the locks on the people cover them."""
    sql = "SELECT account, unit, amount, held, floor FROM {each} balance WHERE owner = listed.value"
    return bulk.tuples(connection, sql, subscribers)


def lock_accounts(connection: Connection, book: Book, units: Mapping[str, str]) -> None:
    """Lock shared accounts (account → unit) into the book, in key order; those without a row start at zero."""
    locking = "" if connection.dialect.name == "sqlite" else " ORDER BY account FOR UPDATE"
    sql = f"SELECT account, unit, amount, held, floor FROM {{each}} balance WHERE account = listed.value{locking}"
    for row in bulk.tuples(connection, sql, sorted(units)):
        book.load(row[0], Balance(*row[1:]))
    for account, unit in sorted(units.items()):
        book.open(account, unit)


def postings(connection: Connection, keys: Sequence[str]) -> dict[str, Posting]:
    """Those of the keys that are posted already, with their contents."""
    sql = (
        "SELECT key, unit, source, destination, amount, campaign, revision, reason, reverses FROM posting "
        "WHERE key IN {set}"
    )
    return {row[0]: Posting(*row) for row in bulk.select(connection, sql, keys)}


def _speakers(connection: Connection, column: str, values: Iterable[Any]) -> list[tuple[str, int | None, Speaker]]:
    """Each identity's digest, when it was heard, and its person, locked; as tuples, for each message reads one."""
    locking = "" if connection.dialect.name == "sqlite" else " ORDER BY s.id FOR UPDATE OF s"
    sql = (
        "SELECT i.digest, i.heard_at, s.id, i.id, i.channel, i.account, i.address, s.language, s.status, s.code, "
        "s.referrer, s.consent, s.guest, i.following, s.created_at, s.blocked_at, s.tester_since, s.owed "
        f"FROM {{each}} identity i JOIN subscriber s ON s.id = i.subscriber WHERE {column} = listed.value{locking}"
    )
    return [_spoken(*row) for row in bulk.tuples(connection, sql, values)]


def _spoken(
    digest: str,
    heard_at: int | None,
    id: int,
    identity: int,
    channel: str,
    account: str,
    address: str | None,
    language: str,
    status: str,
    code: str,
    referrer: int | None,
    consent: int,
    guest: int,
    following: int,
    created_at: int,
    blocked_at: int | None,
    tester_since: int | None,
    owed: int | None,
) -> tuple[str, int | None, Speaker]:
    who = Speaker(
        id,
        identity,
        channel,
        account,
        address or "",
        language,
        status,
        code,
        referrer,
        bool(consent),
        bool(guest),
        bool(following),
        created_at,
        blocked_at is not None,
        tester_since,
        bool(owed),
    )
    return digest, heard_at, who
