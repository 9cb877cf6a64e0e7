"""Whom a segment holds: its tree, its SQL on both databases, who is in it slice by slice, and how many.

The tree is the shape that `content/segments.py` reads rules into; what a rule looks like, and whether its names exist
in a plan, is not known here. Every value is bound. People are looked at in ranges of their numbers, each source read
once per range through the index that begins with the person, so that a slice costs the same wherever it lies and memory
does not grow with the audience. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from sqlalchemy import Connection, text

from storage.people import bucket
from storage.tables import micros

Tree = list[Any]

NODES_MAX: Final = 500
_DEPTH_MAX: Final = 200
_NAME_MAX: Final = 256
_RANGE: Final = 20_000  # people looked at with one statement
_COMPARISONS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_LARGEST: Final = 2**62
_DAYS_MAX: Final = 36_500

# Whom no segment ever holds. Somebody blocked or a tester is kept out by one more line here.
_NOBODY: Final = ("s.status = 'active'",)
# Where a person can be reached at all: they follow, the platform's name for them is known, nothing is being erased.
HERE: Final = "following AND address IS NOT NULL AND parked_until IS NULL"

# What somebody took part in: where it is seen. A mechanic that is asked for is one line here.
_REMEMBERED: Final = {"checkin": "checkin"}  # → the name under which its mechanic remembers
_NOTED: Final = {"poster": "poster"}  # → the kind of its event


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


@dataclass(frozen=True, slots=True)
class Slice:
    """Those of a range who belong to an audience, in order of their numbers, and where the next begins; None: done."""

    ids: list[int]
    next: int | None


def check_segment(tree: object) -> None:
    """Check the shape of a tree. Raises ValueError that names the branch and the fault.

    `["and"|"or", two or more branches]`, `["not", branch]`, or a fact: `["everyone"]`, `["guest"]`, `["referred"]`,
    `["applied"]`, `["channel", "=", "wechat" or "wechat/account"]`, `["language"|"placement"|"branch", "=", name]`,
    `["points"|"friends"|"qualified", comparison, whole number]`, `["joined", comparison, "2026-11-01"]`,
    `["joined", "within", days]`, `["inactive", days]`, `["took", what]`, `["took", what, id]`.
    """
    waiting: list[tuple[object, str, int]] = [(tree, "segment", 1)]
    count = 0
    while waiting:
        branch, path, depth = waiting.pop()
        count += 1
        if count > NODES_MAX or depth > _DEPTH_MAX:
            raise ValueError(f"{path}: more than {NODES_MAX} branches or {_DEPTH_MAX} levels")
        if type(branch) is not list or not branch or type(branch[0]) is not str:
            raise ValueError(f"{path}: not a list that begins with a name")
        name, *rest = branch
        if name in ("and", "or", "not"):
            if (len(rest) != 1) if name == "not" else (len(rest) < 2):
                raise ValueError(f"{path}: {name} of {len(rest)} branches")
            waiting += [(one, f"{path}[{place}]", depth + 1) for place, one in enumerate(rest, 1)]
        elif not _SHAPES.get(name, lambda _: False)(rest):
            raise ValueError(f"{path}: no such fact: {str(branch)[:80]}")


def _plain(rest: list[Any]) -> bool:
    return not rest


def _named(rest: list[Any]) -> bool:
    return len(rest) == 2 and rest[0] == "=" and _is_name(rest[1])


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= _NAME_MAX and value.isprintable()


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _counted(rest: list[Any]) -> bool:
    return len(rest) == 2 and rest[0] in _COMPARISONS and _is_number(rest[1], 0, _LARGEST)


def _dated(rest: list[Any]) -> bool:
    if len(rest) != 2:
        return False
    if rest[0] == "within":
        return _is_number(rest[1], 1, _DAYS_MAX)
    try:
        return rest[0] in _COMPARISONS and 1970 < date.fromisoformat(rest[1]).year < 9999
    except (TypeError, ValueError):
        return False


def _silent(rest: list[Any]) -> bool:
    return len(rest) == 1 and _is_number(rest[0], 1, _DAYS_MAX)


def _taken(rest: list[Any]) -> bool:
    return 1 <= len(rest) <= 2 and all(map(_is_name, rest))


_SHAPES: Final[dict[str, Callable[[list[Any]], bool]]] = {
    **dict.fromkeys(("everyone", "guest", "referred", "applied"), _plain),
    **dict.fromkeys(("channel", "language", "placement", "branch"), _named),
    **dict.fromkeys(("points", "friends", "qualified"), _counted),
    "joined": _dated,
    "inactive": _silent,
    "took": _taken,
}


def matching(connection: Connection, audience: Audience, after: int = 0, limit: int = 2_000) -> Slice:
    """The next slice behind number `after`: `limit` people are looked at, so at most so many are given back.

    Go on with `after=slice.next` until that is None. An alias, or somebody erased, is never among them. Raises
    ValueError for a tree of no shape, NotRunning.
    """
    upto = _end_of_range(connection, after, limit)
    if upto is None:
        return Slice([], None)
    ids = _Query(connection, audience).ids(after, upto)
    return Slice(ids, upto)


def count(connection: Connection, audience: Audience) -> int:
    """How many an audience holds now. Raises ValueError for a tree of no shape, NotRunning."""
    query = _Query(connection, audience)
    return sum(query.count(after, upto) for after, upto in ranges(connection))


def ranges(connection: Connection, size: int = _RANGE) -> Iterator[tuple[int, int]]:
    """Everybody's numbers in ranges (behind the first, up to the second) of `size` people."""
    after = 0
    while (upto := _end_of_range(connection, after, size)) is not None:
        yield after, upto
        after = upto


