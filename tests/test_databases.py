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


def test_rows_without_names_are_the_same_rows(database_url: str) -> None:
    """What a message reads comes as one text from SQLite: whole numbers at their ends, odd texts, nothing, no row."""
    odd = ["", "null", '"q"', "a\\b", "忘😀", "\n\t\x1f\u2028", '{"k":["v",1]}']
    rows = [(n, f"n{place}", text) for place, text in enumerate(odd) for n in (1, 2**62, -(2**63))]
    store = Store(database_url)
    with store.begin() as connection:
        bulk.insert(connection, metadata.tables["memory"], ("subscriber", "name", "data"), rows)
        sql = "SELECT subscriber, name, NULLIF(data, '') FROM {each} memory WHERE subscriber = listed.value"
        found = bulk.tuples(connection, sql, [-(2**63), 2**62, 5])
        assert sorted(map(tuple, found)) == sorted((n, name, data or None) for n, name, data in rows if n != 1)
        assert bulk.tuples(connection, sql, [5]) == bulk.tuples(connection, sql, []) == []
    store.close()


def test_a_change_that_is_the_same_for_all(database_url: str) -> None:
    """Beside values of their own and sums, and only where it may be."""
    columns = ("account", "owner", "unit", "amount", "held", "floor")
    store = Store(database_url)
    with store.begin() as connection:
        balance = metadata.tables["balance"]
        bulk.insert(connection, balance, columns, [(name, 7, "points", 10, 2, 0) for name in "abc"])
        changes = ("owner=NULL", "amount+", "held=0", "unit")
        bulk.update(connection, balance, "account", changes, [(5, "u", "a"), (-1, "v", "b")], only="balance.owner = 7")
        bulk.update(connection, balance, "account", changes, [(5, "w", "a")], only="balance.owner = 7")
        left = bulk.select_all(connection, "SELECT account, owner, unit, amount, held FROM balance ORDER BY account")
    store.close()
    assert list(map(tuple, left)) == [("a", None, "u", 15, 0), ("b", None, "v", 9, 0), ("c", 7, "points", 10, 2)]


def micros_of(number: int) -> int:
    return -(2**62) if number == 1 else 2**62 + number
