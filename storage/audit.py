"""The audit log: the events that members of staff and operators caused, newest first, a page at a time.

It reads events and keeps nothing of its own. An event's data holds ids, numbers and enums only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from storage.tables import instant, micros
from storage.tables_ledger import ACTED


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. `actor` is `staff:3` or `operator`, `who` the member's name where there is one."""

    id: int
    kind: str
    actor: str
    who: str | None
    subscriber: int | None
    branch: str | None
    campaign: str
    revision: int
    at: datetime
    data: dict[str, Any]


def kinds(connection: Connection) -> list[str]:
    """Every kind of act there was."""
    return [row[0] for row in connection.execute(text(f"SELECT DISTINCT kind FROM event WHERE {ACTED} ORDER BY kind"))]


def entries(
    connection: Connection,
    limit: int,
    *,
    actors: Sequence[str] | None = None,
    kind: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    before: tuple[int, int] | None = None,
) -> list[Entry]:
    """Acts of `actors` (None: everybody's) of one kind (empty: any) in [since, until), before a cursor."""
    wanted, values = [f"e.{ACTED}"], dict[str, Any](limit=limit)
    if actors is not None:
        wanted.append("e.actor IN :actors")
        values["actors"] = list(actors) or [""]
    if kind:
        wanted.append("e.kind = :kind")
        values["kind"] = kind
    if since:
        wanted.append("e.at >= :since")
        values["since"] = micros(since)
    if until:
        wanted.append("e.at < :until")
        values["until"] = micros(until)
    if before:
        wanted.append("(e.at < :at OR (e.at = :at AND e.id < :id))")
        values["at"], values["id"] = before
    query = text(
        "SELECT e.id, e.kind, e.actor, m.name AS who, e.subscriber, s.branch, e.campaign, e.revision, e.at, e.data "
        "FROM event e LEFT JOIN staff m ON e.actor = 'staff:' || CAST(m.id AS TEXT) "
        f"LEFT JOIN subscriber s ON s.id = e.subscriber WHERE {' AND '.join(wanted)} "
        "ORDER BY e.at DESC, e.id DESC LIMIT :limit"
    )
    if actors is not None:
        query = query.bindparams(bindparam("actors", expanding=True))
    return [_entry(row) for row in connection.execute(query, values)]


def cursor(entry: Entry) -> tuple[int, int]:
    """Where the page after this entry begins."""
    return micros(entry.at), entry.id


def _entry(row: Any) -> Entry:
    where = (row.campaign, row.revision, instant(row.at), json.loads(row.data))
    return Entry(row.id, row.kind, row.actor, row.who, row.subscriber, row.branch, *where)
