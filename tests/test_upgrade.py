"""A database of the landed version 0001 goes on under this one, also while a node of that version still serves it."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import backup, ledger_check, people, restore, schema
from storage.store import Store
from storage.vault import Vault
from tests.commands import koukou, koukou_apart
from tests.conftest import _database
from tests.crowd import Crowd
from tests.sealing import PatientSealer as Sealer
from tests.serving import ROOT, Node, _command, _environment, free_port
from tests.talking import NOON, SECRET, Talk

DATA = ROOT / "tests" / "data"
DUMP, CODE = DATA / "landed-0001.sql.gz", DATA / "landed-0001-code.tar.xz"
PEOPLE = tuple(f"oLanded{n:021d}" for n in (1, 2))
GUEST = "g" + "1" * 31
VAULT = Vault(SECRET)


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    """The SQLite file as the landed version left it."""
    path = tmp_path / "landed.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(gzip.decompress(DUMP.read_bytes()).decode())
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, landed: Path, tmp_path: Path) -> Iterator[str]:
    """The landed database on either kind; to PostgreSQL it comes by a backup made before the upgrade."""
    if request.param == "sqlite":
        yield f"sqlite:///{landed}"
        return
    store = Store(f"sqlite:///{landed}", writer=False)
    backup.create(store, VAULT, tmp_path / "landed.zip", "landed", NOON, lambda *_: None)
    store.close()
    with _database(request.getfixturevalue("postgres_url")) as target:
        with backup.Archive(tmp_path / "landed.zip", VAULT) as archive:
            restore.restore(archive, VAULT, target, [], NOON, lambda _: None, lambda *_: None)
        yield target


def test_people_of_the_landed_version_go_on(url: str) -> None:
    async def scenario() -> None:
        store = Store(url)
        steps: list[str] = []
        schema.upgrade(store, steps.append)
        schema.require_current(store)
        if store.is_sqlite:
            assert steps == sorted(schema._known() - {"0001"})
        with store.read() as connection:
            before = ledger_check.check(connection, VAULT)
            numbers = [people.find(connection, VAULT, "wechat", "main", who) for who in PEOPLE]
            assert None not in numbers
            had = [people.balances(connection, number)["points"] for number in numbers if number]
            assert people.find(connection, VAULT, "web", "main", GUEST)
        assert before.problems == []
        assert before.sealed > 0
        assert min(had) > 0
        talk = Talk(store)
        for days in (1, 2):  # the next day they check in, and the day after
            talk.now = NOON + timedelta(days=days)
            for who in PEOPLE:
                assert await talk.say("签到", who=who)
            assert await talk.say("签到", who=GUEST, channel="web")
            assert await talk.say("积分", who=PEOPLE[0])
        again = await talk.hear("签到", who=PEOPLE[0], key="wechat:main:m:1")
        assert again.repeated  # a key of then still has its answer
        while Sealer(store, VAULT).step():
            pass
        with store.read() as connection:
            after = ledger_check.check(connection, VAULT, before.head)
            now = [people.balances(connection, number)["points"] for number in numbers if number]
        assert after.problems == []
        assert after.sealed == after.events + after.postings > before.sealed
        assert all(new > old for new, old in zip(now, had, strict=True))
        await talk.writer.close()
        store.close()

    asyncio.run(scenario())


def test_the_landed_version_may_serve_again_what_this_one_only_added_to(landed: Path, tmp_path: Path) -> None:
    """Going back to it needs no restore: it finds what it looks for in `alembic_version`."""
    store = Store(f"sqlite:///{landed}")
    schema.upgrade(store)
    store.close()
    done = old_code(tmp_path).run(
        "from storage import schema; from storage.store import Store; import sys;"
        "schema.require_current(Store(sys.argv[1], writer=False))",
        f"sqlite:///{landed}",
    )
    assert done.returncode == 0, done.stderr


def test_the_landed_version_refuses_a_restored_copy_which_it_would_not_hold(landed: Path, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{landed}", writer=False)
    backup.create(store, VAULT, tmp_path / "a.zip", "landed", NOON, lambda *_: None)
    with backup.Archive(tmp_path / "a.zip", VAULT) as archive:
        copy = f"sqlite:///{tmp_path / 'copy.db'}"
        restore.restore(archive, VAULT, copy, [], NOON, lambda _: None, lambda *_: None)
    done = old_code(tmp_path).run(
        "from storage import schema; from storage.store import Store; import sys;"
        "schema.require_current(Store(sys.argv[1], writer=False))",
        copy,
    )
    assert "SchemaTooNew" in done.stderr


# ---- with an old node still serving


@dataclass(frozen=True)
class OldCode:
    """The landed version's rooms in a folder of their own."""

    folder: Path

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)

    def environment(self) -> dict[str, str]:
        return {**_environment(), "PYTHONPATH": str(self.folder)}


