"""Every delivery from queued to its end: claimed with a lease in a commit just before the request, then final.

Promises that one row is in one hand at a time, that a person's messages leave in order, and that what may have been
sent is repeated only as its class allows. Every instant is in stored microseconds; `at` and `now` are campaign time,
`machine_now` and leases are the database's. Knows no channel.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from storage import bulk, notices, tables
from storage.stops import GOING

MAX_TRIES: Final = 5
RESENT: Final = "resent"  # the reason of a row that may have been sent before: it is repeated once, and not again

_SECOND = 1_000_000
_UNCOUNTED = ("bot", "notice")  # ways on which any number may follow a person's last act
_LONGEST_BACKOFF = 300
# Said so that no database takes the index of open rows to look up one person, whatever its statistics are.
_NOT_ENDED = "state NOT IN ('sent', 'handed_over', 'refused', 'failed', 'doubtful')"
# True of every number, which makes some hundreds look like a handful: PostgreSQL finds each by its key, where it would
# read a whole table of some ten thousands each time.
_CHOSEN = "SELECT id FROM chosen WHERE id + 0 = id"
# Why a row must not go; asked of the database in one word, since what is read of each row is read of very many.
_UNLAWFUL = (
    "CASE WHEN t.said IS NULL OR COALESCE(i.address, '') = '' THEN 'erased' WHEN NOT i.following THEN 'not_following' "
    "WHEN p.run IS NOT NULL AND s.alias_of IS NOT NULL THEN 'joined' "
    "WHEN p.run IS NOT NULL AND s.blocked_at IS NOT NULL THEN 'blocked' "
    "WHEN p.lane <> 0 AND NOT s.consent THEN 'no_consent' END"
)
_LEASED = tables.one_of("state", tables.LEASED)  # as the index has it
# What a page may fetch of pushes: what is due of a run that goes, by who still agrees, and nothing during a stop.
_FETCHABLE = (
    "(d.run IS NULL OR (d.due_at <= :now AND EXISTS (SELECT 1 FROM push_run r JOIN subscriber s ON s.id = d.subscriber "
    f"WHERE r.id = d.run AND r.state IN ('opening', 'running') AND s.consent AND s.blocked_at IS NULL AND {GOING})))"
)


class Claimed(NamedTuple):
    """One row in our hands. `message` is empty when the text was erased."""

    id: int
    lease: str
    account: str  # channel:account
    subscriber: int
    identity: int
    address: str
    message: dict[str, Any]
    kind: str  # reminder | transactional | keyed
    heard_at: int | None
    heard_kind: str
    sent_since: int
    pushed: bool = False  # it is a push's, and no answer
    way: str | None = None  # of a push


class Ended(NamedTuple):
    """How one request ended: `sent`, `refused`, `failed`, `doubtful`, or `retry` / `slow` after `wait` seconds."""

    id: int
    lease: str
    state: str
    reason: str = ""
    wait: float = 0.0


# ---- the passive answer


def settle(connection: Connection, ids: Iterable[int], at: int) -> None:
    """These answers were written to the socket: sent, unless the sender took them meanwhile."""
    changes = ("state='sent'", "reason='passive'", "ended_at", "lease=''", "lease_until=NULL")
    rows = [(at, delivery) for delivery in sorted(ids)]
    bulk.update(connection, _TABLE, "id", changes, rows, only="delivery.state IN ('passive', 'queued')")


def release(connection: Connection, ids: Iterable[int]) -> None:
    """These answers cannot leave on the socket: the sender, or the person's next fetch, takes them."""
    bulk.select(
        connection,
        "UPDATE delivery SET state = 'queued', lease = '', lease_until = NULL WHERE id IN {set} AND state = 'passive' "
        "RETURNING id",
        ids,
    )


# ---- the sender


