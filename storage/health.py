"""What a database says about itself: release, settings, connections, nodes, and how far the sealer is behind.

It reads and judges nothing; reading is safe beside any number of serving nodes.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from storage import sealer
from storage.store import Store, machine_now
from storage.vault import Vault

CONNECTIONS_PER_NODE = 12  # the pool of storage/store.py: four kept, eight more under load
_SETTINGS = (
    *("max_connections", "superuser_reserved_connections", "synchronous_commit", "fsync", "full_page_writes"),
    *("server_encoding", "TimeZone", "idle_in_transaction_session_timeout", "lock_timeout", "autovacuum"),
    *("default_transaction_isolation", "default_transaction_read_only", "server_version_num", "server_version"),
)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite url; None for another database."""
    made = make_url(url)
    return Path(made.database) if made.get_backend_name() == "sqlite" and made.database else None


def looking(url: str, seconds: float) -> Store:
    """The database for reading only; a server that does not answer within so many seconds is a DatabaseFault."""
    made = make_url(url)
    if made.get_backend_name() != "sqlite":
        # libpq takes whole seconds, and fewer than two as two.
        made = made.update_query_dict({"connect_timeout": str(max(2, round(seconds)))})
    return Store(made.render_as_string(hide_password=False), writer=False)


def journal_mode(connection: Connection) -> str:
    """How the SQLite file keeps its journal: `wal` once it was opened for writing."""
    return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())


def settings(connection: Connection) -> dict[str, str]:
    """PostgreSQL's settings as they hold in our own session, and `in_recovery` (`t` on a standby)."""
    rows = connection.execute(
        text(
            "SELECT name, setting FROM pg_settings WHERE lower(name) IN (SELECT lower(unnest(CAST(:names AS text[]))))"
        ),
        {"names": list(_SETTINGS)},
    ).all()
    standby = connection.execute(text("SELECT pg_is_in_recovery()::text")).scalar_one()
    return {str(row.name): str(row.setting) for row in rows} | {"in_recovery": str(standby)[:1]}


def connections(connection: Connection) -> int:
    """How many clients are connected to the PostgreSQL server now."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    return int(connection.execute(text(query)).scalar_one())


def nodes(connection: Connection, stale_seconds: float) -> int:
    """Serving processes that were heard of within so many seconds."""
    since = machine_now(connection) - int(stale_seconds * 1_000_000)
    return int(
        connection.execute(text("SELECT count(*) FROM node WHERE beat_at > :since"), {"since": since}).scalar_one()
    )


def seals(connection: Connection, most: int) -> tuple[int, str, int]:
    """The sealed head (its number and MAC), and how many events and postings wait behind it, counted up to `most`."""
    number, mac = sealer.head(connection)
    last = connection.execute(text("SELECT tx, row FROM seal ORDER BY seq DESC LIMIT 1")).one_or_none()
    tx, row = (last.tx, last.row) if last else (0, 0)
    waiting = 0
    for source in ("event", "posting"):
        query = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE (tx, id) > (:tx, :row) LIMIT :most) AS waiting"
        waiting += int(connection.execute(text(query), {"tx": tx, "row": row, "most": most}).scalar_one())
    return number, mac, waiting


def opens(connection: Connection, vault: Vault) -> bool:
    """Whether the vault's secret is the one that people's keys were wrapped with; True where nobody is known."""
    wrapped = connection.execute(text("SELECT wrapped FROM person_key WHERE wrapped IS NOT NULL LIMIT 1")).scalar()
    if wrapped is None:
        return True
    try:
        vault.unwrap(bytes(wrapped))
    except InvalidTag:
        return False
    return True


def machine_time(store: Store) -> int:
    """Machine time of the database, in microseconds."""
    with store.read() as connection:
        return machine_now(connection)
