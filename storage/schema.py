"""Brings a database to this version's schema, and refuses to serve any other.

Migrations expand first and contract later, so that a node of the previous version goes on while the next one starts.
"""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from storage.store import Store

_LOCK = 0x6B6F756B6F75  # "koukou": one node migrates, the others wait
_PATIENCE_SECONDS = 120


class SchemaTooNew(Exception):
    """The database was upgraded by a newer version: this one must not touch it."""


class SchemaBehind(Exception):
    """The database is older than this version: `koukou db upgrade`."""


def head() -> str:
    """The newest migration that this version ships."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found
    return found


def version(connection: Connection) -> str | None:
    """The migration a database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


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
        if not store.is_sqlite:
            _wait_for_turn(connection)
        found = version(connection)
        if found is not None and found not in _known():
            raise SchemaTooNew(f"database at {found}, which this version does not know")
        if found == head():
            return
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(text("INSERT INTO id_block (name, next) VALUES ('all', 1000) ON CONFLICT (name) DO NOTHING"))


def _wait_for_turn(connection: Connection) -> None:
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    until = time.monotonic() + _PATIENCE_SECONDS
    while not connection.execute(text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": _LOCK}).scalar_one():
        if time.monotonic() > until:
            raise TimeoutError("another node is migrating this database and does not finish")
        time.sleep(0.2)


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
