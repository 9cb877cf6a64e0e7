"""The first words to a newcomer, the menu, and help: what one can do here, as choices that work by tap or number."""

from __future__ import annotations

from campaigns import consent, referral, words
from campaigns.turn import Turn
from content.message import Picture
from content.pushes import SCENE

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
_NOT_BY_LINK = frozenset({"consent", "privacy", "joining"})
# What help explains, of what the plan has, in this order.
EXPLAINED = (
    *("checkin", "points", "quiz", "survey", "apply", "poster"),
    *("human", "language", "privacy", "connect", "leave"),
)
FIRST = ("checkin", "points", "apply", "poster", "human", "help")


def answer(turn: Turn, command: str) -> None:
    """Show the menu, or explain all words."""
    if command == "help":
        explained = (turn.phrase(f"help.{one}") for one in EXPLAINED if turn.library.offers(one))
        text = "\n".join((turn.phrase("help.all"), *explained))
        turn.say_text(text, *FIRST[:4], "language", "leave", "privacy", "connect")
    else:
        turn.say("menu.all", *FIRST)


def welcome(turn: Turn) -> None:
    """Greet someone who opened the chat or began to follow, and say how to stop messages before any is sent.

    Following an account is agreeing to its messages, as the welcome itself says; a guest of our page agrees apart.
    Who is here already and begins once more, as some platforms let them, gets the menu or is asked to come back.
    A follow that was only found out later is recorded in silence: a greeting a day late would be a riddle.
    """
    heard = turn.heard
    if heard.kind == "follow" and not turn.follows_already:
        turn.note("followed", channel=heard.channel, returned=not turn.is_new)
    scene = str(heard.data.get("scene", ""))
    if scene and not scene.startswith(SCENE):
        referral.touched(turn)
    brought = referral.arrived(turn)
    left, found_later = consent.has_left(turn), heard.data.get("by") == "reconcile"
    if _greeted(turn, left) and not found_later:
        if brought:  # the code is all that is new
            turn.say_text(brought, *(("return",) if left else ()), "poster", "menu")
            return
        if said_by(scene):
            return  # what the link says is answered, and no more
        if heard.kind == "follow" and (not scene or scene.startswith(SCENE)):
            consent.answer(turn, "start")
            return
    about = "welcome.guest" if turn.is_guest else "welcome.left" if left else "welcome.consent"
    if about == "welcome.consent" and not turn.consents:
        turn.set_consent(True, about)
    if found_later:
        return
    parts = (turn.library.fill(turn.plan.welcome.text[turn.language], turn.language), brought, turn.phrase(about))
    text = "\n\n".join(part for part in parts if part)
    first = ("return",) if left else ()
    turn.say_text(text, *first, *FIRST, *(("connect",) if turn.is_guest else ()), picture=picture(turn))


def picture(turn: Turn) -> Picture | None:
    """The picture of the welcome, if the plan has one."""
    name = turn.plan.welcome.picture
    return Picture(name, turn.plan.title[turn.language]) if name else None


def said_by(scene: str) -> tuple[str, str] | None:
    """The mechanic and command that a link says as if it had been typed: a button below a post in a channel.

    None by which somebody else's link could take a person's consent, data or accounts.
    """
    if not scene.startswith(SCENE):
        return None
    named = scene.removeprefix(SCENE)
    return next((one for one in words().values() if one[1] == named and one[0] not in _NOT_BY_LINK), None)


def _greeted(turn: Turn, left: bool) -> bool:
    """Whether the person is here already and has been greeted."""
    return turn.follows_already and not turn.is_guest and (turn.consents or left)
