"""Backups of both databases: made under load, restored into either kind, and every way in which one can be wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import backup, copies, erasures, ledger_check, restore, rows, schema
from storage.backup import Archive, BackupFault, Manifest
from storage.store import Store
from storage.vault import Vault
from tests.commands import koukou
from tests.conftest import _database
from tests.crowd import Crowd
from tests.sealing import PatientSealer as Sealer
from tests.serving import ROOT, Node, free_port
from tests.serving import SECRET as NODE_SECRET
from tests.talking import SECRET, Talk, run, talking

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VAULT = Vault(SECRET)
HOSTILE = "a\tb\\c\nd\re\\N\\\\t 忘😀 'q' \"z\" \x0b\x08"


@pytest.fixture(params=["sqlite", "postgres"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where to restore to: nothing is there."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'koukou.db'}"
    else:
        with _database(request.getfixturevalue("postgres_url")) as url:
            yield url


def made(store: Store, file: Path, vault: Vault = VAULT) -> Manifest:
    return backup.create(store, vault, file, "test", NOW, lambda *_: None)


def restored(file: Path, url: str, journal: Path | None = None, vault: Vault = VAULT) -> restore.Restored:
    named = list(erasures.read(journal)) if journal else []
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
    with Archive(file, vault) as archive:
        return restore.restore(archive, vault, url, named, NOW, lambda _: None, lambda *_: None)


def seal(store: Store, vault: Vault = VAULT) -> int:
    return Sealer(store, vault).step(10_000)


def rows_of(url: str, sql: str) -> list[tuple[Any, ...]]:
    store = Store(url, writer=False)
    with store.read() as connection:
        found = [tuple(row) for row in connection.execute(text(sql))]
    store.close()
    return found


async def some_people(talk: Talk, count: int = 6) -> None:
    for number in range(count):
        await talk.hear(kind="follow", who=f"oBack{number:023d}")
        await talk.hear("签到", who=f"oBack{number:023d}")


@pytest.fixture
def small(tmp_path: Path, migrated_file: Path) -> Path:
    """A backup of a few people, on SQLite."""

    async def scenario() -> None:
        async with talking(f"sqlite:///{tmp_path / 'koukou.db'}") as talk:
            await some_people(talk, 3)
            seal(talk.store)
            made(talk.store, tmp_path / "small.zip")

    run(scenario())
    return tmp_path / "small.zip"


# ---- rows


def test_rows_come_back_as_they_were_from_either_kind_into_either(empty_database_url: str, target_url: str) -> None:
    kinds = "n BIGINT, t TEXT, b BOOLEAN, d {}"
    values = [
        {"n": 1, "t": HOSTILE, "b": True, "d": b"\x00\xff\\\n\t"},
        {"n": -(2**62), "t": "", "b": False, "d": b""},
        {"n": None, "t": None, "b": None, "d": None},
        {"n": 4, "t": "007", "b": True, "d": b"x" * 300_000},
    ]
    shape = [("n", "plain"), ("t", "plain"), ("b", "boolean"), ("d", "bytes")]
    if target_url.startswith("sqlite"):
        Path(target_url.removeprefix("sqlite:///")).parent.mkdir()
    source, target = Store(empty_database_url), Store(target_url)
    for store in (source, target):
        with store.begin() as connection:
            connection.execute(text(f"CREATE TABLE odd ({kinds.format('BLOB' if store.is_sqlite else 'BYTEA')})"))
    with source.begin() as connection:
        connection.execute(text("INSERT INTO odd (n, t, b, d) VALUES (:n, :t, :b, :d)"), values)
        assert rows.columns(connection, "odd") == shape
        whole = b"".join(rows.dump(connection, "odd", shape))
    assert whole.count(b"\n") == len(values)
    with target.begin() as connection:
        rows.load(connection, "odd", shape, [whole[n : n + 7] for n in range(0, 200, 7)] + [whole[203:]])
        found = [dict(row._mapping) for row in connection.execute(text("SELECT n, t, b, d FROM odd"))]
    assert [{**row, "b": None if row["b"] is None else bool(row["b"])} for row in found] == values
    source.close()
    target.close()


@pytest.mark.parametrize("broken", [b"1\tx\n", b"1\tx\tt\t\\\\x00\tmore\n", b"1\tx\tt\t\\\\x0", b"1\t\xff\tt\t\\N\n"])
def test_lines_that_are_no_rows_are_refused(empty_database_url: str, broken: bytes) -> None:
    store = Store(empty_database_url)
    shape = [("n", "plain"), ("t", "plain"), ("b", "boolean"), ("d", "bytes")]
    with pytest.raises(rows.RowsRefused), store.begin() as connection:
        kind = "BLOB" if store.is_sqlite else "BYTEA"
        connection.execute(text(f"CREATE TABLE odd (n BIGINT, t TEXT, b BOOLEAN, d {kind})"))
        rows.load(connection, "odd", shape, [broken])
    store.close()


# ---- under load, into either kind


@pytest.mark.timeout(120)
def test_a_backup_made_under_load_is_whole_and_life_goes_on_from_it(
    tmp_path: Path, database_url: str, postgres_url: str
) -> None:
    vault, file = Vault(NODE_SECRET.encode()), tmp_path / "out" / "load.zip"

    async def scenario() -> tuple[Crowd, dict[str, Any]]:
        with Crowd(seed=3) as crowd:
            node = Node(tmp_path, database_url, free_port(), crowd)
            crowd.nodes = [node]
            try:
                await node.begin()
                talking_ = asyncio.create_task(crowd.talk(6, 12))
                await asyncio.sleep(1.0)
                done = await asyncio.to_thread(node.koukou, "backup", "create", "--to", str(file))
                await asyncio.sleep(0.5)
                crowd.hush()
                await talking_
                await asyncio.sleep(0.8)
                await node.stop()
            finally:
                node.kill()
            assert node.broken() == []
            verified = koukou(node.config, "backup", "verify", str(file))
            assert verified.exit_code == 0, verified.output
            return crowd, done

    crowd, done = asyncio.run(scenario())
    assert crowd.refused.total() == 0  # not one write failed meanwhile
    assert crowd.faults == []
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    later = {key for (key,) in rows_of(database_url, "SELECT key FROM inbox_key")}
    assert {key for key, heard in crowd.heard.items() if heard.acknowledged} <= later
    with _database(postgres_url) as other:
        for target in (f"sqlite:///{tmp_path / 'new' / 'koukou.db'}", other):
            result = restored(file, target, vault=vault)
            assert result.report.head == done["head"]
            assert 0 < int(done["head"].split(":")[0]) == result.report.sealed
            # What came after the snapshot is not in it.
            assert {key for (key,) in rows_of(target, "SELECT key FROM inbox_key")} < later
            asyncio.run(lives_on(target, vault, done["head"]))


async def lives_on(url: str, vault: Vault, head: str) -> None:
    """Somebody checks in; what that writes is ordered and numbered above what was restored, and sealed after it."""
    before = rows_of(url, "SELECT MAX(tx), MAX(id) FROM event")[0]
    store = Store(url)
    talk = Talk(store, vault=vault)
    await talk.hear("签到", who="oAfter0000000000000000000001")
    above = f"SELECT MIN(tx), MIN(id) FROM event WHERE id > {before[1]}"
    assert all(new > old for new, old in zip(rows_of(url, above)[0], before, strict=True))
    report, until = None, time.monotonic() + 20
    # On PostgreSQL whatever else the server runs keeps the newest rows from being ordered yet.
    while report is None or (report.sealed < report.events + report.postings and time.monotonic() < until):
        seal(store, vault)
        with store.read() as connection:
            report = ledger_check.check(connection, vault, head)
    assert report.problems == []
    assert report.sealed == report.events + report.postings > int(head.split(":")[0])
    await talk.writer.close()
    store.close()


def test_numbers_of_another_server_are_gone_on_from(
    postgres_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The source counts a thousand million transactions ahead of this server, as one on an older cluster does."""
    ahead = 1_000_000_000

    async def scenario(source: str, target: str) -> None:
        async with talking(source) as talk:
            with talk.store.begin() as connection:
                connection.execute(text("UPDATE installation SET tx_offset = :n"), {"n": ahead})
            await some_people(talk)
            assert seal(talk.store) > 0
            await talk.hear("签到", who="oUnsealed00000000000000000001")  # the backup holds rows that are not sealed
            manifest = made(talk.store, tmp_path / "a.zip")
        restored(tmp_path / "a.zip", target)
        ((offset, last),) = rows_of(target, "SELECT tx_offset, (SELECT MAX(tx) FROM event) FROM installation")
        assert ahead < last
        assert 0 <= ahead - offset < 1_000_000  # what this server has done since
        store = Store(target)
        talk = Talk(store)
        await some_people(talk)
        ((newer,),) = rows_of(target, "SELECT MIN(tx) FROM event WHERE tx > " + str(last))
        assert newer > last
        while seal(store):
            pass
        with store.read() as connection:
            report = ledger_check.check(connection, VAULT, manifest.head)
            assert report.problems == []
            assert report.sealed == report.events + report.postings
        # Without the offset what is written next would slip in before what is sealed: the books would show it.
        with store.begin() as connection:
            connection.execute(text("UPDATE installation SET tx_offset = 0"))
        talk.now = talk.now.replace(day=talk.now.day + 1)
        await some_people(talk, 2)
        assert seal(store) == 0
        with store.read() as connection:
            assert not ledger_check.check(connection, VAULT, manifest.head).ok
        await talk.writer.close()
        store.close()

    with _database(postgres_url, request.getfixturevalue("migrated_name")) as source, _database(postgres_url) as target:
        run(scenario(source, target))


