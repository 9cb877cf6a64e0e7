"""Two identities become one person: the code that leads from one to the other, and the one turn that unites them.

Promises that it happens once, under the locks of both, and that nothing is lost: what the younger person had moves to
the older, whose alias the younger becomes for ever. It knows no rule of whom to join and speaks to nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from storage import bulk, loading, notices, profiles, push_runs, stops, surveys, tables
from storage.draft import Draft, Speaker
from storage.incoming import Incoming
from storage.tables import micros
from storage.uniting import Pair, moves
from storage.vault import Vault

LENGTH = 6  # letters: two fewer than a referral code, so that neither is taken for the other
KEPT_AFTER = timedelta(days=1)  # so long a code that is over can still be told from one that never was
# The letters of all our codes, in either case and width, with gaps between; a word of six such letters alone is none.
_TYPED = re.compile(
    r"\s*/?(?:绑定码?|连接码?|connect|link)?[\s:：]*"
    r"((?:[2-9A-HJ-NP-Za-hj-np-z２-９Ａ-ＨＪ-ＮＰ-Ｚａ-ｈｊ-ｎｐ-ｚ][\s\-]*){6})[.。!！\s]*",
    re.IGNORECASE,
)
_TYPED_MAX = 40
_TABLES = tables.metadata.tables


def spelled(words: str) -> str:
    """The code in what was typed, as it is written down; empty when it is none. At least a letter and a digit."""
    if not LENGTH <= len(words) <= _TYPED_MAX:
        return ""
    found = _TYPED.fullmatch(words)
    if not found:
        return ""
    code = re.sub(r"[\s\-]", "", unicodedata.normalize("NFKC", found[1])).upper()
    return code if not code.isalpha() and not code.isdecimal() else ""


def code_digest(vault: Vault, code: str) -> str:
    """The keyed hash under which a code is kept."""
    return vault.digest("joining", "", code)


@dataclass(frozen=True, slots=True)
class Offer:
    """A code given to a person: it leads to them from `made_at` until `until` (campaign time, microseconds)."""

    digest: str
    until: int
    made_at: int


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a typed code led to.

    `state`: unknown, expired, used, own (the person's own code), joined (they used it before), or live: then `other` is
    the person behind it, as in the conversation where they asked for it, locked like the one who typed it.
    """

    state: str
    other: Speaker | None = None


def meet(connection: Connection, vault: Vault, incoming: Incoming) -> Meeting | None:
    """Follow the code in a message, and lock both people in key order; None when no code was typed."""
    code = spelled(incoming.text) if incoming.kind in ("text", "voice") else ""
    if not code:
        return None
    digest = code_digest(vault, code)
    sender = vault.digest(incoming.channel, incoming.account, incoming.sender)
    offered = _offered(connection, digest)
    if offered is None:
        return Meeting("unknown")
    _lock(connection, {offered.subscriber, _behind(connection, sender)} - {None})
    offered, typed = _offered(connection, digest), _behind(connection, sender)  # as it is since the locks are ours
    if offered is None:
        return Meeting("unknown")
    if offered.subscriber == typed:
        return Meeting("joined" if offered.used else "own")
    if offered.used:
        return Meeting("used")
    if offered.parked_until is not None or _over(connection, offered, micros(incoming.at)):
        return Meeting("expired")
    other = loading.by_digest(connection, [offered.asked]).get(offered.asked)
    return Meeting("live", other) if other and other.id == offered.subscriber else Meeting("expired")


def _over(connection: Connection, offered: Any, now: int) -> bool:
    """Whether the code's time is over, emergency stops added."""
    return offered.until <= now and offered.until + stops.stopped(connection, offered.made_at, now) <= now


def _offered(connection: Connection, digest: str) -> Any:
    sql = (
        "SELECT c.subscriber, c.until, c.used, c.made_at, i.digest AS asked, i.parked_until FROM join_code c "
        "JOIN identity i ON i.id = c.identity WHERE c.digest IN {set}"
    )
    return next(iter(bulk.select(connection, sql, [digest])), None)


def _behind(connection: Connection, digest: str) -> int | None:
    found = bulk.select(connection, "SELECT subscriber FROM identity WHERE digest IN {set}", [digest])
    return found[0].subscriber if found else None


