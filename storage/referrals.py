"""Who brought whom: codes as they are typed or scanned, the people behind them, and what came of it.

Promises that a chain of referrers never closes, on any number of nodes, and that a referral only takes lawful steps. It
knows no rule of who counts as a newcomer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage import acts, bulk, holds
from storage.incoming import Incoming
from storage.tables import instant, micros
from storage.vault import Vault

LENGTH = 8
# What a referral goes through, in the only steps there are (`move` takes them).
STEPS: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"qualified", "rejected"}),
    "qualified": frozenset({"held", "rejected"}),
    "held": frozenset({"rewarded", "rejected"}),
    "rewarded": frozenset({"clawed_back"}),
    "rejected": frozenset(),
    "clawed_back": frozenset(),
}
_LETTERS = "2-9A-HJ-NP-Z"
# What says that a code follows: a scene, our links, or words; in either case and width.
_BEFORE = (
    r"(?:https?://\S*?(?:/r/|start=r_|[?&]c=r_)|t\.me/\S*?start=r_|r_"
    r"|(?:我的|朋友的|好友的)?(?:推荐码|邀请码)[是为]?|(?:my |the )?(?:referral |invite )?code(?: is)?)"
)
_TYPED = re.compile(rf"{_BEFORE}?[\s:：]*((?:[{_LETTERS}][\s_-]*){{{LENGTH}}})[.。!！\s]*", re.IGNORECASE)
_ANNOUNCED = re.compile(rf"{_BEFORE}[\s:：]*([A-Z0-9][A-Z0-9\s_-]{{4,20}})[.。!！\s]*", re.IGNORECASE)
_ALONE = re.compile(r"[A-Z0-9]{7,9}", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_TYPED_MAX = 200
_LOCK = 0x726566657273
_TESTED = "substr(campaign, length(campaign) - 4) = '/test'"


class Unlawful(Exception):
    """A step that a referral in this state cannot take. `state` is where it stands, `to` what was asked."""

    def __init__(self, state: str, to: str) -> None:
        super().__init__(f"a referral that is {state} cannot become {to}")
        self.state, self.to = state, to


@dataclass(frozen=True, slots=True)
class Owner:
    """The person behind a code. `above` are those who brought them, in whatever distance, and they themselves.

    `profile` is what they told of themselves; `tester_since` is in microseconds. Who was joined to somebody answers
    here as who they are now.
    """

    code: str
    id: int
    guest: bool
    above: frozenset[int]
    blocked: bool = False
    tester_since: int | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Friend:
    """One who was brought: since when, what came of it so far, and what they told of themselves."""

    id: int
    at: datetime
    state: str
    profile: Mapping[str, Any] = field(default_factory=dict)


def spelled(words: str) -> str:
    """The code in what was typed, as it is written down; empty when there is none. It may still be a mere word."""
    ending = _ending_like_a_code(words)
    found = _TYPED.fullmatch(ending) if ending else None
    return re.sub(r"[\s_-]", "", found[1]).upper() if found else ""


def _ending_like_a_code(words: str) -> str:
    """The words in one width; empty, at next to no cost, for most of what people say: a code's last letter is Latin."""
    last = words.rstrip(" \r\n.。!！")[-1:] if 4 < len(words) <= _TYPED_MAX else ""
    if not last.isalnum() or not (last.isascii() or "０" <= last <= "ｚ"):
        return ""
    return unicodedata.normalize("NFKC", words).strip()


def announced(words: str) -> str:
    """What was clearly meant as a code, right or wrong: after our link or after words that say so. Else empty."""
    ending = _ending_like_a_code(words)
    found = _ANNOUNCED.fullmatch(ending) if ending else None
    code = re.sub(r"[\s_-]", "", found[1]).upper() if found else ""
    return code if code and _DIGIT.search(code) else ""


def resembling(words: str) -> str:
    """What may be a code with a slip in it: 7 to 9 letters and digits mixed. Much else is, so ask for this last."""
    code = _ending_like_a_code(words).upper()
    mixed = not code.isalpha() and not code.isdecimal()
    return code if mixed and _ALONE.fullmatch(code) else ""


def code_in(incoming: Incoming) -> str:
    """The referrer's code that a message carries: the scene it came by, else what was typed."""
    scene = incoming.data.get("scene")
    if isinstance(scene, str) and scene.startswith("r_"):
        return spelled(scene)
    return spelled(incoming.text) if incoming.kind in ("text", "voice") else ""


