"""A segment's tree as one statement over a range of people, on both databases, every value bound.

Each source is read once per range, through the index that begins with the person. It knows no page and no rule's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text

from storage.people import bucket
from storage.tables import micros
from storage.trees import COMPARISONS, check_segment

Tree = list[Any]

# Whom a segment may hold; whoever else is to be kept out is one more condition here. Testers are left out of figures.
NOBODY: Final = ("s.status = 'active'", "s.tester_since IS NULL")
# Where a person can be reached at all: they follow, the platform's name for them is known, nothing is being erased.
HERE: Final = "following AND address IS NOT NULL AND parked_until IS NULL"

# What somebody took part in: where it is seen. A mechanic that is asked for is one line here.
_REMEMBERED: Final = {"checkin": "checkin"}  # → the name under which its mechanic remembers
_TAKEN: Final = {"survey": "survey"}  # → the column of its own table that says which one
_NOTED: Final = {"poster": "poster", "quiz": "quiz_started"}  # → the kind of its event
_WHICH: Final = {"quiz": "quiz"}  # → the part of that event that says which one


# Why somebody in an audience will not be sent campaign messages, as SQL of `p`; one more reason is one line here.
REASONS: Final = {"no_consent": "NOT p.consent", "blocked": "p.blocked_at IS NOT NULL", "web_only": "p.guest"}
# Customer-service messages of WeChat, in force since 2023-06-12: so many within that time of the person's message.
# After a follow, a scan or a tap on the menu it is a minute, on which no push can count.
WINDOW, WINDOW_MESSAGES = timedelta(hours=48), 5
EARLIER_MAY_STAND: Final = frozenset({"scan", "menu", "view", "notice", "unfollow", "timer", "internal"})


class NotRunning(Exception):
    """A fact that this version cannot know yet. `fact` is its name."""

    def __init__(self, fact: str) -> None:
        super().__init__(f"segments cannot ask for {fact} yet")
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Audience:
    """A segment at one moment of a campaign. `zone` is the campaign's, `now` aware; people whose bucket is below
    `holdout` (0–10000) are left out. Whoever can be reached nowhere is no part of it."""

    campaign: str
    tree: Tree
    now: datetime
    zone: tzinfo
    holdout: int = 0


def held_out(connection: Connection, audience: Audience, person: str) -> tuple[str, dict[str, Any]]:
    """SQL that is true of whom an audience's holdout leaves out, and its values. `person` is SQL for their number.

    The same place as `storage.people.bucket` gives, which SQLite calls itself.
    """
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_function("bucket", 2, bucket, deterministic=True)
        return f"bucket(:campaign, {person}) < :holdout", {"campaign": audience.campaign, "holdout": audience.holdout}
    digest = f"sha256(decode(:campaign, 'hex') || convert_to(({person})::text, 'UTF8'))"
    high, low = (f"('x' || encode(substr({digest}, {first}, 4), 'hex'))::bit(32)::bigint" for first in (1, 5))
    # Of a number of 64 bits without sign, which PostgreSQL has not: its halves; 2^32 leaves 7296.
    named = f"{audience.campaign}\0".encode().hex()
    return f"(({high} % 10000) * 7296 + {low}) % 10000 < :holdout", {"campaign": named, "holdout": audience.holdout}


class Query:
    """An audience as one statement over a range of people: `s` is the person, beside what is known of them once."""

    def __init__(self, connection: Connection, audience: Audience) -> None:
        check_segment(audience.tree)
        self._connection = connection
        self._audience = audience
        self._values: dict[str, Any] = {"campaign_id": audience.campaign}
        self._names: dict[Any, str] = {}
        self._columns: dict[str, dict[str, str]] = {"identity": {}, "referral": {}, "memory": {}, "event": {}}
        self._columns["taken"] = {}
        self._rule = self._condition(audience.tree)
        self._out, values = held_out(connection, audience, "p.id") if audience.holdout else ("FALSE", {})
        self._values |= values

    # ---- a tree as SQL

    def _condition(self, tree: Tree) -> str:
        name, *rest = tree
        if name in ("and", "or"):
            return f"({f' {name.upper()} '.join(map(self._condition, rest))})"
        if name == "not":
            return f"(NOT {self._condition(rest[0])})"
        made: str = getattr(self, f"_of_{name}")(*rest)
        return f"({made})"

    def _bind(self, value: Any) -> str:
        """The same value twice is one parameter."""
        name = self._names.setdefault((type(value), value), f"v{len(self._names)}")
        self._values[name] = value
        return f":{name}"

    def _known(self, source: str, made: str, otherwise: str = "0") -> str:
        """A column of what a source knows of a person, made once however often it is asked for."""
        columns = self._columns[source]
        return f"COALESCE({columns.setdefault(made, f'{source[0]}{len(columns)}')}, {otherwise})"

    def _of_everyone(self) -> str:
        return "1 = 1"

    def _of_guest(self) -> str:
        return "s.guest"

    def _of_referred(self) -> str:
        return "s.referrer IS NOT NULL"

    def _of_applied(self) -> str:
        raise NotRunning("applied")

    def _of_language(self, sign: str, value: str) -> str:
        return f"s.language = {self._bind(value)}"

    def _of_branch(self, sign: str, value: str) -> str:
        return f"COALESCE(s.branch, '') = {self._bind(value)}"

    def _of_channel(self, sign: str, value: str) -> str:
        channel, _, account = value.partition("/")
        there = f"{HERE} AND channel = {self._bind(channel)}"
        there += f" AND account = {self._bind(account)}" if account else ""
        return f"{self._known('identity', f'MAX(CASE WHEN {there} THEN 1 ELSE 0 END)')} = 1"

    def _of_inactive(self, days: int) -> str:
        return f"{self._known('identity', 'MAX(heard_at)', '-1')} < {self._bind(self._ago(days))}"

    def _of_points(self, sign: str, number: int) -> str:
        self._columns.setdefault("balance", {})
        return f"COALESCE(points, 0) {_SIGNS[sign]} {self._bind(number)}"

    def _of_friends(self, sign: str, number: int) -> str:
        states = "COUNT(CASE WHEN state NOT IN ('rejected', 'clawed_back') THEN 1 END)"
        return f"{self._known('referral', states)} {_SIGNS[sign]} {self._bind(number)}"

    def _of_qualified(self, sign: str, number: int) -> str:
        states = "COUNT(CASE WHEN state IN ('qualified', 'held', 'rewarded') THEN 1 END)"
        return f"{self._known('referral', states)} {_SIGNS[sign]} {self._bind(number)}"

    def _of_joined(self, sign: str, value: Any) -> str:
        if sign == "within":
            return f"s.created_at >= {self._bind(self._ago(value))}"
        day = date.fromisoformat(value)
        first, behind = self._bind(self._start(day)), self._bind(self._start(day + timedelta(1)))
        within = f"s.created_at >= {first} AND s.created_at < {behind}"
        return {
            "=": within,
            "!=": f"NOT ({within})",
            "<": f"s.created_at < {first}",
            "<=": f"s.created_at < {behind}",
            ">": f"s.created_at >= {behind}",
            ">=": f"s.created_at >= {first}",
        }[sign]

    def _of_placement(self, sign: str, value: str) -> str:
        came = f"kind = 'touched' AND {self._part('placement')} = {self._bind(value)}"
        return f"{self._known('event', f'MAX(CASE WHEN {came} THEN 1 ELSE 0 END)')} = 1"

    def _of_took(self, what: str, which: str = "") -> str:
        if what in _REMEMBERED and not which:
            made = f"MAX(CASE WHEN name = {self._bind(_REMEMBERED[what])} THEN 1 ELSE 0 END)"
            return f"{self._known('memory', made)} = 1"
        if what in _TAKEN:
            one = f"{_TAKEN[what]} = {self._bind(which)}" if which else "1 = 1"
            return f"{self._known('taken', f'MAX(CASE WHEN {one} THEN 1 ELSE 0 END)')} = 1"
        if what in _NOTED and (not which or what in _WHICH):
            one = f" AND {self._part(_WHICH[what])} = {self._bind(which)}" if which else ""
            made = f"MAX(CASE WHEN kind = '{_NOTED[what]}'{one} THEN 1 ELSE 0 END)"
            return f"{self._known('event', made)} = 1"
        raise NotRunning(f"took {what}")

    def _part(self, name: str) -> str:
        """A part of an event's data; `name` is ours, never what somebody wrote."""
        return f"json_extract(data, '$.{name}')" if self._lite else f"(data::json ->> '{name}')"

    @property
    def _lite(self) -> bool:
        return self._connection.dialect.name == "sqlite"

    def _ago(self, days: int) -> int:
        return micros(self._audience.now - timedelta(days=days))

    def _start(self, day: date) -> int:
        """When a local day begins; where the clock skips midnight, when it goes on."""
        return micros(datetime.combine(day, time(), self._audience.zone).astimezone(UTC))

    # ---- the statement

    def _base(self) -> str:
        """Everybody in the range for whom the rule holds, as `subscriber` has them, and `here`: reachable somewhere.

        On PostgreSQL fences keep each part as it is meant: all of a range is joined before the rule is asked, since the
        planner takes a rule for much rarer than it is and would then walk a source once per person; and the holdout's
        hash is made for those alone for whom the rule holds.
        """
        here = self._known("identity", f"MAX(CASE WHEN {HERE} THEN 1 ELSE 0 END)")
        used = {name: columns for name, columns in self._columns.items() if columns or name == "balance"}
        known = "".join(
            f", {name[0]}.{one}" for name, columns in used.items() for one in columns.values() or ["points"]
        )
        joins = "".join(
            f" LEFT JOIN ({_SOURCES[name].format(columns=self._made(columns))}) AS {name[0]} ON {name[0]}.who = s.id"
            for name, columns in used.items()
        )
        fence = "" if self._lite else " OFFSET 0"
        people = f"SELECT s.*{known} FROM subscriber s{joins} WHERE {ranged('s.id')}{fence}"
        rule = " AND ".join((*NOBODY, self._rule))
        return (
            f"SELECT id, language, consent, guest, blocked_at, {here} AS here FROM ({people}) AS s WHERE {rule}{fence}"
        )

    @staticmethod
    def _made(columns: dict[str, str]) -> str:
        return "".join(f", {made} AS {name}" for made, name in columns.items())

    def _run(self, statement: str, after: int, upto: int, **more: Any) -> Any:
        values = {**self._values, "after": after, "upto": upto, **more}
        made = text(statement)
        values = {name: values[name] for name in made._bindparams}
        for name in values:
            if isinstance(values[name], list):
                made = made.bindparams(bindparam(name, expanding=True))
        return self._connection.execute(made, values)

    def count(self, after: int, upto: int) -> int:
        query = f"SELECT COUNT(*) FROM ({self._base()}) AS p WHERE p.here = 1 AND NOT ({self._out})"
        return int(self._run(query, after, upto).scalar_one())

    def people(self, after: int, upto: int) -> dict[str, int]:
        """`people`, `unreachable`, `held_out` and each of REASONS, of a range."""
        cases = {"unreachable": "p.here = 0", "people": "p.here = 1 AND NOT p.out", "held_out": "p.here = 1 AND p.out"}
        cases |= {reason: f"p.here = 1 AND NOT p.out AND {made}" for reason, made in REASONS.items()}
        sums = ", ".join(f"COUNT(CASE WHEN {made} THEN 1 END) AS {name}" for name, made in cases.items())
        fence = "" if self._lite else " OFFSET 0"  # or the holdout's hash is made for each of the sums
        each = f"SELECT p.*, ({self._out}) AS out FROM ({self._base()}) AS p{fence}"
        return dict(self._run(f"SELECT {sums} FROM ({each}) AS p", after, upto).one()._mapping)

    def over(self, statement: str, after: int, upto: int, **more: Any) -> Any:
        """What `statement` gives, in which {people} stands for all of a range for whom the rule holds, reachable or
        not: `id`, `guest`. The holdout is not asked for."""
        return self._run(statement.format(people=f"({self._base()})"), after, upto, **more)

    def among(self, statement: str, after: int, upto: int, **more: Any) -> Any:
        """What `statement` gives, in which {people} stands for those of a range who belong to the audience: `id`,
        `language`, `consent`, `blocked_at`. A list among the values stands for its items."""
        people = f"(SELECT p.* FROM ({self._base()}) AS p WHERE p.here = 1 AND NOT ({self._out}))"
        return self._run(statement.replace("{people}", people), after, upto, **more)

    def accounts(self, after: int, upto: int) -> Iterator[tuple[str, str, dict[str, int]]]:
        """Of a range, for each channel account: `people`, those with `no_consent`, and how others' windows stand."""
        earlier = ", ".join(f"'{kind}'" for kind in sorted(EARLIER_MAY_STAND))
        state = (
            "CASE WHEN i.channel <> 'wechat' THEN 'open' "
            "WHEN COALESCE(i.heard_at, -1) < :window OR i.heard_kind = 'follow' THEN 'shut' "
            f"WHEN i.heard_kind IN ({earlier}) THEN 'unsure' WHEN i.sent_since >= :most THEN 'used_up' ELSE 'open' END"
        )
        rows = self._run(
            f"SELECT i.channel, i.account, CASE WHEN p.consent THEN {state} ELSE 'no_consent' END AS what, "
            f"COUNT(*) AS n FROM ({self._base()}) AS p JOIN identity i ON i.subscriber = p.id AND {HERE} "
            f"AND {ranged('i.subscriber')} WHERE p.here = 1 AND NOT ({self._out}) GROUP BY 1, 2, 3",
            after,
            upto,
            window=micros(self._audience.now - WINDOW),
            most=WINDOW_MESSAGES,
        )
        for channel, account, what, n in rows:
            yield channel, account, {what: n, "people": n}


