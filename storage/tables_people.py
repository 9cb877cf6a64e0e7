"""The tables of people: who they are on which channel, what they agreed to and told us, and who brought whom."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from storage.tables import _at, _big, _id, _text

_PARKED = text("parked_until IS NOT NULL")
_JOINED = text("alias_of IS NOT NULL")


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
