"""Proposals as they are kept: made once by key, listed, decided once; and what is known of movements to be undone.

Set-wise reads and writes: a proposal of thousands of lines costs a few statements. It knows no rule of who may.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.tables import instant, micros

_LOCK = 0x70726F706F73
_TABLES = tables.metadata.tables
_COLUMNS = (
    *("number", "key", "kind", "unit", "campaign", "revision", "state", "why", "proposed_by", "proposed_at", "branch"),
    *("decided_by", "decided_at", "decided_why", "lines", "total", "digest"),
)
_LINE = ("proposal", "line", "subscriber", "account", "amount", "posting")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM proposal"


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal. `kind` is goodwill, correction, opening or reversal, `state` open, approved, declined or withdrawn;
    `total` the sum of its signed amounts; times are campaign time."""

    number: int
    key: str
    kind: str
    unit: str
    campaign: str
    revision: int
    state: str
    why: str
    proposed_by: str
    proposed_at: datetime
    branch: str | None
    decided_by: str
    decided_at: datetime | None
    decided_why: str
    lines: int
    total: int
    digest: str


class Row(NamedTuple):
    """One line: whose account is to change by how much; `posting` is the movement that a reversal undoes."""

    line: int
    subscriber: int | None
    account: str
    amount: int
    posting: int | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """A posting as a reversal needs it; `reversed` says that it was undone already."""

    id: int
    key: str
    unit: str
    source: str
    destination: str
    amount: int
    campaign: str
    reverses: int | None
    reversed: bool


# ---- made


def alone(connection: Connection) -> None:
    """Let no other proposal be made until this transaction ends: of two that are the same the second sees the first."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _LOCK})


def unhurried(connection: Connection) -> None:
    """Let this transaction think between statements longer than a message's may: thousands of lines are judged there,
    and on a busy machine PostgreSQL would take us for frozen."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '20s'"))


def add(connection: Connection, proposal: Proposal, rows: Sequence[Row]) -> Proposal:
    """Keep a proposal under the next number, whatever its own says. Call `alone` before."""
    last = connection.execute(text("SELECT COALESCE(MAX(number), 0) FROM proposal")).scalar_one()
    made = {name: getattr(proposal, name) for name in _COLUMNS} | {"number": int(last) + 1}
    stored = made | {"proposed_at": micros(proposal.proposed_at)}
    bulk.insert(connection, _TABLES["proposal"], _COLUMNS, [tuple(stored[name] for name in _COLUMNS)])
    lines = [(made["number"], row.line, row.subscriber, row.account, row.amount, row.posting) for row in rows]
    bulk.insert(connection, _TABLES["proposal_line"], _LINE, lines)
    return Proposal(**made)


def by_key(connection: Connection, key: str) -> Proposal | None:
    """The proposal that was made under this key."""
    return _one(connection.execute(text(f"{_SELECT} WHERE key = :key"), {"key": key}).one_or_none())


def same(connection: Connection, digest: str, since: datetime) -> Proposal | None:
    """The newest proposal of these contents that is open, or was approved since then."""
    row = connection.execute(
        text(
            f"{_SELECT} WHERE digest = :digest AND (state = 'open' OR (state = 'approved' AND decided_at > :since)) "
            "ORDER BY number DESC LIMIT 1"
        ),
        {"digest": digest, "since": micros(since)},
    ).one_or_none()
    return _one(row)


# ---- read


def find(connection: Connection, number: int, *, lock: bool = False) -> Proposal | None:
    """The proposal of that number; with `lock` nobody else decides it meanwhile."""
    locking = " FOR UPDATE" if lock and connection.dialect.name != "sqlite" else ""
    if not 0 < number < 2**31:
        return None
    return _one(connection.execute(text(f"{_SELECT} WHERE number = :n{locking}"), {"n": number}).one_or_none())


def listed(
    connection: Connection, state: str | None, branch: str | None, before: int | None, limit: int
) -> list[Proposal]:
    """Proposals, newest first: in one state, made in one branch, numbered below `before`, where these are given."""
    rows = connection.execute(
        text(
            f"{_SELECT} WHERE number < :before{' AND state = :state' if state else ''}"
            f"{' AND branch = :branch' if branch else ''} ORDER BY number DESC LIMIT :n"
        ),
        {"before": before or 2**31 - 1, "n": limit}
        | ({"state": state} if state else {})
        | ({"branch": branch} if branch else {}),
    )
    return [made for row in rows if (made := _one(row))]


def rows(connection: Connection, number: int, after: int = 0, limit: int | None = None) -> list[Row]:
    """Lines of a proposal in their order, those behind the line `after`."""
    query = (
        "SELECT line, subscriber, account, amount, posting FROM proposal_line WHERE proposal = ? AND line > ? "
        "ORDER BY line LIMIT ?"
    )
    return [Row(*row) for row in bulk.select_all(connection, query, number, after, limit or 2**31 - 1)]


def free(connection: Connection, accounts: Collection[str]) -> dict[str, tuple[int, int]]:
    """What these accounts hold: (amount, what of it is not reserved). Those without a row are left out."""
    sql = "SELECT account, amount, held, floor FROM balance WHERE account IN {set}"
    found = bulk.select(connection, sql, sorted(accounts))
    return {row.account: (int(row.amount), int(row.amount - row.held - row.floor)) for row in found}


def posted(connection: Connection, keys: Collection[str]) -> set[str]:
    """Those of the keys that the ledger has."""
    return {row.key for row in bulk.select(connection, "SELECT key FROM posting WHERE key IN {set}", sorted(keys))}


def numbers_of(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """The ids of postings that are named by their id or their key."""
    found = bulk.select(connection, "SELECT id, key FROM posting WHERE key IN {set}", sorted(names))
    by_name = {row.key: int(row.id) for row in found}
    digits = {int(name): name for name in names if name.isascii() and name.isdigit() and len(name) < 19}
    for row in bulk.select(connection, "SELECT id FROM posting WHERE id IN {set}", sorted(digits)):
        by_name.setdefault(digits[row.id], int(row.id))
    return by_name


def movements(connection: Connection, numbers: Collection[int]) -> dict[int, Movement]:
    """These postings by id."""
    sql = (
        "SELECT p.id, p.key, p.unit, p.source, p.destination, p.amount, p.campaign, p.reverses, "
        "(EXISTS (SELECT 1 FROM posting r WHERE r.reverses = p.id) "
        "OR EXISTS (SELECT 1 FROM posting r WHERE r.key = 'reverse/' || p.key)) AS reversed "
        "FROM posting p WHERE p.id IN {set}"
    )
    found = bulk.select(connection, sql, sorted(numbers))
    return {int(row.id): Movement(*(*row[:8], bool(row.reversed))) for row in found}


# ---- decided


def decide(connection: Connection, number: int, state: str, by: str, at: datetime, why: str) -> bool:
    """End an open proposal; False when it is open no longer."""
    done = connection.execute(
        text(
            "UPDATE proposal SET state = :state, decided_by = :by, decided_at = :at, decided_why = :why "
            "WHERE number = :n AND state = 'open'"
        ),
        {"state": state, "by": by, "at": micros(at), "why": why, "n": number},
    )
    return done.rowcount == 1


def _one(row: Any) -> Proposal | None:
    if row is None:
        return None
    fields = dict(row._mapping)
    decided = None if row.decided_at is None else instant(row.decided_at)
    return Proposal(**fields | {"proposed_at": instant(row.proposed_at), "decided_at": decided})
