"""The few writes that acts of staff share: a posting outside a message group, an event, what budgets were given."""

from __future__ import annotations

from collections.abc import Mapping
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
    number = ids.take_apart(connection, 1)
    row = (
        number,
        transaction_number(connection),
        kind,
        subscriber,
        actor,
        campaign,
        revision,
        None,
        micros(now),
        dumps(data),
    )
    bulk.insert(connection, tables.metadata.tables["event"], _EVENT, [row])
    return number


def post(connection: Connection, posting: Posting, now: datetime, event_id: int | None = None) -> bool:
    """Move units once for the posting's key; False when the same was posted before.

    Raises ledger.Short at a floor, ValueError when the key stands for something else.
    """
    known = loading.postings(connection, [posting.key]).get(posting.key)
    if known:
        if known != posting:
            raise ValueError(f"posting key {posting.key} was used for another movement")
        return False
    book = Book()
    units = {account: posting.unit for account in (posting.source, posting.destination) if has_floor(account)}
    loading.lock_accounts(connection, book, units)
    book.post(posting)
    p = posting
    row = (
        *(
            ids.take_apart(connection, 1),
            transaction_number(connection),
            p.key,
            p.unit,
            p.source,
            p.destination,
            p.amount,
        ),
        *(p.campaign, p.revision, p.reason, event_id, micros(now), p.reverses),
    )
    bulk.insert(connection, tables.metadata.tables["posting"], _POSTING, [row])
    balance = tables.metadata.tables["balance"]
    for account, changed in book.changed().items():
        if changed.stored:
            bulk.update(
                connection, balance, "account", ("amount+",), [(changed.amount - changed.amount_before, account)]
            )
        else:
            opened = (account, owner(account), changed.unit, changed.amount, 0, changed.floor)
            bulk.insert(connection, balance, ("account", "owner", "unit", "amount", "held", "floor"), [opened])
    return True


def budget_given(connection: Connection, campaign: str) -> dict[str, int]:
    """What each budget line of a campaign was given by its plan so far, in fen."""
    prefix = f"budget/{campaign}/"
    rows = connection.execute(
        text(
            "SELECT destination AS account, SUM(amount) AS fen FROM posting WHERE campaign = :c AND reason = 'budget' "
            "AND source = 'mint/fen' GROUP BY destination UNION ALL "
            "SELECT source, -SUM(amount) FROM posting WHERE campaign = :c AND reason = 'budget' "
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
