"""Who is in a segment: random trees over small random populations against an oracle in memory, on both databases; the
holdout's place, slices, the split, and that what content writes is what storage takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from campaigns import running
from content.bundle import Bundle
from content.plan.audience import WORDS
from content.segment_words import FACTS, TOOK_CLAUSES
from content.segments import parse
from storage import bulk, people, segments
from storage.segment_sql import EARLIER_MAY_STAND, WINDOW, WINDOW_MESSAGES, Query, held_out
from storage.segments import Audience, NotRunning
from storage.store import Store
from storage.tables import metadata, micros
from storage.trees import check_segment
from tests.plan_editing import FOLDER

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
CAMPAIGN = "family-network-2026"
DAY = timedelta(days=1)
HEARD = [None, NOW - DAY, NOW - 2 * DAY, NOW - 2 * DAY - timedelta(microseconds=1), NOW - 7 * DAY, NOW - 90 * DAY]
JOINED = [datetime(2026, 11, 1, 15, 59, 59, 999999, UTC), datetime(2026, 11, 1, 16, tzinfo=UTC), NOW - 7 * DAY, NOW]


@dataclass
class Where:
    channel: str
    account: str
    following: bool
    known: bool
    parked: bool
    heard_at: datetime | None
    heard_kind: str
    sent: int

    @property
    def here(self) -> bool:
        return self.following and self.known and not self.parked


@dataclass
class One:
    status: str
    language: str
    consent: bool
    guest: bool
    blocked: bool
    tester: bool
    branch: str | None
    referred: bool
    created: datetime
    places: list[Where]
    points: tuple[int, int] | None
    held: int
    friends: list[str]
    checked_in: bool
    noted: list[tuple[str, str, str]]  # kind, placement, campaign
    alias_noted: list[tuple[str, str, str]] = field(default_factory=list)
    surveys: list[tuple[str, str]] = field(default_factory=list)  # survey, campaign


STATES = ["pending", "qualified", "held", "rewarded", "rejected", "clawed_back"]
NOTED = st.tuples(
    st.sampled_from(["touched", "poster", "checkin", "quiz_started"]),
    st.sampled_from("ab"),
    st.sampled_from([CAMPAIGN, "x"]),
)
WHERE = st.builds(
    Where,
    st.sampled_from(["wechat", "telegram", "web"]),
    st.sampled_from(["main", "shop"]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, False, True]),
    st.sampled_from(HEARD),
    st.sampled_from(["text", "menu", "follow"]),
    st.integers(0, 6),
)
ONE = st.builds(
    One,
    st.sampled_from(["active", "active", "active", "erased"]),
    st.sampled_from(["zh", "en"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([None, "a", "b"]),
    st.booleans(),
    st.sampled_from(JOINED),
    st.lists(WHERE, min_size=1, max_size=3),
    st.none() | st.tuples(st.integers(0, 5), st.integers(0, 2)).filter(lambda both: both[0] >= both[1]),
    st.integers(0, 5),
    st.lists(st.sampled_from(STATES), max_size=3),
    st.booleans(),
    st.lists(NOTED, max_size=2),
    st.lists(NOTED, max_size=1),
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([CAMPAIGN, "x"])), max_size=2, unique=True),
)
COMPARED = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
SIGN = st.sampled_from(sorted(COMPARED))
FACT = st.one_of(
    st.sampled_from([["everyone"], ["guest"], ["referred"]]),
    st.sampled_from(["checkin", "poster", "quiz", "survey"]).map(lambda what: ["took", what]),
    st.tuples(st.sampled_from(["quiz", "survey"]), st.sampled_from("ab")).map(lambda two: ["took", *two]),
    st.sampled_from(["wechat", "telegram", "web", "wechat/shop", "web/main"]).map(lambda one: ["channel", "=", one]),
    st.sampled_from(["zh", "en"]).map(lambda one: ["language", "=", one]),
    st.tuples(st.sampled_from(["placement", "branch"]), st.sampled_from("abc")).map(lambda two: [two[0], "=", two[1]]),
    st.tuples(st.sampled_from(["points", "friends", "qualified"]), SIGN, st.integers(0, 4)).map(list),
    st.tuples(SIGN, st.sampled_from(["2026-11-01", "2026-11-02", "2026-11-13"])).map(lambda two: ["joined", *two]),
    st.sampled_from([1, 7, 8]).map(lambda days: ["joined", "within", days]),
    st.sampled_from([1, 2, 7, 30]).map(lambda days: ["inactive", days]),
)
TREE = st.recursive(
    FACT,
    lambda below: st.one_of(
        below.map(lambda one: ["not", one]),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(below, min_size=2, max_size=3)).map(lambda t: [t[0], *t[1]]),
    ),
    max_leaves=6,
)


def holds(one: One, tree: list[Any]) -> bool:
    """The oracle: what the words mean, written plainly."""
    name, *rest = tree
    if name in ("and", "or"):
        return (all if name == "and" else any)([holds(one, branch) for branch in rest])
    if name == "not":
        return not holds(one, rest[0])
    noted = [n for n in one.noted + one.alias_noted if n[2] == CAMPAIGN]
    friends = [state for state in one.friends if state not in ("rejected", "clawed_back")]
    day = one.created.astimezone(ZONE).date()
    heard = [w.heard_at for w in one.places if w.heard_at]
    facts: dict[str, Callable[[], bool]] = {
        "everyone": lambda: True,
        "guest": lambda: one.guest,
        "referred": lambda: one.referred,
        "language": lambda: one.language == rest[1],
        "branch": lambda: one.branch == rest[1],
        "channel": lambda: any(rest[1] in (w.channel, f"{w.channel}/{w.account}") for w in one.places if w.here),
        "points": lambda: COMPARED[rest[0]](one.points[0] - one.points[1] if one.points else 0, rest[1]),
        "friends": lambda: COMPARED[rest[0]](len(friends), rest[1]),
        "qualified": lambda: COMPARED[rest[0]](len([s for s in friends if s != "pending"]), rest[1]),
        "joined": lambda: (
            one.created >= NOW - rest[1] * DAY
            if rest[0] == "within"
            else COMPARED[rest[0]](day, date.fromisoformat(rest[1]))
        ),
        "inactive": lambda: not heard or max(heard) < NOW - rest[0] * DAY,
        "placement": lambda: any(n[0] == "touched" and n[1] == rest[1] for n in noted),
        "took": lambda: (
            one.checked_in
            if rest[0] == "checkin"
            else any(name in (rest[1:] or name) and where == CAMPAIGN for name, where in one.surveys)
            if rest[0] == "survey"
            else any(
                n[0] == {"poster": "poster", "quiz": "quiz_started"}[rest[0]] and n[1] in (rest[1:] or n[1])
                for n in noted
            )
        ),
    }
    return facts[name]()


def number(place: int) -> int:
    return 1000 + 100 * place


def fill(connection: Connection, population: list[One]) -> None:
    """The population as its rows, with what surrounds it: aliases, friends, other people's accounts."""
    rows: dict[str, list[tuple[Any, ...]]] = {}

    def add(table: str, **values: Any) -> None:
        columns, made = tuple(values), tuple(values.values())
        rows.setdefault((table, columns), []).append(made)  # type: ignore[arg-type]

    def person(n: int, one: One, status: str, alias_of: int | None) -> None:
        referrer = 7 if one.referred and alias_of is None else None
        add(
            "subscriber",
            **{"id": n, "created_at": micros(one.created), "language": one.language, "status": status, "code": str(n)},
            **{"alias_of": alias_of, "referrer": referrer, "consent": one.consent, "guest": one.guest},
            **{"branch": one.branch, "blocked_at": micros(NOW) if one.blocked else None},
            tester_since=micros(NOW) if one.tester else None,
        )

    def note(n: int, base: int, noted: list[tuple[str, str, str]]) -> None:
        for place, (kind, placement, campaign) in enumerate(noted):
            about = {"touched": "placement", "quiz_started": "quiz"}.get(kind, "poster")
            data = json.dumps({"by": "scan", about: placement})
            add(
                "event",
                **{"id": base + place, "tx": 1, "kind": kind, "subscriber": n, "actor": "subscriber"},
                **{"campaign": campaign, "revision": 1, "at": micros(NOW), "data": data},
            )

    for place, one in enumerate(population):
        n = number(place)
        person(n, one, one.status, None)
        for at, w in enumerate(one.places):
            add(
                "identity",
                **{"id": n + at, "subscriber": n, "channel": w.channel, "account": w.account, "digest": f"{n}/{at}"},
                **{"address": f"o{n}" if w.known else None, "following": w.following, "heard_kind": w.heard_kind},
                **{"heard_at": w.heard_at and micros(w.heard_at), "sent_since": w.sent},
                parked_until=micros(NOW + DAY) if w.parked else None,
            )
        if one.points:
            row = {"owner": n, "unit": "points", "amount": one.points[0], "held": one.points[1], "floor": 0}
            add("balance", account=f"s/{n}/points", **row)
        add("balance", account=f"held/{n}/points", owner=n, unit="points", amount=one.held, held=0, floor=0)
        add("balance", account=f"s/{n}/chances", owner=n, unit="chances", amount=one.held, held=0, floor=0)
        for at, state in enumerate(one.friends):
            at_once = {"campaign": CAMPAIGN, "state": state, "at": micros(NOW), "changed_at": micros(NOW)}
            add("referral", referee=500_000 + n + at, referrer=n, **at_once)
        for name in ["shown", *(["checkin"] if one.checked_in else [])]:
            add("memory", subscriber=n, name=name, data="{}")
        for survey, campaign in one.surveys:
            add("survey_taken", campaign=campaign, survey=survey, subscriber=n, began_at=micros(NOW))
        note(n, 100_000 + n, one.noted)
        if one.alias_noted:
            person(n + 50, one, "alias", n)
            note(n + 50, 200_000 + n, one.alias_noted)
    for (table, columns), some in rows.items():  # type: ignore[misc]
        bulk.insert(connection, metadata.tables[table], columns, some)