def claim(
    connection: Connection,
    account: str,
    now: int,
    machine_now: int,
    lease: str,
    limit: int,
    lease_seconds: float,
    runs: Sequence[int] = (),
    grant: Callable[[int], int] = lambda wanted: wanted,
) -> list[Claimed]:
    """Take up to `limit` due rows of a channel account and mark them as being sent; commit, then send exactly these.

    Replies come oldest first, then those of pushes' `runs`, in order; nothing while an emergency stop stands. Of each
    person only the oldest open row of the lane is taken, so the next waits until it ended; a push also waits for that
    person's replies. Who left, was erased or takes no more pushes is refused; whose row somebody is just writing is
    passed over. Of the others so many go as `grant` allows of them. `lease` names this claim and no other, for how
    they end is conditional on it.
    """
    values = (account, now, machine_now)
    rows = _pick(connection, "d.lane = 0", *values, limit)
    for run in runs:
        if len(rows) >= limit:
            break
        rows += _pick(connection, "d.run = ?", run, *values, limit - len(rows))
    lawful = _refuse_unlawful(connection, rows, now)
    granted = lawful[: grant(len(lawful))] if lawful else []
    # Asked again, since waiting for the grant a push may have been paused, or all sending stopped.
    begun = bulk.tuples(
        connection,
        "WITH chosen(id) AS {set} UPDATE delivery SET state = 'sending', lease = ?, lease_until = ? "
        f"WHERE id IN ({_CHOSEN}) AND (run IS NULL OR run IN (SELECT id FROM push_run "
        f"WHERE state IN ('opening', 'running'))) AND {GOING} RETURNING id",
        [row.id for row in granted],
        lease,
        machine_now + int(lease_seconds * _SECOND),
    )
    ids = {number for (number,) in begun}
    said = cache(_message)  # a push says the same to many
    return [_claimed(row, account, lease, said(row.said, row.part)) for row in granted if row.id in ids]


def may_begin(connection: Connection, number: int, lease: str) -> bool:
    """Whether a push's row, claimed a while ago, may still begin: it is in the same hand, and nothing forbids it."""
    found = connection.execute(
        text(
            "SELECT 1 FROM delivery d JOIN subscriber s ON s.id = d.subscriber JOIN push_run r ON r.id = d.run "
            "WHERE d.id = :id AND d.lease = :lease AND d.state = 'sending' AND r.state IN ('opening', 'running') "
            f"AND s.consent AND s.blocked_at IS NULL AND {GOING}"
        ),
        {"id": number, "lease": lease},
    )
    return found.first() is not None


def _pick(connection: Connection, which: str, *values: Any) -> list[Any]:
    lite = connection.dialect.name == "sqlite"
    # Nobody is waited for, so that nothing can wait for us in a circle. The person is held until the commit: whoever
    # leaves has left before it, and is seen here, or leaves after it.
    locking, holding = ("", "") if lite else (" FOR UPDATE SKIP LOCKED", " FOR SHARE OF s SKIP LOCKED")
    # Picked in the order of the index of open rows and joined afterwards, or a push to many would be sorted each time;
    # OFFSET 0 keeps PostgreSQL from joining all open rows at once: the few oldest are asked one by one.
    return bulk.select_all(
        connection,
        "WITH picked AS MATERIALIZED (SELECT d.* FROM delivery d "
        f"WHERE {GOING} AND {which} AND d.account = ? AND d.state = 'queued' AND d.due_at <= ? "
        "AND (d.lease_until IS NULL OR d.lease_until <= ?) "
        "AND NOT EXISTS (SELECT 1 FROM delivery e WHERE e.subscriber = d.subscriber AND e.identity = d.identity "
        f"AND e.{_NOT_ENDED} AND e.id <> d.id AND COALESCE(e.way, '') <> 'mass' "
        "AND (e.state IN ('claimed', 'sending') OR e.lane < d.lane "
        "OR (e.lane = d.lane AND (e.due_at, e.id) < (d.due_at, d.id) "
        "AND (e.run IS NULL OR EXISTS (SELECT 1 FROM push_run r WHERE r.id = e.run "
        "AND r.state IN ('opening', 'running'))))) LIMIT 1 OFFSET 0) "
        f"ORDER BY d.due_at LIMIT ?{locking}) "
        "SELECT p.id, p.subscriber, p.identity, i.address, t.said, p.part, p.kind, p.run, p.way, p.reason, "
        f"{_UNLAWFUL} AS why, i.heard_at, i.heard_kind, i.sent_since FROM picked p "
        "JOIN subscriber s ON s.id = p.subscriber JOIN identity i ON i.id = p.identity "
        f"JOIN text t ON t.id = p.text WHERE p.id + 0 = p.id ORDER BY p.due_at, p.id{holding}",
        *values,
    )


def _refuse_unlawful(connection: Connection, rows: Sequence[Any], at: int) -> list[Any]:
    """End those that must not go; the others."""
    lawful, refused = [], []
    for row in rows:
        if row.why:
            state = "doubtful" if row.reason == RESENT else "refused"
            refused.append((state, row.why, "", None, at, row.id))
        else:
            lawful.append(row)
    bulk.update(connection, _TABLE, "id", ("state", "reason", "lease", "lease_until", "ended_at"), refused)
    return lawful


