"""Opens the database and owns its engine: SQLite with one writing connection and a lock file, or PostgreSQL.

Promises full durability on both: a commit that returned survives a power cut. Knows nothing of what is stored.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from storage import bulk
from storage.wal import Checkpoints

DatabaseFault = DBAPIError  # what rooms above catch: a constraint, a lock, a lost connection

# A frozen node must not stop the others: PostgreSQL ends its transaction, and nobody waits long for a lock.
_POSTGRES_OPTIONS = "-c idle_in_transaction_session_timeout=2000 -c lock_timeout=500 -c timezone=UTC"
# The first release without the WAL-reset bug (a writer, and one that checkpoints beside it, may corrupt the file).
_SQLITE_FIXED = (3, 51, 3)
_MAPPED = 1 << 40  # bytes of the file read through memory: all of it, or as much as this SQLite allows
_CACHE = 16_384  # KiB of pages that a connection keeps of its own


class StoreLocked(Exception):
    """Another process serves this SQLite file. `path` is the lock file, `database` what it guards."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"another koukou process holds {path}")
        self.path = path
        self.database = path.with_suffix("")


class Store:
    """One database. `begin()` is a writing transaction, `read()` a snapshot for reading only."""

    def __init__(self, url: str, *, writer: bool = True) -> None:
        """Open `url`; with `writer` on SQLite take the lock file. Raises StoreLocked."""
        self.url: URL = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._lock: IO[str] | None = None
        if self.is_sqlite:
            self._open_sqlite(writer)
        else:
            self.engine = _postgres(self.url)
            self._reader = self.engine

    @property
    def path(self) -> Path | None:
        """The database file, on SQLite."""
        return file_of(self.url)

    def _open_sqlite(self, writer: bool) -> None:
        path = self.path
        if path is None or self.url.database == ":memory:":
            raise ValueError("storage.url: SQLite needs a file, such as sqlite:///data/koukou.db")
        if writer:
            path.parent.mkdir(parents=True, exist_ok=True)
            # What people wrote stands in it: for its owner alone. SQLite gives its journal the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._lock = _take_lock(path.with_name(path.name + ".lock"))
        # With an older SQLite the writing connection is the only one that may checkpoint, within its commits.
        fixed = _sqlite_module().sqlite_version_info >= _SQLITE_FIXED
        self._writing = _Writing(Checkpoints(_connecting(self.url, read_only=False)) if writer and fixed else None)
        self.engine = _sqlite(self.url, read_only=not writer)
        self._reader = _sqlite(self.url, read_only=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: committed at the end, rolled back on any error."""
        transaction = self.transaction()
        try:
            yield transaction.connection
        except BaseException:
            transaction.rollback()
            raise
        transaction.commit()

    def transaction(self) -> Transaction:
        """A writing transaction that the caller ends by `commit` or `rollback`, in any thread."""
        return Transaction(self.engine, self._writing if self.is_sqlite else None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot for reading; writing in it fails."""
        with self._reader.connect() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield connection

    def warnings(self) -> list[str]:
        """What about this database should worry its operator: a SQLite release that can lose data."""
        if self.is_sqlite:
            version = _sqlite_module().sqlite_version_info
            if version < _SQLITE_FIXED:
                have = ".".join(map(str, version))
                return [f"SQLite {have} has a WAL bug that can lose data; 3.51.3 or newer is safe"]
        return []

    def close(self) -> None:
        """Release connections and the lock file."""
        if self.is_sqlite:
            self._writing.close()
        self.engine.dispose()
        self._reader.dispose()
        if self._lock:
            self._lock.close()


class Transaction:
    """One writing transaction, begun. On SQLite all share one connection, which is kept and never pooled back: taking
    it from the pool and returning it costs ten times as much as BEGIN and COMMIT together."""

    def __init__(self, engine: Engine, writing: _Writing | None) -> None:
        self._writing = writing
        if writing is None:
            self.connection = engine.connect()
            self.connection.begin()
        else:
            self.connection = writing.take(engine)

    def commit(self) -> None:
        """Make it durable. Raises DatabaseFault, and then it is rolled back."""
        try:
            self.connection.commit()
        except BaseException:
            self.rollback()
            raise
        try:
            if self._writing:
                self._writing.committed()
        finally:
            self._end()

    def rollback(self) -> None:
        """Undo all of it."""
        try:
            self.connection.rollback()
        finally:
            self._end()

    def _end(self) -> None:
        if self._writing is None:
            self.connection.close()
        else:
            self._writing.give_back()


class _Writing:
    """The one writing connection of a SQLite file; whoever comes second waits."""

    def __init__(self, checkpoints: Checkpoints | None) -> None:
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._checkpoints = checkpoints

    def take(self, engine: Engine) -> Connection:
        self._turn.acquire()
        try:
            if self._connection is None or self._connection.closed:
                self._connection = engine.connect()
                if self._checkpoints:
                    self._checkpoints.take_over(self._connection.connection.driver_connection)
            self._connection.begin()
            return self._connection
        except BaseException:
            self._turn.release()
            raise

    def committed(self) -> None:
        if self._checkpoints and self._connection is not None:
            self._checkpoints.committed(self._connection.connection.driver_connection)

    def give_back(self) -> None:
        self._turn.release()

    def close(self) -> None:
        with self._turn:
            if self._checkpoints:
                self._checkpoints.close()
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def file_of(url: str | URL) -> Path | None:
    """The file that a SQLite url names; None for PostgreSQL."""
    made = make_url(url)
    return Path(made.database) if made.get_backend_name() == "sqlite" and made.database else None


def passing(fault: DatabaseFault) -> bool:
    """Whether the same transaction may well succeed later: a lock, a deadlock, a session that was ended."""
    return fault.connection_invalidated or isinstance(fault, OperationalError)


def counted(transaction: str) -> str:
    """SQL for a transaction number of PostgreSQL as our tables count it: restored rows carry those of another server,
    which may be ahead of this one's, and what is written now must be ordered behind them."""
    return f"{transaction}::text::bigint + (SELECT tx_offset FROM installation)"


def transaction_number(connection: Connection) -> int:
    """The number of the transaction at hand, by which the sealer orders what it wrote.

    PostgreSQL's own; on SQLite a count kept by the only writer, since ids are taken in blocks and used out of order.
    """
    if connection.dialect.name != "sqlite":
        return int(connection.execute(text(f"SELECT {counted('pg_current_xact_id()')}")).scalar_one())
    last = connection.info.get("transaction")
    if last is None:
        query = "SELECT MAX((SELECT COALESCE(MAX(tx), 0) FROM event), (SELECT COALESCE(MAX(tx), 0) FROM posting))"
        last = int(connection.execute(text(query)).scalar_one())
    connection.info["transaction"] = last + 1
    return last + 1


def machine_now(connection: Connection) -> int:
    """Machine time of the database in microseconds: for leases, rates and time-outs, never for a rule."""
    if connection.dialect.name == "sqlite":
        query = "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    else:
        query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    return int(bulk.select_all(connection, query)[0][0])


def sqlite_release() -> tuple[tuple[int, ...], bool]:
    """The release of the SQLite in use, and whether it is free of the WAL-reset bug."""
    release = tuple(_sqlite_module().sqlite_version_info)
    return release, release >= _SQLITE_FIXED


def _take_lock(path: Path) -> IO[str]:
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreLocked(path) from None
    return lock


def _sqlite_module() -> Any:
    """The SQLite with the WAL fix where there is a wheel of it, else Python's own."""
    try:
        import pysqlite3.dbapi2 as module
    except ImportError:
        import sqlite3 as module
    return module


def _connecting(url: URL, *, read_only: bool) -> Callable[[], Any]:
    module = _sqlite_module()
    target = f"file:{os.path.abspath(url.database or '')}" + ("?mode=ro" if read_only else "")

    def connect() -> Any:
        connection = module.connect(target, uri=True, check_same_thread=False, isolation_level=None, timeout=5)
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # Read where the system keeps the file anyway, and copy only what changes: a commit after a page was split looks
        # through the whole cache, which with a million people cost a twentieth of a message.
        connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE}")
        return connection

    return connect


def _sqlite(url: URL, *, read_only: bool) -> Engine:
    # The writer's engine has one connection and whoever comes second waits; readers get one each.
    size = {"pool_size": 4, "max_overflow": 8} if read_only else {"pool_size": 1, "max_overflow": 0}
    engine = create_engine(
        "sqlite://",
        module=_sqlite_module(),
        creator=_connecting(url, read_only=read_only),
        poolclass=QueuePool,
        **size,
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    # Past what SQLAlchemy does around a statement, which costs ten times as much as this one.
    event.listen(engine, "begin", lambda connection: bulk.select_all(connection, begin))
    return engine


def _postgres(url: URL) -> Engine:
    url = url.set(drivername="postgresql+psycopg")
    return create_engine(
        url,
        pool_size=4,
        max_overflow=8,
        pool_pre_ping=False,
        connect_args={"options": _POSTGRES_OPTIONS},
    )
