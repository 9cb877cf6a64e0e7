"""One going-out of a push: begun once per occurrence, opened in slices, counted, ended.

Promises one row per person and run whatever crashes, and that every row says how it goes or why it does not. The way is
chosen here, set-wise, from what is known of each identity; which accounts can do what is an argument.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from storage import ids
from storage.draft import dumps
from storage.tables import instant, micros

LIVE = ("opening", "running", "paused")
_COLUMNS = "id, push, campaign, occurrence, state, revision, texts, reached, opened, people, began_at, ended_at, counts"
_GOOD, _BAD = ("sent", "handed_over"), ("failed", "doubtful")


@dataclass(frozen=True, slots=True)
class Run:
    """One going-out. `texts` is language → text row; `counts` is state → reason → rows at its end, and before that as
    they stood when it was last resumed."""

    id: int
    push: int
    campaign: str
    occurrence: datetime
    state: str
    revision: int
    texts: Mapping[str, int]
    reached: int
    opened: bool
    people: int
    began_at: datetime | None
    ended_at: datetime | None
    counts: Mapping[str, Mapping[str, int]]


def begin(
    connection: Connection, push: int, campaign: str, occurrence: datetime, revision: int, texts: Mapping[str, str],
    now: datetime,
) -> Run | None:  # fmt: skip
    """Begin a run, or None when this occurrence has one. `texts` is language → JSON of what is said."""
    first = ids.take_apart(connection, 1 + len(texts))
    rows = {language: first + 1 + place for place, language in enumerate(texts)}
    run = Run(first, push, campaign, occurrence, "opening", revision, rows, 0, False, 0, now, None, {})
    if not _insert(connection, run):
        return None
    for language, number in rows.items():
        connection.execute(
            text("INSERT INTO text (id, subscriber, identity, at, kind, heard, said) "
                 "VALUES (:id, 0, NULL, :at, 'push', NULL, :said)"),
            {"id": number, "at": micros(now), "said": texts[language]},
        )  # fmt: skip
    return run


def miss(connection: Connection, push: int, campaign: str, occurrence: datetime, revision: int, now: datetime) -> bool:
    """Record that this occurrence was not begun in time; False when it has a run."""
    number = ids.take_apart(connection, 1)
    return _insert(
        connection, Run(number, push, campaign, occurrence, "missed", revision, {}, 0, True, 0, None, now, {})
    )


def find(connection: Connection, number: int, *, lock: bool = False) -> Run | None:
    """One run; with `lock` nobody else opens or ends it until the commit."""
    locking = " FOR UPDATE" if lock and connection.dialect.name != "sqlite" else ""
    row = connection.execute(text(f"SELECT {_COLUMNS} FROM push_run WHERE id = :n{locking}"), {"n": number}).first()
    return _run(row) if row else None


def live(connection: Connection) -> list[Run]:
    """Runs that are not over, oldest first."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM push_run WHERE state IN ('opening', 'running', 'paused') ORDER BY occurrence, id")
    )
    return [_run(row) for row in rows]


def going(connection: Connection) -> list[int]:
    """Runs whose rows may be sent, the oldest first."""
    rows = connection.execute(
        text("SELECT id FROM push_run WHERE state IN ('opening', 'running') ORDER BY occurrence, id")
    )
    return [int(number) for (number,) in rows]


def of_push(connection: Connection, push: int, limit: int) -> list[Run]:
    """The latest runs of a push, newest first."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM push_run WHERE push = :p ORDER BY occurrence DESC LIMIT :n"),
        {"p": push, "n": limit},
    )
    return [_run(row) for row in rows]


def live_of(connection: Connection, push: int) -> list[Run]:
    """The runs of a push that are not over: a later time that was missed may stand beside one."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM push_run WHERE push = :p AND state IN ('opening', 'running', 'paused')"),
        {"p": push},
    )
    return [_run(row) for row in rows]


def hold_opening(connection: Connection) -> None:
    """Until the commit nobody gives people rows: whoever counts a person's rows, or unites two, sees all there are."""
    if connection.dialect.name != "sqlite":
        connection.execute(
            text(
                "SELECT id FROM push_run WHERE state IN ('opening', 'running', 'paused') AND NOT opened "
                "ORDER BY id FOR UPDATE"
            )
        ).all()


def set_state(connection: Connection, run: int, state: str, before: Sequence[str]) -> bool:
    """Change a run's state if it is in one of `before`; False otherwise."""
    query = text("UPDATE push_run SET state = :state WHERE id = :run AND state IN :before RETURNING id")
    values = {"state": state, "run": run, "before": list(before)}
    return connection.execute(query.bindparams(bindparam("before", expanding=True)), values).first() is not None


# ---- how it goes, and its end


def counts(connection: Connection, run: int) -> dict[str, dict[str, int]]:
    """Rows by state and reason; they add up to the run's people, always."""
    rows = connection.execute(
        text("SELECT state, reason, COUNT(*) FROM delivery WHERE run = :run GROUP BY state, reason"), {"run": run}
    )
    told: dict[str, dict[str, int]] = {}
    for state, reason, number in rows:
        told.setdefault(state, {})[reason] = int(number)
    return told