def finish(connection: Connection, results: Iterable[Ended], machine_now: int, at: int) -> set[int]:
    """Write how requests ended; returns the ids that ended for good or wait for another try.

    A result counts only while the row still carries its lease: also after the lease ran out, as long as nobody else
    took the row, for late truth is better than doubt. Another try comes after its wait or a growing back-off,
    whichever is longer; at the MAX_TRIES-th `retry` the row has failed. `slow` is no fault of the message and
    is not counted.
    """
    by_claim = {(result.id, result.lease): result for result in results}
    counts: Counter[int] = Counter()
    ended = _all_sent(connection, by_claim, at, counts)
    locking = "" if connection.dialect.name == "sqlite" else " ORDER BY id FOR UPDATE"
    rows = bulk.select(
        connection,
        "SELECT id, identity, kind, lane, lease, tries, reason, way FROM delivery WHERE id IN {set} "
        f"AND state IN ('sending', 'queued', 'doubtful'){locking}",
        sorted({number for number, _ in by_claim}),
    )
    ours = sorted((row for row in rows if (row.id, row.lease) in by_claim), key=lambda row: row.id)
    changed = [_ended(row, by_claim[row.id, row.lease], machine_now, at) for row in ours]
    bulk.update(connection, _TABLE, "id", ("state", "reason", "lease", "lease_until", "tries", "ended_at"), changed)
    sent = [row for row in ours if _counts(by_claim[row.id, row.lease])]
    counts.update(row.identity for row in sent if row.way not in _UNCOUNTED)
    identities = [(count, identity) for identity, count in sorted(counts.items())]
    bulk.update(connection, tables.metadata.tables["identity"], "id", ("sent_since+",), identities)
    late = [row.id for row in ours if _is_late(row, by_claim[row.id, row.lease])]
    if late:
        notices.late(connection, late)
    return ended | {row.id for row in ours}


def _counts(result: Ended) -> bool:
    """Whether it was sent by the chat, where the platform counts."""
    return result.state == "sent" and result.reason not in notices.OTHER_WAYS


def _all_sent(
    connection: Connection, by_claim: dict[tuple[int, str], Ended], at: int, counts: Counter[int]
) -> set[int]:
    """End those that were just sent, a claim at a time, and take them out of `by_claim`: most are, and nothing of them
    need be read before. Adds to `counts` by identity."""
    claims: dict[str, list[int]] = {}
    for number, lease in [key for key, result in by_claim.items() if result.state == "sent" and not result.reason]:
        claims.setdefault(lease, []).append(number)
        del by_claim[number, lease]
    ended: set[int] = set()
    for lease, numbers in sorted(claims.items()):
        rows = bulk.tuples(
            connection,
            f"WITH chosen(id) AS {{set}} UPDATE delivery SET state = 'sent', lease = '', lease_until = NULL, "
            f"ended_at = ?, reason = CASE reason WHEN '{RESENT}' THEN reason ELSE '' END "
            f"WHERE id IN ({_CHOSEN}) AND lease = ? AND state IN ('sending', 'queued', 'doubtful') "
            "RETURNING id, identity, way",
            sorted(numbers),
            at,
            lease,
        )
        ended.update(number for number, _, _ in rows)
        counts.update(identity for _, identity, way in rows if way not in _UNCOUNTED)
    return ended


def _is_late(row: Any, result: Ended) -> bool:
    """Whether an answer certainly did not leave, since it came too late: it is told with the next."""
    refused = result.state == "refused" and result.reason in notices.LATE
    return refused and not row.lane and row.kind == "reminder" and row.reason != RESENT


def reap(connection: Connection, machine_now: int) -> dict[str, int]:
    """Take rows out of hands whose lease ran out; returns how many came from or ended in which state.

    Passive and claimed rows were certainly not sent by the sender and are queued again. Those that were being sent are
    in doubt: a reminder is repeated once, a keyed one goes again since its platform knows the key, and what is
    transactional ends doubtful, for a human to settle.
    """
    locking = "" if connection.dialect.name == "sqlite" else " ORDER BY id FOR UPDATE SKIP LOCKED"
    rows = connection.execute(
        text(
            f"SELECT id, state, kind, lease, tries, reason FROM delivery WHERE {_LEASED} "
            f"AND lease_until <= :now{locking}"
        ),
        {"now": machine_now},
    ).all()
    changed, counts = [], {"passive": 0, "claimed": 0, "sending": 0, "doubtful": 0}
    for row in rows:
        counts[row.state] += 1
        if row.state != "sending":
            changed.append(("queued", row.reason, "", row.tries, row.id))
            continue
        state, reason = _doubt(row.kind, row.tries, row.reason, "lease_ended")
        counts["doubtful"] += state == "doubtful"
        # The lease stays written: should its holder come back before anybody took the row, its word still counts.
        changed.append((state, reason, row.lease, row.tries + 1, row.id))
    timed = [(state, reason, lease, None, tries, number) for state, reason, lease, tries, number in changed]
    bulk.update(connection, _TABLE, "id", ("state", "reason", "lease", "lease_until", "tries"), timed)
    return counts


