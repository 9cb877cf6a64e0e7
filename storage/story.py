"""One person's whole story for staff, section by section: each is one bounded query, newest first, however long it is.

Addresses and texts are given as they are kept: who may see them is decided above. It writes nothing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from storage import referrals
from storage.stops import lengthened
from storage.tables import instant, micros
from storage.vault import Vault

WORDS_MAX = 200
_FOUND_MAX = 20
_ADDRESSED = re.compile(r"([a-z]+)(?:/([\w-]+))?:(\S{1,200})")
_NUMBER = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class Person:
    """One subscriber as they stand now; `aliases` are the numbers of those who were joined to them."""

    id: int
    created_at: datetime
    language: str
    status: str
    consent: bool
    guest: bool
    branch: str | None
    code: str
    blocked_at: datetime | None
    tester_since: datetime | None
    aliases: tuple[int, ...]
    channels: tuple[str, ...]


def find(connection: Connection, vault: Vault, words: str, accounts: Sequence[tuple[str, str]]) -> list[Person]:
    """Whom these words name: a subscriber's number, a referral code, an address (on any of `accounts`, pairs of
    channel and account), or `channel:address`, `channel/account:address`. Of a joined person, whom they are now."""
    words = unicodedata.normalize("NFKC", words).strip()[:WORDS_MAX]
    addressed = _ADDRESSED.fullmatch(words)
    places = [(addressed[1], addressed[2] or "main")] if addressed else list(accounts)
    address = addressed[3] if addressed else words
    query = text(
        "WITH RECURSIVE chain(id, alias_of) AS (SELECT id, alias_of FROM subscriber WHERE id = :id OR code = :code "
        "OR id IN (SELECT subscriber FROM identity WHERE digest IN :digests) "
        "UNION SELECT s.id, s.alias_of FROM chain JOIN subscriber s ON s.id = chain.alias_of) "
        f"SELECT DISTINCT id FROM chain WHERE alias_of IS NULL ORDER BY id LIMIT {_FOUND_MAX}"
    ).bindparams(bindparam("digests", expanding=True))
    digests = [vault.digest(channel, account, address) for channel, account in places] if address else []
    values = {"id": int(words) if _NUMBER.fullmatch(words) else 0, "code": referrals.spelled(words) or "-"}
    numbers = connection.execute(query, {**values, "digests": digests or ["-"]}).scalars().all()
    return _people(connection, numbers)


def person(connection: Connection, number: int) -> Person | None:
    """One person by their own number; None for nobody. An alias is found too, and is told by `status`."""
    found = _people(connection, [number])
    return found[0] if found else None


def stands_for(connection: Connection, number: int) -> int:
    """Who a number is now: for somebody joined to another, that person's."""
    query = text(
        "WITH RECURSIVE chain(id, alias_of) AS (SELECT id, alias_of FROM subscriber WHERE id = :n "
        "UNION SELECT s.id, s.alias_of FROM chain JOIN subscriber s ON s.id = chain.alias_of) "
        "SELECT id FROM chain WHERE alias_of IS NULL"
    )
    return int(connection.execute(query, {"n": number}).scalar() or number)


def _people(connection: Connection, numbers: Sequence[int]) -> list[Person]:
    if not numbers:
        return []
    among: Any = bindparam("numbers", expanding=True)
    rows = connection.execute(
        text("SELECT * FROM subscriber WHERE id IN :numbers ORDER BY id").bindparams(among), {"numbers": list(numbers)}
    ).all()
    aliases = connection.execute(
        text("SELECT id, alias_of FROM subscriber WHERE alias_of IN :numbers ORDER BY id").bindparams(among),
        {"numbers": list(numbers)},
    ).all()
    channels = connection.execute(
        text("SELECT DISTINCT subscriber, channel FROM identity WHERE subscriber IN :numbers ORDER BY 1, 2").bindparams(
            among
        ),
        {"numbers": list(numbers)},
    ).all()
    return [
        Person(
            *(row.id, instant(row.created_at), row.language, row.status, bool(row.consent), bool(row.guest)),
            *(row.branch, row.code, _instant(row.blocked_at), _instant(row.tester_since)),
            tuple(alias.id for alias in aliases if alias.alias_of == row.id),
            tuple(each.channel for each in channels if each.subscriber == row.id),
        )
        for row in rows
    ]


def identities(connection: Connection, number: int, limit: int) -> list[dict[str, Any]]:
    """Where the person is known: `id`, `channel`, `account`, `address` (None once they left), `following`, `since` (the
    first message there), `heard_at`, `parked_until`."""
    rows = connection.execute(
        text(
            "SELECT i.id, i.channel, i.account, i.address, i.following, i.heard_at, i.parked_until, "
            "(SELECT t.at FROM text t WHERE t.identity = i.id ORDER BY t.id LIMIT 1) AS since "
            "FROM identity i WHERE i.subscriber = :s ORDER BY i.id LIMIT :n"
        ),
        {"s": number, "n": limit},
    )
    return [_times(row, "heard_at", "parked_until", "since") | {"following": bool(row.following)} for row in rows]


def consents(connection: Connection, number: int, limit: int) -> list[dict[str, Any]]:
    """What the person agreed to and refused: `at`, `given`, `wording` (phrase@campaign/revision)."""
    rows = connection.execute(
        text("SELECT at, given, wording FROM consent WHERE subscriber = :s ORDER BY at DESC, id DESC LIMIT :n"),
        {"s": number, "n": limit},
    )
    return [_times(row, "at") | {"given": bool(row.given)} for row in rows]


