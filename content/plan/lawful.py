"""What the law and the platforms forbid in a campaign, each finding with the rule it rests on.

Rules about conduct look at the plan's clauses; rules about wording look at every sentence, whoever wrote it. It judges
only what software can see, and says nothing about what it cannot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from content.faults import Said
from content.plan.outreach import WEEKDAYS
from content.plan.reading import Finding, Path

SHARING_RULE = (
    "《微信外部链接内容管理规范》2.1.2：不得以利益诱导分享（话费、流量、积分、抽奖机会都算）",
    "WeChat external link rules 2.1.2: no benefit for sharing, be it credit, data, points or draw chances",
)
FOLLOWING_RULE = (
    "微信公众平台 2014-12、2016-01 公告：不得以奖励诱导关注，违者封号",
    "WeChat notices of 2014-12 and 2016-01: no reward for following; accounts are banned for it",
)
HELP_RULE = (
    "《微信外部链接内容管理规范》2.1.2：禁止好友助力、砍价、集赞等任务",
    "WeChat external link rules 2.1.2: no friend assistance, bargaining or collecting likes",
)
LEVELS_RULE = (
    "微信 2015-02、2016-09-12 公告：禁止按下线计酬的多级分销；只许一级推荐",
    "WeChat notices of 2015-02 and 2016-09-12: no pay by downline; one referral level only",
)
TEMPLATE_RULE = (
    "微信模板消息规则：只用于重要服务通知，不得营销（2016 公告点名红包、优惠券）",
    "WeChat template messages are for important service notices; marketing is not supported",
)
MASS_RULE = (
    "微信群发规则：服务号每个用户每月最多 4 条",
    "WeChat mass send: a follower gets at most 4 a month from a service account",
)

BENEFIT = "送|领|赚|得|奖|抽|赢|享"
GAIN_EN = r"(?:win|earn|gets?|receive|rewards?|points|credit|draws?|chances?)"
WITHIN = r"[^，。；！？,.;!?\n]"  # one clause of a sentence


def _for(act_zh: str, act_en: str) -> re.Pattern[str]:
    """An act and a benefit in one clause, in either order in English."""
    chinese = rf"(?:{act_zh}){WITHIN}{{0,12}}?(?:{BENEFIT})"
    english = rf"\b(?:{act_en})\b{WITHIN}{{0,40}}?\b{GAIN_EN}\b|\b{GAIN_EN}\b{WITHIN}{{0,20}}?\bfor (?:{act_en})\b"
    return re.compile(f"{chinese}|{english}", re.IGNORECASE)


HELPING = re.compile(r"好友助力|助力(?:解锁|领|得|抽|免)|帮我助力|集赞|集卡|砍价|砍一刀|帮我砍|加速领")
SHARING = _for("分享|转发", "shar(?:e|ing)|forward(?:ing)?")
FOLLOWING = _for("(?<!取消)关注", "follow(?:ing)?")
DENIAL = re.compile(r"不|没有|无需|并非|\bno\b|\bnot\b|\bnever\b|n't\b|\bnothing\b|\bneither\b", re.IGNORECASE)
FRAGMENT = re.compile(WITHIN + "+")
WORDING = ((HELPING, HELP_RULE), (SHARING, SHARING_RULE), (FOLLOWING, FOLLOWING_RULE))


def wording(data: Any, path: Path = ()) -> Iterator[Finding]:
    """Sentences that promise a benefit for sharing or following, or ask friends to help; denials are let pass."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from wording(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from wording(value, (*path, index))
    elif isinstance(data, str):
        for fragment in FRAGMENT.findall(data):
            for pattern, rule in WORDING:
                found = pattern.search(fragment)
                if found and not DENIAL.search(fragment[: found.end()]):
                    said = Said(
                        f"微信不允许的说法：「{found[0]}」", f"wording that WeChat forbids: “{found[0]}”", *rule
                    )
                    yield path, "fault", said


def conduct(parts: Mapping[str, Any]) -> Iterator[Finding]:
    """Rewards and levels that WeChat forbids, for a plan that runs there."""
    if "wechat" not in (parts.get("channels") or ("wechat",)):
        return
    social, referral = parts.get("social"), parts.get("referral")
    for index, chance in enumerate(social.lottery.chances if social and social.lottery else ()):
        path: Path = ("social", "lottery", "chances", index, "why")
        if chance.why == "share":
            yield path, "fault", Said("不能因分享给抽奖机会", "no draws for sharing", *SHARING_RULE)
        if chance.why == "follow":
            yield path, "fault", Said("不能因关注给抽奖机会", "no draws for following", *FOLLOWING_RULE)
    if referral and referral.counts_when == "share":
        yield ("referral", "counts_when"), "fault", Said("不能因分享给奖励", "no reward for sharing", *SHARING_RULE)
    if referral and referral.counts_when == "follow":
        yield ("referral", "counts_when"), "fault", Said("不能因关注给奖励", "no reward for following", *FOLLOWING_RULE)
    if referral and referral.levels not in (None, 1):
        yield ("referral", "levels"), "fault", Said("推荐只能有一级", "one referral level only", *LEVELS_RULE)
    for index, push in enumerate((social.pushes if social else None) or ()):
        if push.way == "template" and push.about == "campaign":
            path = ("social", "pushes", index, "way")
            yield path, "fault", Said("模板消息不能做营销", "a template message used for marketing", *TEMPLATE_RULE)


def mass_sends(parts: Mapping[str, Any]) -> Iterator[Finding]:
    """No month of the window holds more than four WeChat mass sends; named at the push that makes the fifth."""
    window, zone, social = parts.get("window"), parts.get("zone"), parts.get("social")
    if not (window and zone and social) or "wechat" not in (parts.get("channels") or ()):
        return
    first, last = (instant.astimezone(zone).date() for instant in (window.start, window.end))
    months: Counter[tuple[int, int]] = Counter()
    for index, push in enumerate(social.pushes or ()):
        if push.way != "mass":
            continue
        for day in _days(push, first, last):
            months[day.year, day.month] += 1
            if months[day.year, day.month] == 5:
                said = Said(f"{day:%Y-%m} 群发超过 4 条", f"more than 4 mass sends in {day:%Y-%m}", *MASS_RULE)
                yield ("social", "pushes", index), "fault", said
                break


def _days(push: Any, first: date, last: date) -> Iterator[date]:
    if isinstance(push.at, datetime):
        yield push.at.date()
        return
    day = first + timedelta((WEEKDAYS.index(push.weekday) - first.weekday()) % 7)
    while day < last:
        yield day
        day += timedelta(7)