class _Back(Exception):
    """Ends a transaction without a trace."""


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store(database_url)) as store:
        yield store


def with_people(store: Store, population: list[One], look: Callable[[Connection], None]) -> None:
    try:
        with store.begin() as connection:
            fill(connection, population)
            look(connection)
            raise _Back
    except _Back:
        pass


def window(heard_at: datetime | None, heard_kind: str, sent_since: int) -> str:
    """How an identity on WeChat stands to customer-service messages."""
    if heard_at is None or heard_at < NOW - WINDOW or heard_kind == "follow":
        return "shut"
    if heard_kind in EARLIER_MAY_STAND:
        return "unsure"
    return "used_up" if sent_since >= WINDOW_MESSAGES else "open"


def walked(connection: Connection, audience: Audience, limit: int) -> list[int]:
    """All ranges together; each begins where the last ended, and none gives anybody beyond it."""
    found: list[int] = []
    for after, upto in segments.ranges(connection, limit):
        part = Query(connection, audience).among("SELECT p.id FROM {people} AS p ORDER BY p.id", after, upto)
        found += (ids := list(part.scalars()))
        assert len(ids) <= limit
        assert all(after < one <= upto for one in ids)
    return found


POPULATION = st.lists(ONE, min_size=1, max_size=8)
HOLDOUT = st.sampled_from([0, 0, 3000, 10_000])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(population=POPULATION, trees=st.lists(TREE, min_size=1, max_size=4), holdout=HOLDOUT, limit=st.integers(1, 9))
def test_a_segment_holds_whom_its_words_say(
    store: Store, population: list[One], trees: list[Any], holdout: int, limit: int
) -> None:
    def look(connection: Connection) -> None:
        for tree in trees:
            audience = Audience(CAMPAIGN, tree, NOW, ZONE, holdout)
            matching = [
                (number(place), one)
                for place, one in enumerate(population)
                if one.status == "active" and not one.tester and holds(one, tree)
            ]
            here = [(n, one) for n, one in matching if any(w.here for w in one.places)]
            kept = [(n, one) for n, one in here if people.bucket(CAMPAIGN, n) >= holdout]
            assert walked(connection, audience, limit) == [n for n, _ in kept]
            assert segments.count(connection, audience) == len(kept)
            split = segments.split(connection, audience)
            assert (split.people, split.unreachable, split.held_out) == (
                len(kept),
                len(matching) - len(here),
                len(here) - len(kept),
            )
            assert split.reasons == {
                "no_consent": sum(not one.consent for _, one in kept),
                "blocked": sum(one.blocked for _, one in kept),
                "web_only": sum(one.guest for _, one in kept),
            }
            accounts: dict[tuple[str, str], list[str]] = {}
            for _, one in kept:
                for w in one.places:
                    if w.here:
                        state = window(w.heard_at, w.heard_kind, w.sent)
                        state = "open" if w.channel != "wechat" else state
                        where = accounts.setdefault((w.channel, w.account), [])
                        where.append(state if one.consent else "no_consent")
            assert {(a.channel, a.account): a.people for a in split.accounts} == {
                k: len(v) for k, v in accounts.items()
            }
            for a in split.accounts:
                for state in ("no_consent", "open", "unsure", "used_up", "shut"):
                    assert getattr(a, state) == accounts[a.channel, a.account].count(state), (a, state)

    with_people(store, population, look)


