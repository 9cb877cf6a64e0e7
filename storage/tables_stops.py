"""The table of emergency stops: when sending stopped and went on again, by whom and why."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from storage.tables import _at, _text

_STANDING = text("ended_at IS NULL")


class Stop(SQLModel, table=True):
    """One stop. While `ended_at` is empty nothing is sent; afterwards deadlines are read with its length added."""

    __tablename__: ClassVar[str] = "stop"
    __table_args__ = (
        CheckConstraint("ended_at >= began_at", name="stop_order"),
        Index("ix_stop_standing", "ended_at", sqlite_where=_STANDING, postgresql_where=_STANDING),
    )
    # Counted on by one, so that of two who stop at once the second finds the number taken.
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    began_at: datetime = _at()
    began_by: str = _text()
    began_why: str = _text()
    ended_at: datetime | None = _at(default=None)
    ended_by: str = _text(default="")
    ended_why: str = _text(default="")
