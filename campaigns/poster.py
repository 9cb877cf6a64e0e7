"""My poster: each person's own, with a QR code that brings friends to them, and a code that can be typed instead.

The message only describes the picture (`drawing`); it is drawn later, outside the transaction. A guest of the web chat
has no referrals yet: they see the campaign's poster and how to get their own.
"""

from __future__ import annotations

from campaigns import menu, naming, notices
from campaigns.turn import Turn
from content.message import Picture

CLAUSES = ()
WORDS = {"poster": ("海报", "我的海报", "专属海报", "活动海报", "poster", "my poster")}


def answer(turn: Turn, command: str) -> None:
    """Give the person's own poster, or the campaign's to whom cannot have one."""
    own = turn.plan.own_poster
    if own is None or turn.is_guest:
        _campaign(turn, own is not None)
        return
    heard = turn.heard
    name = drawing(own.use, turn.language, heard.channel, heard.account, turn.code, naming.mark(turn))
    turn.note("poster", poster=own.use)
    alt = turn.phrase("poster.alt", code=turn.code)
    turn.say("poster.own", "poster_name", "invites", "menu", picture=Picture(name, alt), code=turn.code)
    notices.ask(turn, "friend_came")


def drawing(poster: str, language: str, channel: str, account: str, code: str, mark: str = "") -> str:
    """The name of a person's poster as a picture: it says all that is to be drawn, but what only the store may know.

    `mark` changes with the name they chose for it, and is empty without one.
    """
    name = f"poster:{poster}:{language}:{channel}:{account}:{code}"
    return f"{name}:{mark}" if mark else name


def _campaign(turn: Turn, own_later: bool) -> None:
    text = turn.phrase("poster.campaign")
    if own_later:
        guest = turn.phrase("poster.guest")
        text = f"{text}\n\n{guest}"
    picture = menu.picture(turn)
    if picture is None:
        text = turn.library.fill(turn.plan.welcome.text[turn.language], turn.language)
    turn.say_text(text, "apply", "menu", picture=picture)
