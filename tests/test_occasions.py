"""When pushes fall due: wall times and cron lines against an oracle that walks through every second of a transition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content.occasions import BadSchedule, following, parse_cron, recurs, weekly

# Lord Howe turns by half an hour, Chatham at a quarter to three, Cairo at midnight, Gaza around Ramadan, Casablanca
# against everybody else, Shanghai never; Apia, Kathmandu and Honolulu are far from Greenwich or odd.
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "Africa/Cairo", "Pacific/Chatham"),
    *("Africa/Casablanca", "America/Santiago", "Asia/Gaza", "Europe/Dublin", "Asia/Kathmandu", "Atlantic/Azores"),
)
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
SHIPPED = ZoneInfo("Asia/Shanghai")


@cache
def transitions(name: str) -> list[tuple[datetime, timedelta, timedelta]]:
    """Every change of the clocks: the first instant of the new time, and the offsets before and after."""
    zone, found = ZoneInfo(name), []

    def offset(moment: datetime) -> timedelta:
        told = moment.astimezone(zone).utcoffset()
        assert told is not None
        return told

    moment = START
    while moment < END:
        later = moment + timedelta(days=5)  # no zone keeps its summer time, or rests from it, for less
        if offset(moment) != offset(later):
            low, high = moment, later
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append((high, offset(low), offset(high)))
        moment = later
    return found


def first_shown(zone: ZoneInfo, wall: datetime) -> datetime:
    """The oracle: walk forward, at last by seconds, to where the clock first shows this time or has jumped over it."""

    def shown(moment: datetime) -> datetime:
        return moment.astimezone(zone).replace(tzinfo=None)

    moment = wall.replace(tzinfo=UTC) - timedelta(hours=16)
    steps = [timedelta(hours=1), timedelta(minutes=4), timedelta(seconds=15)]
    while (now := shown(moment)) < wall:
        # Big steps only where the clocks run evenly, so that no turn of theirs is stepped over.
        even = (step for step in steps if (later := shown(moment + step)) < wall and later - now == step)
        moment += next(even, timedelta(seconds=1))
    return moment


def rule_sets() -> list[str]:
    """One zone for each way in which the clocks of the world turn in these years."""
    told = {tuple(transitions(name)): name for name in sorted(available_timezones(), reverse=True)}
    return sorted(told.values())


def at(zone: ZoneInfo, wall: datetime) -> datetime | None:
    return following({"at": wall.isoformat()}, zone, START - timedelta(days=400))


def test_around_every_change_of_the_clocks_anywhere() -> None:
    names = rule_sets()
    assert len(names) > 30
    for name in {*names, *ZONES}:
        assert bool(transitions(name)) or name not in ZONES or name in ("Asia/Shanghai", "Asia/Kathmandu")
    for name in names:
        zone = ZoneInfo(name)
        for instant, before, after in transitions(name):
            walls = {(instant + side).replace(tzinfo=None) for side in (before, after)}
            for wall in walls:
                for seconds in (-3601, -1, 0, 899, 1800, 3600):
                    asked = wall + timedelta(seconds=seconds)
                    assert at(zone, asked) == first_shown(zone, asked), (name, asked)


@pytest.mark.parametrize("name", ZONES)
def test_what_comes_each_day_comes_once_a_day(name: str) -> None:
    """Times of the night, when clocks turn: once a local day, gaps and folds alike, never backwards."""
    zone = ZoneInfo(name)
    for instant, before, _ in transitions(name)[:2] + transitions(name)[-2:]:  # every single one is tried above
        middle = (instant + before).date()
        for hour, minute in ((23, 30), (0, 0), (0, 30), (1, 45), (2, 0), (2, 30), (3, 0)):
            line, moment = {"cron": f"{minute} {hour} * * *"}, instant - timedelta(days=2)
            fired = []
            for _ in range(4):
                next_one = following(line, zone, moment)
                assert next_one
                assert next_one > moment
                fired.append(next_one)
                moment = next_one
            days = [middle + timedelta(days=place) for place in range(-3, 4)]
            wanted = sorted(first_shown(zone, datetime.combine(day, time(hour, minute))) for day in days)
            assert fired == [one for one in wanted if one > instant - timedelta(days=2)][:4], (name, instant, line)


def test_every_quarter_of_an_hour_over_a_gap_and_a_fold() -> None:
    """Twenty-four hours of the day, each time of the wall once: those in the gap fall together right after it."""
    berlin = ZoneInfo("Europe/Berlin")
    for day, ends in ((date(2026, 3, 29), "2026-03-29T03:00:00+02:00"), (date(2026, 10, 25), None)):
        moment, fired = datetime.combine(day, time(0), berlin).astimezone(UTC) - timedelta(seconds=1), []
        while True:
            next_one = following({"cron": "*/15 * * * *"}, berlin, moment)
            assert next_one
            if next_one.astimezone(berlin).date() != day:
                break
            fired.append(next_one)
            moment = next_one
        assert len(set(fired)) == len(fired) == (92 if ends else 96)
        if ends:
            assert datetime.fromisoformat(ends).astimezone(UTC) in fired
        walls = [one.astimezone(berlin).replace(tzinfo=None) for one in fired]
        assert len(set(walls)) == len(walls)


# ---- cron lines


def _part(lowest: int, highest: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """One field as people write it, with the numbers it means."""
    number = st.integers(lowest, highest)
    step = st.integers(1, highest)

    def ranged(low: int, high: int, by: int | None) -> tuple[str, frozenset[int]]:
        low, high = sorted((low, high))
        return f"{low}-{high}" + (f"/{by}" if by else ""), frozenset(range(low, high + 1, by or 1))

    item = st.one_of(
        number.map(lambda n: (str(n), frozenset({n}))),
        st.just(("*", frozenset(range(lowest, highest + 1)))),
        step.map(lambda by: (f"*/{by}", frozenset(range(lowest, highest + 1, by)))),
        st.builds(lambda n, by: (f"{n}/{by}", frozenset(range(n, highest + 1, by))), number, step),
        st.builds(ranged, number, number, st.none() | step),
    )
    return st.lists(item, min_size=1, max_size=3).map(
        lambda items: (",".join(word for word, _ in items), frozenset().union(*(meant for _, meant in items)))
    )


lines = st.tuples(_part(0, 59), _part(0, 23), _part(1, 31), _part(1, 12), _part(0, 7))


@given(lines)
def test_a_line_means_what_its_fields_say(parts: tuple[tuple[str, frozenset[int]], ...]) -> None:
    *others, (_, weekdays) = parts
    meant = (*(numbers for _, numbers in others), frozenset(number % 7 for number in weekdays))
    assert parse_cron(" ".join(word for word, _ in parts)) == meant


def _minutes(zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    """Every wall minute after `moment`, each once."""
    wall = moment.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    while True:
        yield wall
        wall += timedelta(minutes=1)


@settings(max_examples=60, deadline=None)
@given(
    lines,
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 1)),
)
def test_the_next_time_is_the_first_that_matches(
    parts: tuple[tuple[str, frozenset[int]], ...], name: str, when: datetime
) -> None:
    """Against a clock that looks at every minute of three days, for lines that are due in that time."""
    zone, moment = ZoneInfo(name), when.replace(tzinfo=UTC)
    (minutes, hours, days, months, weekdays) = (numbers for _, numbers in parts)
    line = {"cron": " ".join(word for word, _ in parts)}
    found = following(line, zone, moment)
    for wall, _ in zip(_minutes(zone, moment), range(3 * 24 * 60), strict=False):
        on_day, on_weekday = wall.day in days, wall.isoweekday() % 7 in {number % 7 for number in weekdays}
        narrowed = len(days) < 31 and len({number % 7 for number in weekdays}) < 7
        right_day = on_day or on_weekday if narrowed else on_day and on_weekday
        if wall.minute in minutes and wall.hour in hours and wall.month in months and right_day:
            due = first_shown(zone, wall) if name != "Asia/Shanghai" else wall.replace(tzinfo=zone).astimezone(UTC)
            if due > moment:
                assert found == due
                return
    assert found is None or found >= moment + timedelta(days=2, hours=22)


@given(lines, st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 1)))
@settings(max_examples=100, deadline=None)
def test_times_only_go_forward(parts: tuple[tuple[str, frozenset[int]], ...], when: datetime) -> None:
    line, zone = {"cron": " ".join(word for word, _ in parts)}, ZoneInfo("Australia/Lord_Howe")
    moment = when.replace(tzinfo=UTC)
    for _ in range(5):
        found = following(line, zone, moment)
        if found is None:  # such as 31 February
            return
        assert found > moment
        assert found.utcoffset() == timedelta()
        moment = found


@pytest.mark.parametrize(
    "line",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *"),
        *("* * * * 8", "5-3 * * * *", "*/0 * * * *", "1,, * * * *", "-1 * * * *", "a * * * *", "* * * * sunday"),
        *("１ * * * *", "² * * * *", "0 0 * * sat-mon", "1-2-3 * * * *", "*-5 * * * *"),
    ],
)
def test_what_nobody_can_read_is_refused_in_words(line: str) -> None:
    with pytest.raises(BadSchedule) as bad:
        following({"cron": line}, SHIPPED, START)
    assert bad.value.zh
    assert bad.value.en


@pytest.mark.parametrize("written", ["", "soon", "2026-13-01T00:00", "2026-11-25T19:00+08:00", "2026-11-25T19:00Z"])
def test_a_wall_time_has_no_zone(written: str) -> None:
    with pytest.raises(BadSchedule):
        following({"at": written}, SHIPPED, START)


def test_names_of_days_and_rare_dates() -> None:
    friday = datetime(2026, 11, 27, 11, 30, tzinfo=UTC)
    assert weekly("fri", time(19, 30)) == "30 19 * * fri"
    for line in ("30 19 * * fri", "30 19 * * 5", "30 19 * * FRI", "30 19 * * thu-fri"):
        assert following({"cron": line}, SHIPPED, friday - timedelta(hours=1)) == friday
    for line in ("0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * sat-sun"):
        sunday = following({"cron": line}, ZoneInfo("UTC"), datetime(2026, 11, 28, tzinfo=UTC))
        assert sunday == datetime(2026, 11, 29, tzinfo=UTC)
    leap = following({"cron": "0 0 29 2 *"}, ZoneInfo("UTC"), datetime(2096, 3, 1, tzinfo=UTC))
    assert leap == datetime(2104, 2, 29, tzinfo=UTC)
    assert following({"cron": "0 0 31 2 *"}, SHIPPED, START) is None
    assert following({"at": "2026-11-27T19:30"}, SHIPPED, friday) is None
    assert recurs({"cron": "0 0 * * *"})
    assert not recurs({"at": "2026-11-27T19:30"})
