"""Opens a run: gives each person of its audience one row that says how it goes, or why it does not.

Promises one row per person whatever crashes, for the run remembers how far it came in the commit of each slice. The way
is chosen set-wise, from what is known of each identity; which accounts can do what is an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from storage import ids, push_runs, segments
from storage.segment_sql import Audience, Query, ranged
from storage.tables import micros

# Windows and counts of WeChat's customer-service messages (research: 5 within 48 h of a message, 3 within a minute of a
# follow). A minute is too short for a push to count on, so only what was typed opens the window here.
_WINDOW = timedelta(hours=48)
_MARGIN = timedelta(minutes=5)  # the row waits for its turn
_MOST_ACTIVE = 5
_FEW = 10_000  # rows of which statistics may still mislead, and are gathered in no time
_TYPED = "('text', 'voice', 'picture', 'location', 'link', 'other')"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who a run is for and how it may go.

    Accounts are `channel:account`. `most` pushes may reach a person within seven days (None: any number), of them
    `monthly` mass sends since `month` began. `first` is the share of people, per ten thousand, who get it at once; the
    others `rest` later. Who can get it neither by customer-service message nor by mass send gets the notice of the
    account's template where a yes of theirs is unused.
    """

    audience: Audience
    bots: Sequence[str] = ()  # may write to whoever follows
    service: Sequence[str] = ()  # within the window and count
    notices: Mapping[str, str] = field(default_factory=dict)  # by subscription notice: account → template
    mass: Sequence[str] = ()  # by mass send
    pages: Sequence[str] = ()  # where people fetch
    most: int | None = None
    month: datetime | None = None
    monthly: int = 4
    first: int = 10_000
    rest: timedelta = timedelta()


def open_slice(connection: Connection, number: int, rule: Rule, limit: int, now: datetime) -> int | None:
    """Give those of the next `limit` people who belong to the audience their rows; None when everybody was looked at.

    One transaction per slice: the run remembers how far it came in the same commit, so that nobody is passed over or
    met twice, whoever opens. Nothing is opened while it is paused. Returns how many rows were made.
    """
    push_runs.hold_opening(connection)
    run = push_runs.find(connection, number, lock=True)
    if run is None or run.opened or run.state == "paused":
        return None
    if connection.dialect.name != "sqlite":
        # What a broken PostgreSQL could lose is opened again; and whatever commits behind a slice, such as the claim of
        # one of its rows, makes it durable as well.
        connection.execute(text("SET LOCAL synchronous_commit = off"))
    upto = segments.end_of_range(connection, run.reached, limit)
    made = 0
    if upto is not None:
        values = {
            **{"run": run.id, "at": micros(now), "first_id": ids.take_apart(connection, limit), "share": rule.first},
            **{"due": micros(run.occurrence), "rest": micros(max(run.occurrence, now) + rule.rest)},
            **{f"text_{language}": text_id for language, text_id in run.texts.items()},
        }
        begun = {"since": min(values["due"] - 1, _since(rule, now))}
        statement = _statement(connection, rule, _text_of(run.texts), "d.mine", _INSERT)
        query = Query(connection, rule.audience)
        made = query.among(statement, run.reached, upto, **_values(rule, now), **values, **begun).rowcount
        if not run.reached:
            _tell_planner(connection)
    opened = upto is None
    connection.execute(
        text(
            "UPDATE push_run SET reached = :reached, people = people + :count, opened = :opened, "
            "state = CASE WHEN :opened AND state = 'opening' THEN 'running' ELSE state END WHERE id = :id"
        ),
        {"reached": run.reached if upto is None else upto, "count": made, "opened": opened, "id": run.id},
    )
    return made if not opened else None


def _tell_planner(connection: Connection) -> None:
    """Let PostgreSQL know of a first push's rows at once.

    A session keeps the plans of what it repeats: those of claims, made while deliveries were few, would read all of
    them for each row until the server gathers statistics by itself, a minute later.
    """
    if connection.dialect.name == "sqlite":
        return
    query = "SELECT reltuples FROM pg_class WHERE oid = 'delivery'::regclass"
    if connection.execute(text(query)).scalar_one() < _FEW:
        connection.execute(text("ANALYZE delivery"))