_SIGNS: Final = {sign: sign for sign in COMPARISONS} | {"!=": "<>"}


def ranged(who: str) -> str:
    """SQL that is true of a number in the range that a statement is asked about."""
    return f"{who} > :after AND {who} <= :upto"


_NOTED_KINDS: Final = ", ".join(f"'{kind}'" for kind in ("touched", *_NOTED.values()))
_SOURCES: Final = {
    "identity": f"SELECT subscriber AS who{{columns}} FROM identity WHERE {ranged('subscriber')} GROUP BY subscriber",
    "balance": (
        "SELECT owner AS who, amount - held AS points FROM balance "
        f"WHERE unit = 'points' AND substr(account, 1, 2) = 's/' AND {ranged('owner')}"
    ),
    "referral": f"SELECT referrer AS who{{columns}} FROM referral WHERE {ranged('referrer')} GROUP BY referrer",
    "memory": f"SELECT subscriber AS who{{columns}} FROM memory WHERE {ranged('subscriber')} GROUP BY subscriber",
    # Whoever was joined to another has none left of their own (`storage.surveys.unite`).
    "taken": (
        "SELECT subscriber AS who{columns} FROM survey_taken WHERE campaign = :campaign_id "
        f"AND {ranged('subscriber')} GROUP BY subscriber"
    ),
    # What happened to somebody who was joined to another stands under their own number.
    "event": (
        "SELECT who{columns} FROM ("
        f"SELECT subscriber AS who, kind, data FROM event WHERE kind IN ({_NOTED_KINDS}) AND campaign = :campaign_id "
        f"AND {ranged('subscriber')} "
        "UNION ALL SELECT a.alias_of, x.kind, x.data FROM subscriber a JOIN event x ON x.subscriber = a.id "
        f"WHERE a.alias_of IS NOT NULL AND {ranged('a.alias_of')} AND x.kind IN ({_NOTED_KINDS}) "
        "AND x.campaign = :campaign_id) AS noted GROUP BY who"
    ),
}