def _lock(connection: Connection, subscribers: set[Any]) -> None:
    """People, then what is held of theirs, then their accounts: nobody posts to them or ends a hold meanwhile."""
    if connection.dialect.name == "sqlite":
        return
    numbers = sorted(subscribers)
    bulk.select(connection, "SELECT id FROM subscriber WHERE id IN {set} ORDER BY id FOR UPDATE", numbers)
    owned = "(SELECT account FROM balance WHERE owner IN {set})"
    bulk.select(
        connection,
        f"SELECT id FROM hold WHERE state = 'open' AND source IN {owned} ORDER BY id FOR UPDATE",
        numbers,
    )
    bulk.select(connection, "SELECT account FROM balance WHERE owner IN {set} ORDER BY account FOR UPDATE", numbers)


def marked(connection: Connection, table: str, keys: Sequence[str]) -> bool:
    """Whether one of these keys of the ledger (`posting`) or of what falls due (`timer`) exists."""
    return bool(bulk.select(connection, f"SELECT key FROM {table} WHERE key IN {{set}}", keys))


# ---- written with the group

# A row of a push of which the other person has one as well.
_TWIN = "EXISTS (SELECT 1 FROM delivery t WHERE t.subscriber = {other} AND t.run = delivery.run)"


def write(connection: Connection, vault: Vault, drafts: Sequence[Draft]) -> None:
    """Keep the codes given out, and unite the pairs of a group, after its own rows are written."""
    offers = {d.speaker.id: (d.joining, d.speaker.identity) for d in drafts if isinstance(d.joining, Offer)}
    bulk.select(connection, "DELETE FROM join_code WHERE subscriber IN {set} RETURNING digest", sorted(offers))
    bulk.insert(
        connection,
        _TABLES["join_code"],
        ("digest", "subscriber", "identity", "until", "used", "made_at"),
        sorted(
            (offer.digest, person, identity, offer.until, False, offer.made_at)
            for person, (offer, identity) in offers.items()
        ),
    )
    for draft in drafts:
        if isinstance(draft.joining, Pair):
            _unite(connection, vault, draft.joining)


def sweep(connection: Connection, now: datetime, batch: int) -> int:
    """Forget codes that are over for a day; returns how many."""
    return connection.execute(
        text(
            "DELETE FROM join_code WHERE digest IN (SELECT digest FROM join_code WHERE until < :past "
            f"AND {stops.lengthened('until', 'made_at', ':past')} < :past LIMIT :n)"
        ),
        {"past": micros(now - KEPT_AFTER), "n": batch},
    ).rowcount


def _unite(connection: Connection, vault: Vault, pair: Pair) -> None:
    who = {"o": pair.older.id, "y": pair.younger.id}
    _drop_twin_timers(connection, pair)
    _drop_twin_rows(connection, pair)
    for change in (
        "UPDATE text SET subscriber = :o WHERE identity IN (SELECT id FROM identity WHERE subscriber = :y)",
        "UPDATE identity SET subscriber = :o WHERE subscriber = :y",
        f"UPDATE delivery SET subscriber = :o WHERE subscriber = :y AND NOT {_TWIN.format(other=':o')}",
        "UPDATE timer SET subscriber = :o WHERE subscriber = :y",
        "UPDATE handover SET subscriber = :o WHERE subscriber = :y",
        "UPDATE consent SET subscriber = :o WHERE subscriber = :y",
        "UPDATE standing SET subscriber = :o WHERE subscriber = :y",
        "UPDATE subscriber SET blocked_at = COALESCE(blocked_at, (SELECT y.blocked_at FROM subscriber y "
        "WHERE y.id = :y)) WHERE id = :o",
        "DELETE FROM memory WHERE subscriber = :y",
        "DELETE FROM quiz_best WHERE subscriber = :y",  # the better of both stands for the older already
        "UPDATE join_code SET subscriber = :o, used = TRUE WHERE subscriber IN (:o, :y)",
        "UPDATE subscriber SET status = 'alias', alias_of = :o, referrer = NULL WHERE id = :y",
        "UPDATE subscriber SET alias_of = :o WHERE alias_of = :y",
    ):
        connection.execute(text(change), who)
    notices.unite(connection, pair.older.id, pair.younger.id)
    moved = [(moves(pair, hold.source), moves(pair, hold.destination), hold.id) for hold in pair.holds]
    hold = _TABLES["hold"]
    bulk.update(connection, hold, "id", ("source", "destination"), [row for row in moved if row[0] != row[1]])
    ended = [("voided", pair.at, number) for source, destination, number in moved if source == destination]
    bulk.update(connection, hold, "id", ("state", "ended_at"), ended)
    surveys.unite(connection, pair.older.id, pair.younger.id)
    _unite_profiles(connection, vault, pair)
    _unite_referrals(connection, pair)


