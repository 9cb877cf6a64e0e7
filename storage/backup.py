"""One file that holds a database as it was at one instant, whichever kind it is, written while the service runs.

A ZIP archive: `tables/NAME.txt` with the rows (storage/rows.py), then `manifest.json` that says what must be in them,
and `manifest.mac`, its code under the installation's secret. Secrets, tokens and leases are not in it. Whoever reads
one gets sound rows or a BackupFault that says what is wrong.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, text

from storage import rows, schema, sealer
from storage.store import Store, machine_now
from storage.vault import Vault

FORMAT = 1
# Machine time, leases, tokens and log-ins of one run; what says where a database stands is made anew by a restore.
LEFT_OUT = frozenset(
    {"alembic_version", "installation", "kept", "node", "rate", "staff_guess", "staff_session"},
)
_MANIFEST, _MAC = "manifest.json", "manifest.mac"
_CHUNK = 1024 * 1024
_MANIFEST_MAX = 4 * 1024 * 1024
_PART = ".koukou-part"

Tell = Callable[[str, int, int], None]  # table, its rows so far, bytes of the archive so far


class BackupFault(Exception):
    """What is wrong with a backup, or in the way of one, and what next; in Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True, slots=True)
class Table:
    """What the archive holds of one table. `columns` are pairs of name and kind, as in storage/rows.py."""

    name: str
    columns: list[list[str]]
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup. `head` is the sealer's last link as `SEQ:MAC`, `noted_at` machine time in microseconds."""

    format: int
    koukou: str
    schema: str
    database: str  # sqlite | postgresql
    created_at: str
    noted_at: int
    key: str  # names the secret without telling it
    head: str
    plans: dict[str, int]  # campaign → revision
    next_id: int
    tables: list[Table] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All rows of all tables."""
        return sum(table.rows for table in self.tables)


def create(store: Store, vault: Vault, target: Path, koukou: str, now: datetime, tell: Tell) -> Manifest:
    """Write a backup of `store` to `target`, which appears whole or not at all. `now` is when, for the manifest.

    Raises BackupFault when the file exists, the folder cannot be written or the database is empty.
    """
    if target.exists():
        raise BackupFault(f"{target} 已经存在，请换一个名字", f"{target} exists already; choose another name")
    try:
        with _appearing(target) as file, store.read() as connection:
            return _write(connection, vault, file, koukou, now, tell)
    except rows.RowsRefused as broken:
        zh, en = f"数据库中途停下了：{broken}", f"the database broke off: {broken}"
        raise BackupFault(zh, en) from None
    except OSError as wrong:
        why = wrong.strerror or str(wrong)
        raise BackupFault(f"写不了 {target}：{why}", f"cannot write {target}: {why}") from None


def _write(connection: Connection, vault: Vault, file: IO[bytes], koukou: str, now: datetime, tell: Tell) -> Manifest:
    if connection.dialect.name != "sqlite":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    revision = schema.version(connection)
    if revision is None:
        raise BackupFault("这个数据库是空的，没有可备份的", "this database is empty: there is nothing to back up")
    head, plans, next_id = _facts(connection)
    noted_at, found = machine_now(connection), []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in rows.tables(connection):
            if name not in LEFT_OUT:
                found.append(_write_table(connection, archive, name, tell))
        kind = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
        stamp, key = now.isoformat(timespec="seconds"), which(vault)
        manifest = Manifest(FORMAT, koukou, revision, kind, stamp, noted_at, key, head, plans, next_id, found)
        document = json.dumps(asdict(manifest), indent=1).encode()
        archive.writestr(_MANIFEST, document)
        archive.writestr(_MAC, vault.sign(document))
    return manifest


def _facts(connection: Connection) -> tuple[str, dict[str, int], int]:
    seq, mac = sealer.head(connection)
    plans = connection.execute(text("SELECT campaign, MAX(number) FROM revision GROUP BY campaign ORDER BY campaign"))
    next_id = connection.execute(text("SELECT next FROM id_block WHERE name = 'all'")).scalar_one()
    return f"{seq}:{mac}", {campaign: int(number) for campaign, number in plans}, int(next_id)


def _write_table(connection: Connection, archive: zipfile.ZipFile, name: str, tell: Tell) -> Table:
    shape = rows.columns(connection, name)
    digest, count, size = hashlib.sha256(), 0, 0
    with archive.open(_entry(name), "w", force_zip64=True) as entry:
        for chunk in rows.dump(connection, name, shape):
            entry.write(chunk)
            digest.update(chunk)
            count += chunk.count(b"\n")
            size += len(chunk)
            tell(name, count, archive.fp.tell() if archive.fp else 0)
    return Table(name, [list(column) for column in shape], count, size, digest.hexdigest())


class Archive:
    """A backup opened for reading; `manifest` is what was signed. Use it as a context."""

    def __init__(self, path: Path, vault: Vault) -> None:
        """Raises BackupFault unless the file is a backup of this installation with an unchanged manifest."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as wrong:
            why = wrong.strerror or str(wrong)
            raise BackupFault(f"读不了 {path}：{why}", f"cannot read {path}: {why}") from None
        except zipfile.BadZipFile:
            raise BackupFault(
                f"{path} 不是备份，或者没有写完、被截断：请换另一份备份",
                f"{path} is no backup, or was cut off: take another one",
            ) from None
        try:
            self.manifest = self._read_manifest(vault)
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def _read_manifest(self, vault: Vault) -> Manifest:
        names = self._zip.namelist()
        if _MANIFEST not in names or _MAC not in names or self._zip.getinfo(_MANIFEST).file_size > _MANIFEST_MAX:
            raise BackupFault(f"{self.path} 不是口口的备份", f"{self.path} is no backup of Koukou")
        try:
            document, mac = self._zip.read(_MANIFEST), self._zip.read(_MAC).decode("ascii", "replace")
            raw = json.loads(document)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError):
            raise BackupFault("备份的清单已损坏", "the backup's manifest is damaged") from None
        if not isinstance(raw, dict) or not isinstance(raw.get("format"), int) or raw["format"] > FORMAT:
            raise BackupFault(
                "备份的格式比这个版本新，请用更新的版本",
                "the backup's format is newer than this version; use a newer one",
            )
        if not secrets.compare_digest(str(raw.get("key", "")), which(vault)):
            raise BackupFault(
                "备份是用另一个密钥写的：请用当时的 storage.secret，或数据库旁的 .key 文件",
                "the backup was written under another secret: give the storage.secret, or the .key file beside the "
                "database, of that installation",
            )
        if not secrets.compare_digest(vault.sign(document), mac):
            raise BackupFault("备份的清单被改动过，不可信", "the backup's manifest was changed; do not trust it")
        tables = [Table(**table) for table in raw.pop("tables")]
        entries = [_entry(table.name) for table in tables]
        if sorted(names) != sorted([*entries, _MANIFEST, _MAC]):
            raise BackupFault(
                "备份里的表与清单不符，有缺少或多余的",
                "the backup's tables are not those of its manifest: some lack or are too many",
            )
        return Manifest(**raw, tables=tables)

    def chunks(self, table: Table) -> Iterator[bytes]:
        """The table's rows. Raises BackupFault, at the end at the latest, unless they are what was written."""
        digest, count = hashlib.sha256(), 0
        try:
            with self._zip.open(_entry(table.name)) as entry:
                while chunk := entry.read(_CHUNK):
                    digest.update(chunk)
                    count += chunk.count(b"\n")
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            raise BackupFault(f"表 {table.name} 已损坏", f"table {table.name} is damaged") from None
        if digest.hexdigest() != table.sha256 or count != table.rows:
            raise BackupFault(
                f"表 {table.name} 不是写下的那样：应有 {table.rows} 行，读到 {count} 行，校验和不符",
                f"table {table.name} is not what was written: {table.rows} rows then, {count} now, or another hash",
            )

    def problems(self, tell: Tell = lambda *_: None) -> list[BackupFault]:
        """Read everything; what is wrong, table by table."""
        found = []
        for table in self.manifest.tables:
            try:
                for _ in self.chunks(table):
                    tell(table.name, table.rows, 0)
            except BackupFault as fault:
                found.append(fault)
        return found


def which(vault: Vault) -> str:
    """A name of the secret that tells nothing of it."""
    return vault.sign(b"which secret")[:16]


def _entry(table: str) -> str:
    return f"tables/{table}.txt"


@contextmanager
def _appearing(target: Path) -> Iterator[Any]:
    """A file that only its owner may read, and that gets its name when it is whole and on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_PART}")
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                raise FileExistsError(17, "File exists")
            part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed runs left: parts that nobody writes any longer."""
    for part in folder.glob(f".*{_PART}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
