"""What people are to be told: each notice once, from queued to told, and the consents that platforms ask for.

Promises that a notice is told in one answer only, that a consent is used once, and that what may have been sent is
never told a second time. It knows no channel and no order of ways: `campaigns/notices.py` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.stops import GOING

LATE: Final = frozenset({"window_closed", "count_used_up", "no_capability"})  # why an answer can be late for good
OTHER_WAYS: Final = frozenset({"reply", "template", "subscription", "sms"})  # reasons of a delivery sent otherwise
LATE_ANSWER: Final = "late_answer"
_TABLES = tables.metadata.tables
_RESENT = "resent"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that no way was open for. `words` are those of a late answer; None once they were erased."""

    id: int
    kind: str
    phrase: str
    data: dict[str, Any]
    at: int
    test: int | None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """One place where a person can be reached."""

    identity: int
    channel: str
    account: str
    address: str
    heard_at: int | None
    heard_kind: str
    sent_since: int

    @property
    def name(self) -> str:
        """`channel:account`."""
        return f"{self.channel}:{self.account}"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A notice whose delivery is being sent. `resent`: it may have arrived already; `homes` begin with its own."""

    id: int
    subscriber: int
    kind: str
    phrase: str
    data: dict[str, Any]
    at: int
    way: str
    test: bool
    resent: bool
    language: str
    message: dict[str, Any]
    homes: tuple[Home, ...]


# ---- told in the next answer


def waiting(connection: Connection, subscriber: int, limit: int) -> list[Waiting]:
    """The oldest notices that wait for this (locked) person's next answer."""
    rows = bulk.select(
        connection,
        "SELECT n.id, n.kind, n.phrase, n.data, n.at, n.test, n.part, t.said FROM notice n "
        "LEFT JOIN text t ON t.id = n.text WHERE n.subscriber IN {set} AND n.state = 'waiting' ORDER BY n.id LIMIT ?",
        [subscriber],
        limit,
    )
    return [
        Waiting(
            *(row.id, row.kind, row.phrase, json.loads(row.data), row.at, row.test),
            str(json.loads(row.said)[row.part].get("text", "")) if row.said else None,
        )
        for row in rows
    ]


def told(connection: Connection, rows: Sequence[tuple[Any, ...]], free: Iterable[int]) -> None:
    """End notices of a group: `rows` are (state, way, reason, answer, ended_at, id); `free` people have none left."""
    changes = ("state", "way", "reason", "answer", "ended_at")
    bulk.update(connection, _TABLES["notice"], "id", changes, sorted(rows, key=lambda row: int(row[-1])))
    bulk.update(connection, _TABLES["subscriber"], "id", ("owed",), [(False, number) for number in sorted(set(free))])


# ---- how their deliveries ended


def late(connection: Connection, deliveries: Sequence[int]) -> None:
    """Answers that were refused because they came too late become notices; a notice's own delivery is one already."""
    bulk.select(
        connection,
        "INSERT INTO notice (id, subscriber, kind, phrase, data, at, state, way, reason, text, part) "
        f"SELECT id, subscriber, '{LATE_ANSWER}', '', '{{}}', due_at, 'queued', '', '', text, part FROM delivery "
        "WHERE id IN {set} ON CONFLICT (id) DO NOTHING",
        sorted(deliveries),
    )


