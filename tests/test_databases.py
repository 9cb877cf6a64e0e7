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
