"""Opens a run: gives each person of its audience one row that says how it goes, or why it does not.

Promises one row per person whatever crashes, for the run remembers how far it came in the commit of each slice. The way
is chosen set-wise, from what is known of each identity; which accounts can do what is an argument.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, text

from storage import ids, push_runs, segments
from storage.segments import Audience
from storage.tables import micros

# Windows and counts of WeChat's customer-service messages (research: 5 within 48 h of a message, 3 within a minute of a
# follow). A minute is too short for a push to count on, so only what was typed opens the window here.
_WINDOW = timedelta(hours=48)
_MARGIN = timedelta(minutes=5)  # the row waits for its turn
_MOST_ACTIVE = 5
_TYPED = "('text', 'voice', 'picture', 'location', 'link', 'other')"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who a run is for and how it may go.

    Accounts are `channel:account`. `most` pushes may reach a person within seven days (None: any number), of them
    `monthly` mass sends since `month` began. `first` is the share of people, per ten thousand, who get it at once; the
    others `rest` later.
    """

    audience: Audience
    bots: Sequence[str] = ()  # may write to whoever follows
    service: Sequence[str] = ()  # within the window and count
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
    found = segments.matching(connection, rule.audience, run.reached, limit)
    made = 0
    if found.ids:
        values = {
            **_values(connection, rule, found.ids, now),
            **{"run": run.id, "at": micros(now), "first_id": ids.take_apart(connection, limit), "share": rule.first},
            **{"due": micros(run.occurrence), "rest": micros(max(run.occurrence, now) + rule.rest)},
            **{f"text_{language}": text_id for language, text_id in run.texts.items()},
        }
        made = len(connection.execute(_query(connection, rule, _text_of(run.texts), _INSERT, _NEW), values).all())
    opened = found.next is None
    connection.execute(
        text(
            "UPDATE push_run SET reached = :reached, people = people + :count, opened = :opened, "
            "state = CASE WHEN :opened AND state = 'opening' THEN 'running' ELSE state END WHERE id = :id"
        ),
        {
            **{"reached": run.reached if found.next is None else found.next, "count": made},
            **{"opened": opened, "id": run.id},
        },
    )
    return made if not opened else None


def preview(connection: Connection, rule: Rule, now: datetime, limit: int = 20_000) -> list[tuple[str, str, str, int]]:
    """What would become of everybody if it went out now: (account, way, reason, people), the reason empty for who
    gets it. Says the same as opening, for it asks the same; of a million people it takes tens of seconds."""
    told: Counter[tuple[str, str, str]] = Counter()
    after: int | None = 0
    while after is not None:
        found = segments.matching(connection, rule.audience, after, limit)
        if found.ids:
            values = _values(connection, rule, found.ids, now)
            for account, way, reason, number in connection.execute(
                _query(connection, rule, "0", _COUNT, "TRUE"), values
            ):
                told[account or "", way if not reason else "", reason] += int(number)
        after = found.next
    return [(*key, number) for key, number in sorted(told.items())]


def _values(connection: Connection, rule: Rule, people: Sequence[int], now: datetime) -> dict[str, Any]:
    return {
        "people": json.dumps(people) if connection.dialect.name == "sqlite" else list(people),
        **{"heard": micros(now - _WINDOW + _MARGIN), "active": _MOST_ACTIVE, "week": micros(now - timedelta(days=7))},
        **{"most": rule.most, "month": micros(rule.month) if rule.month else 0, "monthly": rule.monthly},
        **{name: list(getattr(rule, name)) or [""] for name in _ACCOUNTS},
    }


def _query(connection: Connection, rule: Rule, said: str, what: str, new: str) -> TextClause:
    cap = _CAP if rule.most is not None else "FALSE"
    sqlite = connection.dialect.name == "sqlite"
    listed = f"(SELECT {'value FROM json_each(:people)' if sqlite else 'unnest(CAST(:people AS bigint[]))'})"
    sql = _BEST.format(people=listed, text=said, cap=cap, typed=_TYPED, new=new) + what
    return text(sql).bindparams(*(bindparam(name, expanding=True) for name in _ACCOUNTS))


def _text_of(texts: Mapping[str, int]) -> str:
    """SQL for the text row in the person's language; whoever speaks another gets the first."""
    first, *others = texts
    whens = "".join(f"WHEN '{language}' THEN CAST(:text_{language} AS BIGINT) " for language in others)
    spoken = f"CAST(:text_{first} AS BIGINT)"
    return f"CASE s.language {whens}ELSE {spoken} END" if others else spoken


