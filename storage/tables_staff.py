"""The tables of the console: who may log in, where they are logged in, and how often somebody guessed.

Nothing secret stands in them plain: passwords are argon2 hashes, tokens and recovery codes hashes, TOTP keys sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from storage.tables import _at, _big, _id, _text


class Staff(SQLModel, table=True):
    """One member of staff. `roles` are names of campaigns/rights.py with commas; with a `branch` only its people."""

    id: int = _id()
    name: str = _text(unique=True)  # what is typed at log-in, folded
    password: str = _text(default="")  # argon2; empty: nobody can enter with one
    change_by: datetime | None = _at(default=None)  # a password given by somebody else, good until then (machine time)
    roles: str = _text()
    branch: str | None = _text(default=None)
    language: str = _text()
    totp: bytes | None = Field(default=None, sa_type=LargeBinary)
    totp_step: int = _big(default=0)  # the last step that was used: none is used twice
    active: bool = Field()
    created_at: datetime = _at()


class StaffSession(SQLModel, table=True):
    """One log-in. The cookie holds the token, this row only its hash. Times are machine time."""

    __tablename__: ClassVar[str] = "staff_session"
    __table_args__ = (Index("ix_staff_session_staff", "staff"),)
    id: int = _id()
    digest: str = _text(unique=True)
    staff: int = _big()
    proved: bool = Field()  # nothing more is asked: a second factor was given, or none is set up
    totp_new: bytes | None = Field(default=None, sa_type=LargeBinary)  # a second factor in the making, sealed
    opened_at: datetime = _at()
    seen_at: datetime = _at()
    until: datetime = _at(index=True)
    source: str = _text()  # the network, to be recognised by its owner
    agent: str = _text()  # browser and system in a word or two


class StaffRecovery(SQLModel, table=True):
    """A recovery code in place of the second factor, once; only its keyed hash is kept."""

    __tablename__: ClassVar[str] = "staff_recovery"
    __table_args__ = (Index("ix_staff_recovery_staff", "staff"),)
    digest: str = _text(primary_key=True)
    staff: int = _big()


class StaffGuess(SQLModel, table=True):
    """How often was guessed lately under one key, and from when on the next guess is heard. Times are machine time."""

    __tablename__: ClassVar[str] = "staff_guess"
    key: str = _text(primary_key=True)
    tries: int = Field()
    open_at: datetime = _at()
    until: datetime = _at(index=True)  # forgotten then
