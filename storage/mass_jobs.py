"""WeChat's mass sends: people of a run who get the same, in jobs of up to 10,000, each sent once by its key.

Promises that a job's request is repeated only under the same key, that whoever left or took back consent before it
began is not in it, and that every row of a job ends. Knows no platform; leases are machine time, others campaign time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from storage import ids, kept
from storage.incoming import Incoming
from storage.stops import GOING
from storage.store import machine_now
from storage.tables import micros

MOST: Final = 10_000  # openids in one request (research/wechat.md 2.4)
_LEASE_SECONDS = 60
_EARLY_SECONDS = 7 * 86_400.0
_KEY_LIVES = timedelta(hours=23)  # WeChat looks for the key among the sends of 24 hours
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """One request: to whom, what, under which key. `tries` before this one; `in_doubt` says that one of them may have
    been taken."""

    id: int
    run: int
    account: str
    key: str
    lease: str
    message: dict[str, Any]
    addresses: tuple[str, ...]
    tries: int
    in_doubt: bool


def gather(connection: Connection, run: int, now: datetime, most: int = MOST) -> int:
    """Put the next people of a run who go by mass send, and are due, into a job; returns how many."""
    number = ids.take_apart(connection, 1)
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE SKIP LOCKED"
    first = connection.execute(
        text(
            "SELECT account, text FROM delivery WHERE run = :run AND state = 'claimed' AND reason = '' "
            "AND way = 'mass' AND job IS NULL AND due_at <= :now LIMIT 1"
        ),
        {"run": run, "now": micros(now)},
    ).first()
    if first is None:
        return 0
    values = {"job": number, "run": run, "account": first.account, "text": first.text, "now": micros(now), "most": most}
    taken = connection.execute(
        text(
            "UPDATE delivery SET job = :job, lease = '' WHERE id IN (SELECT id FROM delivery WHERE run = :run "
            "AND state = 'claimed' AND reason = '' AND way = 'mass' AND job IS NULL AND account = :account "
            f"AND text = :text AND due_at <= :now ORDER BY id LIMIT :most{locking})"
        ),
        values,
    ).rowcount
    if taken:
        connection.execute(
            text(
                "INSERT INTO mass_job (id, run, account, text, key, state, people, lease, tries, platform, reason, "
                "total, filtered, sent, errors, made_at) VALUES (:job, :run, :account, :text, :key, 'queued', :people, "
                "'', 0, '', '', 0, 0, 0, 0, :now)"
            ),
            {**values, "key": f"koukou-{number}", "people": taken},
        )
    return int(taken)


def take(connection: Connection, account: str, lease: str, machine_now: int, now: datetime) -> Job | None:
    """The next job of an account whose request may begin once this is committed.

    Whoever took back consent, was blocked or left since is refused here. None while an emergency stop stands, while
    its push is paused, and when there is nothing to do.
    """
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE OF j SKIP LOCKED"
    row = connection.execute(
        text(
            "SELECT j.id, j.run, j.key, j.text, j.tries, j.state, j.made_at, t.said FROM mass_job j "
            "JOIN push_run r ON r.id = j.run JOIN text t ON t.id = j.text "
            "WHERE j.account = :account AND j.state IN ('queued', 'sending') "
            "AND (j.lease_until IS NULL OR j.lease_until <= :machine) AND r.state IN ('opening', 'running') "
            f"AND {GOING} ORDER BY j.id LIMIT 1{locking}"
        ),
        {"account": account, "machine": machine_now},
    ).first()
    if row is None:
        return None
    in_doubt = row.state == "sending"
    if in_doubt and micros(now) > row.made_at + int(_KEY_LIVES.total_seconds() * _SECOND):
        close(connection, row.id, "doubtful", "in_doubt", now)
        return None
    if not in_doubt:  # once its request may have been taken, a job is repeated as it was
        _refuse_unlawful(connection, row.id, now)
    addresses = connection.execute(
        text("SELECT i.address FROM delivery d JOIN identity i ON i.id = d.identity WHERE d.job = :job "
             "AND d.state IN ('claimed', 'sending') AND i.address IS NOT NULL ORDER BY d.id"),
        {"job": row.id},
    ).scalars().all()  # fmt: skip
    if not addresses:
        close(connection, row.id, "doubtful" if in_doubt else "refused", "nobody_left", now)
        return None
    connection.execute(
        text("UPDATE delivery SET state = 'sending' WHERE job = :job AND state = 'claimed'"), {"job": row.id}
    )
    connection.execute(
        text("UPDATE mass_job SET state = 'sending', lease = :lease, lease_until = :until, tries = tries + 1, "
             "people = :people WHERE id = :job"),
        {"lease": lease, "until": machine_now + _LEASE_SECONDS * _SECOND, "job": row.id, "people": len(addresses)},
    )  # fmt: skip
    message = json.loads(row.said)[1] if row.said else {}
    return Job(row.id, row.run, account, row.key, lease, message, tuple(addresses), row.tries, in_doubt)


def accepted(connection: Connection, job: Job, platform: str, now: datetime) -> None:
    """The platform took it under this msg_id: its people are handed over; the counts come later."""
    _end_rows(connection, job.id, "handed_over", "", now)
    connection.execute(
        text("UPDATE mass_job SET state = 'accepted', platform = :platform, lease = '', lease_until = NULL "
             "WHERE id = :job AND state = 'sending'"),
        {"platform": platform, "job": job.id},
    )  # fmt: skip
    if early := kept.recall(connection, _early(job.account, platform)):
        _write_counts(connection, job.account, platform, early["status"], early["counts"], early["at"])


def close(connection: Connection, job: int, state: str, reason: str, now: datetime) -> None:
    """The job ends: its rows `refused` or `failed` for good, or `doubtful` where nobody can say any more."""
    _end_rows(connection, job, state, reason, now)
    connection.execute(
        text("UPDATE mass_job SET state = 'refused', reason = :reason, lease = '', lease_until = NULL, ended_at = :at "
             "WHERE id = :job AND state IN ('queued', 'sending')"),
        {"reason": reason, "at": micros(now), "job": job},
    )  # fmt: skip


def again(connection: Connection, job: Job, reason: str, machine_now: int, wait: timedelta, *, in_doubt: bool) -> None:
    """Try it again under the same key after a wait; one that was certainly not taken may still be called off."""
    until = machine_now + int(wait.total_seconds() * _SECOND)
    connection.execute(
        text("UPDATE mass_job SET lease = '', lease_until = :until, reason = :reason, state = :state WHERE id = :job "
             "AND state = 'sending' AND lease = :lease"),
        {"until": until, "reason": reason, "job": job.id, "lease": job.lease,
         "state": "sending" if in_doubt else "queued"},
    )  # fmt: skip
    if not in_doubt:
        connection.execute(
            text("UPDATE delivery SET state = 'claimed' WHERE job = :job AND state = 'sending' AND EXISTS "
                 "(SELECT 1 FROM mass_job j WHERE j.id = :job AND j.state = 'queued')"),
            {"job": job.id},
        )  # fmt: skip


def rest(connection: Connection, account: str, machine_now: int, wait: timedelta) -> None:
    """No job of the account is asked for before the wait is over: what was refused one is refused them all."""
    # Whoever writes how a job of theirs ended is passed over, so that two who rest cannot wait for each other.
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE SKIP LOCKED"
    connection.execute(
        text("UPDATE mass_job SET lease_until = :until WHERE id IN (SELECT id FROM mass_job WHERE account = :account "
             "AND state IN ('queued', 'sending') AND lease = '' AND (lease_until IS NULL OR lease_until < :until)"
             f"{locking})"),
        {"until": machine_now + int(wait.total_seconds() * _SECOND), "account": account},
    )  # fmt: skip


def abandon(connection: Connection, run: int, reason: str, now: datetime, account: str = "") -> None:
    """End the jobs of a run (with `account`: those of this one) that nobody has in hand: what may have been taken is
    doubtful."""
    drop(connection, run, reason, now, account)
    numbers = connection.execute(
        text("SELECT id FROM mass_job WHERE run = :run AND :account IN (account, '') AND state = 'sending' "
             "AND (lease = '' OR lease_until <= :machine)"),
        {"run": run, "account": account, "machine": machine_now(connection)},
    ).scalars()  # fmt: skip
    for number in numbers.all():
        close(connection, int(number), "doubtful", reason, now)


def drop(connection: Connection, run: int, reason: str, now: datetime, account: str = "") -> None:
    """End the jobs of a run (with `account`: those of this one) whose request never began."""
    numbers = connection.execute(
        text("SELECT id FROM mass_job WHERE run = :run AND :account IN (account, '') AND state = 'queued'"),
        {"run": run, "account": account},
    ).scalars()
    for number in numbers.all():
        close(connection, int(number), "refused", reason, now)


def counted(
    connection: Connection, account: str, platform: str, status: str, counts: tuple[int, ...], now: datetime
) -> bool:
    """MASSSENDJOBFINISH: write the job's four counts (total, filtered, sent, errors); False for no job of ours yet.

    Where the answer to the request was lost, or is a moment behind, the counts wait for it.
    """
    # Whoever writes down an answer at this moment is waited for, or waits and then finds what is kept here.
    locking = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    sending = f"SELECT id FROM mass_job WHERE account = :account AND state = 'sending'{locking}"
    connection.execute(text(sending), {"account": account}).all()
    if _write_counts(connection, account, platform, status, counts, micros(now)):
        return True
    value = {"status": status, "counts": list(counts), "at": micros(now)}
    kept.keep(connection, _early(account, platform), value, _EARLY_SECONDS)
    return False


def heard(connection: Connection, told: Incoming) -> None:
    """What a platform reports of itself and not of a person: how a mass send ended. Anything else is passed over."""
    data = told.data
    if data.get("event") != "masssendjobfinish" or not (platform := str(data.get("msg_id", ""))):
        return
    counts = tuple(int(data.get(name, 0)) for name in ("total", "filtered", "sent", "errors"))
    counted(connection, f"{told.channel}:{told.account}", platform, str(data.get("status", "")), counts, told.at)


def _early(account: str, platform: str) -> str:
    return f"mass:{account}:{platform}:counts"


def _write_counts(
    connection: Connection, account: str, platform: str, status: str, counts: Sequence[int], at: int
) -> bool:
    total, filtered, sent, errors = counts
    return (
        connection.execute(
            text(
                "UPDATE mass_job SET state = 'closed', reason = :status, total = :total, filtered = :filtered, "
                "sent = :sent, errors = :errors, ended_at = :at WHERE account = :account AND platform = :platform "
                "AND state IN ('accepted', 'closed')"
            ),
            {
                **{"status": status[:64], "total": total, "filtered": filtered, "sent": sent, "errors": errors},
                **{"at": at, "account": account, "platform": platform},
            },
        ).rowcount
        > 0
    )


def of_run(connection: Connection, run: int) -> list[dict[str, Any]]:
    """The jobs of a run with their counts, oldest first."""
    rows = connection.execute(
        text("SELECT id, account, state, people, platform, reason, total, filtered, sent, errors FROM mass_job "
             "WHERE run = :run ORDER BY id"),
        {"run": run},
    )  # fmt: skip
    return [dict(row._mapping) for row in rows]


def _refuse_unlawful(connection: Connection, job: int, now: datetime) -> None:
    if connection.dialect.name != "sqlite":  # whoever is leaving right now is waited for
        connection.execute(
            text("SELECT 1 FROM subscriber s WHERE s.id IN (SELECT subscriber FROM delivery WHERE job = :job) "
                 "ORDER BY s.id FOR SHARE"),
            {"job": job},
        ).all()  # fmt: skip
    connection.execute(
        text(
            "UPDATE delivery SET state = 'refused', ended_at = :at, reason = COALESCE((SELECT CASE "
            "WHEN s.blocked_at IS NOT NULL THEN 'blocked' WHEN NOT s.consent THEN 'no_consent' END "
            "FROM subscriber s WHERE s.id = delivery.subscriber), 'not_following') "
            "WHERE job = :job AND state = 'claimed' AND (EXISTS (SELECT 1 FROM subscriber s "
            "WHERE s.id = delivery.subscriber AND (NOT s.consent OR s.blocked_at IS NOT NULL)) "
            "OR NOT EXISTS (SELECT 1 FROM identity i WHERE i.id = delivery.identity AND i.following "
            "AND i.address IS NOT NULL))"
        ),
        {"at": micros(now), "job": job},
    )


def _end_rows(connection: Connection, job: int, state: str, reason: str, now: datetime) -> None:
    connection.execute(
        text("UPDATE delivery SET state = :state, reason = :reason, lease = '', lease_until = NULL, ended_at = :at "
             "WHERE job = :job AND state IN ('claimed', 'sending')"),
        {"state": state, "reason": reason, "at": micros(now), "job": job},
    )  # fmt: skip