def accounts(connection: Connection, number: int) -> list[dict[str, Any]]:
    """What the person owns, tests apart: `account`, `unit`, `amount`, `held` of it, and whether it waits (`waiting`, of
    a guest)."""
    rows = connection.execute(
        text(
            "SELECT account, unit, amount, held FROM balance WHERE owner = :s "
            "AND substr(account, 1, 5) <> 'test/' ORDER BY account"
        ),
        {"s": number},
    )
    return [_plain(row) | {"waiting": row.account.startswith("held/")} for row in rows]


def reserved(connection: Connection, number: int, now: datetime, limit: int) -> list[dict[str, Any]]:
    """Holds on what the person owns, newest first: `unit`, `amount`, `reason`, `state`, `at`, `expires_at` with
    emergency stops added, `campaign`, `revision`."""
    rows = connection.execute(
        text(
            "SELECT h.id, h.unit, h.amount, h.reason, h.state, h.at, h.campaign, h.revision, h.ended_at, "
            f"CASE WHEN h.state <> 'open' THEN h.expires_at ELSE {lengthened('h.expires_at', 'h.at')} END "
            "AS expires_at FROM hold h WHERE h.source IN (SELECT account FROM balance WHERE owner = :s) "
            "ORDER BY h.at DESC, h.id DESC LIMIT :n"
        ),
        {"s": number, "n": limit, "now": micros(now)},
    )
    return [_times(row, "at", "expires_at", "ended_at") for row in rows]


def timers(connection: Connection, number: int, now: datetime, limit: int) -> list[dict[str, Any]]:
    """What is to fall due for the person, soonest first: `kind`, `due_at` with emergency stops added."""
    rows = connection.execute(
        text(
            f"SELECT id, kind, {lengthened('due_at', 'made_at')} AS due_at FROM timer "
            "WHERE subscriber = :s AND NOT fired ORDER BY 3, id LIMIT :n"
        ),
        {"s": number, "n": limit, "now": micros(now)},
    )
    return [_times(row, "due_at") for row in rows]


def brought_by(connection: Connection, number: int) -> dict[str, Any] | None:
    """By whom the person was brought: `referrer`, `state`, `at`, `changed_at`, `campaign`."""
    row = connection.execute(
        text("SELECT referrer, state, at, changed_at, campaign FROM referral WHERE referee = :s"), {"s": number}
    ).one_or_none()
    return _times(row, "at", "changed_at") if row else None


def brought(connection: Connection, number: int, limit: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Whom the person brought, newest first, and how many they are in all by state."""
    rows = connection.execute(
        text(
            "SELECT referee, state, at, changed_at FROM referral WHERE referrer = :s "
            "ORDER BY at DESC, referee DESC LIMIT :n"
        ),
        {"s": number, "n": limit},
    )
    found = [_times(row, "at", "changed_at") for row in rows]
    counts = connection.execute(
        text("SELECT state, COUNT(*) FROM referral WHERE referrer = :s GROUP BY state"), {"s": number}
    )
    return found, {state: int(count) for state, count in counts}


def messages(connection: Connection, number: int, limit: int, before: int = 0) -> list[dict[str, Any]]:
    """What was heard and said on all channels, newest first: `id`, `at`, `kind`, `channel`, `heard`, `said` (trees).

    `before` is the last seen row's id. A text past its retention is None and an empty list.
    """
    own = connection.execute(
        text("SELECT id, channel FROM identity WHERE subscriber = :s ORDER BY id"), {"s": number}
    ).all()
    if not own:
        return []
    # Each identity's newest by its index, put together afterwards: sorting all a person ever wrote grows with them.
    parts = " UNION ALL ".join(
        "SELECT * FROM (SELECT id, at, kind, identity, heard, said FROM text WHERE identity = "
        f"{int(one.id)} AND id < :before ORDER BY id DESC LIMIT :n) AS of_{index}"
        for index, one in enumerate(own)
    )
    rows = connection.execute(
        text(f"SELECT * FROM ({parts}) AS every ORDER BY id DESC LIMIT :n"), {"before": before or 2**62, "n": limit}
    )
    channels = {one.id: one.channel for one in own}
    return [
        _times(row, "at") | {"channel": channels[row.identity], "said": json.loads(row.said or "[]")} for row in rows
    ]


def deliveries(connection: Connection, number: int, limit: int) -> list[dict[str, Any]]:
    """What was to be sent to the person, newest first: `account`, `kind`, `lane`, `state`, `reason`, `due_at`,
    `ended_at`, `tries`."""
    rows = connection.execute(
        text(
            "SELECT id, account, kind, lane, state, reason, due_at, ended_at, tries FROM delivery "
            "WHERE subscriber = :s ORDER BY due_at DESC, id DESC LIMIT :n"
        ),
        {"s": number, "n": limit},
    )
    return [_times(row, "due_at", "ended_at") for row in rows]


def _instant(stored: int | None) -> datetime | None:
    return None if stored is None else instant(stored)


def _plain(row: Any) -> dict[str, Any]:
    return dict(row._mapping)


def _times(row: Any, *names: str) -> dict[str, Any]:
    plain = _plain(row)
    return plain | {name: None if plain[name] is None else instant(int(plain[name])) for name in names}