# ---- what a backup may be like


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with other contents."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    other = file.with_name("other.zip")
    with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return other


def with_manifest(parts: dict[str, bytes], **changed: Any) -> None:
    """Another manifest, rightly signed."""
    document = json.dumps({**json.loads(parts["manifest.json"]), **changed}).encode()
    parts["manifest.json"], parts["manifest.mac"] = document, VAULT.sign(document).encode()


def richer(parts: dict[str, bytes]) -> None:
    name = "tables/balance.txt"
    parts[name] = parts[name].replace(b"points\t", b"points\t9", 1)


TAMPERED: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "a richer balance": (richer, "table balance is not what was written"),
    "a row less": (
        lambda parts: parts.update({"tables/posting.txt": parts["tables/posting.txt"].split(b"\n", 1)[1]}),
        "table posting is not what was written",
    ),
    "a table less": (lambda parts: parts.pop("tables/event.txt") and None, "tables are not those of its manifest"),
    "a file more": (lambda parts: parts.update({"tables/stranger.txt": b""}), "tables are not those of its manifest"),
    "another head": (
        lambda parts: parts.update({"manifest.json": parts["manifest.json"].replace(b'"head": "', b'"head": "1')}),
        "manifest was changed",
    ),
    "no manifest": (lambda parts: parts.pop("manifest.json") and None, "is no backup of Koukou"),
    "a format of tomorrow": (lambda parts: with_manifest(parts, format=2), "format is newer"),
    "a schema of tomorrow": (lambda parts: with_manifest(parts, schema="9999"), "is of a newer version"),
    "a table of another schema": (lambda parts: with_manifest(parts, schema="0001"), "does not fit its schema"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_backup_that_was_changed_is_named_and_restores_nothing(small: Path, tmp_path: Path, case: str) -> None:
    change, words = TAMPERED[case]
    other = rewritten(small, change)
    with pytest.raises(BackupFault, match=words) as fault:
        restored(other, f"sqlite:///{tmp_path / 'no' / 'koukou.db'}")
    assert fault.value.zh and fault.value.zh != fault.value.en
    assert list((tmp_path / "no").iterdir()) == []


def test_books_that_do_not_agree_are_not_restored(small: Path, tmp_path: Path) -> None:
    """Rightly signed and hashed, by somebody who changed the rows before the backup was made."""
    store = Store(f"sqlite:///{tmp_path / 'koukou.db'}")
    with store.begin() as connection:
        connection.execute(text("UPDATE balance SET amount = amount + 100 WHERE owner IS NOT NULL"))
    made(store, tmp_path / "bad.zip")
    store.close()
    with pytest.raises(BackupFault, match="books are wrong in 3 places"):
        restored(tmp_path / "bad.zip", f"sqlite:///{tmp_path / 'no' / 'koukou.db'}")
    assert list((tmp_path / "no").iterdir()) == []


def test_a_damaged_or_cut_off_file_is_named(small: Path) -> None:
    whole = small.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        small.write_bytes(whole[:size])
        with pytest.raises(BackupFault, match="no backup, or was cut off"):
            Archive(small, VAULT)
    with zipfile.ZipFile(__import__("io").BytesIO(whole)) as archive:
        entry = archive.getinfo("tables/blob.txt")
    spoiled = bytearray(whole)
    spoiled[entry.header_offset + entry.compress_size // 2] ^= 0xFF
    small.write_bytes(spoiled)
    with Archive(small, VAULT) as opened:
        assert [fault.en for fault in opened.problems()] == ["table blob is damaged"]
    small.unlink()
    with pytest.raises(BackupFault, match="No such file"):
        Archive(small, VAULT)


def test_a_backup_under_another_secret_is_refused(small: Path) -> None:
    with pytest.raises(BackupFault, match="under another secret"):
        Archive(small, Vault(b"another secret of 32 bytes or more"))


def test_no_secret_and_no_token_is_in_a_backup(tmp_path: Path, database_url: str) -> None:
    async def scenario() -> None:
        async with talking(database_url) as talk:
            await some_people(talk, 1)
            with talk.store.begin() as connection:
                connection.execute(text("INSERT INTO kept VALUES ('wechat:main:token:x', 'CANARY-TOKEN', 9e15)"))
            made(talk.store, tmp_path / "a.zip")

    run(scenario())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (b"CANARY-TOKEN", SECRET, SECRET.hex().encode()):
        assert secret not in whole


# ---- where it may go


def test_restore_refuses_what_is_not_empty_and_leaves_it_alone(small: Path, database_url: str) -> None:
    before = rows_of(database_url, "SELECT * FROM installation")
    with pytest.raises(BackupFault, match=r"exists|not empty"):
        restored(small, database_url)
    assert rows_of(database_url, "SELECT * FROM installation") == before


def test_create_never_writes_over_a_file(small: Path, tmp_path: Path) -> None:
    before = small.read_bytes()
    store = Store(f"sqlite:///{tmp_path / 'koukou.db'}", writer=False)
    with pytest.raises(BackupFault, match="exists already"):
        made(store, small)
    with pytest.raises(BackupFault, match="cannot write"):
        made(store, Path("/proc/nowhere/a.zip"))
    store.close()
    assert small.read_bytes() == before


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.test_backup import *
def tell(table, *_):
    if table == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
if sys.argv[3] == "create":
    store = Store(f"sqlite:///{folder / 'koukou.db'}", writer=False)
    backup.create(store, VAULT, folder / "out" / "k.zip", "t", NOW, tell)
else:
    with Archive(folder / "small.zip", VAULT) as archive:
        restore.restore(archive, VAULT, f"sqlite:///{folder / 'no' / 'koukou.db'}", [], NOW, lambda _: None, tell)
"""


def test_killed_in_the_middle_it_leaves_no_half_file_and_the_next_run_clears_up(small: Path, tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    for what in ("create", "restore"):
        code = subprocess.run(
            [sys.executable, "-c", _KILLED, str(tmp_path), "posting", what], cwd=ROOT, capture_output=True
        )
        assert code.returncode == -signal.SIGKILL, code.stderr.decode()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".zip"] == []
    assert not (tmp_path / "no" / "koukou.db").exists()
    store = Store(f"sqlite:///{tmp_path / 'koukou.db'}", writer=False)
    made(store, tmp_path / "out" / "k.zip")
    store.close()
    assert os.listdir(tmp_path / "out") == ["k.zip"]
    assert restored(tmp_path / "out" / "k.zip", f"sqlite:///{tmp_path / 'no' / 'koukou.db'}").report.ok
    assert os.listdir(tmp_path / "no") == ["koukou.db"]


# ---- what was on its way, and who was erased


def test_what_was_being_sent_is_in_doubt_and_what_was_queued_stays(
    tmp_path: Path, database_url: str, target_url: str
) -> None:
    async def scenario() -> None:
        async with talking(database_url) as talk:
            await some_people(talk, 2)
            with talk.store.begin() as connection:
                ids = connection.execute(text("SELECT id FROM delivery ORDER BY id")).scalars().all()
                for number, state in zip(ids, ("passive", "queued", "claimed", "sending"), strict=True):
                    changed = {"n": number, "s": state}
                    connection.execute(text("UPDATE delivery SET state = :s, lease = 'x' WHERE id = :n"), changed)
            made(talk.store, tmp_path / "a.zip")

    run(scenario())
    assert restored(tmp_path / "a.zip", target_url).doubtful == 3
    states = rows_of(target_url, "SELECT state, reason FROM delivery ORDER BY id")
    assert states == [("doubtful", "restored"), ("queued", ""), ("doubtful", "restored"), ("doubtful", "restored")]
    store = Store(target_url)
    with store.begin() as connection:
        found = copies.waiting(connection, NOW)
        assert found
        assert (found.accounts, found.doubtful) == ({"wechat:main": (1, 1)}, 3)
        with pytest.raises(copies.NotTheNumber):
            copies.release(connection, 2, NOW, drop=False)
        assert copies.held_since(connection) == NOW
        assert copies.release(connection, 1, NOW, drop=True) == (1, [])
        assert copies.held_since(connection) is None
        with pytest.raises(LookupError):
            copies.release(connection, 0, NOW, drop=False)
    store.close()
    assert {state for state, _ in rows_of(target_url, "SELECT state, reason FROM delivery")} == {"doubtful"}


def test_erasures_hold_after_a_restore(tmp_path: Path, database_url: str, target_url: str) -> None:
    forgets, leaves, came_back, stays = (f"oErase{number:022d}" for number in range(4))
    journal = erasures.Journal(tmp_path / "journal")

    def copied(store: Store) -> int:
        reach = journal.reach()
        with store.read() as connection:
            return journal.copy(erasures.since(connection, reach))

    async def erase(talk: Talk, who: str) -> None:
        await talk.hear("忘记我", who=who)
        await talk.hear("确认忘记我", who=who)

    async def scenario() -> None:
        async with talking(database_url) as talk:
            for who in (forgets, leaves, came_back, stays):
                await talk.hear(kind="follow", who=who)
                await talk.hear("我住在人民路八号", who=who)
            await erase(talk, came_back)
            await talk.hear("我又来了", who=came_back)
            assert copied(talk.store) == 1
            made(talk.store, tmp_path / "a.zip")
            talk.days(1)
            await erase(talk, forgets)
            await talk.hear(kind="unfollow", who=leaves)
            assert copied(talk.store) == 2
            assert copied(talk.store) == 0
            await talk.hear("签到", who=stays)

    run(scenario())
    assert restored(tmp_path / "a.zip", target_url, tmp_path / "journal").erased == 2
    heard = (
        "SELECT i.address, COUNT(t.heard), COUNT(t.said) FROM identity i JOIN text t ON t.identity = i.id "
        "GROUP BY i.id, i.address ORDER BY i.id"
    )
    assert rows_of(target_url, heard) == [(None, 0, 0), (None, 0, 0), (came_back, 1, 2), (stays, 1, 2)]
    left = rows_of(target_url, "SELECT COUNT(*) FROM delivery WHERE state = 'queued' AND subscriber IN "
                   "(SELECT subscriber FROM identity WHERE address IS NULL)")  # fmt: skip
    assert left == [(0,)]
    store = Store(target_url)
    assert copied(store) == 0  # the copy's journal goes on where it stood
    store.close()
    # Keyed hashes alone: nothing in the file tells who it was.
    told = (tmp_path / "journal").read_text()
    assert "oErase" not in told and "人民路" not in told
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_without_the_journal_the_backup_still_holds_them(tmp_path: Path) -> None:
    """What the replay is for: the same restore without it brings them back."""
    url = f"sqlite:///{tmp_path / 'koukou.db'}"

    async def scenario() -> None:
        async with talking(url) as talk:
            await some_people(talk, 1)
            made(talk.store, tmp_path / "a.zip")
            await talk.hear(kind="unfollow", who=f"oBack{0:023d}")

    run(scenario())
    target = f"sqlite:///{tmp_path / 'new' / 'koukou.db'}"
    restored(tmp_path / "a.zip", target)
    assert rows_of(target, "SELECT address FROM identity") == [(f"oBack{0:023d}",)]


def test_a_journal_mends_a_line_that_was_cut_and_names_one_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    first, second = (erasures.Erasure(f"d{n}", "left", n, n + 9, 10**15 + n) for n in (1, 2))
    assert erasures.Journal(path).copy([first]) == 1
    with path.open("ab") as file:
        file.write(b'{"digest":"d2","ki')
    assert list(erasures.read(path)) == [first]
    again = erasures.Journal(path)
    assert again.reach() == 10**15 + 1 - 300_000_000
    assert again.copy([first, second]) == 1
    assert list(erasures.read(path)) == [first, second]
    for wrong in (b"nonsense\n", b'{"digest":"d","kind":"other","at":1,"until":1,"noted_at":1}\n', b"[]\n"):
        path.write_bytes(path.read_bytes() + wrong)
        with pytest.raises(erasures.JournalBroken, match=":3"):
            list(erasures.read(path))
        path.write_bytes(path.read_bytes().removesuffix(wrong))


def test_a_backup_of_an_older_schema_comes_up_to_this_one(tmp_path: Path, target_url: str) -> None:
    import gzip
    import sqlite3

    source = tmp_path / "landed.db"
    connection = sqlite3.connect(source)
    connection.executescript(gzip.decompress((ROOT / "tests/data/landed-0001.sql.gz").read_bytes()).decode())
    connection.close()
    store = Store(f"sqlite:///{source}", writer=False)
    manifest = made(store, tmp_path / "a.zip")
    store.close()
    assert manifest.schema == "0001"
    report = restored(tmp_path / "a.zip", target_url).report
    assert (report.ok, report.head) == (True, manifest.head)
    again = Store(target_url)
    schema.require_current(again)
    again.close()


def test_restore_does_not_go_on_by_itself_without_the_journal(small: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nurl = "sqlite:///{tmp_path}/new.db"\nsecret = "{SECRET.decode()}"\n')
    refused = koukou(config, "backup", "restore", str(small))
    assert (refused.exit_code, "there is no journal of erasures" in refused.stderr) == (1, True)
    assert not (tmp_path / "new.db").exists()
    assert erasures.Journal(tmp_path / "new.db.erasures").copy([]) == 0  # as a service makes it at its start
    done = koukou(config, "backup", "restore", str(small))
    assert done.exit_code == 0, done.stderr
    assert "this copy is held" in done.stdout
    again = koukou(config, "backup", "restore", str(small))
    assert (again.exit_code, "move it away" in again.stderr) == (1, True)
    small.write_bytes(small.read_bytes()[:-100])
    for command in ("verify", "restore"):
        broken = koukou(config, "backup", command, str(small))
        assert (broken.exit_code, "no backup, or was cut off" in broken.stderr) == (1, True)
    (tmp_path / "other.toml").write_text(
        config.read_text().replace("new.db", "other.db").replace(SECRET.decode(), "x" * 40)
    )
    other = koukou(tmp_path / "other.toml", "backup", "restore", str(small), "--without-erasures")
    assert (other.exit_code, "cut off" in other.stderr) == (1, True)