def settle(connection: Connection, at: int, limit: int) -> int:
    """Give notices the ends of their deliveries; what certainly did not arrive waits for an answer. Returns how many.

    The people concerned are locked first, as a group of messages locks them, so that none is answered meanwhile.
    """
    ended = "d.state IN ('sent', 'refused', 'failed', 'doubtful')"
    sql = "SELECT n.id, n.subscriber FROM notice n JOIN delivery d ON d.id = n.id WHERE n.state = 'queued'"
    found = bulk.select_all(connection, f"{sql} AND {ended} ORDER BY n.id LIMIT ?", limit)
    if not found:
        return 0
    if connection.dialect.name != "sqlite":
        people = sorted({row.subscriber for row in found})
        bulk.select(connection, "SELECT id FROM subscriber WHERE id IN {set} ORDER BY id FOR UPDATE", people)
    rows = bulk.select(
        connection,
        "SELECT n.id, n.subscriber, n.way, d.state, d.reason FROM notice n JOIN delivery d ON d.id = n.id "
        f"WHERE n.id IN {{set}} AND n.state = 'queued' AND {ended} ORDER BY n.id",
        [row.id for row in found],
    )
    changed: list[tuple[Any, ...]] = []
    owed: set[int] = set()
    for row in rows:
        if row.state in ("sent", "doubtful"):
            changed.append((row.state, row.way or "reply", "" if row.state == "sent" else row.reason, at, row.id))
        else:
            changed.append(("waiting", "", row.reason, None, row.id))
            owed.add(row.subscriber)
    bulk.update(connection, _TABLES["notice"], "id", ("state", "way", "reason", "ended_at"), changed)
    bulk.update(connection, _TABLES["subscriber"], "id", ("owed",), [(True, number) for number in sorted(owed)])
    return len(rows)


# ---- by another way than the first


def under_way(connection: Connection, delivery: int) -> UnderWay | None:
    """The notice that a delivery carries; None for any other answer, a late one among them."""
    row = connection.execute(
        text(
            "SELECT n.*, d.reason AS before, d.identity, s.language, t.said, d.part AS place FROM notice n "
            "JOIN delivery d ON d.id = n.id JOIN subscriber s ON s.id = n.subscriber JOIN text t ON t.id = d.text "
            "WHERE n.id = :id AND n.state = 'queued' AND n.phrase <> ''"
        ),
        {"id": delivery},
    ).one_or_none()
    if row is None:
        return None
    homes = connection.execute(
        text(
            "SELECT id, channel, account, address, heard_at, heard_kind, sent_since FROM identity "
            "WHERE subscriber = :s AND following AND address IS NOT NULL AND parked_until IS NULL "
            "ORDER BY CASE id WHEN :own THEN 0 ELSE 1 END, COALESCE(heard_at, 0) DESC, id"
        ),
        {"s": row.subscriber, "own": row.identity},
    )
    return UnderWay(
        *(row.id, row.subscriber, row.kind, row.phrase, json.loads(row.data), row.at, row.way, row.test is not None),
        *(row.before == _RESENT, row.language, json.loads(row.said)[row.place] if row.said else {}),
        tuple(Home(*home) for home in homes),
    )


def begin(connection: Connection, notice: int, way: str, identity: int, template: str = "") -> str:
    """Write down, to be committed right before the request, that a notice goes this way; a consent is used up by it.

    Returns what stands in its way, if anything: `stopped` (emergency stop) or `no_consent`.
    """
    if not connection.execute(text(f"SELECT 1 WHERE {GOING}")).first():
        return "stopped"
    if way == "subscription" and not spend(connection, identity, template):
        return "no_consent"
    if way == "reply":
        connection.execute(text("UPDATE identity SET sent_since = sent_since + 1 WHERE id = :i"), {"i": identity})
    connection.execute(text("UPDATE notice SET way = :way WHERE id = :n"), {"way": way, "n": notice})
    return ""


def take_back(connection: Connection, notice: int, way: str, identity: int, template: str, reason: str) -> None:
    """It certainly did not go this way: its consent is free again, or forgotten where the platform knows of none."""
    connection.execute(text("UPDATE notice SET way = '' WHERE id = :n"), {"n": notice})
    if way == "subscription":
        give_back(connection, identity, template, reason)


# ---- consents


def spend(connection: Connection, identity: int, template: str) -> bool:
    """Use up one yes for a template, to be committed right before the request; whether there was one."""
    sql = "UPDATE notice_consent SET remaining = remaining - 1 WHERE identity = :i AND template = :t AND remaining > 0"
    return bool(connection.execute(text(sql), {"i": identity, "t": template}).rowcount)


def give_back(connection: Connection, identity: int, template: str, reason: str) -> None:
    """It certainly was not sent: its yes is free again, or forgotten where the platform knows of none."""
    who = {"i": identity, "t": template}
    if reason == "consent_refused":
        connection.execute(text("DELETE FROM notice_consent WHERE identity = :i AND template = :t"), who)
    else:
        sql = "UPDATE notice_consent SET remaining = remaining + 1 WHERE identity = :i AND template = :t"
        connection.execute(text(sql), who)


