"""Why accounts wait, and since when: what a platform said last, beside the pause itself (`storage/rates.py`).

The pause decides; this only tells people. A pause that follows another for the same reason within a quarter of an hour
is the same one going on. Reasons are codes of the channels; what they mean in words is not known here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from storage import kept, rates
from storage.store import machine_now

SHORTEST = 1.0  # seconds
_SECOND = 1_000_000
_GAP = 900 * _SECOND  # so soon after its end a pause for the same reason is the same one
_ACCOUNT, _MASS = "pause:", "pause-mass:"


@dataclass(frozen=True, slots=True)
class Pause:
    """An account that waits: everything of it, or with `mass` its mass sends alone. `reason` is empty where nobody
    noted it. `since` and `left` are how long ago it began and how long it goes on, by the machine's clock."""

    account: str
    mass: bool
    reason: str
    since: timedelta
    left: timedelta


def note(connection: Connection, account: str, reason: str, seconds: float, *, mass: bool = False) -> None:
    """An account waits for so many seconds from now; unless `mass`, also pause it on all nodes."""
    now = machine_now(connection)
    until = now + int(max(seconds, SHORTEST) * _SECOND)
    if not mass:
        rates.pause(connection, account, until)
    key = f"{_MASS if mass else _ACCOUNT}{account}"
    before = kept.recall(connection, key) or {"reason": "", "since": now, "until": 0}
    if before["reason"] == reason:
        until = max(until, before["until"])
    elif before["until"] > until:
        return  # the longer pause stands, and so does its reason
    else:
        before["since"] = now
    value = {"reason": reason, "since": before["since"], "until": until}
    kept.keep(connection, key, value, (until - now + _GAP) / _SECOND)


def standing(connection: Connection) -> list[Pause]:
    """The pauses that stand now, in order of their accounts."""
    now = machine_now(connection)
    rows = connection.execute(
        text("SELECT key, value FROM kept WHERE (key LIKE 'pause:%' OR key LIKE 'pause-mass:%') AND until > :now"),
        {"now": now},
    )
    noted = {row.key: json.loads(row.value) for row in rows}
    found = []
    for account, until in rates.paused(connection, now).items():
        known = noted.get(f"{_ACCOUNT}{account}")
        known = known if known and known["until"] > now else {"reason": "", "since": now}
        found.append(_pause(account, known["reason"], known["since"], until, now, mass=False))
    for key, known in noted.items():
        if key.startswith(_MASS) and known["until"] > now:
            account = key.removeprefix(_MASS)
            found.append(_pause(account, known["reason"], known["since"], known["until"], now, mass=True))
    return sorted(found, key=lambda one: (one.account, one.mass))


def _pause(account: str, reason: str, since: int, until: int, now: int, *, mass: bool) -> Pause:
    ago, left = timedelta(microseconds=now - since), timedelta(microseconds=until - now)
    return Pause(account, mass, reason, ago, left)


def of_run(connection: Connection, run: int) -> list[Pause]:
    """Those pauses for which something of a run of a push waits."""
    some = (
        "SELECT EXISTS (SELECT 1 FROM delivery WHERE run = :run AND account = :account "
        "AND state IN ('queued', 'claimed', 'sending')) OR EXISTS (SELECT 1 FROM channel_post WHERE run = :run "
        "AND account = :account AND state IN ('queued', 'sending'))"
    )
    waits = [
        one
        for one in standing(connection)
        if connection.execute(text(some), {"run": run, "account": one.account}).scalar()
    ]
    handed = "SELECT EXISTS (SELECT 1 FROM mass_job WHERE run = :run AND account = :account AND state = 'queued')"
    return [
        one
        for one in waits
        if not one.mass or connection.execute(text(handed), {"run": run, "account": one.account}).scalar()
    ]
