"""The few writes that acts of staff share: postings outside a message group, events, what budgets were given.

Set-wise, and in the locking order of message groups: people first (by whoever calls), then accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from storage import bulk, ids, loading, tables
from storage.draft import dumps
from storage.ledger import Book, Posting, budget, has_floor, owner
from storage.store import transaction_number
from storage.tables import micros

_EVENT = ("id", "tx", "kind", "subscriber", "actor", "campaign", "revision", "text", "at", "data")
_POSTING = (
    "id",
    "tx",
    "key",
    "unit",
    "source",
    "destination",
    "amount",
    "campaign",
    "revision",
    "reason",
    "event",
    "at",
    "reverses",
)
_BALANCE = ("account", "owner", "unit", "amount", "held", "floor")


def event(
    connection: Connection,
    kind: str,
    actor: str,
    campaign: str,
    revision: int,
    now: datetime,
    data: Mapping[str, int | str],
    subscriber: int | None = None,
) -> int:
    """Write one event; returns its id."""
    return events(connection, kind, actor, campaign, revision, now, [(subscriber, data)])


def events(
    connection: Connection,
    kind: str,
    actor: str,
    campaign: str,
    revision: int,
    now: datetime,
    about: Sequence[tuple[int | None, Mapping[str, int | str]]],
) -> int:
    """One event about each (subscriber, data), set-wise; returns the first one's id, the others count on from it."""
    first = ids.take_apart(connection, len(about))
    tx, at = transaction_number(connection), micros(now)
    rows = [
        (number, tx, kind, subscriber, actor, campaign, revision, None, at, dumps(data))
        for number, (subscriber, data) in enumerate(about, first)
    ]
    bulk.insert(connection, tables.metadata.tables["event"], _EVENT, rows)
    return first


def post(connection: Connection, posting: Posting, now: datetime, event_id: int | None = None) -> bool:
    """Move units once for the posting's key; False when the same was posted before.

    Raises ledger.Short at a floor, ValueError when the key stands for something else.
    """
    return post_all(connection, [posting], now, {posting.key: event_id}) == 1


def post_all(
    connection: Connection, postings: Sequence[Posting], now: datetime, causes: Mapping[str, int | None] | None = None
) -> int:
    """Move units once for each posting's key, all or nothing; returns how many were not posted before.

    `causes` names the event behind a posting by its key. Whoever moves units of people locks the people before, as
    message groups do: only then may an account of theirs be opened. Raises as `post` does.
    """
    known = loading.postings(connection, sorted(p.key for p in postings))
    clash = next((p.key for p in postings if p.key in known and known[p.key] != p), None)
    if clash:
        raise ValueError(f"posting key {clash} was used for another movement")
    fresh = [p for p in postings if p.key not in known]
    if not fresh:
        return 0
    book = Book()
    _lock(connection, book, fresh)
    for posting in fresh:
        book.post(posting)
    _write_postings(connection, fresh, now, causes or {})
    _write_balances(connection, book)
    return len(fresh)


def _lock(connection: Connection, book: Book, postings: Sequence[Posting]) -> None:
    """Load balances under locks in the order of message groups: people's, shared ones, budget lines.

    A shared account without a row is opened first, empty, so that of two who do so the second waits and sees it.
    """
    units = {account: p.unit for p in postings for account in (p.source, p.destination) if has_floor(account)}
    shared = [account for account in units if owner(account) is None]
    rows = [(account, None, units[account], 0, 0, 0) for account in sorted(shared)]
    bulk.insert_missing(connection, tables.metadata.tables["balance"], _BALANCE, rows)
    lines = {account for account in shared if account.startswith("budget/")}
    for names in (units.keys() - set(shared), set(shared) - lines, lines):
        loading.lock_accounts(connection, book, {account: units[account] for account in names})


def _write_postings(
    connection: Connection, postings: Sequence[Posting], now: datetime, causes: Mapping[str, int | None]
) -> None:
    first, tx, at = ids.take_apart(connection, len(postings)), transaction_number(connection), micros(now)
    rows = [
        (
            *(number, tx, p.key, p.unit, p.source, p.destination, p.amount),
            *(p.campaign, p.revision, p.reason, causes.get(p.key), at, p.reverses),
        )
        for number, p in enumerate(postings, first)
    ]
    bulk.insert(connection, tables.metadata.tables["posting"], _POSTING, rows)


def _write_balances(connection: Connection, book: Book) -> None:
    moved, opened = [], []
    for account, row in sorted(book.changed().items()):
        if row.stored:
            moved.append((row.amount - row.amount_before, account))
        else:
            opened.append((account, owner(account), row.unit, row.amount, 0, row.floor))
    balance = tables.metadata.tables["balance"]
    bulk.update(connection, balance, "account", ("amount+",), moved)
    bulk.insert(connection, balance, _BALANCE, opened)


def budget_given(connection: Connection, campaign: str) -> dict[str, int]:
    """What each budget line of a campaign was given by its plan so far, in fen."""
    prefix = f"budget/{campaign}/"
    given_by_plan = "campaign = :c AND reason = 'budget' AND text IS NULL"  # by acts: no message gives a budget
    rows = connection.execute(
        text(
            f"SELECT destination AS account, SUM(amount) AS fen FROM posting WHERE {given_by_plan} "
            "AND source = 'mint/fen' GROUP BY destination UNION ALL "
            f"SELECT source, -SUM(amount) FROM posting WHERE {given_by_plan} "
            "AND destination = 'mint/fen' GROUP BY source"
        ),
        {"c": campaign},
    )
    given: dict[str, int] = {}
    for account, fen in rows:
        line = account.removeprefix(prefix)
        given[line] = given.get(line, 0) + int(fen)
    return given


def budget_state(connection: Connection, campaign: str) -> dict[str, tuple[int, int, int]]:
    """Each budget line's fen: what it was given, what has left it (spent, or set aside for points), what is held."""
    given = budget_given(connection, campaign)
    accounts = {budget(campaign, line): line for line in given}
    sql = "SELECT account, amount, held FROM balance WHERE account IN {set}"
    left = {accounts[row.account]: row for row in bulk.select(connection, sql, sorted(accounts))}
    return {
        line: (fen, fen - int(left[line].amount), int(left[line].held)) if line in left else (fen, 0, 0)
        for line, fen in given.items()
    }


def reverse(connection: Connection, key: str, campaign: str, revision: int, reason: str, now: datetime) -> bool:
    """Undo a posting by its mirror image, once; False when it was reversed before.

    Raises KeyError for no such posting, ledger.Short when what it moved is spent already.
    """
    row = connection.execute(
        text("SELECT id, unit, source, destination, amount FROM posting WHERE key = :key"), {"key": key}
    ).one_or_none()
    if row is None:
        raise KeyError(key)
    mirror = (row.unit, row.destination, row.source, row.amount, campaign, revision, reason)
    return post(connection, Posting(f"reverse/{key}", *mirror, reverses=row.id), now)
