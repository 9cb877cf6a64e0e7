"""Whom a segment holds: its tree, its SQL on both databases, who is in it slice by slice, and how many.

The tree is the shape that `content/segments.py` reads rules into; what a rule looks like, and whether its names exist
in a plan, is not known here. Every value is bound. People are looked at in ranges of their numbers, each source read
once per range through the index that begins with the person, so that a slice costs the same wherever it lies and memory
does not grow with the audience. Reads only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from storage import bulk
from storage.segment_sql import (
    EARLIER_MAY_STAND,
    HERE,
    NOBODY,
    REASONS,
    WINDOW,
    WINDOW_MESSAGES,
    Audience,
    NotRunning,
    Query,
)
from storage.tables import instant

__all__ = [
    "Audience",
    "NotRunning",
    "OnAccount",
    "Place",
    "Reach",
    "Slice",
    "Split",
    "count",
    "end_of_range",
    "matching",
    "ranges",
    "reach",
]
__all__ += ["split", "window"]

_RANGE: Final = 20_000  # people looked at with one statement


@dataclass(frozen=True, slots=True)
class Slice:
    """Those of a range who belong to an audience, in order of their numbers, and where the next begins; None: done."""

    ids: list[int]
    next: int | None


@dataclass(frozen=True, slots=True)
class OnAccount:
    """An audience's people on one channel account: how many can be reached there, how many of them without consent, and
    how the WeChat window of those with consent stands (see `window`); elsewhere it is always `open`."""

    channel: str
    account: str
    people: int
    no_consent: int
    open: int
    unsure: int
    used_up: int
    shut: int


@dataclass(frozen=True, slots=True)
class Split:
    """An audience counted: its people; those besides who match but follow us nowhere any more, and those the holdout
    leaves out; of its people those for each of REASONS, which may overlap; and by account, where who is on two counts
    in both."""

    people: int
    unreachable: int
    held_out: int
    reasons: dict[str, int]
    accounts: tuple[OnAccount, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """An identity at which a person can be reached, and their last act there."""

    identity: int
    channel: str
    account: str
    address: str
    heard_at: datetime | None
    heard_kind: str
    sent_since: int


@dataclass(frozen=True, slots=True)
class Reach:
    """One person and where they can be reached, oldest identity first; nowhere when `places` is empty."""

    id: int
    language: str
    consent: bool
    guest: bool
    blocked: bool
    places: list[Place]


def matching(connection: Connection, audience: Audience, after: int = 0, limit: int = 2_000) -> Slice:
    """The next slice behind number `after`: `limit` people are looked at, so at most so many are given back.

    Go on with `after=slice.next` until that is None. An alias, or somebody erased, is never among them. Raises
    ValueError for a tree of no shape, NotRunning.
    """
    upto = end_of_range(connection, after, limit)
    if upto is None:
        return Slice([], None)
    ids = Query(connection, audience).ids(after, upto)
    return Slice(ids, upto)


def count(connection: Connection, audience: Audience) -> int:
    """How many an audience holds now. Raises ValueError for a tree of no shape, NotRunning."""
    query = Query(connection, audience)
    return sum(query.count(after, upto) for after, upto in ranges(connection))


def split(connection: Connection, audience: Audience) -> Split:
    """An audience counted by what can be known of many at once. Raises as `count` does."""
    query = Query(connection, audience)
    people: Counter[str] = Counter()
    accounts: dict[tuple[str, str], Counter[str]] = {}
    for after, upto in ranges(connection):
        people.update(query.people(after, upto))
        for channel, account, counts in query.accounts(after, upto):
            accounts.setdefault((channel, account), Counter()).update(counts)
    on = [
        OnAccount(channel, account, n["people"], n["no_consent"], n["open"], n["unsure"], n["used_up"], n["shut"])
        for (channel, account), n in sorted(accounts.items())
    ]
    reasons = {reason: people[reason] for reason in REASONS}
    return Split(people["people"], people["unreachable"], people["held_out"], reasons, tuple(on))


def reach(connection: Connection, ids: Sequence[int]) -> list[Reach]:
    """What is known of each of these people, in order of their numbers, with where they can be reached. Set-wise."""
    rows = bulk.select(
        connection,
        "SELECT s.id, s.language, s.consent, s.guest, s.blocked_at, i.id AS identity, i.channel, i.account, i.address, "
        f"i.heard_at, i.heard_kind, i.sent_since FROM subscriber s "
        f"LEFT JOIN identity i ON i.subscriber = s.id AND {HERE} "
        f"WHERE s.id IN {{set}} AND {' AND '.join(NOBODY)} ORDER BY s.id, i.id",
        ids,
    )
    found: dict[int, Reach] = {}
    for row in rows:
        person = found.setdefault(
            row.id, Reach(row.id, row.language, bool(row.consent), bool(row.guest), row.blocked_at is not None, [])
        )
        if row.identity is not None:
            heard = None if row.heard_at is None else instant(row.heard_at)
            address = (row.identity, row.channel, row.account, row.address)
            person.places.append(Place(*address, heard, row.heard_kind, row.sent_since))
    return list(found.values())


def window(heard_at: datetime | None, heard_kind: str, sent_since: int, now: datetime) -> str:
    """How an identity on WeChat stands to customer-service messages: `open`, `unsure` (only the platform knows whether
    an earlier message's window still is), `used_up` (the count since the last act), `shut`."""
    if heard_at is None or heard_at < now - WINDOW or heard_kind == "follow":
        return "shut"
    if heard_kind in EARLIER_MAY_STAND:
        return "unsure"
    return "used_up" if sent_since >= WINDOW_MESSAGES else "open"


def ranges(connection: Connection, size: int = _RANGE) -> Iterator[tuple[int, int]]:
    """Everybody's numbers in ranges (behind the first, up to the second) of `size` people."""
    after = 0
    while (upto := end_of_range(connection, after, size)) is not None:
        yield after, upto
        after = upto


def end_of_range(connection: Connection, after: int, size: int) -> int | None:
    """The number up to which the range of `size` people behind number `after` goes; None behind everybody."""
    among = "FROM (SELECT id FROM subscriber WHERE id > :after ORDER BY id LIMIT :n) AS next_few"
    return connection.execute(text(f"SELECT MAX(id) {among}"), {"after": after, "n": size}).scalar()
