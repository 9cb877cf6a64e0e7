"""What the doctor finds in the settings, the files, the plan, the database and the machine, each fault really there."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import text

from bot import config
from bot.doctor import Check, Finding, Look, configuration, database, examine, fault, machine, ok
from content.posters import setting
from storage import schema
from storage.store import Store
from storage.vault import Vault

ROOT = Path(__file__).parent.parent
SECRET = "a-storage-secret-of-the-doctors-tests"
WECHAT = """[channels.wechat]
enabled = true
app_id = "wx5823bf96d3bd56c7"
app_secret = "the-app-secret"
token = "refbot_token_2026"
aes_key = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
"""
TELEGRAM = """[channels.telegram]
enabled = true
token = "7012345678:AAHplayed_token-of_a_bot_0123456789ab"
secret_token = "a_secret-token"
"""
PUBLIC = '[service]\npublic_url = "https://bot.example.com"\ntrusted_proxies = ["127.0.0.1"]\n'


def look(folder: Path, written: str = "", **environ: str) -> Look:
    """A look at settings as written in `config.toml` of a folder."""
    file = folder / "config.toml"
    file.write_text(written)
    return Look(config.load(file, environ), file, environ, seconds=2.0)


def severities(found: Iterable[Finding]) -> set[str]:
    return {one.severity for one in found}


def only(found: Iterable[Finding], *words: str) -> Finding:
    """The one finding that says all of these words, in Chinese or English, or in how to mend it."""
    kept = list(found)
    matching = [one for one in kept if all(word in f"{one.text('en')} {one.zh} {one.mend_en}" for word in words)]
    assert len(matching) == 1, (words, [one.text("en") for one in kept])
    return matching[0]


def test_settings_that_fit_together_are_well(tmp_path: Path) -> None:
    assert severities(configuration.contradictions(look(tmp_path))) == {"ok"}
    assert severities(configuration.contradictions(look(tmp_path, PUBLIC + WECHAT + TELEGRAM))) == {"ok"}


@pytest.mark.parametrize(
    ("written", "severity", "words"),
    [
        (WECHAT, "fault", ("this machine itself", "service.public_url")),
        (TELEGRAM, "fault", ("this machine itself",)),
        (TELEGRAM, "fault", ("must be https", "polling")),
        (
            PUBLIC.replace("example.com", "example.com:8000") + WECHAT,
            "fault",
            ("80 and 443", "config.toml:2:service.p"),
        ),
        (PUBLIC.replace("example.com", "example.com:9443") + TELEGRAM, "fault", ("88 and 8443",)),
        (PUBLIC.replace("https", "http") + WECHAT, "warning", ("no https",)),
        (PUBLIC + WECHAT + 'mode = "plain"\n', "warning", ("config.toml:10:channels.wechat.mode", "aes_key is not")),
        (PUBLIC + WECHAT + "verified = false\n", "warning", ("unverified service",)),
        (PUBLIC + WECHAT + 'kind = "subscription"\nverified = false\n', "warning", ("menu cannot be set",)),
        (PUBLIC.replace('"127.0.0.1"', ""), "warning", ("trusted_proxies is empty",)),
        (PUBLIC + 'listen = "0.0.0.0:8000"\n', "warning", ("every interface",)),
        (PUBLIC + '[sms]\nenabled = true\nurl = "http://sms.example"\nkey = "k"\n', "warning", ("people's numbers",)),
        ('[storage]\nurl = "postgresql://localhost/koukou"\n', "fault", ("storage.secret is not set",)),
        (
            PUBLIC + WECHAT + WECHAT.replace("wechat", "wechat.accounts.shop"),
            "fault",
            ("same AppID as channels.wechat", "config.toml:12:channels.wechat.accounts.shop.app_id"),
        ),
    ],
)
def test_a_contradiction_is_named_with_its_place(
    tmp_path: Path, written: str, severity: str, words: tuple[str, ...]
) -> None:
    found = only(configuration.contradictions(look(tmp_path, written)), *words)
    assert found.severity == severity
    assert found.mend_zh
    assert found.mend_en


def test_polling_needs_no_address_and_a_server_of_ones_own_takes_any(tmp_path: Path) -> None:
    assert severities(configuration.contradictions(look(tmp_path, TELEGRAM + 'updates = "polling"\n'))) == {"ok"}
    here = PUBLIC.replace("example.com", "example.com:9443") + TELEGRAM + 'api_url = "http://127.0.0.1:8081"\n'
    assert severities(configuration.contradictions(look(tmp_path, here))) == {"ok"}


def test_several_processes_on_sqlite_are_warned_of(tmp_path: Path) -> None:
    for environ in ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"WEB_CONCURRENCY": "4"}):
        assert (
            only(configuration.contradictions(look(tmp_path, **environ)), "served by one alone").severity == "warning"
        )
    assert severities(configuration.contradictions(look(tmp_path, WEB_CONCURRENCY="1"))) == {"ok"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody on the machine may enter, as /etc/koukou is."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_secret_that_others_may_read_is_found_and_not_shown(open_folder: Path) -> None:
    token = open_folder / "token"
    token.write_text("refbot_token_2026")
    token.chmod(0o640)
    saw = look(
        open_folder,
        '[storage]\nurl = "sqlite:///koukou.db"\n' + WECHAT.replace('"refbot_token_2026"', '""'),
        KOUKOU_CHANNELS__WECHAT__TOKEN_FILE=str(token),
    )
    (open_folder / "koukou.db").touch(0o644)
    (open_folder / "koukou.db.key").touch(0o644)
    saw.file.chmod(0o644)
    found = list(configuration.secret_files(saw))
    assert only(found, "config.toml holds secrets").severity == "fault"
    assert only(found, "koukou.db.key").severity == "fault"
    assert only(found, "what people wrote").severity == "warning"
    assert only(found, f"{token} holds a secret", "chmod 600").severity == "warning"
    assert "refbot" not in str(found)
    for name in ("config.toml", "koukou.db", "koukou.db.key", "token"):
        (open_folder / name).chmod(0o600)
    assert severities(configuration.secret_files(saw)) == {"ok"}


def test_a_file_without_secrets_may_be_read_by_all(open_folder: Path) -> None:
    saw = look(open_folder, '[storage]\nurl = "sqlite:///koukou.db"\n')
    saw.file.chmod(0o644)
    assert severities(configuration.secret_files(saw)) == {"ok"}


def test_a_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = Store(f"sqlite:///{tmp_path}/data/koukou.db")
        schema.upgrade(store)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").glob("koukou.db*")}
    store.close()
    assert modes.pop("koukou.db") == 0o600
    assert modes.pop("koukou.db-wal") == 0o600


def test_what_the_plan_leaves_open_is_listed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "content" / "family-network", tmp_path / "plan")
    saw = look(tmp_path, '[service]\nplan = "plan"\n')
    idle = only(configuration.plan(saw), "not run by this version")
    assert idle.severity == "warning"
    assert "social.lottery" in idle.en
    plan = tmp_path / "plan" / "plan.toml"
    written = plan.read_text()
    plan.write_text(written.replace('credit = "60 元"', 'credit = "unset"', 1))
    assert only(configuration.plan(saw), "1 amounts are unset", "joining.credit").severity == "warning"
    plan.write_text(written.replace("points = 5", "pionts = 5", 1))
    broken = only(configuration.plan(saw), "plan.toml:")
    assert broken.severity == "fault"
    plan.unlink()
    assert only(configuration.plan(saw), "no plan.toml").severity == "fault"


@pytest.fixture
def saw_database(database_url: str, tmp_path: Path) -> Look:
    return look(tmp_path, f'[storage]\nurl = "{database_url}"\nsecret = "{SECRET}"\n')


def test_a_database_of_this_version_is_well(saw_database: Look) -> None:
    found = list(database.database(saw_database))
    assert only(found, "the schema is at").severity == "ok"
    assert only(found, "opens this database").severity == "ok"
    assert only(found, "no serving process").severity == "warning"
    # What the tests' own server is made to do: it must not be praised for it.
    faults = [one.en for one in found if one.severity == "fault"]
    assert all("fsync = off" in one for one in faults)
    assert len(faults) == (0 if "sqlite" in saw_database.settings.storage.url else 1)
    assert severities(database.sealing(saw_database)) == {"ok"}


def test_another_schema_is_named(saw_database: Look) -> None:
    store = Store(saw_database.settings.storage.url)
    for version, said, severity in (
        ("0001", "not upgraded yet", "warning" if store.is_sqlite else "fault"),
        ("9999", "newer than this version", "fault"),
    ):
        with store.begin() as connection:
            connection.execute(text("UPDATE installation SET revision = :v, oldest = :v"), {"v": version})
        assert only(database.database(saw_database), said).severity == severity
    store.close()


def test_another_secret_is_named(saw_database: Look, tmp_path: Path) -> None:
    store = Store(saw_database.settings.storage.url)
    with store.begin() as connection:
        _, wrapped = Vault(b"the secret that was there at first.").new_person_key()
        connection.execute(text("INSERT INTO person_key (subscriber, wrapped) VALUES (1, :w)"), {"w": wrapped})
    store.close()
    found = only(database.database(saw_database), "storage.secret is not this database's")
    assert found.severity == "fault"
    assert SECRET not in str(found)


def test_no_secret_is_made_by_looking(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/koukou.db")
    schema.upgrade(store)
    store.close()
    saw = look(tmp_path, '[storage]\nurl = "sqlite:///koukou.db"\n')
    assert only(database.database(saw), "koukou.db.key is not beside").severity == "fault"
    assert not (tmp_path / "koukou.db.key").exists()


def test_a_journal_that_is_not_wal_is_a_fault(tmp_path: Path, migrated_file: Path) -> None:
    import sqlite3

    shutil.copy(migrated_file, tmp_path / "koukou.db")
    with sqlite3.connect(tmp_path / "koukou.db") as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    saw = look(tmp_path, f'[storage]\nurl = "sqlite:///koukou.db"\nsecret = "{SECRET}"\n')
    assert only(database.database(saw), "journal mode is delete").severity == "fault"


def test_a_database_that_does_not_answer_is_a_fault_and_its_password_is_not_shown(tmp_path: Path) -> None:
    saw = look(tmp_path, f'[storage]\nurl = "postgresql://koukou:hidden-word@127.0.0.1:1/x"\nsecret = "{SECRET}"\n')
    found = list(database.database(saw))
    assert only(found, "does not answer", "config.toml:2:storage.url").severity == "fault"
    assert "hidden-word" not in str(found)
    assert list(database.sealing(saw)) == []


def test_a_database_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://koukou@127.0.0.1:{silent.getsockname()[1]}/x"
        saw = look(tmp_path, f'[storage]\nurl = "{url}"\nsecret = "{SECRET}"\n')
        began = time.monotonic()
        assert only(database.database(saw), "does not answer").severity == "fault"
        assert time.monotonic() - began < 6


def test_what_waits_behind_the_seal_is_counted(saw_database: Look) -> None:
    store = Store(saw_database.settings.storage.url)
    row = "(id, tx, kind, subscriber, actor, campaign, revision, text, at, data)"
    with store.begin() as connection:
        for number in range(3):
            connection.execute(
                text(f"INSERT INTO event {row} VALUES (:n, 5, 'x', NULL, 'test', 'c', 1, NULL, 0, '{{}}')"),
                {"n": 100 + number},
            )
    store.close()
    assert "3 entries wait" in only(database.sealing(saw_database), "head is 0").en


@contextmanager
def _own_database(postgres_url: str, create: str = "") -> Iterator[tuple[str, psycopg.Connection]]:
    name = f"doctor_{os.urandom(4).hex()}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" {create}')
        try:
            yield name, connection
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("synchronous_commit", "off", "fault"),
        ("default_transaction_isolation", "serializable", "fault"),
        ("default_transaction_read_only", "on", "fault"),
    ],
)
def test_a_setting_that_loses_or_slows_is_named(
    postgres_url: str, tmp_path: Path, name: str, value: str, severity: str
) -> None:
    with _own_database(postgres_url) as (base, connection):
        connection.execute(f"ALTER DATABASE \"{base}\" SET {name} = '{value}'")
        url = postgres_url.replace("/postgres?", f"/{base}?")
        found = list(database.database(look(tmp_path, f'[storage]\nurl = "{url}"\nsecret = "{SECRET}"\n')))
    one = only(found, f"{name} = {value}")
    assert one.severity == severity
    assert "ALTER SYSTEM" in one.mend_en
    assert only(found, "not upgraded yet").severity == "fault"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_chinese_is_a_fault(postgres_url: str, tmp_path: Path, encoding: str) -> None:
    create = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with _own_database(postgres_url, create) as (base, _):
        url = postgres_url.replace("/postgres?", f"/{base}?")
        found = list(database.database(look(tmp_path, f'[storage]\nurl = "{url}"\nsecret = "{SECRET}"\n')))
    assert only(found, f"server_encoding = {encoding}", "TEMPLATE template0").severity == "fault"


@contextmanager
def _pooler(postgres_url: str) -> Iterator[int]:
    """Passes connections on to the server, and drops what a client asks for its session, as poolers do."""
    target = parse_qs(urlsplit(postgres_url).query)["host"][0] + "/.s.PGSQL.5432"
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=_passing, args=(client, target), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        listener.close()


def _passing(client: socket.socket, target: str) -> None:
    start = client.makefile("rb")
    while True:
        size, code = struct.unpack("!II", start.read(8))
        rest = start.read(size - 8)
        if code in (80877103, 80877104):  # may we encrypt? no
            client.sendall(b"N")
            continue
        break
    words = rest.rstrip(b"\0").split(b"\0")
    kept = [(k, v) for k, v in zip(words[::2], words[1::2], strict=True) if k != b"options"]
    body = b"".join(k + b"\0" + v + b"\0" for k, v in kept) + b"\0"
    server = socket.socket(socket.AF_UNIX)
    server.connect(target)
    server.sendall(struct.pack("!II", len(body) + 8, code) + body)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65_536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)


def test_a_pooler_that_drops_our_settings_is_found(postgres_url: str, tmp_path: Path) -> None:
    with _pooler(postgres_url) as port:
        saw = look(
            tmp_path,
            f'[storage]\nurl = "postgresql://postgres@127.0.0.1:{port}/postgres"\nsecret = "{SECRET}"\n',
        )
        found = only(database.database(saw), "pooler")
    assert found.severity == "fault"
    assert "lock_timeout" in found.en


def test_connections_for_the_nodes_are_counted() -> None:
    had = {"max_connections": "43", "superuser_reserved_connections": "3"}
    assert [one.severity for one in database._room(had, 10, 3)] == ["ok"]
    assert only(database._room(had, 30, 3), "only 10 connections are free").severity == "warning"
    assert only(database._room(had, 30, 4), "4 nodes want 48").severity == "fault"


def test_room_and_speed_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saw = look(tmp_path, '[storage]\nurl = "sqlite:///koukou.db"\n')
    assert "fault" not in severities(machine.disk(saw))
    monkeypatch.setattr(machine, "SPACE_WARNING_BYTES", 1 << 62)
    monkeypatch.setattr(machine, "SYNC_WARNING_SECONDS", 0.0)
    assert only(machine.disk(saw), "left on the disk").severity == "warning"
    assert only(machine.disk(saw), "a sync to disk").severity == "warning"
    monkeypatch.setattr(machine, "SPACE_FAULT_BYTES", 1 << 61)
    monkeypatch.setattr(machine, "SYNC_FAULT_SECONDS", 0.0)
    assert only(machine.disk(saw), "left on the disk").severity == "fault"
    assert only(machine.disk(saw), "a sync to disk").severity == "fault"


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    saw = look(tmp_path, '[storage]\nurl = "sqlite:////proc/self/koukou.db"\n')
    assert only(machine.disk(saw), "cannot be written").severity == "fault"


def test_a_network_file_system_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nhost:/x {tmp_path} nfs4 rw 0 0\nhost:/y /elsewhere nfs4 rw 0 0\n")
    assert machine.filesystem(tmp_path / "data", mounts) == "nfs4"
    assert machine.filesystem(Path("/etc"), mounts) == "ext4"


def test_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert severities(machine.fonts(look(tmp_path))) == {"ok"}
    monkeypatch.setattr(machine, "_characters", lambda: {"\ue000", "口"})
    assert only(machine.fonts(look(tmp_path)), "lacks \ue000").severity == "fault"
    monkeypatch.setattr(setting, "shipped_font", lambda: str(tmp_path / "gone.otf"))
    setting.font.cache_clear()
    setting.shows.cache_clear()
    try:
        assert only(machine.fonts(look(tmp_path)), "no Chinese font").severity == "fault"
    finally:
        setting.font.cache_clear()
        setting.shows.cache_clear()


def test_checks_run_side_by_side_in_order_and_one_that_hangs_or_breaks_hides_no_other(tmp_path: Path) -> None:
    let_go = threading.Event()

    def slow(_: Look) -> Iterator[Finding]:
        yield ok("先", "first")
        let_go.wait(20)

    def broken(_: Look) -> list[Finding]:
        raise OSError("the database password=swordfish said no")

    def quick(_: Look) -> list[Finding]:
        time.sleep(0.2)
        return [fault("坏", "bad")]

    chosen = [
        Check("slow", "慢", "slow", slow, seconds=0.5),
        Check("broken", "破", "broken", broken),
        *[Check("quick", "快", "quick", quick) for _ in range(10)],
    ]
    began = time.monotonic()
    found = [(check.name, list(findings)) for check, findings in examine(look(tmp_path), chosen)]
    assert time.monotonic() - began < 1.5
    let_go.set()
    assert [name for name, _ in found] == [check.name for check in chosen]
    assert [one.en for one in found[0][1]] == ["first", "not done within 0 s"]
    assert found[0][1][1].severity == "fault"
    assert "did not finish" in found[1][1][0].en
    assert "swordfish" not in str(found)
    assert found[2][1][0].check == "quick"


def test_the_place_of_a_key_is_its_variable_or_its_line(tmp_path: Path) -> None:
    saw = look(
        tmp_path, "\n" + WECHAT.replace('token = "refbot_token_2026"\n', ""), KOUKOU_CHANNELS__WECHAT__TOKEN="abc"
    )
    assert saw.where("channels", "wechat", "token") == "KOUKOU_CHANNELS__WECHAT__TOKEN"
    assert saw.where("channels", "wechat", "app_id") == f"{saw.file}:4:channels.wechat.app_id"
    assert saw.where("service", "public_url") == "service.public_url"