def _end_of_range(connection: Connection, after: int, size: int) -> int | None:
    among = "FROM (SELECT id FROM subscriber WHERE id > :after ORDER BY id LIMIT :n) AS next_few"
    return connection.execute(text(f"SELECT MAX(id) {among}"), {"after": after, "n": size}).scalar()


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


class _Query:
    """An audience as one statement over a range of people: `s` is the person, beside what is known of them once."""

    def __init__(self, connection: Connection, audience: Audience) -> None:
        check_segment(audience.tree)
        self._connection = connection
        self._audience = audience
        self._values: dict[str, Any] = {"campaign_id": audience.campaign}
        self._names: dict[Any, str] = {}
        self._columns: dict[str, dict[str, str]] = {"identity": {}, "referral": {}, "memory": {}, "event": {}}
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
        name = columns.setdefault(made, f"k{len(columns)}")
        return f"COALESCE({source[0]}.{name}, {otherwise})"

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
        return f"COALESCE(b.points, 0) {_SIGNS[sign]} {self._bind(number)}"

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
        get = "json_extract({}, '$.placement')" if self._lite else "({}::json ->> 'placement')"
        came = f"kind = 'touched' AND {get.format('data')} = {self._bind(value)}"
        return f"{self._known('event', f'MAX(CASE WHEN {came} THEN 1 ELSE 0 END)')} = 1"

    def _of_took(self, what: str, which: str = "") -> str:
        if what in _REMEMBERED and not which:
            made = f"MAX(CASE WHEN name = {self._bind(_REMEMBERED[what])} THEN 1 ELSE 0 END)"
            return f"{self._known('memory', made)} = 1"
        if what in _NOTED and not which:
            made = f"MAX(CASE WHEN kind = '{_NOTED[what]}' THEN 1 ELSE 0 END)"
            return f"{self._known('event', made)} = 1"
        raise NotRunning(f"took {what}")

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
        """Everybody in the range for whom the rule holds: `id`, `consent`, `guest`, and `here`: reachable somewhere."""
        here = self._known("identity", f"MAX(CASE WHEN {HERE} THEN 1 ELSE 0 END)")
        joins = "".join(
            f" LEFT JOIN ({_SOURCES[name].format(columns=self._made(columns))}) AS {name[0]} "
            f"ON {name[0]}.who = s.id"
            for name, columns in self._columns.items()
            if columns or name == "balance"
        )
        where = " AND ".join(("s.id > :after AND s.id <= :upto", *_NOBODY, self._rule))
        # On PostgreSQL the fence keeps the holdout's hash from being made for everybody in the range.
        fence = "" if self._lite or not self._audience.holdout else " OFFSET 0"
        return f"SELECT s.id, s.consent, s.guest, {here} AS here FROM subscriber s{joins} WHERE {where}{fence}"

    @staticmethod
    def _made(columns: dict[str, str]) -> str:
        return "".join(f", {made} AS {name}" for made, name in columns.items())

    def _run(self, statement: str, after: int, upto: int, **more: Any) -> Any:
        values = {**self._values, "after": after, "upto": upto, **more}
        made = text(statement)
        return self._connection.execute(made, {name: values[name] for name in made._bindparams})

    def ids(self, after: int, upto: int) -> list[int]:
        query = f"SELECT p.id FROM ({self._base()}) AS p WHERE p.here = 1 AND NOT ({self._out}) ORDER BY p.id"
        return list(self._run(query, after, upto).scalars())

    def count(self, after: int, upto: int) -> int:
        query = f"SELECT COUNT(*) FROM ({self._base()}) AS p WHERE p.here = 1 AND NOT ({self._out})"
        return int(self._run(query, after, upto).scalar_one())


_SIGNS: Final = {sign: sign for sign in _COMPARISONS} | {"!=": "<>"}


def _ranged(who: str) -> str:
    return f"{who} > :after AND {who} <= :upto"


_NOTED_KINDS: Final = ", ".join(f"'{kind}'" for kind in ("touched", *_NOTED.values()))
_SOURCES: Final = {
    "identity": f"SELECT subscriber AS who{{columns}} FROM identity WHERE {_ranged('subscriber')} GROUP BY subscriber",
    "balance": (
        "SELECT owner AS who, amount - held AS points FROM balance "
        f"WHERE unit = 'points' AND substr(account, 1, 2) = 's/' AND {_ranged('owner')}"
    ),
    "referral": f"SELECT referrer AS who{{columns}} FROM referral WHERE {_ranged('referrer')} GROUP BY referrer",
    "memory": f"SELECT subscriber AS who{{columns}} FROM memory WHERE {_ranged('subscriber')} GROUP BY subscriber",
    # What happened to somebody who was joined to another stands under their own number.
    "event": (
        "SELECT who{columns} FROM ("
        f"SELECT subscriber AS who, kind, data FROM event WHERE kind IN ({_NOTED_KINDS}) AND campaign = :campaign_id "
        f"AND {_ranged('subscriber')} "
        "UNION ALL SELECT a.alias_of, x.kind, x.data FROM subscriber a JOIN event x ON x.subscriber = a.id "
        f"WHERE a.alias_of IS NOT NULL AND {_ranged('a.alias_of')} AND x.kind IN ({_NOTED_KINDS}) "
        "AND x.campaign = :campaign_id) AS noted GROUP BY who"
    ),
}
