"""The tables of what happened: events, the double-entry ledger with its holds, and the seal over both."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from storage.tables import _NARROW, _at, _big, _id, _partial, _text

_OPEN = text("state = 'open'")
ACTED = "actor NOT IN ('subscriber', 'system')"
_ACTED = text(ACTED)
_OF_MESSAGE, _OF_NO_MESSAGE = text("text IS NOT NULL"), text("text IS NULL")
_REVERSES = text("reverses IS NOT NULL")
_TAKING_PART = "touched", "poster", "quiz_started"


class Balance(SQLModel, table=True):
    """The balance of every account that has a floor; accounts without one keep no row and cannot be contended."""

    __table_args__ = (
        CheckConstraint("amount - held >= floor", name="balance_floor"),
        CheckConstraint("held >= 0", name="balance_held"),
        Index("ix_balance_owner", "owner"),
        _NARROW,
    )
    account: str = _text(primary_key=True)
    owner: int | None = _big(default=None)  # the subscriber, when a person's
    unit: str = _text()
    amount: int = _big()
    held: int = _big(default=0)
    floor: int = _big(default=0)


class Posting(SQLModel, table=True):
    """An amount of a unit moved from one account to another, for ever. A mistake is undone by a reversal."""

    __table_args__ = (
        CheckConstraint("amount > 0", name="posting_amount"),
        CheckConstraint("source <> destination", name="posting_moves"),
        Index("ix_posting_order", "tx", "id"),
        # As with events: those that a message caused are found by it, the few others by their accounts.
        Index("ix_posting_text", "text", sqlite_where=_OF_MESSAGE, postgresql_where=_OF_MESSAGE),
        Index("ix_posting_source", "source", sqlite_where=_OF_NO_MESSAGE, postgresql_where=_OF_NO_MESSAGE),
        Index("ix_posting_destination", "destination", sqlite_where=_OF_NO_MESSAGE, postgresql_where=_OF_NO_MESSAGE),
        # A posting is reversed once; nearly none reverses one.
        Index("ix_posting_reverses", "reverses", unique=True, sqlite_where=_REVERSES, postgresql_where=_REVERSES),
    )
    id: int = _id()
    tx: int = _big()  # the transaction that wrote it (PostgreSQL), for the sealer's order
    key: str = _text(unique=True)  # the same effect twice is one
    unit: str = _text()
    source: str = _text()
    destination: str = _text()
    amount: int = _big()
    campaign: str = _text()
    revision: int = Field()
    reason: str = _text()
    event: int | None = _big(default=None)
    at: datetime = _at()
    reverses: int | None = _big(default=None)
    # The message that caused it, if one of the person whose accounts it moves and nobody else's. It only finds the
    # posting; what is sealed names the cause by its event.
    text: int | None = _big(default=None)


class Hold(SQLModel, table=True):
    """An amount reserved in its source account until it is posted, voided or expires."""

    __table_args__ = (
        CheckConstraint("amount > 0", name="hold_amount"),
        CheckConstraint("state IN ('open','posted','voided','expired')", name="hold_state"),
        Index("ix_hold_source", "source"),
        Index("ix_hold_destination", "destination", sqlite_where=_OPEN, postgresql_where=_OPEN),
    )
    id: int = _id()
    key: str = _text(unique=True)
    unit: str = _text()
    source: str = _text()
    destination: str = _text()
    amount: int = _big()
    campaign: str = _text()
    revision: int = Field()
    reason: str = _text()
    state: str = _text()
    expires_at: datetime | None = _at(default=None, index=True)
    at: datetime = _at()
    ended_at: datetime | None = _at(default=None)


class Event(SQLModel, table=True):
    """What happened, written by the transaction that did it. Only ids, numbers and enums."""

    __table_args__ = (
        Index("ix_event_order", "tx", "id"),
        # A person's events are those of their messages, and the few that others caused. By person, each check-in would
        # write a page of an index of its own, which costs as much as all else about its event.
        Index("ix_event_text", "text", sqlite_where=_OF_MESSAGE, postgresql_where=_OF_MESSAGE),
        Index("ix_event_about", "subscriber", sqlite_where=_OF_NO_MESSAGE, postgresql_where=_OF_NO_MESSAGE),
        # What staff did, for the audit log: few among what subscribers cause.
        Index("ix_event_acted", "at", "id", sqlite_where=_ACTED, postgresql_where=_ACTED),
        # What segments ask for: few among check-ins, and whoever else writes an event pays nothing for it.
        Index("ix_event_part", "subscriber", **_partial("kind", _TAKING_PART)),
    )
    id: int = _id()
    tx: int = _big()
    kind: str = _text()
    subscriber: int | None = _big(default=None)
    actor: str = _text()  # subscriber | system | staff:<id>
    campaign: str = _text()
    revision: int = Field()
    text: int | None = _big(default=None)  # the message that caused it
    at: datetime = _at()
    data: str = _text()  # JSON


class Seal(SQLModel, table=True):
    """One gap-free order over committed events and postings, chained by a MAC whose key is not in the database."""

    seq: int = _id()
    tx: int = _big()
    source: str = _text()  # event | posting
    row: int = _big()
    mac: str = _text()