# ---- channels whose people fetch


def waiting(
    connection: Connection, identity: int, now: int, limit: int, *, told: bool = False
) -> list[tuple[int, dict[str, Any]]]:
    """Hand out what is due for a person who fetches: delivery id and message tree, oldest first. With `told` only what
    their conversation tells as well, which of a push it does not before it was fetched.

    Writes: the rows remember the last id of what was handed out together, which `fetched` names. Without that,
    a row that came in between with a smaller id would count as fetched and be lost.
    """
    rows = connection.execute(
        text(
            "SELECT d.id, t.said, d.part FROM identity i JOIN delivery d ON d.subscriber = i.subscriber "
            "AND d.identity = i.id JOIN text t ON t.id = d.text "
            f"WHERE i.id = :identity AND d.state = 'queued' AND {_FETCHABLE} {'AND t.identity = i.id ' if told else ''}"
            "ORDER BY d.due_at, d.id LIMIT :limit"
        ),
        {"identity": identity, "now": now, "limit": limit},
    ).all()
    if rows:
        mark = _mark(rows[-1].id)
        bulk.update(connection, _TABLE, "id", ("lease",), sorted((mark, row.id) for row in rows))
    return [(row.id, _message(row.said, row.part)) for row in rows]


def fetched(connection: Connection, identity: int, last: int, at: int) -> int:
    """The batch whose last delivery is `last` arrived: sent. Returns how many rows that was."""
    ended = connection.execute(
        text(
            "UPDATE delivery SET state = 'sent', reason = 'fetched', lease = '', ended_at = :at WHERE state = 'queued' "
            "AND identity = :identity AND lease = :mark "
            "AND subscriber = (SELECT subscriber FROM identity WHERE id = :identity)"
        ),
        {"identity": identity, "mark": _mark(last), "at": at},
    )
    return ended.rowcount


def identities_waiting(connection: Connection, identities: Iterable[int], now: int) -> list[int]:
    """Those of the identities for whom something is due."""
    rows = bulk.select(
        connection,
        "SELECT DISTINCT d.identity FROM identity i JOIN delivery d ON d.subscriber = i.subscriber "
        f"AND d.identity = i.id WHERE i.id IN {{set}} AND d.state = 'queued' AND {_FETCHABLE.replace(':now', '?')}",
        identities,
        now,
    )
    return [row.identity for row in rows]


# ---- for metrics and doctor


def open_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many rows are not at their end, by channel account and state."""
    rows = connection.execute(
        text(
            "SELECT account, state, COUNT(*) AS rows FROM delivery WHERE state = 'queued' GROUP BY account, state "
            f"UNION ALL SELECT account, state, COUNT(*) FROM delivery WHERE {_LEASED} GROUP BY account, state"
        )
    )
    return {(account, state): count for account, state, count in rows}


_TABLE = tables.metadata.tables["delivery"]


def _ended(row: Any, result: Ended, machine_now: int, at: int) -> tuple[Any, ...]:
    """The row of an update: state, reason, lease, lease_until, tries, ended_at, id."""
    state, reason, tries, wait = result.state, result.reason, row.tries, result.wait
    if state in ("retry", "doubtful"):
        tries += 1
        wait = max(wait, min(2**tries, _LONGEST_BACKOFF))
    if state == "doubtful":
        state, reason = _doubt(row.kind, row.tries, row.reason, result.reason)
    elif state == "retry":
        state = "queued" if tries < MAX_TRIES else "doubtful" if row.reason == RESENT else "failed"
    elif state == "slow":
        state = "queued"
    if state != "queued":
        return (state, reason or (RESENT if row.reason == RESENT else ""), "", None, tries, at, row.id)
    kept = RESENT if row.reason == RESENT else reason
    return (state, kept, "", machine_now + int(wait * _SECOND), tries, None, row.id)


def _doubt(kind: str, tries: int, before: str, reason: str) -> tuple[str, str]:
    """State and reason of a row that may have been sent."""
    if kind == "reminder" and before != RESENT:
        return "queued", RESENT
    if kind == "keyed" and tries + 1 < MAX_TRIES:
        return "queued", reason
    return "doubtful", reason


def _claimed(row: Any, account: str, lease: str, message: dict[str, Any]) -> Claimed:
    # By position, for so many rows: names cost more than the rest of it.
    known = (row.heard_at, row.heard_kind, row.sent_since, row.run is not None, row.way)
    whom = (row.subscriber, row.identity, row.address or "")
    return Claimed(row.id, lease, account, *whom, message, row.kind, *known)


def _message(said: str | None, part: int) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(said)[part] if said else {}
    return message


def _mark(last: int) -> str:
    return f"fetch:{last}"