def agree(connection: Connection, said: Sequence[tuple[int, str, bool, int]]) -> None:
    """Count each yes of (identity, template, agreed, at), in order; a no forgets those that were not used."""
    for identity, template, agreed, at in said:
        if agreed:
            columns = ("identity", "template", "remaining+", "at")
            bulk.upsert(connection, _TABLES["notice_consent"], columns, [(identity, template, 1, at)])
        else:
            sql = "DELETE FROM notice_consent WHERE identity = :i AND template = :t"
            connection.execute(text(sql), {"i": identity, "t": template})


def remaining(connection: Connection, identity: int, template: str) -> int:
    """How many notices of a template may still come to an identity."""
    sql = "SELECT remaining FROM notice_consent WHERE identity = :i AND template = :t"
    return int(connection.execute(text(sql), {"i": identity, "t": template}).scalar() or 0)


# ---- the person


def of(connection: Connection, subscriber: int, limit: int) -> list[dict[str, Any]]:
    """A person's notices, newest first: `at`, `kind`, `state`, `way`, `reason`."""
    rows = connection.execute(
        text("SELECT at, kind, state, way, reason FROM notice WHERE subscriber = :s ORDER BY id DESC LIMIT :n"),
        {"s": subscriber, "n": limit},
    )
    return [
        {"at": tables.instant(r.at), "kind": r.kind, "state": r.state, "way": r.way, "reason": r.reason} for r in rows
    ]


def consents(connection: Connection, subscriber: int) -> list[dict[str, Any]]:
    """The templates of which the person can still get notices: `template`, `remaining`, `at`."""
    rows = connection.execute(
        text(
            "SELECT c.template, c.remaining, c.at FROM notice_consent c JOIN identity i ON i.id = c.identity "
            "WHERE i.subscriber = :s AND c.remaining > 0 ORDER BY c.identity, c.template"
        ),
        {"s": subscriber},
    )
    return [{"template": r.template, "remaining": r.remaining, "at": tables.instant(r.at)} for r in rows]


def leave(connection: Connection, identity: int) -> None:
    """Whoever left an account agreed to nothing there any longer."""
    connection.execute(text("DELETE FROM notice_consent WHERE identity = :i"), {"i": identity})


def forget(connection: Connection, subscriber: int) -> None:
    """Nothing is to be told to somebody who is forgotten, and nothing was agreed to."""
    owned = "(SELECT id FROM identity WHERE subscriber = :s)"
    connection.execute(text(f"DELETE FROM notice_consent WHERE identity IN {owned}"), {"s": subscriber})
    connection.execute(text("DELETE FROM notice WHERE subscriber = :s"), {"s": subscriber})
    connection.execute(text("UPDATE subscriber SET owed = FALSE WHERE id = :s"), {"s": subscriber})


def unite(connection: Connection, older: int, younger: int) -> None:
    """What the younger number was to be told is told to the older; both are locked."""
    who = {"o": older, "y": younger}
    for change in (
        "UPDATE notice SET subscriber = :o WHERE subscriber = :y",
        "UPDATE subscriber SET owed = TRUE WHERE id = :o AND EXISTS (SELECT 1 FROM subscriber WHERE id = :y AND owed)",
    ):
        connection.execute(text(change), who)


def sweep(connection: Connection, past: int, batch: int) -> int:
    """Remove notices that ended before `past`; returns how many."""
    return connection.execute(
        text("DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE ended_at < :past ORDER BY id LIMIT :n)"),
        {"past": past, "n": batch},
    ).rowcount


def counts(connection: Connection) -> list[tuple[str, str, str, int]]:
    """How many notices stand how: (kind, state, way, count). What lies in a chat that was opened since is sent."""
    rows = connection.execute(
        text("SELECT kind, state, way, COUNT(*) FROM notice GROUP BY kind, state, way ORDER BY kind, state, way")
    )
    return [(kind, state, way, int(count)) for kind, state, way, count in rows]
