"""Every table on a few pages, every constraint with its reason.

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
_PARKED = text("parked_until IS NOT NULL")
_JOINED = text("alias_of IS NOT NULL")
_OPEN = text("state = 'open'")
_PUSHED = text("run IS NOT NULL")
_ANSWERED = text("run IS NULL")
_IN_JOB = text("job IS NOT NULL")
ACTED = "actor NOT IN ('subscriber', 'system')"
_ACTED = text(ACTED)
_OF_MESSAGE, _OF_NO_MESSAGE = text("text IS NOT NULL"), text("text IS NULL")
_REVERSES = text("reverses IS NOT NULL")


_TAKING_PART = "touched", "poster", "quiz_started"
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


class Subscriber(SQLModel, table=True):
    """One person, whatever the channel. Names and numbers are in `profile`, encrypted."""

    __table_args__ = (Index("ix_subscriber_alias", "alias_of", sqlite_where=_JOINED, postgresql_where=_JOINED),)
    id: int = _id()
    created_at: datetime = _at()
    language: str = _text()
    status: str = _text()  # active | alias | erased
    alias_of: int | None = _big(default=None)
    code: str = _text(unique=True)  # the referral code, for life
    referrer: int | None = _big(default=None)  # as when it was counted: may have become an alias since
    consent: bool = Field()  # campaign messages; its history is in `consent`
    guest: bool = Field()  # known by the web chat alone: what is earned is held, nothing can be drawn or redeemed
    branch: str | None = _text(default=None)  # of the placement that brought them: whose staff look after them
    blocked_at: datetime | None = _at(default=None)  # staff keep them from taking part since then
    tester_since: datetime | None = _at(default=None)  # what they do since then is a test, in books of its own
    owed: bool | None = Field(default=None)  # notices wait to be told with the next answer


class Identity(SQLModel, table=True):
    """A subscriber on one channel account. `digest` finds it; `address` is what the platform calls the person, and is
    removed when the person leaves the account or is forgotten."""

    __table_args__ = (
        Index("ix_identity_parked", "parked_until", sqlite_where=_PARKED, postgresql_where=_PARKED),
        Index("ix_identity_subscriber", "subscriber"),
    )
    id: int = _id()
    subscriber: int = _big()
    channel: str = _text()
    account: str = _text()
    digest: str = _text(unique=True)  # keyed hash of channel, account and address
    address: str | None = _text(default=None)
    following: bool = Field()
    heard_at: datetime | None = _at(default=None)  # the person's last act there, for platform windows
    heard_kind: str = _text(default="")
    sent_since: int = Field(default=0)  # active messages since that act
    parked_until: datetime | None = _at(default=None)  # gone: what is kept under the hash is erased then


class JoinCode(SQLModel, table=True):
    """A code by which its person can be joined with another channel of theirs, once; only its keyed hash is kept."""

    __tablename__: ClassVar[str] = "join_code"
    __table_args__ = (Index("ix_join_code_subscriber", "subscriber"), Index("ix_join_code_until", "until"))
    digest: str = _text(primary_key=True)
    subscriber: int = _big()
    identity: int = _big()  # the conversation in which it was asked for
    until: datetime = _at()
    used: bool = Field()
    made_at: datetime | None = _at(default=None)  # a stop since then lengthens it


class PersonKey(SQLModel, table=True):
    """The key under which one person's fields are encrypted, itself wrapped; destroying the row forgets them."""

    __tablename__: ClassVar[str] = "person_key"
    subscriber: int = _id()
    wrapped: bytes = Field(sa_type=LargeBinary)


class Profile(SQLModel, table=True):
    """What a person told us of themselves (name, number, address), encrypted under their key."""

    subscriber: int = _id()
    sealed: bytes = Field(sa_type=LargeBinary)


class Consent(SQLModel, table=True):
    """Each time campaign messages were agreed to or refused, with date, wording and the words heard."""

    __table_args__ = (Index("ix_consent_subscriber", "subscriber"),)
    id: int = _id()
    subscriber: int = _big()
    given: bool = Field()
    wording: str = _text()  # the phrase shown, and the revision it stood in
    at: datetime = _at()


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


class Referral(SQLModel, table=True):
    """Who brought whom: once in the referee's lifetime."""

    __table_args__ = (
        CheckConstraint("referrer <> referee", name="referral_self"),
        CheckConstraint(
            "state IN ('pending','qualified','held','rewarded','rejected','clawed_back')",
            name="referral_state",
        ),
        Index("ix_referral_referrer", "referrer"),
    )
    referee: int = _id()
    referrer: int = _big()
    campaign: str = _text()
    state: str = _text()
    at: datetime = _at()
    changed_at: datetime = _at()


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
    tables_notice,
    tables_proposals,
    tables_push,
    tables_quiz,
    tables_staff,
    tables_standing,
    tables_stops,
    tables_survey,
)
