"""What is known of two people who become one, and how what they own comes together.

Promises that the books stay whole: what both got for the same mark is taken back from the younger as far as it is
there, the rest moves once, holds with it, and nothing falls below a floor. Reads only; `storage/joining.py` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from storage import bulk, ledger
from storage.draft import Draft, Speaker, dumps
from storage.ledger import Posting

if TYPE_CHECKING:
    from storage.group import Group

_REVERSE = "reverse/"
_REAL = "substr(b.account, 1, 5) <> 'test/'"


@dataclass(frozen=True, slots=True)
class Referral:
    """By whom a person was brought. `ring` says that the referrer was brought, in the end, by the person."""

    referee: int
    referrer: int
    campaign: str
    state: str
    at: int
    ring: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. `ids` are their own and those joined to them before; `homes` their (channel, account) pairs;
    `refused` says that their last word on campaign messages was no; `chose_at` when they last chose a language, or 0.
    """

    speaker: Speaker
    created_at: int
    ids: tuple[int, ...]
    homes: frozenset[tuple[str, str]]
    refused: bool
    chose_at: int
    referral: Referral | None

    @property
    def id(self) -> int:
        """The subscriber's number."""
        return self.speaker.id


@dataclass(slots=True)
class Pair:
    """Two people who become one. `twice` are the younger's postings for marks that the older has as well; `owned` the
    accounts of both with a balance row (account → unit); `holds` what is reserved from or for the younger.

    To be filled before it is accepted: `told`, message trees for the conversation that did not speak now, and
    `standing`, the referral that stands.
    """

    older: Side
    younger: Side
    other: Speaker
    twice: list[Any]
    owned: dict[str, str]
    holds: list[Any]
    told: list[dict[str, Any]] = field(default_factory=list)
    standing: Referral | None = None
    at: int = 0

    def accept(self, draft: Draft, new_id: Callable[[], int], tx: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """From here on the older person speaks in this draft; yields the rows that the other conversation gets."""
        older, now = self.older.speaker, draft.speaker
        draft.speaker = replace(now, id=older.id, code=older.code, status="active", new=False, memory={})
        self.at = draft.at
        _, actor, campaign, revision, _ = draft.events[0]
        event = (new_id(), tx, "joined", self.younger.id, actor, campaign, revision, draft.text_id, draft.at)
        yield "event", (*event, dumps({"into": older.id}))
        other, words = self.other, new_id()
        yield "text", (words, older.id, other.identity, draft.at, "internal", None, dumps(self.told))
        account = f"{other.channel}:{other.account}"
        for part in range(len(self.told)):
            whom = (new_id(), older.id, other.identity, account, words, part)
            yield "delivery", (*whom, "reminder", 0, "queued", draft.at, None, "", 0, "")


def study(connection: Connection, one: Speaker, other: Speaker, at: int) -> Pair:
    """All that joining needs to know of two people who are locked. `at` is when a new one was made."""
    sides = sorted(_sides(connection, one, other, at), key=lambda side: (side.created_at, side.id))
    older, younger = sides
    accounts = bulk.select(connection, "SELECT account, unit FROM balance WHERE owner IN {set}", [older.id, younger.id])
    return Pair(
        older,
        younger,
        other,
        _twice(connection, older, younger),
        {row.account: row.unit for row in accounts},
        _holds(connection, younger.id),
    )


def _sides(connection: Connection, one: Speaker, other: Speaker, at: int) -> Iterator[Side]:
    numbers = [one.id, other.id]
    made = dict(bulk.select(connection, "SELECT id, created_at FROM subscriber WHERE id IN {set}", numbers))
    sql = "SELECT subscriber, given FROM consent WHERE subscriber IN {set} ORDER BY id"
    words = dict(bulk.select(connection, sql, numbers))
    sql = (
        "SELECT i.subscriber, MAX(e.at) FROM identity i JOIN text t ON t.identity = i.id JOIN event e ON e.text = t.id "
        "WHERE i.subscriber IN {set} AND e.kind = 'language' GROUP BY i.subscriber"
    )
    chosen = dict(bulk.select(connection, sql, numbers))
    sql = "SELECT id, alias_of FROM subscriber WHERE alias_of IN {set} ORDER BY id"
    joined = bulk.select(connection, sql, numbers)
    homes = bulk.select(
        connection, "SELECT subscriber, channel, account FROM identity WHERE subscriber IN {set}", numbers
    )
    brought = _referrals(connection, (*numbers, *(row.id for row in joined)))
    for speaker in (one, other):
        yield Side(
            speaker,
            made.get(speaker.id, at),
            (speaker.id, *(row.id for row in joined if row.alias_of == speaker.id)),
            frozenset((row.channel, row.account) for row in homes if row.subscriber == speaker.id)
            | {(speaker.channel, speaker.account)},
            not words.get(speaker.id, True),
            chosen.get(speaker.id, 0),
            brought.get(speaker.id),
        )


def _referrals(connection: Connection, numbers: Sequence[int]) -> dict[int, Referral]:
    """By whom these people were brought; a ring is one that closes over any of them."""
    sql = (
        "WITH RECURSIVE own AS (SELECT referee, referrer, campaign, state, at FROM referral WHERE referee IN {set}), "
        "up(start, id) AS (SELECT referee, referrer FROM own UNION SELECT up.start, r.referrer FROM up "
        "JOIN referral r ON r.referee = up.id WHERE r.state <> 'rejected') "
        "SELECT own.*, up.id AS above FROM own JOIN up ON up.start = own.referee"
    )
    found: dict[int, Referral] = {}
    for row in bulk.select(connection, sql, numbers):
        known = found.get(row.referee) or Referral(*row[:5])
        found[row.referee] = replace(known, ring=known.ring or row.above in numbers)
    return found


def _twice(connection: Connection, older: Side, younger: Side) -> list[Any]:
    """The younger's gains for marks for which the older gained as well, unless either was reversed already."""
    numbers = [*older.ids, *younger.ids]
    columns = "p.id, p.key, p.unit, p.source, p.destination, p.amount, p.campaign"
    sql = f"{_postings(columns, 'destination', _REAL)} ORDER BY id"
    gains = bulk.select(connection, sql, numbers)
    sql = _postings("p.key", "source", f"substr(p.key, 1, {len(_REVERSE)}) = '{_REVERSE}'")
    reversed_keys = {row.key.removeprefix(_REVERSE) for row in bulk.select(connection, sql, numbers)}
    marks: dict[int, list[tuple[str, Any]]] = {number: [] for number in numbers}
    for row in gains:
        mark, _, person = row.key.rpartition("/")
        theirs = person.isdecimal() and int(person) in marks
        if theirs and row.key not in reversed_keys and not mark.startswith(_REVERSE):
            marks[int(person)].append((mark, row))
    had = {mark for number in older.ids for mark, _ in marks[number]}
    return [row for number in younger.ids for mark, row in marks[number] if mark in had]


def _postings(columns: str, end: str, only: str) -> str:
    """SQL for the postings that have an account of these people at an end: those of their messages (whose identities
    the one of them who is no alias has), and what else moved, by account."""
    owned = f"JOIN balance b ON b.account = p.{end}"
    where = f"b.owner IN (SELECT number FROM people) AND {only}"
    return (
        f"WITH people(number) AS {{set}} SELECT {columns} FROM posting p {owned} WHERE p.text IS NULL AND {where} "
        f"UNION ALL SELECT {columns} FROM identity i JOIN text t ON t.identity = i.id JOIN posting p ON p.text = t.id "
        f"{owned} WHERE i.subscriber IN (SELECT number FROM people) AND {where}"
    )


def _holds(connection: Connection, subscriber: int) -> list[Any]:
    """What is reserved now in accounts of the person, or to come into them."""
    columns = "SELECT id, unit, source, destination, amount FROM hold WHERE state = 'open' AND"
    owned = "(SELECT account FROM balance WHERE owner IN {set})"
    found = {
        row.id: row
        for end in ("source", "destination")
        for row in bulk.select(connection, f"{columns} {end} IN {owned}", [subscriber])
    }
    return [found[number] for number in sorted(found)]


# ---- what they own


def moves(pair: Pair, account: str) -> str:
    """The account as it is called once the two are one."""
    kind, _, rest = account.partition("/")
    number, _, unit = rest.partition("/")
    return f"{kind}/{pair.older.id}/{unit}" if kind in ("s", "held") and number == str(pair.younger.id) else account


@dataclass(slots=True)
class Settled:
    """What came of it, in whole units of points: taken back, owed but spent already, now spendable, still waiting."""

    reversed: int = 0
    short: int = 0
    released: int = 0
    waiting: int = 0


def settle(pair: Pair, group: Group, campaign: str, revision: int, cap: int) -> Settled:
    """Post all that moves between the two, in the group's book. `cap`: how many held points of each may be released.

    Raises nothing at a floor: what cannot be taken back stays and is told in `short`.
    """
    settled = Settled()
    group.lock({p.source: p.unit for p in pair.twice if ledger.has_floor(p.source)})
    for gain in pair.twice:
        _take_back(pair, group, gain, revision, settled)
    older, younger = pair.older.id, pair.younger.id
    join = f"join/{older}/{younger}"

    def move(key: str, unit: str, source: str, destination: str, amount: int) -> None:
        if amount > 0:
            posting = Posting(f"{join}/{key}", unit, source, destination, amount, campaign, revision, "joined")
            group.post(posting)

    free = _free_holds(pair, group)
    for account, unit in sorted(pair.owned.items()):
        kind, owner = account.partition("/")[0], ledger.owner(account)
        amount = group.book.available(account, unit)
        if kind == "held":
            released = min(amount, cap) if unit == "points" else amount
            move(f"{owner}/released/{unit}", unit, account, ledger.person(older, unit), released)
            amount -= released
            if unit == "points":
                settled.released += released
                settled.waiting += amount
        if owner == younger:
            move(f"{kind}/{unit}", unit, account, moves(pair, account), amount)
    for account, unit, amount in free:
        group.book.hold(account, unit, amount)
    return settled


def _take_back(pair: Pair, group: Group, gain: Any, revision: int, settled: Settled) -> None:
    """Undo a gain by its mirror image; what is spent in part is taken back in part, from where it is now."""
    book, counts = group.book, gain.unit == "points"
    what = (gain.campaign, revision, "joined_twice")
    if gain.destination in book and book.available(gain.destination, gain.unit) >= gain.amount:
        mirror = (gain.unit, gain.destination, gain.source, gain.amount, *what)
        group.post(Posting(f"{_REVERSE}{gain.key}", *mirror, reverses=gain.id))
        settled.reversed += gain.amount * counts
        return
    account = ledger.person(pair.younger.id, gain.unit)
    part = min(max(book.available(account, gain.unit), 0), gain.amount)
    settled.short += (gain.amount - part) * counts
    settled.reversed += part * counts
    if part:
        group.post(Posting(f"{_REVERSE}{gain.key}", gain.unit, account, gain.source, part, *what))


def _free_holds(pair: Pair, group: Group) -> list[tuple[str, str, int]]:
    """Free what is reserved of the younger's, so that it can move; returns what to reserve again, and where."""
    again = []
    for hold in pair.holds:
        source, destination = moves(pair, hold.source), moves(pair, hold.destination)
        if source == hold.source != destination:
            continue  # it comes from somewhere else, and goes on being reserved there
        group.book.hold(hold.source, hold.unit, -hold.amount)
        if source != destination:
            again.append((source, hold.unit, hold.amount))
    return again
