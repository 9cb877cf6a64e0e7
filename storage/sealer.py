"""Gives committed events and postings one gap-free order and chains them with a key that is not in the database.

On PostgreSQL the order follows the snapshot horizon: nothing is sealed while a transaction that began earlier may still
add something before it. Nothing waits for the sealer.
"""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.store import Store, counted
from storage.vault import Vault

EVENT = ("id", "tx", "kind", "subscriber", "actor", "campaign", "revision", "text", "at", "data")
POSTING = (
    *("id", "tx", "key", "unit", "source", "destination", "amount", "campaign", "revision", "reason", "event", "at"),
    "reverses",
)
_LOCK = 0x7365616C6572
_COLUMNS = {"event": EVENT, "posting": POSTING}


def payload(source: str, row: Any) -> bytes:
    """A row's canonical bytes: its table's name and every column in order, as JSON, so that no two rows share them."""
    return orjson.dumps((source, *row), default=repr)


class Sealer:
    """`step` seals what it can; `head` and `read` are functions of this module, for anybody."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def step(self, limit: int = 2000, connection: Connection | None = None) -> int:
        """Seal up to `limit` rows of each table, in the transaction given or one of its own; returns how many.

        A transaction given must write no event or posting itself: on SQLite its own later rows could be missed.
        """
        if connection is None:
            with self._store.begin() as own:
                return self.step(limit, own)
        horizon = self._horizon(connection)
        if horizon is None:
            return 0
        last = connection.execute(text("SELECT seq, tx, row, mac FROM seal ORDER BY seq DESC LIMIT 1")).one_or_none()
        seq, tx, number, mac = last if last else (0, 0, 0, "")
        found = [
            (row[1], row[0], source, row)
            for source, columns in _COLUMNS.items()
            for row in _after(connection, source, columns, tx, number, horizon, limit)
        ]
        # Each table gave at most `limit`: beyond the lesser of two full ends the other's rows may be missing.
        ends = [
            max((t, i) for t, i, s, _ in found if s == source) for source in _COLUMNS if _full(found, source, limit)
        ]
        end = min(ends) if ends else None
        links = []
        for row_tx, row_id, source, row in sorted(found, key=lambda item: item[:2]):
            if end and (row_tx, row_id) > end:
                break
            seq += 1
            mac = self._vault.mac(mac, payload(source, row))
            links.append((seq, row_tx, source, row_id, mac))
        bulk.insert(connection, tables.metadata.tables["seal"], ("seq", "tx", "source", "row", "mac"), links)
        return len(links)

    def _horizon(self, connection: Connection) -> int | None:
        """No transaction below this number is still open; None when another sealer is at work."""
        if self._store.is_sqlite:
            return 2**62  # one writer: what can be seen is all there is
        if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": _LOCK}).scalar_one():
            return None
        query = f"SELECT {counted('pg_snapshot_xmin(pg_current_snapshot())')}"
        return int(connection.execute(text(query)).scalar_one())


def head(connection: Connection) -> tuple[int, str]:
    """The last link: its number and MAC; (0, "") when nothing is sealed."""
    row = connection.execute(text("SELECT seq, mac FROM seal ORDER BY seq DESC LIMIT 1")).one_or_none()
    return (int(row.seq), row.mac) if row else (0, "")


def read(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Sealed rows behind `after`, in order: each with its `seq`, its `table` (event | posting) and every column."""
    links = connection.execute(
        text("SELECT seq, source, row FROM seal WHERE seq > :after ORDER BY seq LIMIT :n"), {"after": after, "n": limit}
    ).all()
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for source, columns in _COLUMNS.items():
        wanted = [link.row for link in links if link.source == source]
        query = f"SELECT {', '.join(columns)} FROM {source} WHERE id IN {{set}}"
        for row in bulk.select(connection, query, wanted):
            rows[source, row[0]] = dict(zip(columns, row, strict=True))
    return [{"seq": link.seq, "table": link.source, **rows[link.source, link.row]} for link in links]


def _after(
    connection: Connection, source: str, columns: tuple[str, ...], tx: int, number: int, horizon: int, limit: int
) -> list[Any]:
    sql = f"SELECT {', '.join(columns)} FROM {source} WHERE (tx, id) > (?, ?) AND tx < ? ORDER BY tx, id LIMIT ?"
    return bulk.select_all(connection, sql, tx, number, horizon, limit)


def _full(found: list[Any], source: str, limit: int) -> bool:
    return sum(item[2] == source for item in found) >= limit
