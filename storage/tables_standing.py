"""The table of what staff decided about a subscriber, and why: reasons are free text, which events never hold."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index
from sqlmodel import SQLModel

from storage.tables import _at, _big, _id, _text


class Standing(SQLModel, table=True):
    """One decision: since when, by whom, for what reason. How somebody stands now is said by `subscriber`."""

    __tablename__: ClassVar[str] = "standing"
    __table_args__ = (
        CheckConstraint("kind IN ('blocked','unblocked','tested','untested','rejected')", name="standing_kind"),
        Index("ix_standing_subscriber", "subscriber"),
    )
    id: int = _id()
    subscriber: int = _big()
    kind: str = _text()
    actor: str = _text()  # staff:<id> | operator
    at: datetime = _at()
    why: str = _text()  # emptied when the person is forgotten, but for the block that stands
