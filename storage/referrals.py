"""Who brought whom: codes as they are typed or scanned, the people behind them, and what came of it.

Promises that a chain of referrers never closes, on any number of nodes. It knows no rule of who counts as a newcomer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage import bulk
from storage.incoming import Incoming
from storage.tables import instant

LENGTH = 8
# What a referral goes through; each step is written by the rule that takes it. Whatever is left out is unlawful.
STEPS: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"qualified", "rejected"}),
    "qualified": frozenset({"held", "rejected"}),
    "held": frozenset({"rewarded", "rejected"}),
    "rewarded": frozenset({"clawed_back"}),
    "rejected": frozenset(),
    "clawed_back": frozenset(),
}
_LETTERS = "2-9A-HJ-NP-Z"
# A code alone, with words before it, as a scene, or at the end of our links, in either width and case, with gaps.
_TYPED = re.compile(
    r"(?:https?://\S*?(?:/r/|start=r_|[?&]c=r_)|r_|(?:我的)?(?:推荐码|邀请码)[是为]?|referral code|invite code|code)?"
    rf"[\s:：]*((?:[{_LETTERS}][\s-]*){{{LENGTH}}})[.。!！\s]*",
    re.IGNORECASE,
)
_TYPED_MAX = 200
_LOCK = 0x726566657273


@dataclass(frozen=True, slots=True)
class Owner:
    """The person behind a code. `above` are those who brought them, in whatever distance, and they themselves."""

    code: str
    id: int
    guest: bool
    above: frozenset[int]


@dataclass(frozen=True, slots=True)
class Friend:
    """One who was brought: since when, and what came of it so far."""

    at: datetime
    state: str


def spelled(words: str) -> str:
    """The code in what was typed, as it is written down; empty when there is none. It may still be a mere word."""
    if not LENGTH <= len(words) <= _TYPED_MAX:
        return ""
    found = _TYPED.fullmatch(unicodedata.normalize("NFKC", words).strip())
    return re.sub(r"[\s-]", "", found[1]).upper() if found else ""


def code_in(incoming: Incoming) -> str:
    """The referrer's code that a message carries: the scene it came by, else what was typed."""
    scene = incoming.data.get("scene")
    if isinstance(scene, str) and scene.startswith("r_"):
        return spelled(scene)
    return spelled(incoming.text) if incoming.kind in ("text", "voice") else ""


def owners(connection: Connection, codes: Iterable[str]) -> dict[str, Owner]:
    """The people behind these codes, by code; nobody stands behind one of somebody erased.

    On PostgreSQL two transactions that ask wait for each other, or each could close the other's chain unseen.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
    sql = (
        "WITH RECURSIVE named(code, id, alias_of, status, guest) AS ("
        "SELECT code, id, alias_of, status, guest FROM subscriber WHERE code IN {set} "
        "UNION ALL SELECT n.code, s.id, s.alias_of, s.status, s.guest FROM named n "
        "JOIN subscriber s ON s.id = n.alias_of), "
        "up(code, id) AS (SELECT code, id FROM named WHERE status = 'active' "
        "UNION SELECT up.code, r.referrer FROM up JOIN referral r ON r.referee = up.id AND r.state <> 'rejected') "
        "SELECT n.code, n.id, n.guest, up.id AS above FROM named n JOIN up ON up.code = n.code "
        "WHERE n.status = 'active'"
    )
    found: dict[str, tuple[int, bool, set[int]]] = {}
    for row in bulk.select(connection, sql, codes):
        found.setdefault(row.code, (row.id, bool(row.guest), set()))[2].add(row.above)
    return {code: Owner(code, number, guest, frozenset(above)) for code, (number, guest, above) in found.items()}


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


def friends(connection: Connection, subscriber: int, offset: int, limit: int) -> list[Friend]:
    """Those whom a person brought, newest first, from the `offset`-th."""
    sql = "SELECT at, state FROM referral WHERE referrer = ? ORDER BY at DESC, referee DESC LIMIT ? OFFSET ?"
    return [Friend(instant(row.at), row.state) for row in bulk.select_all(connection, sql, subscriber, limit, offset)]


def counts(connection: Connection, subscriber: int) -> dict[str, int]:
    """How many a person brought, by state."""
    sql = "SELECT state, COUNT(*) AS n FROM referral WHERE referrer = ? GROUP BY state"
    return {row.state: row.n for row in bulk.select_all(connection, sql, subscriber)}


def row_of(owner: Owner, referee: int, campaign: str, at: int) -> tuple[Any, ...]:
    """A new referral as its table keeps it: referee, referrer, campaign, state, at, changed_at."""
    return referee, owner.id, campaign, "pending", at, at
