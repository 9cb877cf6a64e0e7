"""How the installation stands, for the system page: nodes, queues, rates, the sealer, what was refused lately.

Each is one bounded query; what grows with the years is looked at only at its newest end. It writes nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from storage import notices, pauses, rates, schema, sealer, stops
from storage.store import machine_now
from storage.tables import instant

LATELY = 5000  # the newest deliveries among which faults are counted
LAG_MAX = 10_000  # beyond which the sealer's lag is only said to be more
_LACKS = ":lacks:"


def read(connection: Connection) -> dict[str, Any]:
    """Everything below, in one snapshot."""
    return {
        "nodes": nodes(connection),
        "queues": queues(connection),
        "rates": pace(connection),
        "pauses": pauses.standing(connection),
        "lacks": lacks(connection),
        "troubles": troubles(connection),
        "notices": notices.counts(connection),
        "sealer": sealing(connection),
        "texts": oldest_text(connection),
        "stop": stops.standing(connection),
        "stops": stops.latest(connection, 10),
        "schema": schema.version(connection),
        "database": database(connection),
    }


def nodes(connection: Connection) -> list[dict[str, Any]]:
    """Every slot that was ever held: `slot`, `node` (machine and process), `beat` seconds ago, None after it left."""
    now = machine_now(connection)
    rows = connection.execute(text("SELECT slot, holder, beat_at FROM node ORDER BY slot"))
    return [
        {
            "slot": row.slot,
            "node": row.holder.rpartition(":")[0] or row.holder,
            "beat": None if row.beat_at == 0 else max(0, now - row.beat_at) // 1_000_000,
        }
        for row in rows
    ]


def queues(connection: Connection) -> list[dict[str, Any]]:
    """Deliveries that have not ended: `account`, `lane` (0 replies, 1 broadcast), `state`, `kind`, `count`, `oldest`
    due instant."""
    # As two questions, so that each is answered by the index of open rows that fits it.
    part = "SELECT account, lane, state, kind, COUNT(*) AS count, MIN(due_at) AS oldest FROM delivery WHERE {} "
    part += "GROUP BY account, lane, state, kind"
    leased = part.format("state IN ('passive', 'claimed', 'sending')")
    queued = part.format("state = 'queued'")
    rows = connection.execute(text(f"{queued} UNION ALL {leased} ORDER BY 1, 2, 3, 4"))
    return [{**row._mapping, "oldest": instant(row.oldest)} for row in rows]


def waiting(connection: Connection) -> dict[str, int]:
    """What an emergency stop would hold back: `queued`, and `sending` (on their way: they end as they end)."""
    counts = {"queued": 0, "sending": 0}
    for row in queues(connection):
        if row["state"] == "sending":
            counts["sending"] += row["count"]
        elif row["state"] in ("queued", "claimed"):
            counts["queued"] += row["count"]
    return counts


def pace(connection: Connection) -> list[dict[str, Any]]:
    """Channel accounts that sent something: `account`, and for how many seconds they still `pause` (0: they do not)."""
    now = machine_now(connection)
    paused = rates.paused(connection, now)
    accounts = connection.execute(text("SELECT account FROM rate ORDER BY account")).scalars()
    return [{"account": one, "pause": -(-(paused.get(one, now) - now) // 1_000_000)} for one in accounts]


def lacks(connection: Connection) -> dict[str, list[str]]:
    """What platforms refused to accounts by capability lately: account → capabilities."""
    rows = connection.execute(
        text("SELECT key FROM kept WHERE key LIKE :like AND until > :now ORDER BY key"),
        {"like": f"%{_LACKS}%", "now": machine_now(connection)},
    )
    found: dict[str, list[str]] = {}
    for (key,) in rows:
        account, _, capability = key.partition(_LACKS)
        found.setdefault(account, []).append(capability)
    return found


def troubles(connection: Connection) -> list[dict[str, Any]]:
    """Why deliveries ended otherwise than sent, among the newest: `account`, `state`, `reason`, `count`, `last`."""
    rows = connection.execute(
        text(
            "SELECT account, state, reason, COUNT(*) AS count, MAX(ended_at) AS last FROM "
            "(SELECT account, state, reason, ended_at FROM delivery ORDER BY id DESC LIMIT :n) AS newest "
            "WHERE state IN ('refused', 'failed', 'doubtful') OR (state = 'queued' AND reason <> '') "
            "GROUP BY account, state, reason ORDER BY 4 DESC, 1, 2, 3 LIMIT 50"
        ),
        {"n": LATELY},
    )
    return [{**row._mapping, "last": instant(row.last) if row.last else None} for row in rows]


def sealing(connection: Connection) -> dict[str, Any]:
    """The chain's head (`seq`, `mac`), and how many rows are not sealed yet (`lag`, up to LAG_MAX)."""
    seq, mac = sealer.head(connection)
    last = connection.execute(text("SELECT tx, row FROM seal ORDER BY seq DESC LIMIT 1")).one_or_none()
    values = {"tx": last.tx if last else 0, "row": last.row if last else 0, "n": LAG_MAX}
    behind = "(SELECT 1 AS one FROM {} WHERE (tx, id) > (:tx, :row) LIMIT :n)"
    lag = connection.execute(
        text(
            f"SELECT (SELECT COUNT(*) FROM {behind.format('event')} AS e) "
            f"+ (SELECT COUNT(*) FROM {behind.format('posting')} AS p)"
        ),
        values,
    ).scalar_one()
    return {"seq": seq, "mac": mac, "lag": min(int(lag), LAG_MAX)}


def oldest_text(connection: Connection) -> Any:
    """The instant of the oldest text that retention has not emptied; None when there is none."""
    query = text("SELECT at FROM text WHERE heard IS NOT NULL OR said IS NOT NULL ORDER BY at LIMIT 1")
    found = connection.execute(query).scalar()
    return None if found is None else instant(found)


def database(connection: Connection) -> str:
    """The database's name and version."""
    if connection.dialect.name == "sqlite":
        return f"SQLite {connection.execute(text('SELECT sqlite_version()')).scalar_one()}"
    return f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar_one()}"
