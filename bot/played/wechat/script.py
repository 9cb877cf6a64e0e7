"""The ticket by which pages use WeChat's script, as the platform keeps it: one at a time, for 7200 seconds.

Source: "JS-SDK instructions", appendix 1. Unverified: that it is told again while it lives, and how often
it may be asked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bot.played.wechat.calls import RENEWED_BEFORE, Code, Token, error, refusing
from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.platform import PlayedWeChat


def _ticket(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    if request.query.get("type") != "jsapi":
        raise Code(40097)
    now = world.clock()
    if world.ticket is None or now >= world.ticket.until - RENEWED_BEFORE:
        value = "".join(world.dice.choices("abcdefghijABCDEFGHIJ0123456789-_", k=86))
        world.ticket = Token(value, now + timedelta(seconds=world.token_seconds))
    seconds = int((world.ticket.until - now).total_seconds())
    return error(0) | {"ticket": world.ticket.value, "expires_in": seconds}


CALLS = {"ticket/getticket": refusing(_ticket)}
