"""Pushes: what is to be said to whom and when, each time that it goes out, and WeChat's mass sends with their counts.

A push has one delivery row per person and run; those rows live with all others in `delivery`.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from storage.tables import _at, _big, _id, _text

_WAITS = text("next_at IS NOT NULL")
_LIVE = text("state IN ('opening', 'running', 'paused')")
_OPEN_JOB = text("state IN ('queued', 'sending')")


class Push(SQLModel, table=True):
    """One push as written: JSON trees for what it says and how it goes, and where it stands."""

    __tablename__: ClassVar[str] = "push"
    __table_args__ = (
        CheckConstraint(
            "state IN ('draft','submitted','approved','scheduled','running','paused','done','cancelled','missed')",
            name="push_state",
        ),
        Index("ix_push_next", "next_at", sqlite_where=_WAITS, postgresql_where=_WAITS),
        Index("ix_push_campaign", "campaign", "number"),
    )
    number: int = _id()
    campaign: str = _text()
    key: str = _text(unique=True)  # `plan/<campaign>/<id>`, or what a form carried: one push, however often it is sent
    name: str = _text()
    state: str = _text()
    content: str = _text()  # what it says: kind, text, picture, buttons, by language
    audience: str = _text()  # the rule, as people read it
    schedule: str = _text()  # local wall time, and how late it may begin
    limits: str = _text()  # ramp, share of errors
    revision: int = Field()  # of the plan whose files and rules it uses; fixed by the approval
    next_at: datetime | None = _at(default=None)  # when it is due next, once approved
    author: str = _text()
    approved_by: str = _text(default="")
    made_at: datetime = _at()
    changed_at: datetime = _at()


class PushStep(SQLModel, table=True):
    """Each step of a push: who took it, when, and why in their own words."""

    __tablename__: ClassVar[str] = "push_step"
    __table_args__ = (Index("ix_push_step_push", "push", "id"),)
    id: int = _id()
    push: int = _big()
    step: str = _text()
    state: str = _text()  # where it led
    actor: str = _text()
    at: datetime = _at()
    why: str = _text(default="")


class PushRun(SQLModel, table=True):
    """One going-out of a push. Opened in slices of subscribers up to `reached`; `counts` are frozen at its end."""

    __tablename__: ClassVar[str] = "push_run"
    __table_args__ = (
        CheckConstraint("state IN ('opening','running','paused','done','cancelled','missed')", name="push_run_state"),
        Index("ix_push_run_occurrence", "push", "occurrence", unique=True),
        Index("ix_push_run_live", "state", sqlite_where=_LIVE, postgresql_where=_LIVE),
    )
    id: int = _id()
    push: int = _big()
    campaign: str = _text()
    occurrence: datetime = _at()
    state: str = _text()
    revision: int = Field()
    texts: str = _text()  # JSON: language → text row
    reached: int = _big(default=0)  # the last subscriber who has a row
    opened: bool = Field(default=False)  # everybody entitled has a row
    people: int = _big(default=0)  # rows so far
    began_at: datetime | None = _at(default=None)
    ended_at: datetime | None = _at(default=None)
    counts: str = _text(default="")  # JSON, once it has ended


class MassJob(SQLModel, table=True):
    """One WeChat mass send: up to 10,000 people who get the same. The platform dedupes by `key`."""

    __tablename__: ClassVar[str] = "mass_job"
    __table_args__ = (
        CheckConstraint("state IN ('queued','sending','accepted','closed','refused')", name="mass_job_state"),
        Index("ix_mass_job_open", "account", sqlite_where=_OPEN_JOB, postgresql_where=_OPEN_JOB),
        Index("ix_mass_job_run", "run"),
        Index("ix_mass_job_platform", "account", "platform"),
    )
    id: int = _id()
    run: int = _big()
    account: str = _text()  # channel:account
    text: int = _big()
    key: str = _text(unique=True)  # clientmsgid
    state: str = _text()
    people: int = Field()
    lease: str = _text(default="")
    lease_until: datetime | None = _at(default=None)  # machine time
    tries: int = Field(default=0)
    platform: str = _text(default="")  # msg_id
    reason: str = _text(default="")
    total: int = Field(default=0)  # the four counts of MASSSENDJOBFINISH
    filtered: int = Field(default=0)
    sent: int = Field(default=0)
    errors: int = Field(default=0)
    made_at: datetime = _at()
    ended_at: datetime | None = _at(default=None)


class ChannelPost(SQLModel, table=True):
    """One post of a run to a channel that a bot administers: no person's delivery, and counted toward no cap."""

    __tablename__: ClassVar[str] = "channel_post"
    __table_args__ = (
        CheckConstraint(
            "state IN ('queued','sending','sent','refused','failed','doubtful')", name="channel_post_state"
        ),
        Index("ix_channel_post_run", "run", "channel", unique=True),
        Index("ix_channel_post_open", "account", sqlite_where=_OPEN_JOB, postgresql_where=_OPEN_JOB),
    )
    id: int = _id()
    run: int = _big()
    account: str = _text()  # channel:account whose bot posts
    channel: str = _text()  # @name, or its number
    text: int = _big()
    state: str = _text()
    lease: str = _text(default="")
    lease_until: datetime | None = _at(default=None)  # machine time
    tries: int = Field(default=0)
    reason: str = _text(default="")
    made_at: datetime = _at()
    ended_at: datetime | None = _at(default=None)
