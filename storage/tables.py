"""What tables are made of, and those of messages, time and the installation; the others lie beside it in `tables_*`.

Instants are stored as whole microseconds since 1970 in UTC (`Instant` makes aware datetimes of them), so both
databases compare them alike. Nothing here reads a clock: times come from the caller. Ids come from `storage/ids.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    TypeDecorator,
    text,
)
from sqlmodel import Field, SQLModel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """An aware instant as stored: whole microseconds since 1970 in UTC."""
    return (instant - EPOCH) // _MICROSECOND


def instant(stored: int) -> datetime:
    """The aware UTC instant of a stored number of microseconds."""
    return EPOCH + timedelta(microseconds=stored)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """Store an aware datetime."""
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """Give the aware datetime back."""
        return None if value is None else instant(value)


# On SQLite an INTEGER primary key is the row's own address, which saves an index.
_Id = BigInteger().with_variant(Integer(), "sqlite")
_NARROW = {"sqlite_with_rowid": False}
_UNEMPTIED = text("heard IS NOT NULL OR said IS NOT NULL")
_PUSHED = text("run IS NOT NULL")
_ANSWERED = text("run IS NULL")
_IN_JOB = text("job IS NOT NULL")

LEASED = "passive", "claimed", "sending"
_STATES = ("passive", "queued", "claimed", "sending", "sent", "handed_over", "refused", "failed", "doubtful")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """SQL for `column IN values`, spelled out: of a list SQLite makes a table for every row that it writes."""
    return f"({' OR '.join(f'{column} = {value!r}' for value in values)})"


def _listed(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN {values!r}"


def _partial(column: str, values: tuple[str, ...]) -> dict[str, Any]:
    """For an index of those rows alone; PostgreSQL compares with a list as it stands."""
    return {"sqlite_where": text(one_of(column, values)), "postgresql_where": text(_listed(column, values))}


def _id(**more: Any) -> Any:
    return Field(primary_key=True, sa_type=_Id, sa_column_kwargs={"autoincrement": False}, **more)


def _big(**more: Any) -> Any:
    return Field(sa_type=BigInteger, **more)


def _text(**more: Any) -> Any:
    return Field(sa_type=Text, **more)


def _at(**more: Any) -> Any:
    return Field(sa_type=Instant, **more)


class IdBlock(SQLModel, table=True):
    """The next unused id; writers take blocks of it, so that a row costs no round trip."""

    __tablename__: ClassVar[str] = "id_block"
    name: str = _text(primary_key=True)
    next: int = _big()


class Installation(SQLModel, table=True):
    """One row: what is true of the database as a whole. Its schema, and whether it is a restored copy."""

    number: int = Field(primary_key=True, sa_type=SmallInteger, sa_column_kwargs={"autoincrement": False})
    revision: str = _text()  # the migration it is at
    oldest: str = _text()  # the oldest version, by its newest migration, that may serve it
    tx_offset: int = _big()  # added to PostgreSQL's own transaction numbers, so that they go on above restored ones
    restored_at: datetime | None = _at(default=None)  # a restored copy: nothing leaves until it is released
    released_at: datetime | None = _at(default=None)


class Erasure(SQLModel, table=True):
    """Who left or asked to be forgotten, by keyed hash alone, so that it can be done again in a restored copy."""

    __table_args__ = (Index("ix_erasure_noted", "noted_at"),)
    digest: str = _text(primary_key=True)  # an identity's
    kind: str = _text(primary_key=True)  # forgotten | left
    at: datetime = _at(primary_key=True)  # campaign time
    until: datetime = _at()  # when the last tie to what is kept is cut
    noted_at: datetime = _at()  # machine time


class Node(SQLModel, table=True):
    """Serving processes: each holds one slot, whose number names its issue accounts for ever."""

    slot: int = Field(
        primary_key=True,
        sa_type=SmallInteger,
        sa_column_kwargs={"autoincrement": False},
    )
    holder: str = _text()
    beat_at: datetime = _at()  # machine time


class Kept(SQLModel, table=True):
    """Small shared values with an end in machine time: access tokens, ids of uploaded pictures, capabilities."""

    key: str = _text(primary_key=True)
    value: str = _text()
    until: datetime = _at(index=True)


class Rate(SQLModel, table=True):
    """One row per channel account: up to when its rate is spent by all nodes together, and a common pause."""

    account: str = _text(primary_key=True)
    second: int = _big(default=0)  # machine time, whole seconds
    used: int = Field(default=0)  # and microseconds within that second
    pause_until: datetime = _at()
    recent: str | None = _text(
        default=None
    )  # what was granted in the last second: `slot:count` of ten milliseconds each


class InboxKey(SQLModel, table=True):
    """The narrow table that makes a message count once: its key, and the text row that holds the answer."""

    __tablename__: ClassVar[str] = "inbox_key"
    __table_args__ = (_NARROW,)
    key: str = _text(primary_key=True)
    text: int = _big()
    at: datetime = _at(index=True)


class Said(SQLModel, table=True):
    """The only table with plain message texts: what was heard and what was answered; emptied after its retention."""

    __tablename__: ClassVar[str] = "text"
    __table_args__ = (
        # Only what is not emptied yet, or each look for old texts would walk over all that ever were.
        Index("ix_text_at", "at", sqlite_where=_UNEMPTIED, postgresql_where=_UNEMPTIED),
        Index("ix_text_identity", "identity", "id"),
    )
    id: int = _id()
    subscriber: int = _big()
    identity: int | None = _big(default=None)
    at: datetime = _at()
    kind: str = _text()
    heard: str | None = _text(default=None)
    said: str | None = _text(default=None)  # JSON: list of message trees


class Delivery(SQLModel, table=True):
    """One message to one person. `part` is its place in the text row's `said`."""

    __table_args__ = (
        Index(
            "ix_delivery_open",
            "account",
            "lane",
            "due_at",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_delivery_lease", "lease_until", **_partial("state", LEASED)),
        # An index more is an entry more for each step of each row. What is asked by text are answers, and of pushes one
        # index serves sending and counting.
        Index("ix_delivery_text", "text", sqlite_where=_ANSWERED, postgresql_where=_ANSWERED),
        Index("ix_delivery_subscriber", "subscriber", "due_at"),
        Index(
            "ix_delivery_run",
            *("run", "state", "account", "due_at", "reason"),
            sqlite_where=_PUSHED,
            postgresql_where=_PUSHED,
        ),
        Index("ix_delivery_job", "job", sqlite_where=_IN_JOB, postgresql_where=_IN_JOB),
        CheckConstraint(one_of("state", _STATES), name="delivery_state").ddl_if(dialect="sqlite"),
        CheckConstraint(_listed("state", _STATES), name="delivery_state").ddl_if(dialect="postgresql"),
    )
    id: int = _id()
    subscriber: int = _big()
    identity: int = _big()
    account: str = _text()  # channel:account
    text: int = _big()
    part: int = Field(default=0)
    kind: str = _text()  # reminder | transactional | keyed
    lane: int = Field(sa_type=SmallInteger)  # 0 replies, 1 broadcast
    state: str = _text()
    due_at: datetime = _at()
    lease_until: datetime | None = _at(default=None)  # machine time
    lease: str = _text(default="")  # who holds it
    tries: int = Field(default=0)
    reason: str = _text(default="")
    ended_at: datetime | None = _at(default=None)
    run: int | None = _big(default=None)  # of a push: each person has one row per run
    way: str | None = _text(default=None)  # how it goes: bot | service | mass | notice | page
    job: int | None = _big(default=None)  # the mass send that carries it


class Timer(SQLModel, table=True):
    """What falls due for one person, fired once by key as a turn of its own; an internal effect is one due at once."""

    __table_args__ = (
        Index(
            "ix_timer_due",
            "due_at",
            sqlite_where=text("NOT fired"),
            postgresql_where=text("NOT fired"),
        ),
        Index("ix_timer_subscriber", "subscriber"),
    )
    id: int = _id()
    key: str = _text(unique=True)
    subscriber: int = _big()
    kind: str = _text()
    due_at: datetime = _at()
    data: str = _text()
    fired: bool = Field()
    lease_until: datetime | None = _at(default=None)
    made_at: datetime | None = _at(default=None)  # a stop since then lengthens it


class Memory(SQLModel, table=True):
    """What a mechanic remembers about one person: a small JSON value under the mechanic's name."""

    __table_args__ = (_NARROW,)
    subscriber: int = _big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str = _text(primary_key=True)
    data: str = _text()


class Handover(SQLModel, table=True):
    """A conversation that waits for, or is held by, a member of staff."""

    __table_args__ = (
        Index("ix_handover_open", "state", "at"),
        Index("ix_handover_subscriber", "subscriber"),
    )
    id: int = _id()
    subscriber: int = _big()
    identity: int = _big()
    reason: str = _text()
    state: str = _text()  # waiting | held | closed
    staff: int | None = _big(default=None)
    at: datetime = _at()
    ended_at: datetime | None = _at(default=None)


class Blob(SQLModel, table=True):
    """The bytes of a plan's files, by SHA-256."""

    digest: str = _text(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)


class Revision(SQLModel, table=True):
    """A plan as applied: a number that only grows within its campaign."""

    campaign: str = _text(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    digest: str = _text()  # of all file digests together
    applied_at: datetime = _at()
    applied_by: str = _text()


class RevisionFile(SQLModel, table=True):
    """Which files make a revision."""

    __tablename__: ClassVar[str] = "revision_file"
    campaign: str = _text(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    path: str = _text(primary_key=True)
    digest: str = _text()


metadata = SQLModel.metadata

# The rest of the tables, made from the pieces above.
from storage import (  # noqa: E402, F401
    tables_ledger,
    tables_notice,
    tables_people,
    tables_proposals,
    tables_push,
    tables_quiz,
    tables_staff,
    tables_standing,
    tables_stops,
    tables_survey,
)