def test_every_fact_at_every_boundary(store: Store) -> None:
    """One person for each state and instant that a fact can turn on, and each fact with each comparison."""
    plain = One("active", "zh", True, False, False, False, None, False, NOW, [], None, 3, [], False, [])
    here = Where("wechat", "main", True, True, False, NOW, "text", 0)
    variants: list[dict[str, Any]] = [{"created": at} for at in JOINED]
    variants += [{"places": [replace(here, heard_at=at), replace(here, heard_at=None)]} for at in HEARD]
    variants += [{"friends": [state]} for state in STATES] + [{"friends": ["pending", "rewarded", "rejected"]}]
    variants += [{"points": both} for both in ((0, 0), (1, 0), (2, 1), (3, 3))]
    variants += [{name: [(kind, "a", CAMPAIGN)]} for name in ("noted", "alias_noted") for kind in ("touched", "poster")]
    variants += [{"noted": [("quiz_started", "b", CAMPAIGN)]}, {"noted": [("touched", "a", "x")]}, {"checked_in": True}]
    variants += [{"surveys": [("a", CAMPAIGN)]}, {"surveys": [("b", CAMPAIGN), ("a", "x")]}, {"surveys": [("a", "x")]}]
    variants += [{"places": [here, replace(here, channel="web", account="shop", following=on)]} for on in (True, False)]
    population = [replace(plain, **{"places": [here], **variant}) for variant in variants]
    counted = [[name, sign, n] for name in ("points", "friends", "qualified") for sign in COMPARED for n in (0, 1, 2)]
    dated = [["joined", sign, f"2026-11-{day}"] for sign in COMPARED for day in ("01", "02", "13")]
    spans: list[Any] = [[name, *rest] for name, *rest in (("joined", "within", 7), ("inactive", 2), ("inactive", 7))]
    named = [["channel", "=", one] for one in ("web", "web/shop", "web/main")] + [["placement", "=", "a"]]
    took = [["took", "checkin"], ["took", "poster"], ["took", "quiz"], ["took", "quiz", "a"], ["took", "quiz", "b"]]
    took += [["took", "survey"], ["took", "survey", "a"], ["took", "survey", "b"], ["took", "survey", "c"]]

    def look(connection: Connection) -> None:
        for tree in counted + dated + spans + named + took:
            wanted = [number(place) for place, one in enumerate(population) if holds(one, tree)]
            assert walked(connection, Audience(CAMPAIGN, tree, NOW, ZONE), 1000) == wanted, tree

    with_people(store, population, look)


