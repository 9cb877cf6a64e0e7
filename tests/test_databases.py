"""Both engines that tests run on are real, empty at the start, and apart from each other."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text

from storage import bulk
from storage.store import Store
from storage.tables import metadata


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database_of_its_own(empty_database_url: str, turn: int) -> None:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE only_here (n INTEGER)"))
        connection.execute(text("INSERT INTO only_here VALUES (:n)"), {"n": turn})
        assert connection.execute(text("SELECT n FROM only_here")).scalars().all() == [turn]
    engine.dispose()


@pytest.mark.parametrize("count", [3, 500, 4_100])
def test_many_rows_arrive_as_few_do(database_url: str, count: int) -> None:
    """Odd texts, nothing, and the ends of numbers, as a handful and as thousands: written, added to, left alone."""
    odd = ["", "NULL", "null", "{}", '"q"', "a\\b", "{a,b}", "忘😀", "\n\t", '{"k":"v"}', "it's", "\u2028\x7f"]
    rows = [
        (n, micros_of(n), "zh", "active", f"c{n}", None if n % 3 else odd[n % len(odd)], n % 2 == 0, False)
        for n in range(1, count + 1)
    ]
    columns = ("id", "created_at", "language", "status", "code", "branch", "consent", "guest")
    table = metadata.tables["subscriber"]
    store = Store(database_url)
    with store.begin() as connection:
        bulk.insert(connection, table, columns, rows)
        bulk.insert_missing(connection, table, columns, [(*row[:2], "en", *row[3:]) for row in rows])
        bulk.update(
            connection, table, "id", ("branch", "owed"), [(odd[n % len(odd)], True, n) for n in range(2, count)]
        )
        found = bulk.select_all(connection, f"SELECT {', '.join(columns)}, owed FROM subscriber ORDER BY id")
    store.close()
    wanted = [(*row[:5], odd[row[0] % len(odd)] if 2 <= row[0] < count else row[5], row[6]) for row in rows]
    assert [(*row[:6], bool(row[6])) for row in found] == wanted
    assert sum(bool(row.owed) for row in found) == count - 2


def micros_of(number: int) -> int:
    return -(2**62) if number == 1 else 2**62 + number


def test_a_plan_made_while_a_table_was_small_does_not_read_all_of_it_later(empty_postgres_url: str) -> None:
    """A session keeps the plans of what it repeats; reports, which read all, may still do so."""
    store = Store(empty_postgres_url)
    with store.begin() as connection:
        connection.execute(text("CREATE TABLE row (id BIGINT PRIMARY KEY, person BIGINT)"))
        connection.execute(text("CREATE INDEX ix_row_person ON row (person)"))
        connection.execute(text("INSERT INTO row SELECT -n, -n FROM generate_series(1, 3) AS n"))
        connection.execute(text("ANALYZE row"))
        for person in range(20):  # five are planned for their values, and then one plan is kept
            bulk.select_all(connection, "SELECT id FROM row WHERE person = ?", person)
        connection.execute(text("INSERT INTO row SELECT n, n FROM generate_series(1, 20000) AS n"))
        query = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%person%' AND generic_plans > 0"
        name = connection.execute(text(query)).scalar_one()
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN EXECUTE {name}(7)").scalars())
        assert "Seq Scan on row" not in plan and "ix_row_person" in plan, plan
    with store.read() as connection:
        assert connection.execute(text("SHOW enable_seqscan")).scalar_one() == "on"
        assert connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
    store.close()
