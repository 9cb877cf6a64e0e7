"""A person to talk to, how to apply, and the words for what the plan promises but this version does not run yet."""

from __future__ import annotations

from campaigns.refusals import NotRunning
from campaigns.turn import Turn

CLAUSES = ("response",)
WORDS = {
    "human": ("人工", "转人工", "客服", "人工客服", "human", "agent", "support"),
    "apply": ("办理", "怎么办理", "申请", "apply", "sign up"),
    "draw": ("抽奖", "draw", "lottery"),
    "redeem": ("兑换", "积分兑换", "redeem"),
}


def answer(turn: Turn, command: str) -> None:
    """Hand over to people, explain applying; refuse what does not run yet."""
    if command == "human":
        hand_over(turn, "asked")
    elif command == "apply":
        applications = turn.plan.applications
        if applications is None:
            raise NotRunning("menu", "human", what=turn.phrase("choice.apply"))
        turn.say_text(applications.text[turn.language], "human", "menu")
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
