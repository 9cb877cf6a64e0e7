"""A person to talk to, how to apply, and the words for what the plan promises but this version does not run yet."""

from __future__ import annotations

from campaigns.refusals import NotRunning
from campaigns.turn import Turn
from content.message import Picture

CLAUSES = ("response",)
WORDS = {
    "human": ("人工", "转人工", "客服", "人工客服", "human", "agent", "support"),
    "apply": ("办理", "怎么办理", "申请", "apply", "sign up"),
    "poster": ("海报", "活动海报", "poster"),
    "draw": ("抽奖", "draw", "lottery"),
    "redeem": ("兑换", "积分兑换", "redeem"),
    "quiz": ("答题", "quiz"),
}


def answer(turn: Turn, command: str) -> None:
    """Hand over to people, explain applying, show the campaign's poster; refuse what does not run yet."""
    if command == "human":
        hand_over(turn, "asked")
    elif command == "apply":
        applications = turn.plan.applications
        if applications is None:
            raise NotRunning("menu", "human", what=turn.phrase("choice.apply"))
        turn.say_text(applications.text[turn.language], "human", "menu")
    elif command == "poster":
        welcome = turn.plan.welcome
        text = turn.phrase("poster.campaign")
        turn.say_text(
            text,
            "apply",
            "menu",
            picture=Picture(welcome.picture, turn.plan.title[turn.language]),
        )
    else:
        raise NotRunning("menu", "human", what=turn.phrase(f"choice.{command}"))


def hand_over(turn: Turn, reason: str) -> None:
    """Put the conversation before staff (`reason`: asked or not_understood); say when they answer if the plan does."""
    turn.hand_over(reason)
    turn.note("handover", reason=reason)
    hours = turn.plan.response.hours
    if hours:
        turn.say(f"human.{reason}", "menu", within=hours)
    else:
        turn.say(f"human.{reason}_sometime", "menu")
