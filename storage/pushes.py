"""Pushes as rows: what each says, where it stands, every step that led there, and which fall due.

Writes what it is told, once per key; which step may follow which is decided above. Instants are campaign time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from storage import bulk, ids, tables
from storage.draft import dumps
from storage.stops import GOING
from storage.tables import instant, micros

_COLUMNS = (
    *("number", "campaign", "key", "name", "state", "content", "audience", "schedule", "limits", "revision"),
    *("next_at", "author", "approved_by", "made_at", "changed_at"),
)
_STEP = ("id", "push", "step", "state", "actor", "at", "why")


@dataclass(frozen=True, slots=True)
class Push:
    """One push. `content`, `schedule` and `limits` are plain trees (see `content.pushes`); `audience` is a rule.

    `key` makes the same request one push; `number` is 0 before it is stored.
    """

    key: str
    campaign: str
    name: str
    content: Mapping[str, Any]
    audience: str
    schedule: Mapping[str, Any]
    limits: Mapping[str, Any]
    revision: int
    author: str
    state: str = "draft"
    number: int = 0
    next_at: datetime | None = None
    approved_by: str = ""
    made_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def said(self) -> tuple[Any, ...]:
        """All that an approval approves."""
        trees = (dumps(dict(tree)) for tree in (self.content, self.schedule, self.limits))
        return (self.name, self.audience, *trees)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a push, and where it led."""

    step: str
    state: str
    actor: str
    at: datetime
    why: str


def add(connection: Connection, push: Push, now: datetime) -> Push:
    """Store a push; one that its key stored before is returned as it stands."""
    known = by_key(connection, push.key)
    if known:
        return known
    stored = replace(push, number=ids.take_apart(connection, 1), made_at=now, changed_at=now)
    names, values = ", ".join(_COLUMNS), ", ".join(f":{name}" for name in _COLUMNS)
    taken = connection.execute(
        text(f"INSERT INTO push ({names}) VALUES ({values}) ON CONFLICT (key) DO NOTHING RETURNING number"),
        _row(stored),
    ).scalar()
    if taken is None:  # somebody stored it at the same moment
        found = by_key(connection, push.key)
        assert found
        return found
    return stored


def write(connection: Connection, push: Push, now: datetime) -> Push:
    """Write a stored push as it is now."""
    changed = replace(push, changed_at=now)
    names = [name for name in _COLUMNS if name not in ("number", "key", "campaign", "made_at")]
    sets = ", ".join(f"{name} = :{name}" for name in names)
    connection.execute(text(f"UPDATE push SET {sets} WHERE number = :number"), _row(changed))
    return changed


def note_step(connection: Connection, number: int, step: Step) -> None:
    """Keep a step of a push."""
    row = (ids.take_apart(connection, 1), number, step.step, step.state, step.actor, micros(step.at), step.why)
    bulk.insert(connection, tables.metadata.tables["push_step"], _STEP, [row])


def find(connection: Connection, number: int, *, lock: bool = False) -> Push | None:
    """One push; with `lock` nobody else steps it until the commit."""
    locking = " FOR UPDATE" if lock and connection.dialect.name != "sqlite" else ""
    return _one(connection, f"number = :value{locking}", number)


def by_key(connection: Connection, key: str) -> Push | None:
    """The push that this key stored."""
    return _one(connection, "key = :value", key)


def listed(
    connection: Connection, campaign: str, limit: int, *, states: Sequence[str] = (), before: int = 0
) -> list[Push]:
    """Pushes of a campaign in these states (none given: all), newest first, of those below `before` where given."""
    query = text(
        f"SELECT {', '.join(_COLUMNS)} FROM push WHERE campaign = :campaign AND number < :before "
        f"{'AND state IN :states ' if states else ''}ORDER BY number DESC LIMIT :limit"
    )
    values: dict[str, Any] = {"campaign": campaign, "before": before or 2**62, "limit": limit}
    if states:
        query = query.bindparams(bindparam("states", expanding=True))
        values["states"] = list(states)
    return [_push(row) for row in connection.execute(query, values)]


def of_plan(connection: Connection, campaign: str) -> dict[str, Push]:
    """Every push that came from a campaign's plan, by its id there."""
    prefix = f"plan/{campaign}/"
    query = f"SELECT {', '.join(_COLUMNS)} FROM push WHERE campaign = :campaign AND key LIKE :prefix"
    rows = connection.execute(text(query), {"campaign": campaign, "prefix": f"{prefix}%"})
    return {row.key.removeprefix(prefix): _push(row) for row in rows}


def steps(connection: Connection, number: int) -> list[Step]:
    """All steps of a push, oldest first."""
    rows = connection.execute(
        text("SELECT step, state, actor, at, why FROM push_step WHERE push = :n ORDER BY id"), {"n": number}
    )
    return [Step(row.step, row.state, row.actor, instant(row.at), row.why) for row in rows]


def due(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Approved pushes whose time has come, the longest due first. None while an emergency stop stands."""
    rows = connection.execute(
        text(
            f"SELECT number FROM push WHERE next_at <= :now AND state IN ('scheduled', 'running') AND {GOING} "
            "ORDER BY next_at LIMIT :limit"
        ),
        {"now": micros(now), "limit": limit},
    )
    return [int(number) for (number,) in rows]


def _one(connection: Connection, where: str, value: Any) -> Push | None:
    query = text(f"SELECT {', '.join(_COLUMNS)} FROM push WHERE {where}")
    row = connection.execute(query, {"value": value}).one_or_none()
    return _push(row) if row else None


def _row(push: Push) -> dict[str, Any]:
    row = {name: getattr(push, name) for name in _COLUMNS}
    for name in ("content", "schedule", "limits"):
        row[name] = dumps(dict(row[name]))
    for name in ("next_at", "made_at", "changed_at"):
        row[name] = None if row[name] is None else micros(row[name])
    return row


def _push(row: Any) -> Push:
    return Push(
        *(row.key, row.campaign, row.name, json.loads(row.content), row.audience, json.loads(row.schedule)),
        *(json.loads(row.limits), row.revision, row.author, row.state, row.number),
        *(None if row.next_at is None else instant(row.next_at), row.approved_by),
        *(instant(row.made_at), instant(row.changed_at)),
    )
