"""What the Telegram tests share: settings of a bot, updates as the platform writes them, and an honest small house."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

from pydantic import SecretStr

from bot.settings import TelegramAccount
from bot.telegram.door import Door
from tests.serving import BOT_SECRET
from tests.wechat_house import House as WeChatHouse

TOKEN = "7012345678:AAHplayed_token-of_a_bot_0123456789ab"
_numbers = itertools.count(500)

PERSON = {"id": 5_000_000_001, "is_bot": False, "first_name": "小明", "language_code": "zh-hans"}
CHAT = {"id": PERSON["id"], "type": "private", "first_name": "小明"}


class House(WeChatHouse):
    """The small house, with what Telegram asks beyond it. `leases` says until when each is whose."""

    public_url = "https://koukou.example"

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
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        said.append(message)

    await door({"type": "http", "method": method, "path": "/telegram", "headers": lines}, receive, send)
    return said[0]["status"], b"".join(one.get("body", b"") for one in said[1:])
