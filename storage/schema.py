"""Brings a database to this version's schema, and refuses to serve any other.

Migrations expand first and contract later, so that a node of the previous version goes on while the next one starts.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from storage.store import Store

if TYPE_CHECKING:  # at run time only an upgrade needs Alembic, and a start without one should not wait for it
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6B6F756B6F75  # "koukou": one node prepares, the others wait
_PATIENCE_SECONDS = 120


class SchemaTooNew(Exception):
    """The database was upgraded by a newer version: this one must not touch it."""


class SchemaBehind(Exception):
    """The database is older than this version: `koukou db upgrade`."""


def head() -> str:
    """The newest migration that this version ships."""
    return max(_known())


def version(connection: Connection) -> str | None:
    """The migration a database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def require_current(store: Store) -> None:
    """Raises SchemaTooNew or SchemaBehind unless the database is at this version's schema."""
    with store.read() as connection:
        found = version(connection)
    if found == head():
        return
    if found is None or found in _known():
        raise SchemaBehind(f"database at {found or 'nothing'}, this version at {head()}")
    raise SchemaTooNew(f"database at {found}, which this version does not know")


def upgrade(store: Store) -> None:
    """Apply what is missing. Nodes starting together wait for each other. Raises SchemaTooNew."""
    with store.begin() as connection:
        wait_for_turn(connection)
        found = version(connection)
        if found is not None and found not in _known():
            raise SchemaTooNew(f"database at {found}, which this version does not know")
        if found == head():
            return
        _migrate(connection)
        connection.execute(text("INSERT INTO id_block (name, next) VALUES ('all', 1000) ON CONFLICT (name) DO NOTHING"))


def wait_for_turn(connection: Connection) -> None:
    """Let nodes that start together do what is done once, one after the other; at once on SQLite, which has one.

    Raises TimeoutError when the node whose turn it is does not finish.
    """
    if connection.dialect.name == "sqlite":
        return
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    until = time.monotonic() + _PATIENCE_SECONDS
    while not connection.execute(text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": _LOCK}).scalar_one():
        if time.monotonic() > until:
            raise TimeoutError("another node is preparing this database and does not finish")
        time.sleep(0.2)


def _known() -> set[str]:
    """Migrations are numbered by their file names, one after the other."""
    return {path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


def _migrate(connection: Connection) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def configuration() -> Config:
    """Alembic's settings for our migrations; the caller puts its connection into `attributes`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
