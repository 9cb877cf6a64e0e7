"""The first words to a newcomer, the menu, and help: what one can do here, as choices that work by tap or number."""

from __future__ import annotations

from campaigns import referral
from campaigns.consent import has_left
from campaigns.turn import Turn
from content.message import Picture

CLAUSES = ("welcome", "site", "menu", "window")
WORDS = {
    "menu": ("菜单", "主菜单", "menu", "首页"),
    "help": ("帮助", "help", "?", "怎么用"),
}
# What a platform's own list of commands shows, in this order.
LISTED = (
    *("checkin", "points", "poster", "invites", "draw", "redeem", "apply", "quiz"),
    *("human", "help", "connect", "language", "leave", "return"),
)
FIRST = ("checkin", "points", "apply", "poster", "human", "help")


def answer(turn: Turn, command: str) -> None:
    """Show the menu, or explain all words."""
    if command == "help":
        turn.say("help.all", *FIRST[:4], "language", "leave", "privacy", "connect")
    else:
        turn.say("menu.all", *FIRST)


def welcome(turn: Turn) -> None:
    """Greet someone who opened the chat or began to follow, and say how to stop messages before any is sent.

    Following an account is agreeing to its messages, as the welcome itself says; a guest of our page agrees apart.
    A follow that was only found out later is recorded in silence: a greeting a day late would be a riddle.
    """
    heard = turn.heard
    if heard.kind == "follow":
        turn.note("followed", channel=heard.channel, returned=not turn.is_new)
    if heard.data.get("scene"):
        referral.touched(turn)
    brought = referral.arrived(turn)
    about = "welcome.guest" if turn.is_guest else "welcome.left" if has_left(turn) else "welcome.consent"
    if about == "welcome.consent" and not turn.consents:
        turn.set_consent(True, about)
    if heard.data.get("by") == "reconcile":
        return
    parts = (turn.plan.welcome.text[turn.language], brought, turn.phrase(about))
    text = "\n\n".join(part for part in parts if part)
    picture = Picture(turn.plan.welcome.picture, turn.plan.title[turn.language])
    turn.say_text(text, *FIRST, *(("connect",) if turn.is_guest else ()), picture=picture)
