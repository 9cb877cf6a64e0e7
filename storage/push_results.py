"""What came of a run: what still waits on each account, who reacted, and whose row is in doubt.

Reads only, each in one set-wise question. Which run is asked about, and who may see it, is decided above.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from storage.push_runs import Run
from storage.tables import instant, micros

WITHIN = timedelta(hours=72)  # what somebody does later is not laid to the push
_GOT_IT = "d.state IN ('sent', 'handed_over') AND d.ended_at IS NOT NULL"
_SPOKE = "('text', 'voice', 'picture', 'location', 'link', 'other')"  # a tapped button is text


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits on one account (`channel:account`): rows due by now, and the others with the first of their times."""

    account: str
    due: int
    later: int
    from_at: datetime | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """One row of which nobody knows whether it arrived. `at` is when that was noticed."""

    person: int
    account: str
    reason: str
    at: datetime | None


def waiting(connection: Connection, run: int, now: datetime) -> list[Waiting]:
    """What of a run the sender, or the people who fetch, have still to take."""
    rows = connection.execute(
        text(
            "SELECT account, SUM(CASE WHEN due_at <= :now THEN 1 ELSE 0 END) AS due, "
            "SUM(CASE WHEN due_at > :now THEN 1 ELSE 0 END) AS later, "
            "MIN(CASE WHEN due_at > :now THEN due_at END) AS from_at "
            "FROM delivery WHERE run = :run AND state = 'queued' GROUP BY account ORDER BY account"
        ),
        {"run": run, "now": micros(now)},
    )
    return [
        Waiting(row.account, int(row.due), int(row.later), None if row.from_at is None else instant(row.from_at))
        for row in rows
    ]


def wrote(connection: Connection, run: Run, now: datetime) -> int:
    """How many wrote, spoke or tapped something within 72 hours after they got it, as far as texts are still kept."""
    return _reacted(
        connection,
        run,
        now,
        f"text t ON t.subscriber = d.subscriber AND t.kind IN {_SPOKE} AND (t.heard IS NOT NULL OR t.said IS NOT NULL)",
    )


def joined(connection: Connection, run: Run, now: datetime) -> int:
    """How many people joined the campaign through somebody who had got it within 72 hours before."""
    through = (
        "referral t ON t.referrer = d.subscriber AND t.campaign = :campaign "
        "AND t.state NOT IN ('rejected', 'clawed_back')"
    )
    return _reacted(connection, run, now, through, who="t.referee")


def began_quiz(connection: Connection, run: Run, now: datetime) -> int:
    """How many began a quiz of the campaign within 72 hours after they got it."""
    return _reacted(
        connection,
        run,
        now,
        "event t ON t.subscriber = d.subscriber AND t.kind = 'quiz_started' AND t.campaign = :campaign",
    )


def took_survey(connection: Connection, run: Run, now: datetime) -> tuple[int, int]:
    """How many began, and how many finished, a survey of the campaign within 72 hours after they got it."""
    began, finished = (
        _reacted(
            connection,
            run,
            now,
            f"(SELECT subscriber, campaign, {column} AS at FROM survey_taken) t ON t.subscriber = d.subscriber "
            "AND t.campaign = :campaign",
        )
        for column in ("began_at", "finished_at")
    )
    return began, finished


def doubtful(connection: Connection, run: int, limit: int, branch: str | None = None) -> list[Doubt]:
    """The first `limit` rows in doubt; with `branch` only those of its people."""
    rows = connection.execute(
        text(
            "SELECT d.subscriber, d.account, d.reason, d.ended_at FROM delivery d JOIN subscriber s "
            "ON s.id = d.subscriber WHERE d.run = :run AND d.state = 'doubtful' "
            f"{'AND s.branch = :branch ' if branch is not None else ''}ORDER BY d.id LIMIT :limit"
        ),
        {"run": run, "limit": limit} | ({"branch": branch} if branch is not None else {}),
    )
    return [
        Doubt(row.subscriber, row.account, row.reason, None if row.ended_at is None else instant(row.ended_at))
        for row in rows
    ]


def _reacted(connection: Connection, run: Run, now: datetime, deed: str, who: str = "d.subscriber") -> int:
    """How many (`who`) stand behind what was done after they got it: `deed` joins it as `t`, with its time `at`."""
    values: dict[str, Any] = {"run": run.id, "within": WITHIN // timedelta(microseconds=1)}
    # The outer bounds let the index of texts by time find the few days in question.
    values["since"] = micros(run.began_at or run.occurrence)
    values["until"] = micros((run.ended_at or now) + WITHIN)
    if ":campaign" in deed:
        values["campaign"] = run.campaign
    query = (
        f"SELECT COUNT(*) FROM (SELECT DISTINCT {who} FROM delivery d JOIN {deed} WHERE d.run = :run "
        f"AND {_GOT_IT} AND t.at > :since AND t.at <= :until AND t.at > d.ended_at AND t.at <= d.ended_at + :within) "
        "AS people"
    )
    return int(connection.execute(text(query), values).scalar_one())