def test_the_holdouts_place_is_the_same_in_sql(store: Store) -> None:
    """Only with the same place in both is whoever a push leaves out also left out of an offer."""
    from sqlalchemy import text

    with store.read() as connection:
        for campaign in (CAMPAIGN, "家庭网 'x'", ""):
            for person in (0, 1, 12, 999, 123_456_789_012, 2**62):
                place = people.bucket(campaign, person)
                for share, out in ((place, False), (place + 1, True)):
                    audience = Audience(campaign, ["everyone"], NOW, ZONE, share)
                    made, values = held_out(connection, audience, ":person")
                    found = connection.execute(text(f"SELECT {made}"), {**values, "person": person}).scalar()
                    assert bool(found) is out, (campaign, person, place)


def test_every_shipped_segment_and_every_example_is_taken(store: Store) -> None:
    """The contract between the language and the store."""
    rules = [segment.rule for segment in Bundle.read(FOLDER).plan.segments or ()]
    rules += [example for fact in FACTS.values() for example in fact.example]
    assert len(rules) > 25
    trees = [*(parse(rule).tree for rule in rules), *WORDS.values()]
    with store.read() as connection:
        for tree in trees:
            check_segment(tree)
            try:
                assert segments.count(connection, Audience(CAMPAIGN, tree, NOW, ZONE, 500)) == 0
            except NotRunning as refused:
                assert refused.fact == "applied"
                assert "applications" not in running()