def preview(connection: Connection, rule: Rule, now: datetime, limit: int = 20_000) -> list[tuple[str, str, str, int]]:
    """What would become of everybody if it went out now: (account, way, reason, people), the reason empty for who
    gets it. Says the same as opening, for it asks the same; of a million people it takes some seconds."""
    told: Counter[tuple[str, str, str]] = Counter()
    query = Query(connection, rule.audience)
    statement = _statement(connection, rule, "0", "0", _COUNT)
    values = {**_values(rule, now), "run": 0, "since": _since(rule, now)}
    for after, upto in segments.ranges(connection, limit):
        for account, way, reason, number in query.among(statement, after, upto, **values):
            told[account or "", way if not reason else "", reason] += int(number)
    return [(*key, number) for key, number in sorted(told.items())]


def _values(rule: Rule, now: datetime) -> dict[str, Any]:
    return {
        **{"heard": micros(now - _WINDOW + _MARGIN), "active": _MOST_ACTIVE, "week": micros(now - timedelta(days=7))},
        **{"most": rule.most, "month": micros(rule.month) if rule.month else 0, "monthly": rule.monthly},
        **{name: list(getattr(rule, name)) or [""] for name in ("bots", "service", "mass", "pages")},
        **({"noticed": list(rule.notices), "templates": list(rule.notices.values())} if rule.notices else {}),
    }


def _since(rule: Rule, now: datetime) -> int:
    """Since when earlier pushes count."""
    month = micros(now) if not rule.mass else micros(rule.month) if rule.month else 0
    return min(month, micros(now - timedelta(days=7)) if rule.most is not None else month)


def _statement(connection: Connection, rule: Rule, said: str, mine: str, what: str) -> str:
    cap = "b.week >= :most" if rule.most is not None else "FALSE"
    # All identities of the range are read at once: a rule is taken for rarer than it is, and then each is looked up.
    # Behind a fence a row's way is decided once and handed on; materialised, it would be copied at every step besides.
    kept, fence = ("MATERIALIZED", "") if connection.dialect.name == "sqlite" else ("NOT MATERIALIZED", "OFFSET 0")
    said_so = {"text": said, "cap": cap, "typed": _TYPED, "mine": mine, "kept": kept, "fence": fence}
    said_so["noticed"] = f"i.account IN :noticed AND {_AGREED}" if rule.notices else "FALSE"
    return _BEST.format(people="{people}", **said_so) + what


def _text_of(texts: Mapping[str, int]) -> str:
    """SQL for the text row in the person's language; whoever speaks another gets the first."""
    first, *others = texts
    whens = "".join(f"WHEN '{language}' THEN CAST(:text_{language} AS BIGINT) " for language in others)
    spoken = f"CAST(:text_{first} AS BIGINT)"
    return f"CASE p.language {whens}ELSE {spoken} END" if others else spoken


