"""The shipped migrations make exactly the tables of the models, once, whoever starts first; others are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from storage import schema, tables
from storage.ids import BLOCK, Ids
from storage.store import Store


@pytest.fixture
def store(empty_database_url: str) -> Iterator[Store]:
    opened = Store(empty_database_url)
    yield opened
    opened.close()


def shape(connection: Connection) -> dict[str, Any]:
    """All that a database says of our tables, with texts of conditions freed from their spelling."""

    def plain(condition: object) -> str:
        return re.sub(r"[\s()\"]|::\w+(\[\])?", "", str(condition)).lower()

    def where(index: Any) -> list[str]:
        return sorted(plain(value) for value in index.get("dialect_options", {}).values())

    found = inspect(connection)
    return {
        name: {
            "columns": {
                c["name"]: (str(c["type"]), c["nullable"], plain(c.get("default"))) for c in found.get_columns(name)
            },
            "key": found.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(tuple(u["column_names"]) for u in found.get_unique_constraints(name)),
            "checks": sorted((c["name"] or "", plain(c["sqltext"])) for c in found.get_check_constraints(name)),
            "indexes": sorted(
                (i["name"] or "", tuple(i["column_names"]), bool(i["unique"]), where(i))
                for i in found.get_indexes(name)
            ),
            "options": plain(found.get_table_options(name)),
        }
        for name in found.get_table_names()
        if name != "alembic_version"
    }


def test_migrations_leave_nothing_to_autogenerate(store: Store) -> None:
    schema.upgrade(store)
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


def test_migrations_make_what_the_models_say_with_checks_and_options(store: Store) -> None:
    with store.begin() as connection:
        tables.metadata.create_all(connection)
        wanted = shape(connection)
        tables.metadata.drop_all(connection)
    schema.upgrade(store)
    with store.read() as connection:
        assert shape(connection) == wanted
    assert {"balance", "posting", "seal"} <= set(wanted)
    assert "balance_floor" in str(wanted["balance"]["checks"])


def test_upgrade_again_changes_nothing_and_gives_no_id_twice(store: Store) -> None:
    schema.upgrade(store)
    first = Ids(store.begin).reserve(1)()
    schema.upgrade(store)
    second = Ids(store.begin).reserve(1)()
    assert (first, second) == (1000, 1000 + BLOCK)
    with store.read() as connection:
        assert schema.version(connection) == schema.head()
        assert connection.execute(text("SELECT name, next FROM id_block")).all() == [("all", 1000 + 2 * BLOCK)]


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(store: Store) -> None:
    with store.begin() as connection:
        connection.execute(text("CREATE TABLE seal (other INTEGER)"))
    with pytest.raises(Exception, match="seal"):
        schema.upgrade(store)
    with store.read() as connection:
        assert inspect(connection).get_table_names() == ["seal"]


def test_an_empty_database_is_refused_until_it_is_upgraded(store: Store) -> None:
    with store.begin():  # the file of an SQLite database exists from its first transaction on
        pass
    with pytest.raises(schema.SchemaBehind, match=schema.head()):
        schema.require_current(store)
    schema.upgrade(store)
    schema.require_current(store)


def test_a_newer_schema_is_neither_served_nor_touched(store: Store) -> None:
    schema.upgrade(store)
    with store.begin() as connection:
        connection.execute(text("UPDATE installation SET revision = '9999_of_tomorrow', oldest = '9998'"))
    for refused in (schema.require_current, schema.upgrade):
        with pytest.raises(schema.SchemaTooNew, match="9999_of_tomorrow"):
            refused(store)
    with store.read() as connection:
        assert schema.version(connection) == "9999_of_tomorrow"


def test_a_schema_that_a_newer_version_only_added_to_is_served_and_left_alone(store: Store) -> None:
    schema.upgrade(store)
    with store.begin() as connection:
        connection.execute(text("UPDATE installation SET revision = '9999', oldest = :ours"), {"ours": schema.head()})
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    schema.require_current(store)
    schema.upgrade(store)
    with store.read() as connection:
        assert schema.version(connection) == "9999"


def test_postings_of_before_stand_and_none_is_reversed_twice_since_they_name_their_message(store: Store) -> None:
    columns = "id, tx, key, unit, source, destination, amount, campaign, revision, reason, event, at, reverses"
    posted = (
        f"INSERT INTO posting ({columns}) VALUES (:id, 1, CAST(:id AS TEXT), 'points', :from, :to, 5, 'c', 1, 'r', "
        "NULL, 7, :undoes)"
    )
    gain = {"id": 11, "from": "mint/points", "to": "s/1/points", "undoes": None}
    undone = {"id": 12, "from": "s/1/points", "to": "mint/points", "undoes": 11}

    def post(connection: Connection, **values: Any) -> None:
        connection.execute(text(posted), values)

    with store.begin() as connection:
        schema.bring_up(connection, "0016")
        for values in (gain, undone, {**gain, "id": 13}):
            post(connection, **values)
        before = connection.execute(text(f"SELECT {columns} FROM posting ORDER BY id")).all()
    schema.upgrade(store)
    with store.read() as connection:
        assert connection.execute(text(f"SELECT {columns} FROM posting ORDER BY id")).all() == before
        assert connection.execute(text("SELECT DISTINCT text FROM posting")).all() == [(None,)]
    with store.begin() as connection:  # as a node of the version before goes on writing
        post(connection, **{**gain, "id": 14})
        post(connection, **{**undone, "id": 15, "undoes": 14})
    for twice in ({**undone, "id": 16}, {**gain, "id": 13}):
        with pytest.raises(IntegrityError), store.begin() as connection:
            post(connection, **twice)


def test_every_migration_after_the_first_says_which_older_version_may_serve_beside_it() -> None:
    """A node of the previous version goes on while the next one starts, or the migration says that it must not."""
    folder = Path(schema.__file__).parent / "migrations" / "versions"
    for path in sorted(folder.glob("[0-9]*.py"))[1:]:
        said = re.search(r'^oldest = "(\w+)"', path.read_text("utf-8"), re.MULTILINE)
        assert said, f'{path.name} lacks a line such as: oldest = "0001"'
        assert schema.known(said[1])
        assert said[1] <= path.name.partition("_")[0]


def test_nodes_that_start_together_upgrade_once(empty_postgres_url: str) -> None:
    url = empty_postgres_url
    nodes = [Store(url) for _ in range(4)]
    together = Barrier(len(nodes))

    def start(node: Store) -> None:
        together.wait()
        schema.upgrade(node)
        schema.require_current(node)

    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(start, nodes))
    with nodes[0].read() as connection:
        assert connection.execute(text("SELECT name, next FROM id_block")).all() == [("all", 1000)]
    for node in nodes:
        node.close()


def test_a_node_waits_longer_than_a_lock_may_take(empty_postgres_url: str) -> None:
    url = empty_postgres_url
    slow, waiting = Store(url), Store(url)
    with ThreadPoolExecutor(1) as pool:
        with slow.begin() as connection:
            schema.wait_for_turn(connection)
            result = pool.submit(schema.upgrade, waiting)
            with pytest.raises(TimeoutError):
                result.result(timeout=0.9)
        result.result(timeout=30)
    schema.require_current(slow)
    slow.close()
    waiting.close()


def test_the_newest_file_is_what_alembic_takes_for_the_head() -> None:
    shipped = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert shipped.get_heads() == [schema.head()]
    assert all(Path(script.path).name.startswith(f"{script.revision}_") for script in shipped.walk_revisions())