def test_what_this_version_runs_can_be_asked_for(store: Store) -> None:
    """What `plan check` lets pass, a push must be able to open."""
    with store.read() as connection:
        for what, clause in TOOK_CLAUSES.items():
            if not clause or clause in running():
                segments.count(connection, Audience(CAMPAIGN, ["took", what], NOW, ZONE))
        with pytest.raises(NotRunning):
            segments.count(connection, Audience(CAMPAIGN, ["not", ["took", "lottery"]], NOW, ZONE))


@pytest.mark.parametrize(
    "tree",
    [
        *(
            [],
            None,
            "guest",
            ["nobody"],
            ["guest", 1],
            ["and", ["guest"]],
            ["not"],
            ["not", ["guest"], ["guest"]],
            [["guest"]],
        ),
        *(
            ["points", ">=", True],
            ["points", ">=", -1],
            ["points", "LIKE", 1],
            ["points", ">=", 2**70],
            ["points", ">="],
        ),
        *(["joined", ">=", "2026-13-01"], ["joined", "within", 0], ["joined", ">=", 5], ["inactive", "30"]),
        *(
            ["channel", "=", ""],
            ["channel", "!=", "web"],
            ["placement", "=", "a\0b"],
            ["took"],
            ["took", "quiz", "a", "b"],
        ),
        ["and", *[["guest"]] * 600],
    ],
)
def test_what_is_no_segment(store: Store, tree: Any) -> None:
    with pytest.raises(ValueError, match=r"^segment"):
        check_segment(tree)
    with store.read() as connection, pytest.raises(ValueError, match=r"^segment"):
        segments.count(connection, Audience(CAMPAIGN, tree, NOW, ZONE))


def test_a_tree_without_end_is_refused() -> None:
    tree: list[Any] = ["guest"]
    for _ in range(100_000):
        tree = ["not", tree]
    with pytest.raises(ValueError, match="levels"):
        check_segment(tree)


def test_values_are_bound(store: Store) -> None:
    name = "x' OR 1=1 --"
    for fact in ("channel", "language", "placement", "branch"):
        with store.read() as connection:
            assert segments.count(connection, Audience("c'", [fact, "=", name], NOW, ZONE, 100)) == 0


def test_a_day_begins_where_the_campaign_is(store: Store) -> None:
    """Where the clock skips midnight the day begins when it goes on; where it is turned back, at its first midnight."""
    for zone, day, start in (
        ("Asia/Shanghai", "2026-11-01", datetime(2026, 10, 31, 16, tzinfo=UTC)),
        ("America/Santiago", "2026-09-06", datetime(2026, 9, 6, 4, tzinfo=UTC)),
        ("America/Havana", "2026-11-01", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ):
        with store.read() as connection:
            query = Query(connection, Audience(CAMPAIGN, ["everyone"], NOW, ZoneInfo(zone)))
            assert query._start(date.fromisoformat(day)) == micros(start), zone
