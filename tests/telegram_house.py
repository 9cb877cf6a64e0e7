"""What the Telegram tests share: updates as the platform writes them, an honest small house, a stage for sending."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from PIL import Image
from pydantic import SecretStr

from bot.channels import Outcome, Parcel
from bot.channels.telegram import Telegram
from bot.played.telegram import Person, PlayedTelegram, Received
from bot.settings import TelegramAccount
from bot.telegram.door import Door
from tests.serving import BOT_SECRET
from tests.wechat_house import House as WeChatHouse

URL = "https://koukou.example"
HELLO = {"text": "你好"}
TOKEN = "7012345678:AAHplayed_token-of_a_bot_0123456789ab"
_numbers = itertools.count(500)

PERSON = {"id": 5_000_000_001, "is_bot": False, "first_name": "小明", "language_code": "zh-hans"}
CHAT = {"id": PERSON["id"], "type": "private", "first_name": "小明"}


class House(WeChatHouse):
    """The small house, with what Telegram asks beyond it. `leases` says until when each is whose."""

    public_url = URL

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.leases: dict[str, tuple[str, float]] = {}
        self.me = "this node"
        self.woken = 0

    def commands(self) -> dict[str, list[tuple[str, str]]]:
        return {"zh": [("checkin", "签到"), ("bad word", "x")], "en": [("checkin", "Check in"), ("empty", " ")]}

    async def hold(self, name: str, seconds: float) -> bool:
        await asyncio.sleep(0)
        holder, until = self.leases.get(name, ("", 0.0))
        if holder not in ("", self.me) and until > time.monotonic():
            return False
        self.leases[name] = self.me, time.monotonic() + seconds
        return True


def settings(**changed: Any) -> TelegramAccount:
    """The table `[channels.telegram]` as the channel gets it."""
    table: dict[str, Any] = {
        "enabled": True,
        "token": SecretStr(TOKEN),
        "secret_token": SecretStr(BOT_SECRET),
        "api_url": "http://127.0.0.1:9",
    }
    return TelegramAccount(**(table | changed))


def update(**fields: Any) -> dict[str, Any]:
    """An update with a number of its own."""
    return {"update_id": next(_numbers)} | fields


def message(**fields: Any) -> dict[str, Any]:
    """A message in the person's private chat."""
    return {"message_id": next(_numbers), "from": PERSON, "chat": CHAT, "date": 1_763_000_000} | fields


def written(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode()


async def knock(
    door: Door,
    body: bytes,
    secret: bytes | None = BOT_SECRET.encode(),
    method: str = "POST",
    parts: int = 1,
    headers: dict[bytes, bytes] | None = None,
) -> tuple[int, bytes]:
    """One request to the door in this process. Returns status and body; raises what it raises."""
    lines = [(b"content-length", str(len(body)).encode())] if headers is None else list(headers.items())
    if secret is not None:
        lines.append((b"x-telegram-bot-api-secret-token", secret))
    size = -(-len(body) // parts) or 1
    chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not chunks:
            await asyncio.Event().wait()  # the caller stays
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        said.append(message)

    await door(
        {"type": "http", "method": method, "path": "/telegram", "query_string": b"", "headers": lines}, receive, send
    )
    return said[0]["status"], b"".join(one.get("body", b"") for one in said[1:])


class Stage:
    """The channel, its platform and one person who started the bot."""

    def __init__(self, world: PlayedTelegram) -> None:
        self.world, self.house = world, House(lambda: datetime.now(UTC))
        self.person = self.somebody()

    def somebody(self) -> Person:
        person = self.world.person()
        person.start()
        return person

    def parcel(self, message: dict[str, Any] = HELLO, to: Person | None = None, delivery: int = 7) -> Parcel:
        return Parcel(delivery, str((to or self.person).id), message, self.house.now(), "text", 0)

    def run(self, act: Callable[[Telegram], Awaitable[Any]], **changed: Any) -> Any:
        """Do `act` with a channel opened for it."""

        async def all_of_it() -> Any:
            channel = Telegram("main", settings(**({"api_url": self.world.url} | changed)), self.house)
            try:
                return await act(channel)
            finally:
                await channel.close()

        return asyncio.run(all_of_it())

    def send(self, message: dict[str, Any] = HELLO, **known: Any) -> Outcome:
        outcome: Outcome = self.run(lambda channel: channel.send(self.parcel(message, **known)))
        return outcome

    def shown(self) -> list[tuple[str, str]]:
        return [(received.kind, received.text) for received in self.person.received]


def picture(size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((size, size), 90).save(out, "PNG")
    return out.getvalue()


def labels(received: Received) -> list[list[str]]:
    return [[button["text"] for button in row] for row in received.keyboard]


def choices(*words: str) -> list[dict[str, str]]:
    return [{"label": word, "say": word} for word in words]
