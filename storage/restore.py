"""A backup made a database again, in one transaction: either kind into either kind, checked before anybody reads it.

Erasures that came after the backup are done again, old texts go, what was being sent is in doubt, and the copy keeps
silent until it is released (storage/copies.py).
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from storage import bulk, copies, erasures, ids, people, rows, schema, sealer, tables
from storage.backup import LEFT_OUT, Archive, BackupFault, Manifest, Tell
from storage.draft import dumps
from storage.erasures import Erasure
from storage.ledger_check import Report, check
from storage.store import Store, StoreLocked, transaction_number
from storage.tables import instant, micros
from storage.vault import Vault

_HOUR = 3_600_000_000
_SIDE_FILES = ("-wal", "-shm", "-journal", ".lock")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was made: the books' report, erasures done again, and messages put in doubt."""

    report: Report
    erased: int
    doubtful: int


def rehearse(archive: Archive, vault: Vault, tell: Tell) -> Report:
    """Fill a temporary SQLite database from the backup and prove its books against the manifest. Raises BackupFault."""
    with tempfile.TemporaryDirectory(prefix="koukou-verify-") as folder:
        store = Store(f"sqlite:///{folder}/verify.db")
        try:
            _hasten(store)
            with store.begin() as connection:
                _fill(connection, archive, tell)
                return check(connection, vault, archive.manifest.head)
        finally:
            store.close()


def restore(
    archive: Archive,
    vault: Vault,
    url: str,
    journal: Iterable[Erasure],
    now: datetime,
    tidy: Callable[[Connection], None],
    tell: Tell,
) -> Restored:
    """Make the database at `url` from the backup. `tidy` runs at the end of the transaction that makes it.

    Raises BackupFault, with nothing made, when the database is not empty, or the backup or its books are not sound;
    StoreLocked when a service starts there.
    """
    with _new_database(url) as store:
        _hasten(store)
        try:
            with store.begin() as connection:
                return _restore(connection, archive, vault, journal, now, tidy, tell)
        except DBAPIError as refused:
            why = str(refused.orig).splitlines()[0]
            raise BackupFault(f"数据库拒绝了备份的内容：{why}", f"the database refused the rows: {why}") from None


def _restore(
    connection: Connection,
    archive: Archive,
    vault: Vault,
    journal: Iterable[Erasure],
    now: datetime,
    tidy: Callable[[Connection], None],
    tell: Tell,
) -> Restored:
    schema.wait_for_turn(connection)
    if rows.tables(connection):
        raise BackupFault(
            "数据库不是空的：请新建一个空库，在设置里指向它，再恢复",
            "the database is not empty: make a new one, point the settings at it, and restore into that",
        )
    manifest = archive.manifest
    _fill(connection, archive, tell)
    _mark(connection, now)
    doubtful = copies.doubt_begun(connection, now)
    erased = replay(connection, journal, manifest, now)
    tidy(connection)
    if connection.dialect.name != "sqlite":
        connection.execute(text("ANALYZE"))
    report = check(connection, vault, manifest.head)
    if not report.ok:
        first = report.problems[0]
        raise BackupFault(
            f"备份里的账不对（{len(report.problems)} 处），没有恢复：{first}",
            f"the backup's books are wrong in {len(report.problems)} places, nothing was restored: {first}",
        )
    _note(connection, now, manifest)
    return Restored(report, erased, doubtful)


def _fill(connection: Connection, archive: Archive, tell: Tell) -> None:
    """The schema as it was, its rows, then the schema as it is now."""
    manifest = archive.manifest
    if not schema.known(manifest.schema):
        raise BackupFault(
            f"备份来自更新的版本（结构 {manifest.schema}），请用那个版本恢复",
            f"the backup is of a newer version (schema {manifest.schema}); restore it with that one",
        )
    schema.bring_up(connection, manifest.schema)
    wanted, there = set(rows.tables(connection)) - LEFT_OUT, {table.name for table in manifest.tables}
    if wanted != there:
        named = ", ".join(sorted(wanted ^ there))
        raise BackupFault(f"备份与它的结构不符：{named}", f"the backup does not fit its schema: {named}")
    connection.execute(text("DELETE FROM id_block"))
    with rows.without_indexes(connection):
        for table in manifest.tables:
            shape = [(name, kind) for name, kind in table.columns]
            tell(table.name, table.rows, 0)
            try:
                rows.load(connection, table.name, shape, archive.chunks(table))
            except rows.RowsRefused as odd:
                zh, en = f"表 {table.name} 读不懂：{odd}", f"table {table.name} cannot be read: {odd}"
                raise BackupFault(zh, en) from None
    schema.bring_up(connection, schema.head())
    _ids_go_on(connection)


def _ids_go_on(connection: Connection) -> None:
    """Ids were taken in blocks that were committed before their use, so the next one is above all; made sure of."""
    highest = connection.execute(
        text(
            "SELECT MAX(n) FROM (SELECT MAX(id) AS n FROM event UNION ALL SELECT MAX(id) FROM posting UNION ALL "
            "SELECT MAX(id) FROM text UNION ALL SELECT MAX(id) FROM delivery UNION ALL "
            "SELECT MAX(id) FROM identity) AS a"
        )
    ).scalar()
    connection.execute(
        text("UPDATE id_block SET next = :above WHERE next < :above"), {"above": int(highest or 0) + ids.BLOCK}
    )


