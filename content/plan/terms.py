"""The kinds of amount a plan is made of: money, sizes, minutes, spans, shares, counts, moments, benefits.

Each kind says how staff write it, what it becomes (fen, megabytes, minutes, timedelta, exact fraction, aware UTC) and
how it is shown again. It knows no clause. Amounts may be left open: `"unset"` reads as None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from content.faults import Said

UNSET = "unset"
CURRENCY = re.compile(r"[A-Z]{3}")
MOST = 10**12  # of any unit; sums of such still fit the ledger
MOST_SECONDS = 36_525 * 86_400
NUMBER = re.compile(r"(?:(?P<sign>[¥￥])\s*)?(?P<number>\d[\d,]*(?:\.\d+)?)\s*(?P<unit>\D*)")


class Table(BaseModel):
    """A table of the plan: every key is known, nothing changes after reading."""

    # Built as one whole at first use: else each table is built by itself, and once more inside each that holds it.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Written:
    """How a kind of amount is written by staff, and shown again."""

    example: str
    show: Callable[[Any], str]


def term(zh: str, en: str, **limits: Any) -> Any:
    """A key that must be there, with its name in both languages."""
    return Field(json_schema_extra={"zh": zh, "en": en}, **limits)


def amount(zh: str, en: str) -> Any:
    """An amount that may be left open; its clause is off until it is filled in."""
    return Field(default=None, json_schema_extra={"zh": zh, "en": en, "amount": True})


def instead(zh: str, en: str) -> Any:
    """A key that may be absent because another can stand in its place."""
    return Field(default=None, json_schema_extra={"zh": zh, "en": en})


def refuse(zh: str, en: str, hint_zh: str = "", hint_en: str = "", below: str = "") -> PydanticCustomError:
    """An error that carries its words in both languages through pydantic; `below` names the key inside the value."""
    return PydanticCustomError("plan", "{en}", {"en": en, "said": Said(zh, en, hint_zh, hint_en), "below": below})


def in_english(example: str) -> str:
    """The example of an amount with its unit in English."""
    return example.replace("元", "yuan").replace("分钟", "minutes")


def _unreadable(value: Any, example: str) -> PydanticCustomError:
    hint_zh, hint_en = f'写成 "{example}"，还没定就写 "unset"', f'write "{in_english(example)}", or "unset"'
    return refuse(f"看不懂 {value!r}", f"cannot read {value!r}", hint_zh, hint_en)


def _quantity(value: Any, units: Mapping[str, Decimal], example: str) -> Decimal:
    found = NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise _unreadable(value, example)
    unit = found["unit"].strip().lower() or {"¥": "元", "￥": "元"}.get(found["sign"] or "", "")
    if unit not in units:
        raise _unreadable(value, example)
    quantity = Decimal(found["number"].replace(",", "")) * units[unit]
    if quantity > MOST:
        raise refuse(f"{value!r} 大得不合理", f"{value!r} is beyond all measure")
    return quantity


def _whole(value: Any, units: Mapping[str, Decimal], example: str, least: str) -> int:
    exact = _quantity(value, units, example)
    if exact != exact.to_integral_value():
        hint_zh, hint_en = f'写成 "{example}"', f'e.g. "{in_english(example)}"'
        raise refuse(f"{value!r} 比 1 {least} 还细", f"{value!r} is finer than one {least}", hint_zh, hint_en)
    return int(exact)


def _open(read: Callable[..., Any]) -> Callable[[Any, ValidationInfo], Any]:
    def reader(value: Any, info: ValidationInfo) -> Any:
        return None if value is None or value == UNSET else read(value, info.context or {})

    return reader


def _fen(value: Any, context: Mapping[str, Any]) -> int:
    currency = str(context.get("currency", "CNY"))
    units = {currency.lower(): Decimal(100)}
    if currency == "CNY":
        units |= {
            "元": Decimal(100),
            "yuan": Decimal(100),
            "分": Decimal(1),
            "fen": Decimal(1),
            "万元": Decimal(1_000_000),
        }
    return _whole(value, units, "30 元" if currency == "CNY" else f"30 {currency}", "fen")


def _megabytes(value: Any, context: Mapping[str, Any]) -> int:
    return _whole(value, {"mb": Decimal(1), "gb": Decimal(1024), "tb": Decimal(1024 * 1024)}, "5 GB", "MB")


def _minutes(value: Any, context: Mapping[str, Any]) -> int:
    units = {word: Decimal(1) for word in ("分钟", "minutes", "minute", "min")}
    return _whole(value, units, "100 分钟", "minute")


SPANS = {
    86400: ("d", "day", "days", "天", "日"),
    3600: ("h", "hour", "hours", "小时"),
    60: ("min", "minute", "minutes", "分钟"),
    1: ("s", "second", "seconds", "秒"),
}


def _span(value: Any, context: Mapping[str, Any]) -> timedelta:
    units = {word: Decimal(seconds) for seconds, words in SPANS.items() for word in words}
    seconds = _whole(value, units, "48h", "second")
    if seconds > MOST_SECONDS:
        raise refuse(f"{value!r} 太长，最多 100 年", f"{value!r} is more than 100 years")
    return timedelta(seconds=seconds)


def _share(value: Any, context: Mapping[str, Any]) -> Decimal:
    share = _quantity(value, {"%": Decimal(1), "％": Decimal(1)}, "20%") / 100
    if share > 10:
        raise refuse(f"{value!r} 超过 1000%", f"{value!r} is more than 1000%")
    return share


def _count(value: Any, context: Mapping[str, Any]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise refuse(f"{value!r} 不是整数", f"{value!r} is not a whole number", "不加引号，写成 200", "no quotes: 200")
    return value


def _moment(value: Any, info: ValidationInfo) -> datetime:
    """A wall time in the campaign's zone as aware UTC; one that the clock skips there is refused."""
    zone = (info.context or {}).get("zone") or ZoneInfo("UTC")
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        zh, en = f"{value!r} 不是日期时间", f"{value!r} is not a date and time"
        raise refuse(zh, en, "写成 2026-11-01T00:00:00，不加引号", "no quotes: 2026-11-01T00:00:00")
    if value.tzinfo:
        return value.astimezone(UTC)
    instant = value.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != value:
        raise refuse(f"{value} 在 {zone.key} 不存在（夏令时）", f"{value} does not exist in {zone.key} (clock change)")
    return instant


