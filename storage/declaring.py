"""How tables are written down: a class per table, an annotated field per column; each makes one SQLAlchemy `Table`.

Nothing is mapped and no row ever becomes an object of such a class, so that declaring all tables costs a start some
hundredths of a second: with models that check and map rows, which nothing here asks for, it was 0.4 s.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy import Boolean, Column, Integer, MetaData, Table

metadata = MetaData()
_indexes: list[tuple[Table, Index]] = []  # those that `whole` has not made yet
_KINDS: dict[str, Any] = {"bool": Boolean, "int": Integer}  # of fields that name no kind of their own


class _Field:
    def __init__(self, sa_type: Any, more: dict[str, Any]) -> None:
        self.sa_type, self.more = sa_type, more

    def column(self, name: str, annotation: str) -> Column[Any]:
        kind, _, none = annotation.partition(" | ")
        return Column(name, self.sa_type or _KINDS[kind], nullable=none == "None", **self.more)


def Field(*, sa_type: Any = None, **more: Any) -> Any:
    """One column; `more` is SQLAlchemy's (`primary_key`, `unique`, `index`, `default`…).

    Whether it may be empty is what the annotation says by `| None`, and so is the kind of an `int` or `bool`.
    """
    return _Field(sa_type, more)


class Index:
    """An index to be, over columns by name; `more` is SQLAlchemy's (`unique`, `sqlite_where`, `postgresql_where`).

    Its conditions name both databases, for which SQLAlchemy loads whatever it knows of both. No statement asks for an
    index, so that is left to who makes or compares a schema.
    """

    def __init__(self, name: str, *columns: str, **more: Any) -> None:
        self.name, self.columns, self.more = name, columns, more


def whole() -> MetaData:
    """All tables with their indexes, for making or comparing a schema; serving is content with `metadata`."""
    while _indexes:
        table, index = _indexes.pop()
        sqlalchemy.Index(index.name, *(table.c[name] for name in index.columns), **index.more)
    return metadata


class Row:
    """The base of every table: named like the class or by `__tablename__`; `__table_args__` as SQLAlchemy knows them,
    indexes and constraints first, then a dictionary of options if there are any."""

    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[Any, ...]]

    def __init_subclass__(cls) -> None:
        own = vars(cls)
        kinds = own["__annotations__"].items()
        columns = [own[name].column(name, kind) for name, kind in kinds if not name.startswith("__")]
        args = own.get("__table_args__", ())
        options = {key: value for one in args if isinstance(one, dict) for key, value in one.items()}
        rest = [one for one in args if not isinstance(one, dict | Index)]
        table = Table(own.get("__tablename__", cls.__name__.lower()), metadata, *columns, *rest, **options)
        _indexes.extend((table, one) for one in args if isinstance(one, Index))
