"""Bringing friends: who counts as a newcomer by whose code, what both are told, and the list of those one brought.

A referral begins here as pending; what makes it count, and its reward, come with the sign-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from campaigns.naming import FIELD
from campaigns.refusals import NotRunning
from campaigns.turn import Turn
from storage import referrals

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
    if not turn.plan.on("referral"):
        raise NotRunning("menu", "human", what=turn.phrase("choice.invites"))
    if turn.is_guest:
        turn.say("referral.guest", "connect", "menu")
        return
    page = turn.recall("invites").get("page", 0) + 1 if command == "more_invites" else 0
    friends, counts = turn.friends(page * _PAGE, _PAGE + 1)
    if not friends and page:
        page = 0
        friends, counts = turn.friends(0, _PAGE + 1)
    if turn.recall("invites").get("page", 0) != page:
        turn.remember("invites", {"page": page})
    if not friends:
        turn.say("referral.nobody", "poster", "menu", code=turn.code)
        return
    lines = [
        turn.phrase(
            "referral.line",
            number=page * _PAGE + place,
            friend=_friend(turn, friend.profile),
            day=turn.local_date(friend.at),
            state=turn.phrase(f"referral.state.{_SHOWN[friend.state]}"),
        )
        for place, friend in enumerate(friends[:_PAGE], 1)
    ]
    told: dict[str, Any] = dict.fromkeys(_SHOWN.values(), 0)
    for state, count in counts.items():
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
    scene = str(turn.heard.data.get("scene", ""))
    if not scene.startswith("r_") or not turn.plan.on("referral"):
        return ""
    if not turn.referral_code:
        return turn.phrase("referral.unknown", code=scene[2:])
    return _told(turn, _judge(turn, newcomer=turn.is_new or (turn.is_guest and _recent(turn))))


def touched(turn: Turn) -> None:
    """Record by whose code, or by which of the plan's placements, somebody came or typed; nothing else they sent."""
    heard = turn.heard
    scene = str(heard.data.get("scene", ""))
    owner = turn.owner(turn.referral_code)
    about: dict[str, int | str] = {"by": heard.kind if scene else "typed", "channel": heard.channel}
    if owner:
        about["referrer"] = owner.id
    elif scene.startswith("p_"):
        spots = turn.plan.offline.spots if turn.plan.offline else ()
        spot = next((spot for spot in spots if spot.id == scene[2:]), None)
        about["placement"] = spot.id if spot else "unknown"
        if spot and spot.branch and turn.is_new:
            turn.belong_to(spot.branch)
    else:
        about["code"] = "unknown"  # whatever a stranger puts into a link is not kept for ever
    turn.note("touched", **about)


def heard(turn: Turn) -> bool:
    """Take a code that was typed; False when none was, or when it is but a word that looks like one."""
    if turn.heard.kind not in ("text", "voice"):
        return False
    code = turn.referral_code
    meant = "" if code and turn.owner(code) else referrals.announced(turn.heard.text)
    if not (code or meant) or not turn.plan.on("referral"):
        return False
    if not turn.owner(code):
        return bool(meant) and _unknown(turn, meant)
    touched(turn)
    outcome = _judge(turn, newcomer=_recent(turn))
    turn.say_text(_told(turn, outcome), *(("connect", "menu") if outcome == "remembered" else ("poster", "menu")))
    return True


def mistaken(turn: Turn) -> bool:
    """What nobody else understood may be a code with a slip in it: say what to check."""
    code = referrals.resembling(turn.heard.text)
    return bool(code) and turn.plan.on("referral") and _unknown(turn, code)


def on_timer(turn: Turn, kind: str) -> None:
    """Tell a referrer that a friend came; count the touch of a guest who has become known."""
    if kind == "referral_pending":
        total = sum(turn.friends(0, 1)[1].values())
        turn.notify("friend_came", "referral.came", "invites", "poster", total=total)
    elif _judge(turn, newcomer=True) == "counted":
        turn.say_text(_told(turn, "counted"), "menu")


def unite(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    """Only the older person's first touch was a first contact; where one was known already, a code is no newcomer's."""
    return older


def become_known(turn: Turn) -> None:
    """A guest who came by a friend's code is known now: their touch is judged in a turn of its own, right after."""
    code = turn.recall("referral").get("code")
    if code:
        turn.remember("referral", {})
        turn.later("referral_touch", "referral_touch", turn.now, scene=f"r_{code}")


def typed_within(turn: Turn) -> timedelta:
    """For how long after the first contact somebody is still new enough to be referred."""
    return (turn.plan.referral and turn.plan.referral.typed_within) or timedelta()


def _recent(turn: Turn) -> bool:
    """Whether the person came so shortly ago that a code may still be typed."""
    known = turn.now - turn.since
    return known <= typed_within(turn) or known <= typed_within(turn) + turn.stopped_since(turn.since)


def _judge(turn: Turn, *, newcomer: bool) -> str:
    """What comes of the code at hand: `counted`, `remembered` until a guest is known, or why it does not count."""
    owner = turn.owner(turn.referral_code)
    if owner is None:
        return "unknown"
    if owner.id == turn.person:
        return "own"
    if owner.blocked or (owner.tester_since is not None and not turn.is_test):
        return "not_usable"
    if turn.is_test and owner.tester_since is None:
        return "testers_only"
    if owner.guest:
        return "not_yet"
    if not turn.in_window:
        return "closed"
    if turn.was_brought:
        return "brought"
    if turn.closes_ring(owner):
        return "ring"
    if not newcomer:
        return "known_recently" if _recent(turn) else "known"
    if turn.is_guest:
        if not turn.recall("referral"):
            turn.remember("referral", {"code": owner.code})
        return "remembered"
    turn.brought_by(owner)
    return "counted"


def _told(turn: Turn, outcome: str) -> str:
    owner = turn.owner(turn.referral_code)
    friend = _friend(turn, owner.profile if owner else {})
    return turn.phrase(f"referral.{outcome}", code=turn.referral_code, friend=friend, days=typed_within(turn).days)


def _unknown(turn: Turn, code: str) -> bool:
    touched(turn)
    turn.say("referral.unknown", "human", "menu", code=code)
    return True


def _friend(turn: Turn, profile: Mapping[str, Any]) -> str:
    """A friend as another person may see them: of the name they chose for their poster the first letter, or none."""
    name = str(profile.get(FIELD) or "")
    return turn.phrase("referral.friend_named", name=f"{name[0]}**") if name else turn.phrase("referral.friend")
