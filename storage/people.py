"""Reads, and the rare writes, about one person: shown, exported, parked when they leave, forgotten when they ask.

Names and numbers are read only through the vault; the ledger keeps numbers without them.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage import erasures, notices, profiles, quizzes, standing, surveys
from storage.tables import instant, micros
from storage.vault import Vault

# A person's texts are found by their identities: an index by person would cost every message a page.
_TEXTS = "identity IN (SELECT id FROM identity WHERE subscriber = :s)"
_JOINED = "(SELECT id FROM subscriber WHERE alias_of = :s)"
# All messages of whoever the person is now: those of people joined to them too, whose identities they have.
_ALL_TEXTS = (
    "identity IN (SELECT id FROM identity WHERE subscriber = (SELECT COALESCE(alias_of, id) FROM subscriber "
    "WHERE id = :s))"
)
_REAL = "substr(account, 1, 5) <> 'test/'"
KEPT_AFTER_FORGETTING = ("ledger", "once", "law")


def bucket(campaign: str, subscriber: int) -> int:
    """The person's fixed place 0–9999 in a campaign, for holdouts and ramps."""
    digest = hashlib.sha256(f"{campaign}\0{subscriber}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10_000


def identity(connection: Connection, digest: str) -> int | None:
    """The identity behind a keyed hash."""
    return connection.execute(text("SELECT id FROM identity WHERE digest = :d"), {"d": digest}).scalar()


def find(connection: Connection, vault: Vault, channel: str, account: str, address: str) -> int | None:
    """The subscriber known by this address on this channel account; a joined one's stands for those joined to it."""
    digest = vault.digest(channel, account, address)
    return connection.execute(
        text(
            "WITH RECURSIVE chain(id, alias_of) AS (SELECT s.id, s.alias_of FROM identity i JOIN subscriber s "
            "ON s.id = i.subscriber WHERE i.digest = :d "
            "UNION SELECT s.id, s.alias_of FROM chain JOIN subscriber s ON s.id = chain.alias_of) "
            "SELECT id FROM chain WHERE alias_of IS NULL"
        ),
        {"d": digest},
    ).scalar()


def by_code(connection: Connection, vault: Vault, code: str) -> dict[str, Any] | None:
    """Whose referral code this is: `id`, `guest`, `language`, `profile`; of a joined person, those of who they are now.

    None for a code that nobody has, or whose person was erased or is blocked.
    """
    row = connection.execute(
        text(
            "WITH RECURSIVE chain(id, alias_of) AS (SELECT id, alias_of FROM subscriber WHERE code = :c "
            "UNION SELECT s.id, s.alias_of FROM chain JOIN subscriber s ON s.id = chain.alias_of) "
            "SELECT s.id, s.guest, s.language FROM chain JOIN subscriber s ON s.id = chain.id "
            "WHERE chain.alias_of IS NULL AND s.status = 'active' AND s.blocked_at IS NULL"
        ),
        {"c": code},
    ).first()
    if row is None:
        return None
    profile = profiles.read(connection, vault, row.id)
    return {"id": row.id, "guest": bool(row.guest), "language": row.language, "profile": profile}


def balances(connection: Connection, subscriber: int) -> dict[str, int]:
    """What the person owns, unit → amount; a guest's held amounts as `<unit>_held`. Without what is only tested."""
    rows = connection.execute(
        text(f"SELECT account, unit, amount FROM balance WHERE owner = :s AND {_REAL} ORDER BY account"),
        {"s": subscriber},
    )
    found = {"points": 0}
    for account, unit, amount in rows:
        name = f"{unit}_held" if account.startswith("held/") else unit
        found[name] = found.get(name, 0) + int(amount)
    return found


def test_balances(connection: Connection, subscriber: int) -> dict[str, int]:
    """What a tester has in the test, unit → amount."""
    rows = connection.execute(
        text(f"SELECT unit, amount FROM balance WHERE owner = :s AND NOT {_REAL} ORDER BY account"), {"s": subscriber}
    )
    return {unit: int(amount) for unit, amount in rows}


def show(connection: Connection, subscriber: int) -> dict[str, Any]:
    """The person as `koukou subscriber show --json` prints them. Raises KeyError for no such person."""
    one = connection.execute(text("SELECT * FROM subscriber WHERE id = :s"), {"s": subscriber}).one_or_none()
    if one is None:
        raise KeyError(subscriber)
    if one.alias_of is not None:
        return show(connection, one.alias_of)
    referrer = connection.execute(
        text("SELECT COALESCE(alias_of, id) FROM subscriber WHERE id = :r"), {"r": one.referrer}
    ).scalar()
    identities = connection.execute(
        text("SELECT channel, account, address, following FROM identity WHERE subscriber = :s ORDER BY id"),
        {"s": subscriber},
    )
    referrals = connection.execute(
        text("SELECT referee, state FROM referral WHERE referrer = :s ORDER BY at, referee"), {"s": subscriber}
    )
    return {
        "id": one.id,
        "language": one.language,
        "status": one.status,
        "consent": bool(one.consent),
        "guest": bool(one.guest),
        "blocked": one.blocked_at is not None,
        "tester": one.tester_since is not None,
        "created_at": instant(one.created_at).isoformat(),
        "identities": [
            {"channel": row.channel, "account": row.account, "id": row.address, "following": bool(row.following)}
            for row in identities
        ],
        "balances": balances(connection, subscriber),
        "test_balances": test_balances(connection, subscriber),
        "referral_code": one.code,
        "referrer": referrer,
        "referrals": [{"subscriber": row.referee, "state": row.state} for row in referrals],
    }


def history(connection: Connection, subscriber: int, limit: int, *, test: bool = False) -> list[dict[str, Any]]:
    """The latest movements on the person's accounts, newest first: `at`, `unit`, signed `amount`, `reason`, `key`.

    Those of people joined to them are theirs; what only moved between their own accounts is left out. With `test`
    those of their tests instead.
    """
    names = ("at", "unit", "amount", "reason", "key")
    return [{name: row[name] for name in names} for row in movements(connection, subscriber, limit, test=test)]


def movements(
    connection: Connection,
    subscriber: int,
    limit: int,
    before: tuple[int, int] | None = None,
    *,
    test: bool = False,
) -> list[dict[str, Any]]:
    """The same with the rule behind each: its `campaign` and `revision`, and the `event` that caused it.

    `before` is the `cursor` of the last row seen.
    """
    accounts = (
        connection.execute(
            text(
                f"SELECT account FROM balance WHERE (owner = :s OR owner IN {_JOINED}) "
                f"AND {'NOT ' if test else ''}{_REAL}"
            ),
            {"s": subscriber},
        )
        .scalars()
        .all()
    )
    if not accounts:
        return []
    at, number = before or (2**62, 0)
    names = {f"a{n}": account for n, account in enumerate(accounts)}
    moved = _moved(", ".join(f":{name}" for name in names))
    rows = connection.execute(
        text(
            f"SELECT moved.*, e.kind AS event FROM ({moved}) AS moved "
            "LEFT JOIN event e ON e.id = moved.cause WHERE (moved.at, moved.id) < (:at, :id) "
            "ORDER BY moved.at DESC, moved.id DESC LIMIT :n"
        ),
        {**names, "s": subscriber, "n": limit, "at": at, "id": number},
    )
    return [
        {
            **{"at": instant(r.at), "unit": r.unit, "amount": int(r.amount), "reason": r.reason, "key": r.key},
            **{"campaign": r.campaign, "revision": r.revision, "event": r.event, "cursor": (r.at, r.id)},
        }
        for r in rows
    ]


def _moved(listed: str) -> str:
    """SQL for what came into a person's accounts and left them: by their messages, and what else moved, by account."""
    came, left = f"p.destination IN ({listed})", f"p.source IN ({listed})"
    columns = "p.reason, p.key, p.campaign, p.revision, p.event AS cause"
    signed = f"CASE WHEN {left} THEN -p.amount ELSE p.amount END AS amount"
    return (
        f"SELECT p.id, p.at, p.unit, {signed}, {columns} FROM text t JOIN posting p ON p.text = t.id "
        f"WHERE t.{_ALL_TEXTS} AND ({left}) <> ({came}) UNION ALL "
        f"SELECT p.id, p.at, p.unit, -p.amount, {columns} FROM posting p "
        f"WHERE p.text IS NULL AND {left} AND NOT {came} UNION ALL "
        f"SELECT p.id, p.at, p.unit, p.amount, {columns} FROM posting p "
        f"WHERE p.text IS NULL AND {came} AND NOT {left}"
    )


def export(connection: Connection, vault: Vault, subscriber: int) -> dict[str, Any]:
    """Everything kept about a person; `messages` is how many texts, `texts` the texts themselves."""
    one = connection.execute(text("SELECT created_at FROM subscriber WHERE id = :s"), {"s": subscriber}).scalar()
    if one is None:  # a first message: nothing of them is committed yet
        names = (
            *("identities", "texts", "consents", "events", "history", "test_history", "standing", "surveys"),
            *("notices", "notice_consents"),
        )
        lists: dict[str, Any] = {name: [] for name in names}
        return {"created_at": instant(0), "profile": {}, "messages": 0, **lists}
    texts = connection.execute(
        text(
            f"SELECT at, heard, said FROM text WHERE {_TEXTS} AND (heard IS NOT NULL OR said IS NOT NULL) ORDER BY id"
        ),
        {"s": subscriber},
    ).all()
    consents = connection.execute(
        text("SELECT given, wording, at FROM consent WHERE subscriber = :s ORDER BY id"), {"s": subscriber}
    )
    events = connection.execute(
        text(
            # Those of the person's messages, and what others caused.
            "SELECT id, at, kind, actor, campaign, data FROM event "
            f"WHERE text IN (SELECT id FROM text WHERE {_TEXTS}) UNION ALL "
            "SELECT id, at, kind, actor, campaign, data FROM event WHERE text IS NULL "
            "AND subscriber IN (SELECT id FROM subscriber WHERE id = :s OR alias_of = :s) ORDER BY id"
        ),
        {"s": subscriber},
    )
    return {
        **show(connection, subscriber),
        "created_at": instant(one),
        "profile": profiles.read(connection, vault, subscriber),
        "messages": len(texts),
        "texts": [{"at": instant(r.at), "heard": r.heard, "said": json.loads(r.said or "[]")} for r in texts],
        "consents": [{"given": bool(r.given), "wording": r.wording, "at": instant(r.at)} for r in consents],
        "events": [
            {"at": instant(r.at), "kind": r.kind, "actor": r.actor, "campaign": r.campaign, "data": json.loads(r.data)}
            for r in events
        ],
        "history": history(connection, subscriber, 1_000_000),
        "test_history": history(connection, subscriber, 1_000_000, test=True),
        "standing": [
            {"at": row.at, "kind": row.kind, "why": row.why} for row in standing.records(connection, subscriber, 1_000)
        ],
        "surveys": surveys.of_person(connection, subscriber),
        "notices": notices.of(connection, subscriber, 1_000),
        "notice_consents": notices.consents(connection, subscriber),
    }


def conversation(connection: Connection, number: int, limit: int) -> list[dict[str, Any]]:
    """The latest texts with one identity, and the pushes that its page fetched since the first of them, oldest first:
    `id`, `at`, `kind` (a push: `push`, and the id is its delivery's), `heard`, `said` (message trees)."""
    rows = connection.execute(
        text("SELECT id, at, kind, heard, said FROM text WHERE identity = :i ORDER BY id DESC LIMIT :n"),
        {"i": number, "n": limit},
    ).all()
    # Where what was said before is emptied or beyond the limit, a push alone would tell of a conversation that is gone.
    emptied = (r.at for r in rows if r.said is None or (r.heard is None and r.kind in ("text", "voice")))
    since = max(emptied, default=rows[-1].at if len(rows) == limit else 0)
    pushed = connection.execute(
        text(
            "SELECT d.id, d.ended_at AS at, t.said, d.part FROM identity i JOIN delivery d "
            "ON d.subscriber = i.subscriber AND d.identity = i.id JOIN text t ON t.id = d.text WHERE i.id = :i "
            "AND d.run IS NOT NULL AND d.reason = 'fetched' AND d.due_at >= :since AND t.said IS NOT NULL "
            "ORDER BY d.due_at DESC, d.id DESC LIMIT :n"
        ),
        {"i": number, "since": since, "n": limit},
    ).all()
    lines = [
        {"id": r.id, "at": instant(r.at), "kind": r.kind, "heard": r.heard, "said": json.loads(r.said or "[]")}
        for r in reversed(rows)
    ] + [
        {"id": r.id, "at": instant(r.at), "kind": "push", "heard": None, "said": [json.loads(r.said)[r.part]]}
        for r in reversed(pushed)
    ]
    return sorted(lines, key=lambda line: line["at"])[-limit:]


def park(connection: Connection, number: int, now: datetime, until: datetime) -> None:
    """The person left this account: profile and texts go, the address too; what the hash finds stays until `until`."""
    person = connection.execute(text("SELECT subscriber FROM identity WHERE id = :i"), {"i": number}).scalar_one()
    erasures.note(connection, "left", "id", number, now, until)
    connection.execute(
        text("UPDATE identity SET address = NULL, following = FALSE, parked_until = :until WHERE id = :i"),
        {"until": micros(until), "i": number},
    )
    connection.execute(text("UPDATE text SET heard = NULL, said = NULL WHERE identity = :i"), {"i": number})
    connection.execute(
        text(
            "UPDATE delivery SET state = 'refused', reason = 'unfollowed', ended_at = :now WHERE identity = :i "
            "AND state IN ('passive', 'queued', 'claimed')"
        ),
        {"now": micros(now), "i": number},
    )
    notices.leave(connection, number)
    elsewhere = text("SELECT 1 FROM identity WHERE subscriber = :s AND address IS NOT NULL LIMIT 1")
    if not connection.execute(elsewhere, {"s": person}).first():
        profiles.destroy(connection, person)


def forget(connection: Connection, subscriber: int, now: datetime, until: datetime) -> tuple[str, ...]:
    """Destroy the person's key, details and texts on every channel; returns what is kept (KEPT_AFTER_FORGETTING).

    The addresses go with the next retention step, when the answer to this request has left; `until` is when the last
    tie to what is kept is cut.
    """
    erasures.note(connection, "forgotten", "subscriber", subscriber, now, until)
    profiles.destroy(connection, subscriber)
    standing.forget_reasons(connection, subscriber)
    quizzes.forget(connection, subscriber)
    surveys.forget(connection, subscriber)
    notices.forget(connection, subscriber)
    connection.execute(text(f"UPDATE text SET heard = NULL WHERE {_TEXTS}"), {"s": subscriber})
    # The answer to this very request is still to be delivered: its row alone keeps what is said.
    connection.execute(
        text(
            f"UPDATE text SET said = NULL WHERE {_TEXTS} "
            f"AND id <> (SELECT id FROM text WHERE {_TEXTS} ORDER BY at DESC, id DESC LIMIT 1)"
        ),
        {"s": subscriber},
    )
    connection.execute(
        text("DELETE FROM memory WHERE subscriber = :s AND name IN ('shown', 'form')"), {"s": subscriber}
    )
    connection.execute(
        text("UPDATE identity SET parked_until = :until WHERE subscriber = :s"),
        {"until": micros(until), "s": subscriber},
    )
    return KEPT_AFTER_FORGETTING