def show_span(value: timedelta) -> str:
    """`48h`, `30d`: the largest unit that leaves no rest; 48 hours stay hours as people say them."""
    seconds = int(value.total_seconds())
    for size, words in SPANS.items():
        if seconds % size == 0 and (size != 86400 or seconds > 2 * 86400):
            return f"{seconds // size}{words[0]}"
    return f"{seconds}s"


def show_fen(value: int) -> str:
    """Whole fen as a sum with thousands: `1,200.50`."""
    return f"{value // 100:,}" + (f".{value % 100:02}" if value % 100 else "")


def show_megabytes(value: int) -> str:
    """`500 MB`, `20 GB`."""
    return f"{value // 1024:,} GB" if value and value % 1024 == 0 else f"{value:,} MB"


def show_share(value: Decimal) -> str:
    """An exact fraction as percent: `0.5%`."""
    return f"{(value * 100).normalize():f}%"


def _clock(value: Any) -> time:
    """A wall time of the campaign's zone. A number would be taken for seconds in UTC, which nobody means."""
    if type(value) is not time:
        raise refuse("要写成 09:00:00 这样的时刻，不加引号", "must be a time of day such as 09:00:00, without quotes")
    return value


Clock = Annotated[time, BeforeValidator(_clock)]
Fen = Annotated[int | None, BeforeValidator(_open(_fen)), Written("30 元", show_fen)]
Megabytes = Annotated[int | None, BeforeValidator(_open(_megabytes)), Written("5 GB", show_megabytes)]
Minutes = Annotated[int | None, BeforeValidator(_open(_minutes)), Written("100 分钟", lambda value: f"{value:,} min")]
Span = Annotated[timedelta | None, BeforeValidator(_open(_span)), Written("48h", show_span)]
Share = Annotated[Decimal | None, BeforeValidator(_open(_share)), Written("20%", show_share)]
Count = Annotated[int | None, BeforeValidator(_open(_count)), Written("200", lambda value: f"{value:,}")]
Whole = Annotated[int, BeforeValidator(lambda value: _count(value, {})), Written("200", lambda value: f"{value:,}")]
Moment = Annotated[datetime, BeforeValidator(_moment)]


Id = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


def _all_open(value: Any) -> Any:
    """A benefit nobody has decided yet: left empty, or its only amount unset."""
    if value == UNSET or (isinstance(value, Mapping) and all(inner == UNSET for inner in value.values())):
        return None
    return value


class Gain(Table):
    """What somebody gets: exactly one of credit (fen), points, minutes, data (megabytes) or goods (an article)."""

    credit: Fen = instead("话费", "credit")
    points: Count = instead("积分", "points")
    minutes: Minutes = instead("通话分钟", "minutes")
    data: Megabytes = instead("流量", "data")
    goods: Id | None = instead("实物", "goods")

    @model_validator(mode="after")
    def _one_kind(self) -> Gain:
        if len([name for name in type(self).model_fields if getattr(self, name) is not None]) != 1:
            raise refuse(
                "只能给一样：credit、points、minutes、data、goods 选一",
                "exactly one of credit, points, minutes, data, goods",
                '例如 { points = 500 } 或 { credit = "20 元" }',
                'e.g. { points = 500 } or { credit = "20 yuan" }',
            )
        return self

    @property
    def kind(self) -> str:
        """`credit`, `points`, `minutes`, `data` or `goods`."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def count(self) -> int:
        """How many of the kind's unit (fen, points, minutes, megabytes); 1 for goods."""
        return 1 if self.goods else int(getattr(self, self.kind))


Benefit = Annotated[Gain | None, BeforeValidator(_all_open), Written("{ points = 500 }", lambda gain: "")]
