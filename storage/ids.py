"""Ids for every table, taken from the database in blocks so that a new row costs no round trip.

Ids are unique over all tables and grow within one writer; gaps mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, text

BLOCK = 10_000  # a restart leaves what was not used; there are enough


class Ids:
    """`next()` gives the next id. A block is taken in a transaction of its own, so a rolled-back group cannot
    give its ids to anybody else. Not thread-safe: one writer owns it."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        """`begin` is `Store.begin`."""
        self._begin = begin
        self._next = self._end = 0

    def reserve(self, count: int) -> Callable[[], int]:
        """Make sure that `count` ids can be had without a round trip, and return `next`.

        Called before a group's transaction begins: SQLite cannot take a block while another transaction writes.
        """
        if self._end - self._next < count:
            with self._begin() as connection:
                self._next = take(connection, max(BLOCK, count))
            self._end = self._next + max(BLOCK, count)
        return self.next

    def next(self) -> int:
        """The next id. Raises RuntimeError beyond what was reserved."""
        if self._next >= self._end:
            raise RuntimeError("ids beyond the reserved block")
        self._next += 1
        return self._next - 1


def take_apart(connection: Connection, count: int) -> int:
    """The first of `count` ids for a transaction that may last: on PostgreSQL they are committed apart.

    Other nodes need the same row for every block, and must not wait until an import or an act commits.
    """
    if connection.dialect.name == "sqlite":
        return take(connection, count)
    with connection.engine.begin() as own:
        # Whoever uses them commits behind this, and what is durable then makes this durable: nothing to wait for.
        own.execute(text("SET LOCAL synchronous_commit = off"))
        return take(own, count)


def take(connection: Connection, count: int) -> int:
    """Take `count` ids within the caller's transaction; returns the first."""
    end = connection.execute(text("UPDATE id_block SET next = next + :n RETURNING next"), {"n": count}).scalar_one()
    return int(end) - count