def old_code(folder: Path) -> OldCode:
    """Unpacked; its one picture is as it was, and is not stored twice."""
    with tarfile.open(CODE) as archive:
        archive.extractall(folder / "landed", filter="data")
    picture = Path("content/family-network/pictures/welcome.jpg")
    (folder / "landed" / picture).parent.mkdir(parents=True)
    shutil.copy(ROOT / picture, folder / "landed" / picture)
    return OldCode(folder / "landed")


@dataclass
class OldNode(Node):
    """A serving process of the landed version."""

    code: OldCode | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.code
        self.config.write_text(self.config.read_text().replace(str(ROOT), str(self.code.folder)))

    def start(self) -> None:
        assert self.code
        self._since = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(self.config, "serve"),
                cwd=self.code.folder,
                env=self.code.environment(),
                stdout=log,
                stderr=log,
            )

    def upgrade(self) -> None:
        assert self.code
        subprocess.run(
            _command(self.config, "db", "upgrade"),
            cwd=self.code.folder,
            env=self.code.environment(),
            check=True,
            capture_output=True,
        )


@pytest.mark.timeout(150)
def test_a_node_of_the_landed_version_serves_through_the_upgrade(tmp_path: Path, postgres_url: str) -> None:
    heard: dict[str, int] = {}

    async def scenario(url: str) -> None:
        with Crowd(seed=4) as crowd:
            old = OldNode(tmp_path, url, free_port(), crowd, code=old_code(tmp_path))
            new = Node(tmp_path, url, free_port(), crowd)
            crowd.nodes = [old]
            try:
                old.upgrade()
                await old.begin()
                with_old = asyncio.create_task(crowd.talk(4, 12))
                await asyncio.sleep(1.0)
                said = await asyncio.to_thread(upgraded, new)  # while people talk to the old one
                assert "migration 0002" in said and "migration 0003" in said
                await asyncio.sleep(1.5)  # its readiness looks at the schema every time it is asked
                status, _ = await old._health.exchange("GET", "")
                assert status == 200
                await new.begin()
                crowd.nodes = [old, new]
                for _ in range(30):
                    await asyncio.sleep(0.1)
                crowd.hush()
                await with_old
                heard.update(acknowledged(crowd))
                status, _ = await old._health.exchange("GET", "")
                assert status == 200
                await asyncio.sleep(1.5)
                await old.stop()
                await new.stop()
            finally:
                for node in (old, new):
                    node.kill()
            assert old.broken() == new.broken() == []
            assert crowd.faults == []
            assert crowd.unlike() == []
            report = new.koukou("ledger", "check")
            assert report["problems"] == []
            assert report["sealed"] == report["events"] + report["postings"]
            store = Store(url)
            with store.read() as connection:
                assert schema.version(connection) == schema.head()
                keys = set(connection.execute(text("SELECT key FROM inbox_key")).scalars())
                nodes = connection.execute(text("SELECT COUNT(*) FROM node")).scalar_one()
            store.close()
            assert nodes == 2
            assert {key for key, one in crowd.heard.items() if one.acknowledged} <= keys
            assert set(crowd.refused) <= {0, 503}
            assert all(heard[port] > 5 for port in map(str, (old.port, new.port))), heard

    with _database(postgres_url) as url:
        asyncio.run(scenario(url))


def upgraded(node: Node) -> str:
    """What `koukou db upgrade` says."""
    done = koukou(node.config, "db", "upgrade")
    assert done.exit_code == 0, done.output
    return done.output


def acknowledged(crowd: Crowd) -> dict[str, int]:
    """How many callbacks each node acknowledged, by port."""
    counts: dict[str, int] = {}
    for _, _, port, _ in crowd.waits:
        counts[str(port)] = counts.get(str(port), 0) + 1
    return counts


# ---- what an operator reads


def test_db_upgrade_says_what_it_does_and_makes_a_backup_first(landed: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nurl = "sqlite:///{landed}"\nsecret = "{SECRET.decode()}"\n')
    behind = koukou(config, "ledger", "check")
    assert (behind.exit_code, "run koukou db upgrade" in behind.stderr) == (1, True)
    done = koukou(config, "db", "upgrade", "--backup", str(tmp_path / "before.zip"))
    assert done.exit_code == 0, done.stderr
    assert "the database is at 0001" in done.stderr
    assert "migration 0002" in done.stderr
    assert f"the database is at {schema.head()}" in done.stdout
    with backup.Archive(tmp_path / "before.zip", VAULT) as archive:
        assert archive.manifest.schema == "0001"
    again = koukou(config, "db", "upgrade")
    assert (again.exit_code, "nothing to do" in again.stdout) == (0, True)
    store = Store(f"sqlite:///{landed}")
    with store.begin() as connection:
        connection.execute(text("UPDATE installation SET revision = '9999', oldest = '9999'"))
    store.close()
    for words in (("db", "upgrade"), ("serve",)):
        refused = koukou_apart(config, *words)
        assert refused.returncode == 1, words
        assert "at 9999, which this version" in refused.stderr