def ways(connection: Connection, run: int) -> dict[str, int]:
    """Rows by account and way of those that go out: `telegram:main/bot` → how many."""
    rows = connection.execute(
        text(
            "SELECT account, way, COUNT(*) FROM delivery WHERE run = :run AND state <> 'refused' GROUP BY account, way"
        ),
        {"run": run},
    )
    return {f"{account}/{way}": int(number) for account, way, number in rows}


def troubled(connection: Connection, run: Run, percent: int, least: int) -> bool:
    """Whether more than `percent` of the rows that were tried to their end since the run was last resumed failed or are
    in doubt; of fewer than `least` nothing is said. Counts no more of the good than it takes to say no."""
    before = {state: sum(reasons.values()) for state, reasons in run.counts.items()}
    bad_before, good_before = (sum(before.get(state, 0) for state in states) for states in (_BAD, _GOOD))
    bad = _count(connection, run.id, _BAD, 2**62) - bad_before
    if bad <= 0:
        return False
    enough = max(least, -(-bad * 100 // percent)) - bad  # with so many good ones it is no more than the share
    good = _count(connection, run.id, _GOOD, good_before + enough) - good_before
    return bad + good >= least and bad * 100 > (bad + good) * percent


def resumed(connection: Connection, run: int) -> None:
    """Remember how the rows stand at this moment: what failed before is no reason to pause again."""
    connection.execute(
        text("UPDATE push_run SET counts = :counts WHERE id = :run"),
        {"counts": dumps(counts(connection, run)), "run": run},
    )


def _count(connection: Connection, run: int, states: Sequence[str], most: int) -> int:
    query = text(
        "SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE run = :run AND state IN :states LIMIT :most) AS few"
    ).bindparams(bindparam("states", expanding=True))
    return int(connection.execute(query, {"run": run, "states": list(states), "most": most}).scalar_one())


def waiting(connection: Connection, run: int) -> bool:
    """Whether anything of a run can still go out by the sender, a mass send or a post; pages fetch when they like."""
    by_sender = "SELECT 1 FROM delivery WHERE run = :run AND state = 'queued' AND account NOT LIKE 'web:%'"
    in_hand = "SELECT 1 FROM delivery WHERE run = :run AND state IN ('claimed', 'sending')"
    jobs = "SELECT 1 FROM mass_job WHERE run = :run AND state IN ('queued', 'sending')"
    posts = "SELECT 1 FROM channel_post WHERE run = :run AND state IN ('queued', 'sending')"
    query = text(f"SELECT EXISTS ({by_sender}) OR EXISTS ({in_hand}) OR EXISTS ({jobs}) OR EXISTS ({posts})")
    return bool(connection.execute(query, {"run": run}).scalar_one())


def queued(connection: Connection, run: int) -> bool:
    """Whether anything of a run waits at all."""
    query = text("SELECT EXISTS (SELECT 1 FROM delivery WHERE run = :run AND state = 'queued')")
    return bool(connection.execute(query, {"run": run}).scalar_one())


def give_up(connection: Connection, run: int, reason: str, now: datetime, account: str = "") -> int:
    """End what has not begun (with `account`: on this one), as refused with this reason, or doubtful where it may have
    been sent before; returns how many."""
    ended = connection.execute(
        text(
            "UPDATE delivery SET state = CASE reason WHEN 'resent' THEN 'doubtful' ELSE 'refused' END, "
            "reason = :reason, lease = '', lease_until = NULL, ended_at = :at "
            "WHERE run = :run AND (state = 'queued' OR (state = 'claimed' AND way = 'mass' AND job IS NULL))"
            f"{' AND account = :account' if account else ''}"
        ),
        {"run": run, "reason": reason, "at": micros(now)} | ({"account": account} if account else {}),
    )
    return ended.rowcount


def end(connection: Connection, run: int, state: str, now: datetime) -> None:
    """The run is over: freeze its counts."""
    connection.execute(
        text("UPDATE push_run SET state = :state, ended_at = :at, counts = :counts, opened = TRUE WHERE id = :run"),
        {"state": state, "at": micros(now), "run": run, "counts": dumps(counts(connection, run))},
    )


def _insert(connection: Connection, run: Run) -> bool:
    taken = connection.execute(
        text(
            "INSERT INTO push_run (id, push, campaign, occurrence, state, revision, texts, reached, opened, people, "
            "began_at, ended_at, counts) VALUES (:id, :push, :campaign, :occurrence, :state, :revision, :texts, 0, "
            ":opened, 0, :began_at, :ended_at, '') ON CONFLICT (push, occurrence) DO NOTHING RETURNING id"
        ),
        {
            **{"id": run.id, "push": run.push, "campaign": run.campaign, "occurrence": micros(run.occurrence)},
            **{"state": run.state, "revision": run.revision, "texts": dumps(dict(run.texts)), "opened": run.opened},
            "began_at": None if run.began_at is None else micros(run.began_at),
            "ended_at": None if run.ended_at is None else micros(run.ended_at),
        },
    ).scalar()
    return taken is not None


def _run(row: Any) -> Run:
    began, ended = (None if at is None else instant(at) for at in (row.began_at, row.ended_at))
    return Run(
        id=row.id,
        push=row.push,
        campaign=row.campaign,
        occurrence=instant(row.occurrence),
        state=row.state,
        revision=row.revision,
        texts=json.loads(row.texts),
        reached=row.reached,
        opened=bool(row.opened),
        people=row.people,
        began_at=began,
        ended_at=ended,
        counts=json.loads(row.counts) if row.counts else {},
    )
