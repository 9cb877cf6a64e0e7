"""Daily check-in: points once a local day, and a bonus when a streak reaches a length the plan names."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from campaigns.refusals import AlreadyDone, NotRunning
from campaigns.turn import Turn

CLAUSES = ("checkin",)
WORDS = {"checkin": ("签到", "打卡", "每日签到", "checkin", "check in", "check-in")}
_DAY = timedelta(days=1)


def streak_after(last: str, streak: int, today: str) -> int:
    """The streak's length after checking in `today` (ISO dates) when the last time was `last`, `streak` days long."""
    goes_on = bool(last) and date.fromisoformat(today) - date.fromisoformat(last) == _DAY
    return streak + 1 if goes_on else 1


def unite(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    """What is remembered of two people who are one now: the latest day, and the longest streak that is not broken."""
    last, first = sorted((older, younger), key=lambda kept: kept.get("day", ""), reverse=True)
    if not first or (first["day"] != last["day"] and streak_after(first["day"], 1, last["day"]) == 1):
        return last
    return {**last, "streak": max(last["streak"], first["streak"])}


def answer(turn: Turn, command: str) -> None:
    """Check in. Refused outside the window, a second time on one day, or when the budget is spent."""
    plan = turn.plan.checkin
    if plan is None or not plan.points:
        raise NotRunning("menu", what=turn.phrase("choice.checkin"))
    today, before = turn.today, turn.recall("checkin")
    if before.get("day") == today:
        raise AlreadyDone("checkin.again", "points", "menu", streak=before["streak"])
    streak = streak_after(before.get("day", ""), before.get("streak", 0), today)
    bonus = plan.bonus(streak)
    points = plan.points + bonus
    turn.award(points, f"checkin/{turn.plan.id}/{today}", "checkin_bonus" if bonus else "checkin")
    turn.remember("checkin", {"day": today, "streak": streak})
    turn.note("checkin", streak=streak, points=points)
    key = "checkin.bonus" if bonus else "checkin.done"
    held = turn.is_guest
    total = turn.held() if held else turn.balance()
    key = f"{key}_held" if held else key
    choices = ("points", "menu", "connect") if held else ("points", "menu")
    turn.say(key, *choices, points=points, bonus=bonus, streak=streak, total=total)