def _drop_twin_rows(connection: Connection, pair: Pair) -> None:
    """Of a push that both were to get one goes on: what has begun, else the older's. The other stays with the younger
    number, so that a person has one row of a run."""
    push_runs.hold_opening(connection)
    for own, other in ((pair.younger.id, pair.older.id), (pair.older.id, pair.younger.id)):
        connection.execute(
            text(
                "UPDATE delivery SET state = CASE reason WHEN 'resent' THEN 'doubtful' ELSE 'refused' END, "
                "reason = 'joined', lease = '', lease_until = NULL, ended_at = :at "
                f"WHERE subscriber = :own AND state IN ('queued', 'claimed') AND {_TWIN.format(other=':other')} "
                "AND EXISTS (SELECT 1 FROM delivery e WHERE e.subscriber = :other AND e.run = delivery.run "
                "AND e.state NOT IN ('refused', 'failed'))"
            ),
            {"own": own, "other": other, "at": pair.at},
        )
    connection.execute(
        text(
            "UPDATE delivery SET subscriber = CASE subscriber WHEN :o THEN :y ELSE :o END "
            "WHERE subscriber IN (:o, :y) AND run IN (SELECT y.run FROM delivery y JOIN delivery o ON o.run = y.run "
            "AND o.subscriber = :o WHERE y.subscriber = :y AND y.state IN ('queued', 'claimed', 'sending') "
            "AND o.state IN ('refused', 'failed'))"
        ),
        {"o": pair.older.id, "y": pair.younger.id},
    )


def _drop_twin_timers(connection: Connection, pair: Pair) -> None:
    """What would fall due twice for the one person, once for each, falls due once."""
    sql = "SELECT id, key FROM timer WHERE subscriber IN {set} AND NOT fired"
    waiting = bulk.select(connection, sql, [pair.younger.id])
    twins: dict[str, int] = {}
    for row in waiting:
        mark, _, person = row.key.rpartition("/")
        if person.isdecimal() and int(person) in pair.younger.ids:
            twins.update((f"{mark}/{number}", row.id) for number in pair.older.ids)
    found = bulk.select(connection, "SELECT key FROM timer WHERE key IN {set}", sorted(twins))
    bulk.update(connection, _TABLES["timer"], "id", ("fired",), sorted((True, twins[row.key]) for row in found))


def _unite_profiles(connection: Connection, vault: Vault, pair: Pair) -> None:
    """What the younger told us goes on under the older's key; where both told something the older's stands."""
    told = profiles.read(connection, vault, pair.younger.id)
    if told:
        told |= profiles.read(connection, vault, pair.older.id)
        profiles.write(connection, vault, pair.older.id, told)
    for table in ("profile", "person_key"):
        connection.execute(text(f"DELETE FROM {table} WHERE subscriber = :y"), {"y": pair.younger.id})


def _unite_referrals(connection: Connection, pair: Pair) -> None:
    """The one that stands is the older's; any other of their own is rejected, and what they brought is the older's."""
    older, younger, stands = pair.older.id, pair.younger.id, pair.standing
    rows = {}
    for own in (pair.older.referral, pair.younger.referral):
        if own and own is not stands:
            referee = younger if stands else own.referee
            referrer = older if own.referrer == referee else own.referrer
            state = own.state if own.state in ("rewarded", "clawed_back") else "rejected"
            rows[referee] = (referee, referrer, own.campaign, state, own.at, pair.at)
    if stands:
        rows[older] = (older, stands.referrer, stands.campaign, stands.state, stands.at, pair.at)
    numbers = [older, younger]
    if rows:
        bulk.select(connection, "DELETE FROM referral WHERE referee IN {set} RETURNING referee", numbers)
    columns = ("referee", "referrer", "campaign", "state", "at", "changed_at")
    bulk.insert(connection, _TABLES["referral"], columns, sorted(rows.values()))
    kept = [*pair.older.ids, *pair.younger.ids]
    sql = "SELECT referee FROM referral WHERE referrer IN {set}"
    brought = [row.referee for row in bulk.select(connection, sql, [younger]) if row.referee not in kept]
    bulk.update(connection, _TABLES["referral"], "referee", ("referrer",), [(older, number) for number in brought])