def _mark(connection: Connection, now: datetime) -> None:
    """A restored copy, whose transaction numbers go on above those it brought along."""
    offset = 0
    if connection.dialect.name != "sqlite":
        last = "(SELECT MAX(n) FROM (SELECT MAX(tx) AS n FROM event UNION ALL SELECT MAX(tx) FROM posting) AS a)"
        ours = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        ahead = connection.execute(text(f"SELECT COALESCE({last}, 0) + 1 - {ours}")).scalar_one()
        offset = max(0, int(ahead))
    connection.execute(
        text("UPDATE installation SET tx_offset = :offset, restored_at = :now, released_at = NULL"),
        {"offset": offset, "now": micros(now)},
    )
    schema.keep_old_versions_off(connection)
    connection.execute(text("UPDATE timer SET lease_until = NULL WHERE lease_until IS NOT NULL"))


def _note(connection: Connection, now: datetime, manifest: Manifest) -> None:
    """The restore is an act. Written last: to the check of the books a transaction that is not over lies ahead."""
    event = (ids.take(connection, 1), transaction_number(connection), "backup.restored", None, "operator", "", 0, None)
    data = dumps({"rows": manifest.rows, "head": int(manifest.head.partition(":")[0])})
    bulk.insert(connection, tables.metadata.tables["event"], sealer.EVENT, [(*event, micros(now), data)])


def replay(connection: Connection, journal: Iterable[Erasure], manifest: Manifest, now: datetime) -> int:
    """Erase again whom the journal names and the backup still holds; returns how many identities.

    Only what was noted after the backup: who came back since an earlier erasure is left alone.
    """
    since = manifest.noted_at - _HOUR
    done = {(one.digest, one.kind, one.at) for one in erasures.since(connection, since)}
    news = sorted({one for one in journal if one.noted_at >= since}, key=lambda one: (one.at, one.digest))
    fresh = [one for one in news if (one.digest, one.kind, one.at) not in done]
    found = bulk.select(
        connection,
        "SELECT id, subscriber, digest FROM identity WHERE digest IN {set}",
        sorted({one.digest for one in fresh}),
    )
    whose = {row.digest: (row.id, row.subscriber) for row in found}
    for one in fresh:
        if one.digest in whose:
            _erase(connection, one, *whose[one.digest], now)
    noted = [(one.digest, one.kind, one.at, one.until, one.noted_at) for one in fresh]
    columns = ("digest", "kind", "at", "until", "noted_at")
    bulk.upsert(connection, tables.metadata.tables["erasure"], columns, noted)
    return len({one.digest for one in fresh} & whose.keys())


def _erase(connection: Connection, one: Erasure, identity: int, subscriber: int, now: datetime) -> None:
    if one.kind == "left":
        people.park(connection, identity, instant(one.at), instant(one.until))
        return
    people.forget(connection, subscriber, instant(one.at), instant(one.until))
    whose = {"s": subscriber, "now": micros(now)}
    # Their last answer left long ago, from the original: no text and no address waits for it here.
    for change in (
        "UPDATE text SET said = NULL WHERE identity IN (SELECT id FROM identity WHERE subscriber = :s)",
        "UPDATE identity SET address = NULL WHERE subscriber = :s",
        "UPDATE delivery SET state = 'refused', reason = 'erased', ended_at = :now WHERE subscriber = :s "
        "AND state = 'queued'",
    ):
        connection.execute(text(change), {name: value for name, value in whose.items() if f":{name}" in change})


# ---- where it is made


@contextmanager
def _new_database(url: str) -> Iterator[Store]:
    """A store to fill. On SQLite a file apart, which gets its name when it is whole and on the disk."""
    store = Store(url, writer=False)
    path = store.path
    if path is None:
        try:
            yield store
        finally:
            store.close()
        return
    store.close()
    if path.exists():
        raise BackupFault(
            f"{path} 已经存在：先停止服务，把它（连同 -wal、-shm）移走，再恢复",
            f"{path} exists: stop the service, move it away together with its -wal and -shm, then restore",
        )
    _sweep(path)
    guard = Store(url.replace(str(path), f"{path}.restoring-{secrets.token_hex(4)}"))
    part = guard.path
    assert part
    try:
        yield guard
        guard.close()
        _settle(part)
        if path.exists():
            raise BackupFault(f"{path} 这时出现了", f"{path} appeared meanwhile")
        part.chmod(0o600)
        part.rename(path)
        _sync(path.parent)
    finally:
        guard.close()
        _remove(part)


def _sweep(path: Path) -> None:
    """Remove what killed runs left: files apart that nobody fills any longer."""
    for lock in path.parent.glob(f"{path.name}.restoring-*.lock"):
        with suppress(StoreLocked):
            Store(f"sqlite:///{lock.with_suffix('')}").close()
            _remove(lock.with_suffix(""))


def _remove(part: Path) -> None:
    for leftover in (part, *(part.with_name(part.name + end) for end in _SIDE_FILES)):
        leftover.unlink(missing_ok=True)


def _hasten(store: Store) -> None:
    """Nobody reads a SQLite file that is being made, and a broken one is thrown away: it needs no journal."""
    if store.is_sqlite:
        raw: Any = store.engine.raw_connection()
        raw.driver_connection.execute("PRAGMA journal_mode=OFF")
        raw.driver_connection.execute("PRAGMA synchronous=OFF")
        raw.close()


def _settle(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
