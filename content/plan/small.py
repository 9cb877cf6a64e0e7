"""What a small plan need not say: one that leaves out all the rest, `without = ["*"]`, is completed with sane words.

Only what is absent is filled in, from the title and the organiser's contact; what is written stands, and is checked
like any other plan. It knows no file and judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Any, Final

REST: Final = "*"
_PUSH: Final = {"to": "everyone", "way": "service", "about": "campaign"}  # weekly, a mass send would be a fifth a month
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_small(data: Mapping[str, Any]) -> bool:
    """Whether the plan leaves out everything that it does not write."""
    without = data.get("without")
    return isinstance(without, list) and REST in without


def completed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data of a plan, a small one with all that it may leave unsaid."""
    if not is_small(data):
        return data
    whole = _over(_rest(data), data)
    social = whole.get("social")
    if isinstance(social, Mapping) and isinstance(social.get("pushes"), list):
        pushes = [{**_PUSH, **one} if isinstance(one, Mapping) else one for one in social["pushes"]]
        whole["social"] = {**social, "pushes": pushes}
    return whole


def _over(rest: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` upon `rest`, table by table; anything else that is given stands as it is."""
    both = {name: rest[name] for name in rest if name not in given} | dict(given)
    for name, value in given.items():
        if isinstance(value, Mapping) and isinstance(rest.get(name), Mapping):
            both[name] = _over(rest[name], value)
    return both


def _rest(data: Mapping[str, Any]) -> dict[str, Any]:
    listed = data.get("languages")
    languages = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []

    def say(zh: str, en: str) -> dict[str, str]:
        told = {"zh": zh, "en": en}
        return {language: told[language] for language in languages if language in told}

    organiser = data.get("organiser")
    contact = organiser.get("contact", "") if isinstance(organiser, Mapping) else ""
    reach = _plain(contact)
    currency = data.get("currency", "CNY")
    unit = "元" if currency == "CNY" else str(currency)
    rest = {
        **{"zone": "Asia/Shanghai", "currency": "CNY", "product": data.get("title"), "approvals": False},
        "organiser": {"name": data.get("title")},
        **_terms(say, unit),
        "response": {
            **{"answer_within": "24h", "hours": 48, "hotline": reach, "holidays": []},
            "complaints": say("有意见请直接联系我们。", "If anything is wrong, tell us."),
            "service_hours": say("每天 9:00–21:00", "9:00–21:00 every day"),
            "desk": [{"days": list(_DAYS), "opens": time(9), "closes": time(21)}],
        },
        "leave": {
            "cancel_product": say(f"别的事请直接联系我们：{reach}", f"For anything else, write to us: {reach}"),
        },
        "privacy": {
            **{"contact": contact, "text_days": 180, "parked_days": 730},
            "notice": say(
                "我们只保存您的账号标识、聊天内容和积分记录。说「你知道我什么」可以查看，说「忘记我」可以删除。",
                "We keep your account id, chat and points. Say “what do you know about me” to see them, or “forget me” "
                "to erase them.",
            ),
        },
    }
    return rest | _written(data, say, unit)


def _terms(say: Any, unit: str) -> dict[str, Any]:
    line = {"id": "points", "kind": "offers", "name": say("积分", "Points"), "amount": f"1000 {unit}"}
    return {
        "points": {
            **{"line": "points", "name": say("积分", "points"), "worth": f"0.01 {unit}", "guest_cap": 200},
            **{"expire_after": "365d", "expected": 100_000},
        },
        "welcome": {
            "text": say(
                "您好，这里是{campaign}。每天签到攒积分，有事直接说。",
                "Hello, this is {campaign}. Check in daily for points, and ask whatever you like.",
            )
        },
        "budget": {"warn_at": "80%", "lines": [line]},
    }


def _written(data: Mapping[str, Any], say: Any, unit: str) -> dict[str, Any]:
    """What belongs to clauses that are written: one that is not stays off."""
    rest: dict[str, Any] = {}
    if isinstance(data.get("checkin"), Mapping):
        text = say("每天签到得 {checkin_points} 积分。", "Check in daily for {checkin_points} points.")
        rest["checkin"] = {"streaks": [], "text": text}
    if isinstance(data.get("social"), Mapping):
        quiet = {"quiet_from": time(21), "quiet_until": time(9), "most_a_week": 2}
        rest["social"] = {"line": "points", "cost": f"0 {unit}", **quiet}
    return rest


def _plain(contact: Any) -> str:
    return str(next(iter(contact.values()), "")) if isinstance(contact, Mapping) else str(contact)
