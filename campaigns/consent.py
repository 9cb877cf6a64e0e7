"""Leaving and coming back: campaign messages stop at once, and the answer never lets anybody think that a telecom
service was cancelled."""

from __future__ import annotations

from typing import Any

from campaigns import notices
from campaigns.turn import Turn

CLAUSES = ("leave",)
WORDS = {
    "leave": ("退订", "stop", "unsubscribe", "td", "取消订阅", "退订活动消息"),
    "return": ("恢复接收", "start", "恢复订阅", "subscribe"),
    "start": ("/start",),
}


def has_left(turn: Turn) -> bool:
    """Whether the person said in so many words that they want no campaign messages, which following does not undo."""
    return bool(turn.recall("consent").get("left"))


def unite(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    """What is remembered of two people who are one now: who left in words has left."""
    return {**younger, **older} | ({"left": True} if older.get("left") or younger.get("left") else {})


def answer(turn: Turn, command: str) -> None:
    """Stop campaign messages, take them up again, or, at a bare /start, ask first."""
    if command == "leave":
        # Recorded even when nothing was agreed to: a refusal has a date and a wording as well.
        turn.set_consent(False, "consent.left")
        turn.remember("consent", {"left": True})
        turn.note("left")
        first = turn.phrase(
            "consent.nothing_cancelled",
            how=turn.plan.leave.cancel_product[turn.language],
        )
        turn.say_text(f"{first}\n\n{turn.phrase('consent.left')}", "return", "menu")
    elif command == "return":
        turn.set_consent(True, "consent.returned")
        turn.remember("consent", {})
        turn.note("returned")
        turn.say("consent.returned", "menu", "leave")
        notices.ask(turn, notices.PUSH)
    elif not has_left(turn):
        turn.say("menu.all", "checkin", "points", "help")
    else:
        turn.say("consent.ask", "return", "menu")