def lock(connection: Connection) -> None:
    """Let no other transaction judge who may bring whom until this one ends, or each could close the other's chain.

    Taken after people are locked and before accounts. SQLite has one writer anyway. Raises DatabaseFault when another
    node keeps it too long.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})


def owners(connection: Connection, vault: Vault, codes: Collection[str]) -> dict[str, Owner]:
    """The people behind these codes, by code; nobody stands behind one of somebody erased.

    Words that only look like a code lock nothing.
    """
    if connection.dialect.name != "sqlite":
        if not bulk.select(connection, "SELECT id FROM subscriber WHERE code IN {set}", codes):
            return {}
        lock(connection)  # a statement of its own, so that the next sees what it waited for
    found: dict[str, tuple[Any, set[int]]] = {}
    for row in bulk.select(connection, _OWNERS, codes):
        found.setdefault(row.code, (row, set()))[1].add(row.above)
    return {
        code: Owner(
            *(code, row.id, bool(row.guest), frozenset(above)),
            *(row.blocked_at is not None, row.tester_since, _opened(vault, row)),
        )
        for code, (row, above) in found.items()
    }


_OWNERS = (
    "WITH RECURSIVE named(code, id, alias_of, status, guest, blocked_at, tester_since) AS ("
    "SELECT code, id, alias_of, status, guest, blocked_at, tester_since FROM subscriber WHERE code IN {set} "
    "UNION ALL SELECT n.code, s.id, s.alias_of, s.status, s.guest, s.blocked_at, s.tester_since FROM named n "
    "JOIN subscriber s ON s.id = n.alias_of), "
    "up(code, id) AS (SELECT code, id FROM named WHERE status = 'active' "
    "UNION SELECT up.code, r.referrer FROM up JOIN referral r ON r.referee = up.id AND r.state <> 'rejected') "
    "SELECT n.code, n.id, n.guest, n.blocked_at, n.tester_since, up.id AS above, k.wrapped, p.sealed "
    "FROM named n JOIN up ON up.code = n.code "
    "LEFT JOIN person_key k ON k.subscriber = n.id LEFT JOIN profile p ON p.subscriber = n.id "
    "WHERE n.status = 'active'"
)


def _opened(vault: Vault, row: Any) -> dict[str, Any]:
    """What a person told of themselves, from their key and sealed profile; empty when there is none."""
    return vault.open(vault.unwrap(bytes(row.wrapped)), bytes(row.sealed)) if row.wrapped and row.sealed else {}


def brought(connection: Connection, numbers: Collection[int]) -> set[int]:
    """Those of these people who were brought by somebody once, whatever came of it."""
    rows = bulk.select(connection, "SELECT referee FROM referral WHERE referee IN {set}", numbers)
    return {row.referee for row in rows}


def closes(owner: Owner, person: int, others: Mapping[int, Owner]) -> bool:
    """Whether `person`, brought by `owner`, would stand above themselves. `others` were brought just now, by id."""
    seen: set[int] = set()
    ahead = set(owner.above)
    while ahead:
        number = ahead.pop()
        if number == person:
            return True
        seen.add(number)
        if number in others:
            ahead |= others[number].above - seen
    return False


def friends(
    connection: Connection, vault: Vault, subscriber: int, offset: int, limit: int
) -> tuple[list[Friend], dict[str, int]]:
    """Those whom a person brought, newest first, from the `offset`-th; and how many they are in all, by state."""
    found, counts = [], {}
    for row in bulk.select_all(connection, _FRIENDS, subscriber, limit, offset):
        if row.referee is None:
            counts[row.state] = row.n
        else:
            found.append(Friend(row.referee, instant(row.at), row.state, _opened(vault, row)))
    return found, counts


_FRIENDS = (
    "WITH mine AS (SELECT referee, at, state FROM referral WHERE referrer = ?), "
    "page AS (SELECT * FROM mine ORDER BY at DESC, referee DESC LIMIT ? OFFSET ?) "
    "SELECT page.referee, page.at, page.state, 0 AS n, k.wrapped, p.sealed FROM page "
    "LEFT JOIN person_key k ON k.subscriber = page.referee LEFT JOIN profile p ON p.subscriber = page.referee "
    "UNION ALL SELECT NULL, NULL, state, COUNT(*), NULL, NULL FROM mine GROUP BY state "
    "ORDER BY 2 DESC, 1 DESC"
)


def row_of(owner: Owner, referee: int, campaign: str, at: int) -> tuple[Any, ...]:
    """A new referral as its table keeps it: referee, referrer, campaign, state, at, changed_at."""
    return referee, owner.id, campaign, "pending", at, at


def state_of(connection: Connection, referee: int) -> str:
    """Where the referral of a person stands; empty when nobody brought them."""
    found = connection.execute(text("SELECT state FROM referral WHERE referee = :r"), {"r": referee}).scalar()
    return str(found or "")


def campaign_of(connection: Connection, referee: int) -> str:
    """In which campaign a person was brought; empty when nobody brought them."""
    found = connection.execute(text("SELECT campaign FROM referral WHERE referee = :r"), {"r": referee}).scalar()
    return str(found or "")


def void_holds(connection: Connection, referee: int, now: datetime) -> int:
    """Free what is reserved for the referral of a person; returns how many holds.

    Their keys begin with `referral/<referee>/`, by the number that the person had when it was reserved.
    """
    numbers = connection.execute(
        text("SELECT id FROM subscriber WHERE id = :r OR alias_of = :r ORDER BY id"), {"r": referee}
    ).scalars()
    query = text("SELECT key FROM hold WHERE state = 'open' AND substr(key, 1, :n) = :begins ORDER BY id")
    keys = [
        key
        for begins in [f"referral/{number}/" for number in numbers.all()]
        for key in connection.execute(query, {"n": len(begins), "begins": begins}).scalars().all()
    ]
    return sum(holds.void(connection, key, now) for key in keys)


def lock_tests(connection: Connection, person: int) -> None:
    """Lock a person and those whom they brought in a test, in key order as everybody does, before `drop_tests`."""
    brought = f"SELECT referee FROM referral WHERE referrer = :s AND {_TESTED}"
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    query = text(f"SELECT id FROM subscriber WHERE id = :s OR id IN ({brought}) ORDER BY id{locking}")
    connection.execute(query, {"s": person}).all()


def drop_tests(connection: Connection, person: int, actor: str, revision: int, now: datetime) -> int:
    """Reject and take away the referrals of tests that bring the person or were made by their code; returns how many.

    None is left to stand in the way of a real one.
    """
    own = f"(referee = :s OR referrer = :s) AND {_TESTED}"
    query = text(f"SELECT referee, referrer, campaign, state FROM referral WHERE {own} ORDER BY referee")
    rows = connection.execute(query, {"s": person}).all()
    for row in rows:
        connection.execute(text("UPDATE subscriber SET referrer = NULL WHERE id = :r"), {"r": row.referee})
        data = {"referrer": row.referrer, "from": row.state, "to": "rejected", "reason": "test"}
        acts.event(connection, "referral", actor, row.campaign, revision, now, data, row.referee)
        connection.execute(text("DELETE FROM referral WHERE referee = :r"), {"r": row.referee})
    return len(rows)


def move(connection: Connection, referee: int, to: str, actor: str, revision: int, now: datetime) -> bool:
    """Let a referral take its next step, with an event; False when it stands there already.

    One that is rejected leaves the person without a referrer, though not free for another. Raises KeyError when nobody
    brought the person, Unlawful when STEPS has no such step.
    """
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    connection.execute(text(f"SELECT id FROM subscriber WHERE id = :r{locking}"), {"r": referee})
    query = text(f"SELECT referrer, campaign, state FROM referral WHERE referee = :r{locking}")
    row = connection.execute(query, {"r": referee}).one_or_none()
    if row is None:
        raise KeyError(referee)
    if row.state == to:
        return False
    if to not in STEPS[row.state]:
        raise Unlawful(row.state, to)
    connection.execute(
        text("UPDATE referral SET state = :to, changed_at = :now WHERE referee = :r"),
        {"to": to, "now": micros(now), "r": referee},
    )
    if to == "rejected":
        connection.execute(text("UPDATE subscriber SET referrer = NULL WHERE id = :r"), {"r": referee})
    data = {"referrer": row.referrer, "from": row.state, "to": to}
    acts.event(connection, "referral", actor, row.campaign, revision, now, data, referee)
    return True
