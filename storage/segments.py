"""Whom a segment holds, on both databases: how many, and how they can be reached.

The tree is the shape that `content/segments.py` reads rules into; what a rule looks like, and whether its names exist
in a plan, is not known here. Every value is bound. People are looked at in ranges of their numbers, each source read
once per range through the index that begins with the person, so that a slice costs the same wherever it lies and memory
does not grow with the audience. Reads only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from storage.segment_sql import REASONS, Audience, NotRunning, Query

__all__ = [
    "Audience",
    "NotRunning",
    "OnAccount",
    "Split",
    "count",
    "end_of_range",
    "ranges",
    "split",
]

_RANGE: Final = 20_000  # people looked at with one statement


@dataclass(frozen=True, slots=True)
class OnAccount:
    """An audience's people on one channel account: how many can be reached there, how many of them without consent, and
    how the WeChat window of those with consent stands: `open`, `unsure` (only the platform knows whether an earlier
    message's window still is), `used_up` (the count since the last act), `shut`; elsewhere it is always `open`."""

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
