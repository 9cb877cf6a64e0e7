"""Bringing friends: who counts as a newcomer by whose code, what both are told, and the list of those one brought.

A referral begins here as pending; what makes it count, and its reward, come with the sign-up.
"""

from __future__ import annotations

from typing import Any

from campaigns.refusals import NotRunning
from campaigns.turn import Turn

CLAUSES = ("referral",)
WORDS = {
    "invites": ("邀请", "我的邀请", "我邀请的人", "invites", "invite", "my invites"),
    "more_invites": ("更多邀请", "more invites"),
}
TIMERS = ("referral_pending", "referral_touch")
_PAGE = 10
# How a state is told: a friend's own business is shown no finer than this.
_SHOWN = {
    **dict.fromkeys(("pending",), "waiting"),
    **dict.fromkeys(("qualified", "held"), "joined"),
    **dict.fromkeys(("rewarded",), "rewarded"),
    **dict.fromkeys(("rejected", "clawed_back"), "not"),
}


def answer(turn: Turn, command: str) -> None:
    """Show the friends one brought, newest first, a page at a time."""
    if turn.plan.referral is None:
        raise NotRunning("menu", "human", what=turn.phrase("choice.invites"))
    if turn.is_guest:
        turn.say("referral.guest", "connect", "menu")
        return
    page = turn.recall("invites").get("page", 0) + 1 if command == "more_invites" else 0
    friends = turn.friends(page * _PAGE, _PAGE + 1)
    if not friends and page:
        page, friends = 0, turn.friends(0, _PAGE + 1)
    turn.remember("invites", {"page": page})
    if not friends:
        turn.say("referral.nobody", "poster", "menu", code=turn.code)
        return
    lines = [
        turn.phrase(
            "referral.line",
            number=page * _PAGE + place,
            day=turn.local_date(friend.at),
            state=turn.phrase(f"referral.state.{_SHOWN[friend.state]}"),
        )
        for place, friend in enumerate(friends[:_PAGE], 1)
    ]
    told: dict[str, Any] = {name: 0 for name in _SHOWN.values()}
    for state, count in turn.friend_counts().items():
        told[_SHOWN[state]] += count
    more = ("more_invites",) if len(friends) > _PAGE else ()
    turn.say(
        "referral.friends",
        *more,
        "poster",
        "menu",
        in_place=page > 0,
        lines="\n".join(lines),
        total=sum(told.values()),
        code=turn.code,
        **told,
    )


def arrived(turn: Turn) -> str:
    """Judge the code by which somebody came, and say in a sentence what it means for them; empty without a code."""
    if not turn.referral_code or turn.plan.referral is None:
        return ""
    return _told(turn, _judge(turn, newcomer=turn.is_new))


def heard(turn: Turn) -> bool:
    """Take a code that was typed; False when none was, or when it is but a word that looks like one."""
    code = turn.referral_code
    if not code or turn.plan.referral is None:
        return False
    if turn.owner(code) is None and code.isalpha() and turn.heard.text.strip().upper() == code:
        return False
    turn.note("touched", code=code, by="typed", channel=turn.heard.channel)
    within = turn.plan.referral.typed_within
    newcomer = within is not None and turn.now - turn.since <= within
    outcome = _judge(turn, newcomer=newcomer)
    turn.say_text(_told(turn, outcome), *(("connect",) if outcome == "remembered" else ("poster",)), "menu")
    return True


def on_timer(turn: Turn, kind: str) -> None:
    """Tell a referrer that a friend came; count the touch of a guest who has become known."""
    if kind == "referral_pending":
        turn.say("referral.came", "invites", "poster", total=sum(turn.friend_counts().values()))
    elif _judge(turn, newcomer=True) == "counted":
        turn.say("referral.counted", "menu")


def unite(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    """Only the older person's first touch was a first contact; where one was known already, a code is no newcomer's."""
    return older


def become_known(turn: Turn) -> None:
    """A guest who came by a friend's code is known now: their touch is judged in a turn of its own, right after."""
    code = turn.recall("referral").get("code")
    if code:
        turn.remember("referral", {})
        turn.later("referral_touch", "referral_touch", turn.now, scene=f"r_{code}")


def _judge(turn: Turn, *, newcomer: bool) -> str:
    """What comes of the code at hand: `counted`, `remembered` until a guest is known, or why it does not count."""
    owner = turn.owner(turn.referral_code)
    window = turn.plan.window
    if owner is None or owner.guest:
        return "unknown"
    if owner.id == turn.person:
        return "own"
    if not window.start <= turn.now < window.end:
        return "closed"
    if turn.was_brought:
        return "brought"
    if turn.closes_ring(owner):
        return "ring"
    if not newcomer:
        return "known"
    if turn.is_guest:
        if not turn.recall("referral"):
            turn.remember("referral", {"code": owner.code})
        return "remembered"
    turn.brought_by(owner)
    return "counted"


def _told(turn: Turn, outcome: str) -> str:
    within = turn.plan.referral.typed_within if turn.plan.referral else None
    return turn.phrase(f"referral.{outcome}", code=turn.referral_code, days=within.days if within else 0)