_AGREED = (
    "EXISTS (SELECT 1 FROM notice_consent c WHERE c.identity = i.id AND c.template IN :templates AND c.remaining > 0)"
)
# Of each person's identities the best: one that can be written to now, where they spoke last; else by mass send; else
# by a notice they agreed to, which is sent at most once; else where they fetch; else the one that tells why not.
# Somebody whom uniting gave a row that was another's is met again where the numbers of both differ: `mine` counts rows
# of this run. Everything is read once for the range, through the indexes that begin with the person; `run IS NOT NULL`
# would offer that of all pushes, to be read whole.
_BEST = f"""
WITH audience AS {{kept}} (SELECT * FROM {{people}} AS p), pushed AS MATERIALIZED (
  SELECT subscriber, COUNT(CASE WHEN run = :run THEN 1 END) AS mine,
    COUNT(CASE WHEN due_at > :week AND state NOT IN ('refused', 'failed') THEN 1 END) AS week,
    COUNT(CASE WHEN due_at > :month AND way = 'mass' AND state NOT IN ('refused', 'failed') THEN 1 END) AS month
  FROM delivery WHERE {ranged("subscriber")} AND due_at > :since AND COALESCE(run, 0) > 0 GROUP BY subscriber
), told AS {{kept}} (
  SELECT p.id AS subscriber, p.consent, p.blocked_at, {{text}} AS text, i.id AS identity, i.account, i.heard_at,
    COALESCE(d.week, 0) AS week,
    CASE WHEN i.id IS NULL OR NOT i.following OR i.address IS NULL THEN 'gone'
         WHEN i.account IN :bots THEN 'bot'
         WHEN i.account IN :service AND i.heard_at > :heard AND i.sent_since < :active
              AND i.heard_kind IN {{typed}} THEN 'service'
         WHEN i.account IN :mass AND COALESCE(d.month, 0) < :monthly THEN 'mass'
         WHEN {{noticed}} THEN 'notice'
         WHEN i.account IN :mass THEN 'used_up'
         WHEN i.account IN :pages THEN 'page'
         WHEN i.account IN :service THEN 'shut'
         ELSE 'off' END AS way
  FROM audience p LEFT JOIN (
    SELECT id, subscriber, channel || ':' || account AS account, following, address, heard_at, heard_kind, sent_since
    FROM identity WHERE {ranged("subscriber")} {{fence}}
  ) AS i ON i.subscriber = p.id LEFT JOIN pushed d ON d.subscriber = p.id
  WHERE COALESCE({{mine}}, 0) = 0 {{fence}}
), ranked AS (
  SELECT t.*, row_number() OVER (PARTITION BY subscriber ORDER BY
    CASE way WHEN 'bot' THEN 0 WHEN 'service' THEN 0 WHEN 'mass' THEN 1 WHEN 'notice' THEN 2 WHEN 'page' THEN 3
             WHEN 'used_up' THEN 4 WHEN 'shut' THEN 5 WHEN 'off' THEN 6 ELSE 7 END,
    COALESCE(heard_at, 0) DESC, identity) AS place FROM told t
), best AS {{kept}} (
  SELECT b.*, CASE WHEN b.blocked_at IS NOT NULL THEN 'blocked' WHEN NOT b.consent THEN 'no_consent'
    WHEN {{cap}} THEN 'over_cap'
    WHEN b.way = 'gone' THEN 'unreachable' WHEN b.way = 'off' THEN 'account_off'
    WHEN b.way = 'shut' THEN 'window_closed'
    WHEN b.way = 'used_up' THEN 'month_used_up' ELSE '' END AS reason FROM ranked b WHERE b.place = 1 {{fence}}
)
"""
_INSERT = """
INSERT INTO delivery (id, subscriber, identity, account, text, part, kind, lane, state, due_at, lease, tries, reason,
  ended_at, run, way)
SELECT :first_id + row_number() OVER (ORDER BY subscriber) - 1, subscriber, COALESCE(identity, 0),
  COALESCE(account, ''), text, CASE WHEN way IN ('service', 'mass', 'notice') THEN 1 ELSE 0 END,
  CASE way WHEN 'mass' THEN 'keyed' WHEN 'notice' THEN 'transactional' ELSE 'reminder' END, 1,
  CASE WHEN reason <> '' THEN 'refused' WHEN way = 'mass' THEN 'claimed' ELSE 'queued' END,
  CASE WHEN (subscriber * 7919) % 10000 < :share THEN CAST(:due AS BIGINT) ELSE CAST(:rest AS BIGINT) END,
  CASE WHEN reason = '' AND way = 'mass' THEN 'mass' ELSE '' END, 0, reason,
  CASE WHEN reason <> '' THEN CAST(:at AS BIGINT) END, :run,
  CASE WHEN way IN ('bot', 'service', 'mass', 'notice', 'page') THEN way END
FROM best
"""
_COUNT = "SELECT account, way, reason, COUNT(*) FROM best GROUP BY account, way, reason ORDER BY 1, 2, 3"
