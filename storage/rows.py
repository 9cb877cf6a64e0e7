"""Rows of a table as lines of text, the same from both databases and into both: PostgreSQL's own COPY format.

Fields are parted by tabs; backslash, line ends and tabs are escaped; NULL is `\\N`, a boolean `t` or `f`, bytes
`\\x` and hex digits. PostgreSQL reads and writes it by itself; for SQLite its own SQL makes the lines. Streams: memory
does not grow with the table. Knows no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.types import Boolean, LargeBinary

Columns = list[tuple[str, str]]  # name, kind: plain | boolean | bytes

_AT_ONCE = 2_000
_CHUNK = 256 * 1024
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class RowsRefused(Exception):
    """The database or the lines broke off; says why."""


def tables(connection: Connection) -> list[str]:
    """The names of all tables there are, in order."""
    return sorted(inspect(connection).get_table_names())


def columns(connection: Connection, table: str) -> Columns:
    """The columns of a table as the database has it."""
    return [(column["name"], _kind(column["type"])) for column in inspect(connection).get_columns(table)]


def dump(connection: Connection, table: str, shape: Columns) -> Iterator[bytes]:
    """The table as chunks of whole lines, each ended by a line feed. Raises RowsRefused when it breaks off."""
    with _plain_faults(connection):
        yield from (_from_sqlite if connection.dialect.name == "sqlite" else _from_postgres)(connection, table, shape)


def load(connection: Connection, table: str, shape: Columns, chunks: Iterable[bytes]) -> None:
    """Insert what `dump` gave, chunks of any size, into an empty table.

    Raises RowsRefused for lines that are no rows, or rows that the table does not take.
    """
    with _plain_faults(connection):
        if connection.dialect.name == "sqlite":
            _into_sqlite(connection, table, shape, chunks)
            return
        listed = ", ".join(f'"{name}"' for name, _ in shape)
        with _cursor(connection) as cursor, cursor.copy(f'COPY "{table}" ({listed}) FROM STDIN') as copy:
            for chunk in chunks:
                copy.write(chunk)


@contextmanager
def without_indexes(connection: Connection) -> Iterator[None]:
    """While it lasts, tables have no index but those of their keys and unique columns: filling is then much faster."""
    lite = connection.dialect.name == "sqlite"
    found = connection.exec_driver_sql(_LITE_INDEXES if lite else _POSTGRES_INDEXES).all()
    for name, _ in found:
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
    yield
    for _, made in found:
        connection.exec_driver_sql(made)


_LITE_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
_POSTGRES_INDEXES = (
    "SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = current_schema() "
    "AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname) ORDER BY i.indexname"
)


def _kind(type_: Any) -> str:
    if isinstance(type_, Boolean):
        return "boolean"
    return "bytes" if isinstance(type_, LargeBinary) else "plain"


@contextmanager
def _plain_faults(connection: Connection) -> Iterator[None]:
    """The driver's own faults, which no room above knows, in words."""
    try:
        yield
    except (connection.dialect.loaded_dbapi.Error, ValueError) as fault:
        raise RowsRefused(str(fault).splitlines()[0] if str(fault) else type(fault).__name__) from None


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


def _from_postgres(connection: Connection, table: str, shape: Columns) -> Iterator[bytes]:
    listed = ", ".join(f'"{name}"' for name, _ in shape)
    with _cursor(connection) as cursor, cursor.copy(f'COPY (SELECT {listed} FROM "{table}") TO STDOUT') as copy:
        waiting = bytearray()
        for row in copy:
            waiting += row
            if len(waiting) > _CHUNK:
                yield bytes(waiting)
                waiting.clear()
        if waiting:
            yield bytes(waiting)


def _from_sqlite(connection: Connection, table: str, shape: Columns) -> Iterator[bytes]:
    line = " || char(9) || ".join(_written(f'"{name}"', kind) for name, kind in shape)
    cursor = _cursor(connection)
    try:
        cursor.execute(f'SELECT {line} FROM "{table}"')
        while rows := cursor.fetchmany(_AT_ONCE):
            yield ("\n".join([row[0] for row in rows]) + "\n").encode()
    finally:
        cursor.close()


def _written(name: str, kind: str) -> str:
    if kind == "boolean":
        return f"CASE WHEN {name} IS NULL THEN '\\N' WHEN {name} THEN 't' ELSE 'f' END"
    if kind == "bytes":
        return f"CASE WHEN {name} IS NULL THEN '\\N' ELSE '\\\\x' || lower(hex({name})) END"
    escaped = f"CAST({name} AS TEXT)"
    for plain, meant in (("'\\'", "'\\\\'"), ("char(9)", "'\\t'"), ("char(10)", "'\\n'"), ("char(13)", "'\\r'")):
        escaped = f"replace({escaped}, {plain}, {meant})"
    return f"CASE WHEN typeof({name}) = 'integer' THEN {name} ELSE COALESCE({escaped}, '\\N') END"


def _into_sqlite(connection: Connection, table: str, shape: Columns, chunks: Iterable[bytes]) -> None:
    listed = ", ".join(f'"{name}"' for name, _ in shape)
    places = ", ".join("? = 't'" if kind == "boolean" else "?" for _, kind in shape)
    binary = [place for place, (_, kind) in enumerate(shape) if kind == "bytes"]
    cursor = _cursor(connection)
    try:
        rows = (_fields(line, len(shape), binary) for line in _lines(chunks))
        cursor.executemany(f'INSERT INTO "{table}" ({listed}) VALUES ({places})', rows)
    finally:
        cursor.close()


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        for line in whole:
            yield line.decode()
    if rest:
        raise ValueError("the last line has no end")


def _fields(line: str, count: int, binary: list[int]) -> list[Any]:
    fields: list[Any] = line.split("\t")
    if len(fields) != count:
        raise ValueError(f"{len(fields)} fields instead of {count}")
    if "\\" in line:
        fields = [_read(field) if "\\" in field else field for field in fields]
    for place in binary:
        if fields[place] is not None:
            fields[place] = bytes.fromhex(fields[place][2:])
    return fields


def _read(field: str) -> str | None:
    if field == "\\N":
        return None
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), field)
