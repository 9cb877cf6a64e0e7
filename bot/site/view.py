"""A plan as anybody may read it: the campaign page's words in one language, from the clauses that are on.

It shows what the plan says and decides nothing; a clause that is absent or has an amount unset is not shown.
"""

from __future__ import annotations

import re
from calendar import month_name
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from content.plan.model import Plan
from content.plan.terms import Gain, show_fen, show_megabytes

# Chinese and English of what the page adds to the plan's own words.
WORDS = {
    "joining": ("新用户礼遇", "For new households"),
    "referral": ("推荐有礼", "Bring a friend"),
    "redemption": ("积分兑换", "Spend your points"),
    "checkin": ("每日签到", "Check in every day"),
    "entitlements": ("全员权益", "For every member"),
    "free": ("免月费", "Months free of charge"),
    "months": ("{count} 个月", "{count}"),
    "credit": ("话费返还", "Top-up credit"),
    "instalments": ("{sum}，分 {count} 个月到账", "{sum}, in {count} monthly parts"),
    "package": ("{name}，每月 {sum}", "{name}, {sum} a month"),
    "gives": ("送 {gain}", "{gain}"),
    "referrer": ("推荐人", "You get"),
    "referee": ("新用户另得", "Your friend also gets"),
    "gift": ("{price} {points}，共 {stock} 份", "{price} {points}, {stock} in all"),
    "a_day": ("每天", "Every day"),
    "streak": ("连续 {days} 天另加", "{days} days in a row, extra"),
    "video": ("高清视频", "HD video"),
    "cloud": ("家庭云", "Family cloud"),
    "grows": ("{start} 起，最多 {most}", "from {start}, up to {most}"),
    "minutes": ("{count} 分钟通话", "{count} minutes of calls"),
    "data": ("{size} 流量", "{size} of data"),
    "top_up": ("{sum}话费", "{sum} of credit"),
    "hotline": ("客服热线 {number}", "Helpline {number}"),
}
CURRENCIES = {"CNY": ("{sum} 元", "¥{sum}")}
NUMBERING = re.compile(
    r"^\s*(?:(?:\d{1,2}|[一二三四五六七八九十]{1,3})\s*[.、）)．]|[①-⑳]|[（(]\d{1,2}[)）]|[-•·](?=\s))\s*"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer: its name, what it says, its amounts as pairs of what and how much, and things with a sentence each."""

    title: str
    text: str
    rows: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SiteView:
    """Everything the campaign page says about one campaign in `language`."""

    language: str
    languages: tuple[str, ...]
    product: str
    title: str
    summary: str
    window: str
    organiser: str
    contact: str
    hotline: str
    offers: tuple[Offer, ...] = ()
    steps: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    privacy: str = ""


def site_view(plan: Plan, language: str) -> SiteView:
    """The page of `plan` in `language`, one of the plan's own."""
    words = _Words(plan, language)
    site = plan.site if plan.on("site") else None
    steps = plan.applications.text[language] if plan.applications and plan.on("applications") else ""
    return SiteView(
        language=language,
        languages=plan.languages,
        product=plan.product[language],
        title=(site.headline if site else plan.title)[language],
        summary=site.popup[language] if site else "",
        window=_window(plan, language),
        organiser=plan.organiser.name[language],
        contact=plan.organiser.contact[language],
        hotline=words.of("hotline", number=plan.response.hotline),
        offers=tuple(_offers(plan, words)),
        steps=_lines(steps),
        rules=_lines(site.rules[language]) if site else (),
        privacy=plan.privacy.notice[language],
    )


class _Words:
    """The page's own words in one language, with the plan's names and currency at hand."""

    def __init__(self, plan: Plan, language: str) -> None:
        self._plan, self.language = plan, language
        self._place = 0 if language == "zh" else 1
        self.points = plan.points.name[language] if plan.points else ("积分", "points")[self._place]

    def of(self, key: str, **values: object) -> str:
        return WORDS[key][self._place].format(**values)

    def money(self, fen: int | None) -> str:
        code = self._plan.currency
        return CURRENCIES.get(code, (f"{{sum}} {code}",) * 2)[self._place].format(sum=show_fen(fen or 0))

    def gain(self, gain: Gain | None) -> str:
        if gain is None:
            return ""
        if gain.goods:
            gifts = self._plan.redemption.gifts if self._plan.redemption else ()
            named = (gift.name[self.language] for gift in gifts if gift.gives and gift.gives.goods == gain.goods)
            return next(named, gain.goods)
        match gain.kind:
            case "credit":
                return self.of("top_up", sum=self.money(gain.count))
            case "minutes":
                return self.of("minutes", count=f"{gain.count:,}")
            case "data":
                return self.of("data", size=show_megabytes(gain.count))
        return f"{gain.count:,} {self.points}"


def _offers(plan: Plan, words: _Words) -> Iterator[Offer]:
    language = words.language
    if plan.joining and plan.on("joining"):
        joining = plan.joining
        rows = [
            (words.of("free"), words.of("months", count=joining.free_months)),
            (
                words.of("credit"),
                words.of("instalments", sum=words.money(joining.credit), count=joining.instalments),
            ),
        ]
        rows += [
            (
                words.of("package", name=package.name[language], sum=words.money(package.price)),
                words.of("gives", gain=words.gain(package.gift)),
            )
            for package in joining.packages
        ]
        yield Offer(words.of("joining"), joining.text[language], tuple(rows))
    if plan.referral and plan.on("referral"):
        referral = plan.referral
        rows = [(words.of(side), words.gain(getattr(referral, side))) for side in ("referrer", "referee")]
        yield Offer(words.of("referral"), referral.text[language], tuple(rows))
    if plan.redemption and plan.on("redemption"):
        rows = [
            (
                gift.name[language],
                words.of("gift", price=f"{gift.price:,}", points=words.points, stock=f"{gift.stock:,}"),
            )
            for gift in plan.redemption.gifts
        ]
        yield Offer(words.of("redemption"), plan.redemption.text[language], tuple(rows))
    yield from _lasting_offers(plan, words)


def _lasting_offers(plan: Plan, words: _Words) -> Iterator[Offer]:
    """What goes on for the whole campaign: the daily check-in and the members' entitlements."""
    language = words.language
    if plan.checkin and plan.on("checkin"):
        rows = [(words.of("a_day"), f"+{plan.checkin.points} {words.points}")]
        rows += [
            (words.of("streak", days=streak.days), f"+{streak.points} {words.points}")
            for streak in plan.checkin.streaks
        ]
        yield Offer(words.of("checkin"), plan.checkin.text[language], tuple(rows))
    if plan.entitlements and plan.on("entitlements"):
        cloud = plan.entitlements.cloud
        sizes = {"start": show_megabytes(cloud.start or 0), "most": show_megabytes(cloud.most or 0)}
        rows = [(words.of("cloud"), words.of("grows", **sizes))]
        notes = [(words.of("video"), plan.entitlements.hd_video[language])]
        notes += [(partner.name[language], partner.text[language]) for partner in plan.entitlements.partners]
        yield Offer(words.of("entitlements"), "", tuple(rows), tuple(notes))


def _lines(text: str) -> tuple[str, ...]:
    """The lines of a text without the numbers staff wrote before them: the page counts by itself."""
    return tuple(NUMBERING.sub("", line).strip() for line in text.splitlines() if line.strip())


def _window(plan: Plan, language: str) -> str:
    """The first and the last day in the campaign's zone; its end lies outside."""
    first, last = (
        instant.astimezone(plan.zone) for instant in (plan.window.start, plan.window.end - timedelta(seconds=1))
    )
    return f"{show_day(first, language)} – {show_day(last, language)}"


def show_day(day: datetime, language: str) -> str:
    """A day as people write it."""
    if language == "zh":
        return f"{day.year} 年 {day.month} 月 {day.day} 日"
    return f"{day.day} {month_name[day.month]} {day.year}"
