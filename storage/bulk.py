"""Set-wise statements for the message path, the same call on both databases.

SQLite runs a prepared statement per row inside the C library; PostgreSQL gets one statement with an array per column.
Statements go to the driver's own cursor, within the transaction at hand: what SQLAlchemy does around each costs more
than most of them. Values are passed as stored (whole numbers, texts, booleans), not as instants. Knows no table.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Boolean, TypeDecorator

Rows = Sequence[tuple[Any, ...]]
_AT_ONCE = 2_000
_MANY = 200  # from so many rows on a column is cheaper handed over as one text than value by value
_CAST = re.compile(r"%s::(\w+)\[\]")


def insert(connection: Connection, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """Insert all rows with one call. Raises sqlalchemy.exc.IntegrityError when any breaks a constraint."""
    if rows:
        _run(connection, _insert_sql(table, columns, connection.dialect.name), rows)


def insert_missing(connection: Connection, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """Insert those rows whose key does not exist; waits for whoever is just inserting the same."""
    if rows:
        _run(connection, f"{_insert_sql(table, columns, connection.dialect.name)} ON CONFLICT DO NOTHING", rows)


def upsert(connection: Connection, table: Table, columns: tuple[str, ...], rows: Rows) -> None:
    """Insert rows; where the primary key exists, replace the other columns, or add to those written as `name+`."""
    if rows:
        _run(connection, _upsert_sql(table, columns, connection.dialect.name), rows)


def update(
    connection: Connection, table: Table, key: str, changes: tuple[str, ...], rows: Rows, *, only: str = "TRUE"
) -> None:
    """Set columns by key: each row is (new values in the order of `changes`…, key).

    A change written as `name+` adds to the column instead of replacing it; one written as `name=SQL` has no value in
    the rows and is the same for all. Rows of which `only` (SQL, its columns with the table's name) is not true stay as
    they are.
    """
    if rows:
        _run(connection, _update_sql(table, key, changes, only, connection.dialect.name), rows)


def select(connection: Connection, sql: str, values: Iterable[Any], *more: Any) -> list[Any]:
    """Rows of `sql`, where `{set}` stands for the sub-query of `values` and `?` for each of `more`.

    `FROM {each} …` joins instead, each of `values` in its order as `listed.value`: for a message's own reads, since of
    a sub-query SQLite makes a table first, which costs more than the rows. `values` must be all texts or all whole
    numbers, and for `{each}` distinct.
    """
    return _select(connection, sql, list(values), more, named=True)


def tuples(connection: Connection, sql: str, values: Iterable[Any], *more: Any) -> list[Any]:
    """The same without names: for a message's many small rows, where names cost as much as reading them.

    On SQLite what is selected comes as one text, so it must be texts and whole numbers: its driver lets go of the
    interpreter and takes it again for every column that it reads.
    """
    listed = list(values)
    if not listed or connection.dialect.name != "sqlite" or not sql.startswith("SELECT "):
        return _select(connection, sql, listed, more, named=False)
    ((written,),) = _select(connection, _as_text(sql), listed, more, named=False)
    rows: list[Any] = orjson.loads(written)
    return rows


def _select(connection: Connection, sql: str, listed: list[Any], more: tuple[Any, ...], *, named: bool) -> list[Any]:
    if not listed:
        return []
    if connection.dialect.name == "sqlite":
        return _execute(connection, _listed(sql), (orjson.dumps(listed).decode(), *more), named=named)
    numbers = isinstance(listed[0], int)
    handed = _written("bigint", listed) if numbers and len(listed) >= _MANY else listed
    return _execute(connection, _unnested(sql, numbers), (handed, *more), named=named)


def select_all(connection: Connection, sql: str, *values: Any) -> list[Any]:
    """Rows of `sql`, where `?` stands for each of `values`."""
    return _execute(connection, sql if connection.dialect.name == "sqlite" else sql.replace("?", "%s"), values)


def _run(connection: Connection, sql: str, rows: Rows) -> None:
    if connection.dialect.name == "sqlite":
        _execute(connection, sql, rows, each=True)
    else:
        # A part at a time: while the driver writes out long arrays the session would count as idle, and be ended.
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            columns = [list(column) for column in zip(*part, strict=True)]
            if len(part) < _MANY:
                _execute(connection, sql, columns)
            else:
                written = zip(_CAST.findall(sql), columns, strict=True)
                _execute(connection, _many(sql), [_written(cast, column) for cast, column in written])


def _written(cast: str, column: list[Any]) -> Any:
    """A column as PostgreSQL reads it fastest: the driver looks at every value of a list for what it must quote."""
    if cast in ("bigint", "integer", "smallint"):
        return f"{{{','.join('NULL' if value is None else str(int(value)) for value in column)}}}"
    return orjson.dumps(column).decode() if cast == "text" else column


@cache
def _many(sql: str) -> str:
    return sql.replace("%s::text[]", "ARRAY(SELECT json_array_elements_text(%s::json))")


def _execute(
    connection: Connection, sql: str, values: Sequence[Any], *, each: bool = False, named: bool = True
) -> list[Any]:
    """Rows by position and, where `named`, by name. Faults are SQLAlchemy's; a connection that is lost is given up."""
    driver, dialect = connection.connection, connection.dialect
    cursor = driver.dbapi_connection.cursor()  # type: ignore[union-attr]
    try:
        (cursor.executemany if each else cursor.execute)(sql, values)
        if not cursor.description:
            return []
        if not named:
            return list(cursor.fetchall())
        row = _ROWS.get(sql) or _row(sql, cursor.description)
        return list(map(row, cursor.fetchall()))
    except dialect.loaded_dbapi.Error as fault:
        lost = dialect.is_disconnect(fault, driver.dbapi_connection, cursor)
        if lost:
            connection.invalidate(fault)
        base = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(sql, None, fault, base, connection_invalidated=lost, dialect=dialect) from fault
    finally:
        cursor.close()


_ROWS: dict[str, Callable[[Iterable[Any]], Any]] = {}  # by statement; there are as many as the code has


def _row(sql: str, description: Sequence[Any]) -> Callable[[Iterable[Any]], Any]:
    names = [column[0] for column in description]
    make: Callable[[Iterable[Any]], Any] = namedtuple("Row", names, rename=True)._make  # type: ignore[attr-defined]
    _ROWS[sql] = make
    return make


@cache
def _as_text(sql: str) -> str:
    columns, rest = sql.removeprefix("SELECT ").split(" FROM ", 1)
    return f"SELECT json_group_array(json_array({columns})) FROM {rest}"


@cache
def _listed(sql: str) -> str:
    sql = sql.replace("{each}", "json_each(?) AS listed CROSS JOIN")  # which SQLite does not reorder
    return sql.replace("{set}", "(SELECT value FROM json_each(?))")


@cache
def _unnested(sql: str, numbers: bool) -> str:
    cast = "bigint[]" if numbers else "text[]"
    sql = sql.replace("?", "%s").replace("{each}", f"unnest(%s::{cast}) AS listed(value) CROSS JOIN")
    return sql.replace("{set}", f"(SELECT unnest(%s::{cast}))")


@cache
def _insert_sql(table: Table, columns: tuple[str, ...], dialect: str) -> str:
    names = ", ".join(columns)
    if dialect == "sqlite":
        return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({_arrays(table, columns)})"


@cache
def _upsert_sql(table: Table, columns: tuple[str, ...], dialect: str) -> str:
    keys = [column.name for column in table.primary_key]
    changed = ", ".join(
        f"{name[:-1]} = {table.name}.{name[:-1]} + excluded.{name[:-1]}"
        if name.endswith("+")
        else f"{name} = excluded.{name}"
        for name in columns
        if name not in keys
    )
    plain = tuple(name.rstrip("+") for name in columns)
    return f"{_insert_sql(table, plain, dialect)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"


@cache
def _update_sql(table: Table, key: str, changes: tuple[str, ...], only: str, dialect: str) -> str:
    names = tuple(change.rstrip("+") for change in changes if "=" not in change)
    sqlite = dialect == "sqlite"
    sets = ", ".join(change if "=" in change else _set(table, change, sqlite) for change in changes)
    if sqlite:
        return f"UPDATE {table.name} SET {sets} WHERE {key} = ? AND {only}"
    rows = f"unnest({_arrays(table, (*names, key))}) AS u({', '.join((*names, key))})"
    return f"UPDATE {table.name} SET {sets} FROM {rows} WHERE {table.name}.{key} = u.{key} AND {only}"


def _set(table: Table, change: str, sqlite: bool) -> str:
    name = change.rstrip("+")
    value = "?" if sqlite else f"u.{name}"
    return f"{name} = {table.name}.{name} + {value}" if change.endswith("+") else f"{name} = {value}"


def _arrays(table: Table, columns: tuple[str, ...]) -> str:
    return ", ".join(f"%s::{_array_type(table.c[name].type)}[]" for name in columns)


def _array_type(kind: Any) -> str:
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    for python, name in (
        (Boolean, "boolean"),
        (Text, "text"),
        (LargeBinary, "bytea"),
        (SmallInteger, "smallint"),
    ):
        if isinstance(kind, python):
            return name
    return "integer" if type(kind) is Integer else "bigint"
