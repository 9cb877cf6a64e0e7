"""The tables of service notices: what somebody is to be told, and which notices of a platform they agreed to."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from storage.tables import _NARROW, _at, _big, _id, _text

_QUEUED, _WAITING = text("state = 'queued'"), text("state = 'waiting'")


class Notice(SQLModel, table=True):
    """One thing that one person is to be told, or an answer that could not leave in time.

    Its number is that of the delivery by which it was to leave first, so that a thing is one notice. `phrase` with the
    values in `data` (JSON: numbers and enums) says it in any language; a late answer has its words in `text`, `part`.
    """

    __table_args__ = (
        Index("ix_notice_subscriber", "subscriber"),
        Index("ix_notice_queued", "id", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_notice_waiting", "subscriber", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
        Index("ix_notice_counts", "kind", "state", "way"),
        CheckConstraint(
            "state IN ('queued','left','waiting','sent','bundled','doubtful','withdrawn')", name="notice_state"
        ),
    )
    id: int = _id()
    subscriber: int = _big()
    kind: str = _text()
    phrase: str = _text()
    data: str = _text()
    at: datetime = _at()
    state: str = _text()  # queued | left (in a chat that people open) | waiting | sent | bundled | doubtful | withdrawn
    way: str = _text(default="")  # the last way begun: empty or reply | template | subscription | sms | bundle
    reason: str = _text(default="")
    test: datetime | None = _at(default=None)  # since when the person tested who was to be told
    text: int | None = _big(default=None)
    part: int = Field(default=0)
    answer: int | None = _big(default=None)  # the text row with which it was told at last
    ended_at: datetime | None = _at(default=None)


class NoticeConsent(SQLModel, table=True):
    """How many notices of one template of WeChat an identity still agreed to; each yes is one."""

    __tablename__: ClassVar[str] = "notice_consent"
    __table_args__ = (_NARROW,)
    identity: int = _big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    template: str = _text(primary_key=True)
    remaining: int = Field()
    at: datetime = _at()
