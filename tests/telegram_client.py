"""The played Bot API as pyTelegramBotAPI sees it: a world that stands still until moved, and short ways to ask it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import telebot
from telebot import apihelper, types
from telebot.apihelper import ApiTelegramException

from bot.played.telegram import PlayedTelegram
from tests.wechat_house import Clock

KEYS = types.InlineKeyboardMarkup().row(
    types.InlineKeyboardButton("签到", callback_data="checkin"),
    types.InlineKeyboardButton("网页", url="https://example.org/"),
)


class Machine:
    """Machine time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def telebot_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    """A world that the library talks to; for a fixture."""
    with PlayedTelegram(clock=Clock(), machine=Machine(), hurry=100) as played:
        monkeypatch.setattr(apihelper, "API_URL", played.url + "/bot{0}/{1}")
        monkeypatch.setattr(apihelper, "LONG_POLLING_TIMEOUT", 0)
        monkeypatch.setattr(apihelper, "FILE_URL", played.url + "/file/bot{0}/{1}")
        yield played


def png(width: int = 750, height: int = 1334, size: int = 100) -> bytes:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return head + bytes(size - len(head))


def ask(world: PlayedTelegram, method: str, token: str = "", **args: Any) -> dict[str, Any]:
    """The raw JSON answer of one call with a JSON body."""
    answer: dict[str, Any] = httpx.post(f"{world.url}/bot{token or world.token}/{method}", json=args).json()
    return answer


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    """Code and description with which a call is refused; (200, "") when it is not."""
    try:
        call(*arguments, **named)
    except ApiTelegramException as refused:
        return refused.error_code, refused.description
    return 200, ""


def updates(bot: telebot.TeleBot, offset: int | None = None, seconds: int = 0, **how: Any) -> list[types.Update]:
    """What a poll gets; the library's own default waits."""
    return list(bot.get_updates(offset, timeout=20, long_polling_timeout=seconds, **how))


def started(world: PlayedTelegram, **how: Any) -> Any:
    """Somebody who started the bot, which has heard of it."""
    person = world.person(**how)
    person.start()
    world.courier.clear()
    return person
