"""When a push goes out: once at a wall time, every week, or by a cron line, as instants of the campaign's zone.

Wall times stay as people wrote them; only the next instant is computed. A time that the clocks skip happens right after
the gap, one that they show twice happens the first time. Knows no push and no database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_FURTHEST_DAYS = 366 * 8 + 3  # 29 February, over a century that has none


class BadSchedule(ValueError):
    """A schedule that cannot be read; `zh` and `en` say what is wrong with it."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


def following(schedule: Mapping[str, Any], zone: tzinfo, after: datetime) -> datetime | None:
    """The first instant (UTC) after `after` at which it is due, or None when there is none any more.

    `schedule` is `{"at": "2026-11-25T19:00:00"}` or `{"cron": "30 19 * * fri"}` (minute, hour, day of the month, month,
    day of the week; lists, ranges and steps as usual). Raises BadSchedule.
    """
    if "at" in schedule:
        moment = _instant(_wall(str(schedule["at"])), zone)
        return moment if moment > after else None
    fields = parse_cron(str(schedule.get("cron", "")))
    day = after.astimezone(zone).date()
    for _ in range(_FURTHEST_DAYS):
        if _matches(fields, day):
            for wall in _times(fields, day):
                moment = _instant(wall, zone)
                if moment > after:
                    return moment
        day += timedelta(days=1)
    return None


def days(schedule: Mapping[str, Any], zone: tzinfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, bool]]:
    """Its first instant of each local day from `start` until before `end`, and whether there are more that day.

    Raises BadSchedule.
    """
    moment = following(schedule, zone, start - timedelta(microseconds=1))
    while moment is not None and moment < end:
        after = following(schedule, zone, moment)
        more = after is not None and after.astimezone(zone).date() == moment.astimezone(zone).date()
        yield moment, more
        if more:
            midnight = datetime.combine(moment.astimezone(zone).date() + timedelta(days=1), time())
            after = following(schedule, zone, _instant(midnight, zone) - timedelta(microseconds=1))
        moment = after


def recurs(schedule: Mapping[str, Any]) -> bool:
    """Whether it may be due more than once."""
    return "at" not in schedule


def weekly(weekday: str, hour: time) -> str:
    """The cron line of every such weekday at this wall time."""
    return f"{hour.minute} {hour.hour} * * {weekday}"


def parse_cron(line: str) -> tuple[frozenset[int], ...]:
    """The five fields as the numbers each allows; the day of the week counts from Sunday = 0. Raises BadSchedule."""
    parts = line.lower().split()
    if len(parts) != len(_FIELDS):
        raise BadSchedule(
            "重复时间要写五项：分 时 日 月 星期，例如 30 19 * * fri",
            "a cron line has five parts: minute hour day month weekday, such as 30 19 * * fri",
        )
    return tuple(_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True))


def _field(part: str, name: str, lowest: int, highest: int) -> frozenset[int]:
    found: set[int] = set()
    for item in part.split(","):
        matched = re.fullmatch(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d{1,3}))?", item, re.ASCII)
        if not matched:
            raise _bad(name, item)
        step = int(matched[4] or 1)
        if matched[1] == "*":
            first, last = lowest, highest
        else:
            first = _number(matched[2], name, item)
            last = _number(matched[3], name, item) if matched[3] else highest if matched[4] else first
        if not lowest <= first <= last <= highest or not step:
            raise _bad(name, item)
        found.update(range(first, last + 1, step))
    return frozenset(number % 7 for number in found) if name == "day of week" else frozenset(found)


def _number(word: str, name: str, item: str) -> int:
    if name == "day of week" and word in _WEEKDAYS:
        return (_WEEKDAYS.index(word) + 1) % 7 or 7 if word == "sun" else _WEEKDAYS.index(word) + 1
    if not word.isdigit() or len(word) > 2:
        raise _bad(name, item)
    return int(word)


def _bad(name: str, item: str) -> BadSchedule:
    return BadSchedule(f"重复时间里看不懂“{item}”（{name}）", f"in the cron line, {item!r} is no {name}")


def _matches(fields: tuple[frozenset[int], ...], day: date) -> bool:
    _, _, days, months, weekdays = fields
    if day.month not in months:
        return False
    on_day, on_weekday = day.day in days, day.isoweekday() % 7 in weekdays
    # As cron does: when both are narrowed, either is enough.
    if len(days) < 31 and len(weekdays) < 7:
        return on_day or on_weekday
    return on_day and on_weekday


def _times(fields: tuple[frozenset[int], ...], day: date) -> Iterator[datetime]:
    for hour in sorted(fields[1]):
        for minute in sorted(fields[0]):
            yield datetime.combine(day, time(hour, minute))


def _wall(written: str) -> datetime:
    try:
        wall = datetime.fromisoformat(written)
    except ValueError:
        wall = None
    if wall is None or wall.tzinfo:
        raise BadSchedule(
            f"时间“{written}”要写成 2026-11-25T19:00，按活动时区，不带时差",
            f"write the time {written!r} as 2026-11-25T19:00, a wall time of the campaign's zone",
        )
    return wall


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """The instant of a wall time: in a gap the moment right after it, in a fold the first of the two."""
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # In a gap: fold=0 reads it with the offset before, so it lands as far behind the gap as it was inside.
    low, high = moment - timedelta(days=1), moment
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