_ACCOUNTS = ("bots", "service", "mass", "pages")
# Of each person's identities the best: one that can be written to now, where they spoke last; else by mass send; else
# where they fetch; else the one that tells why not. Materialised, or what is counted would be counted at every mention.
# Somebody whom uniting gave a row that was another's is met again where the numbers of both differ. Said so that each
# person is looked up by number: joined, or by the run's index, all rows so far would be read for every slice.
_NEW = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM delivery h WHERE h.subscriber = s.id AND h.run IS NOT NULL "
    "AND h.run + 0 = :run LIMIT 1) AS one) = 0"
)
_CAP = (
    "(SELECT COUNT(*) FROM delivery e WHERE e.subscriber = b.subscriber AND e.run IS NOT NULL AND e.due_at > :week "
    "AND e.state NOT IN ('refused', 'failed')) >= :most"
)
_BEST = """
WITH chosen AS MATERIALIZED (
  SELECT s.id, s.consent, s.blocked_at, {text} AS text FROM subscriber s
  WHERE s.id IN {people} AND {new}
), told AS MATERIALIZED (
  SELECT p.id AS subscriber, p.consent, p.blocked_at, p.text, i.id AS identity,
    i.channel || ':' || i.account AS account, i.heard_at,
    CASE WHEN i.id IS NULL OR NOT i.following OR i.address IS NULL THEN 'gone'
         WHEN i.channel || ':' || i.account IN :bots THEN 'bot'
         WHEN i.channel || ':' || i.account IN :service AND i.heard_at > :heard AND i.sent_since < :active
              AND i.heard_kind IN {typed} THEN 'service'
         WHEN i.channel || ':' || i.account IN :mass THEN
              CASE WHEN (SELECT COUNT(*) FROM delivery e WHERE e.subscriber = p.id AND e.run IS NOT NULL
                         AND e.due_at > :month AND e.way = 'mass' AND e.state NOT IN ('refused', 'failed')) < :monthly
                   THEN 'mass' ELSE 'used_up' END
         WHEN i.channel || ':' || i.account IN :pages THEN 'page'
         WHEN i.channel || ':' || i.account IN :service THEN 'shut'
         ELSE 'off' END AS way
  FROM chosen p LEFT JOIN identity i ON i.subscriber = p.id
), ranked AS (
  SELECT t.*, row_number() OVER (PARTITION BY subscriber ORDER BY
    CASE way WHEN 'bot' THEN 0 WHEN 'service' THEN 0 WHEN 'mass' THEN 1 WHEN 'page' THEN 2 WHEN 'used_up' THEN 3
             WHEN 'shut' THEN 4 WHEN 'off' THEN 5 ELSE 6 END, COALESCE(heard_at, 0) DESC, identity) AS place FROM told t
), best AS MATERIALIZED (
  SELECT b.*, CASE WHEN b.blocked_at IS NOT NULL THEN 'blocked' WHEN NOT b.consent THEN 'no_consent'
    WHEN {cap} THEN 'over_cap'
    WHEN b.way = 'gone' THEN 'unreachable' WHEN b.way = 'off' THEN 'account_off'
    WHEN b.way = 'shut' THEN 'window_closed'
    WHEN b.way = 'used_up' THEN 'month_used_up' ELSE '' END AS reason FROM ranked b WHERE b.place = 1
)
"""
_INSERT = """
INSERT INTO delivery (id, subscriber, identity, account, text, part, kind, lane, state, due_at, lease, tries, reason,
  ended_at, run, way)
SELECT :first_id + row_number() OVER (ORDER BY subscriber) - 1, subscriber, COALESCE(identity, 0),
  COALESCE(account, ''), text, CASE WHEN way IN ('service', 'mass') THEN 1 ELSE 0 END,
  CASE way WHEN 'mass' THEN 'keyed' ELSE 'reminder' END, 1,
  CASE WHEN reason <> '' THEN 'refused' WHEN way = 'mass' THEN 'claimed' ELSE 'queued' END,
  CASE WHEN (subscriber * 7919) % 10000 < :share THEN CAST(:due AS BIGINT) ELSE CAST(:rest AS BIGINT) END,
  CASE WHEN reason = '' AND way = 'mass' THEN 'mass' ELSE '' END, 0, reason,
  CASE WHEN reason <> '' THEN CAST(:at AS BIGINT) END, :run,
  CASE WHEN way IN ('bot', 'service', 'mass', 'page') THEN way END
FROM best
RETURNING subscriber
"""
_COUNT = "SELECT account, way, reason, COUNT(*) FROM best GROUP BY account, way, reason ORDER BY 1, 2, 3"
