"""Brings a database to this version's schema, and refuses to serve any other.

Migrations expand first and contract later: each names, as `oldest`, the oldest version that may go on serving beside
it, so that a node of the previous version works while the next one starts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from storage.store import DatabaseFault, Store, passing

if TYPE_CHECKING:  # at run time only an upgrade needs Alembic, and a start without one should not wait for it
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6B6F756B6F75  # "koukou": one node prepares, the others wait
_PATIENCE_SECONDS = 120
_TRIES = 20  # a migration that meets a lock of a serving node, which waits half a second for it, comes again

Tell = Callable[[str], None]


class SchemaTooNew(Exception):
    """The database was upgraded by a newer version: this one must not touch it. Says so in both languages."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"数据库在 {found}，比这个版本（{head()}）新，这个版本不能用它；请用升级数据库的那个版本或更新的版本 | "
            f"the database is at {found}, which this version ({head()}) does not know and must not touch; "
            "use the version that upgraded it, or a newer one"
        )


class SchemaBehind(Exception):
    """The database is older than this version: `koukou db upgrade`. Says so in both languages."""

    def __init__(self, found: str | None) -> None:
        super().__init__(
            f"数据库在 {found or '空白'}，这个版本要 {head()}；先备份，再运行 koukou db upgrade | "
            f"the database is at {found or 'nothing'}, this version needs {head()}; "
            "make a backup, then run koukou db upgrade"
        )


def head() -> str:
    """The newest migration that this version ships."""
    return max(_known())


def version(connection: Connection) -> str | None:
    """The migration a database is at; None for an empty one."""
    return _standing(connection)[0]


def require_current(store: Store) -> None:
    """Raises SchemaTooNew or SchemaBehind unless this version may serve the database.

    A newer schema that only adds to ours may be served: then an upgrade is under way, or this node is the last old one.
    """
    with store.read() as connection:
        found, oldest = _standing(connection)
    if found == head():
        return
    if found is None or found in _known():
        raise SchemaBehind(found)
    if oldest not in _known():
        raise SchemaTooNew(found)


def upgrade(store: Store, tell: Tell = lambda step: None) -> None:
    """Apply what is missing. Nodes starting together wait for each other. `tell` hears each migration before it runs.

    A database that was expanded by a newer version is left as it is. Raises SchemaTooNew, TimeoutError, DatabaseFault.
    """
    for attempt in range(_TRIES):
        try:
            with store.begin() as connection:
                wait_for_turn(connection)
                bring_up(connection, head(), tell)
            return
        except DatabaseFault as fault:
            if store.is_sqlite or not passing(fault) or attempt == _TRIES - 1:
                raise
            tell("locked")
            time.sleep(0.5)


def bring_up(connection: Connection, target: str, tell: Tell = lambda step: None) -> None:
    """Bring the database to migration `target`, in the caller's transaction. Raises SchemaTooNew.

    `alembic_version` stays at what nodes of the first two versions compare with their own, as long as they may serve.
    """
    found, oldest = _standing(connection)
    if found is not None and found not in _known():
        if oldest in _known():
            return
        raise SchemaTooNew(found)
    if found is not None and found >= target:
        return
    for step in sorted(one for one in _known() if (found or "") < one <= target):
        tell(step)
    spoken = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if found else None
    _speak(connection, found)
    _migrate(connection, target)
    connection.execute(text("INSERT INTO id_block (name, next) VALUES ('all', 1000) ON CONFLICT (name) DO NOTHING"))
    if not inspect(connection).has_table("installation"):
        return
    oldest = max(_oldest(one) for one in _known() if one <= target)
    connection.execute(
        text(
            "INSERT INTO installation (number, revision, oldest, tx_offset) VALUES (1, :revision, :oldest, 0) "
            "ON CONFLICT (number) DO UPDATE SET revision = :revision, "
            "oldest = CASE WHEN installation.oldest > :oldest THEN installation.oldest ELSE :oldest END"
        ),
        {"revision": target, "oldest": oldest},
    )
    if spoken is not None and spoken >= oldest:
        _speak(connection, spoken)


def keep_old_versions_off(connection: Connection) -> None:
    """Let no version before this one serve the database: it holds what they would not heed."""
    connection.execute(text("UPDATE installation SET oldest = :head"), {"head": head()})
    _speak(connection, head())


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


def known(revision: str) -> bool:
    """Whether this version has the migration."""
    return revision in _known()


def _standing(connection: Connection) -> tuple[str | None, str | None]:
    """The migration a database is at, and the oldest version that may serve it; before 0003 they are the same."""
    tables = set(inspect(connection).get_table_names())
    if "installation" in tables:
        row = connection.execute(text("SELECT revision, oldest FROM installation")).one_or_none()
        if row:
            return row.revision, row.oldest
    if "alembic_version" not in tables:
        return None, None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found, found


def _speak(connection: Connection, revision: str | None) -> None:
    if revision is not None:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def _known() -> set[str]:
    """Migrations are numbered by their file names, one after the other."""
    return {path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


def _oldest(revision: str) -> str:
    """What a migration's file says of it; one that says nothing is served by no older version."""
    (path,) = (_MIGRATIONS / "versions").glob(f"{revision}_*.py")
    said = re.search(r'^oldest = "(\w+)"', path.read_text("utf-8"), re.MULTILINE)
    return said[1] if said else revision


def _migrate(connection: Connection, target: str) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def configuration() -> Config:
    """Alembic's settings for our migrations; the caller puts its connection into `attributes`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
