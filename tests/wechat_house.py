"""A tiny honest house for the WeChat tests: records what it hears, answers from a table, holds no rule of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from bot.settings import WeChatAccount
from storage.incoming import Answer, Incoming

TOKEN = "refbot_token_2026"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
APP_ID = "wx5823bf96d3bd56c7"
SECRET = "played-app-secret"
START = datetime(2025, 11, 1, tzinfo=UTC)  # 1761955200, the instant of the vector W1


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, **time_: float) -> None:
        self.at += timedelta(**time_)


class House:
    """Answers every message with `says` (message trees), once per key, and keeps what it was told."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.public_url = "https://koukou.example"
        self.held = False
        self.heard: list[Incoming] = []
        self.says: list[dict[str, Any]] = [{"text": "好的"}]
        self.before: Callable[[Incoming], Awaitable[None]] | None = None
        self.answers: dict[str, Answer] = {}
        self.sent: list[int] = []
        self.released: list[int] = []
        self.pictures: dict[str, tuple[bytes, str]] = {}
        self.kept: dict[str, tuple[dict[str, Any], float]] = {}

    def now(self) -> datetime:
        return self.clock()

    async def hear(self, incoming: Incoming) -> Answer:
        if self.before:
            await self.before(incoming)
        if incoming.key in self.answers:
            return self.answers[incoming.key]
        self.heard.append(incoming)
        first = 100 * len(self.heard)
        answer = Answer(1, tuple(self.says), tuple(range(first, first + len(self.says))))
        self.answers[incoming.key] = answer
        return answer

    def hear_then(self, incoming: Incoming, told: Callable[[Answer | Exception], None]) -> None:
        async def hear() -> None:
            try:
                answer: Answer | Exception = await self.hear(incoming)
            except Exception as fault:
                answer = fault
            told(answer)

        self.hearing = asyncio.create_task(hear())

    def settled(self, deliveries: Any) -> None:
        self.sent += deliveries

    def release(self, deliveries: Any) -> None:
        self.released += deliveries

    async def picture(self, name: str) -> tuple[bytes, str] | None:
        return self.pictures.get(name)

    async def recall(self, key: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        value, until = self.kept.get(key, ({}, 0.0))
        return value if time.monotonic() < until else None

    async def keep(self, key: str, value: dict[str, Any], seconds: float) -> None:
        await asyncio.sleep(0)
        self.kept[key] = value, time.monotonic() + seconds

    async def count(self, key: str, most: int, seconds: float) -> bool:
        await asyncio.sleep(0)
        value, until = self.kept.get(key, ({}, 0.0))
        counted = int(value.get("counted", 0)) if time.monotonic() < until else 0
        if counted < most:
            self.kept[key] = {"counted": counted + 1}, time.monotonic() + seconds
        return counted < most


def settings(**changed: Any) -> WeChatAccount:
    """The table `[channels.wechat]` as the channel gets it."""
    table: dict[str, Any] = {
        "enabled": True,
        "app_id": APP_ID,
        "app_secret": SecretStr(SECRET),
        "token": SecretStr(TOKEN),
        "aes_key": SecretStr(AES_KEY),
        "api_url": "http://127.0.0.1:9",
    }
    return WeChatAccount(**(table | changed))


async def knock(
    app: Any, method: str, query: str, body: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[int, bytes]:
    """One request to an ASGI app in this process. Returns status and body; raises what the app raises."""
    path = app.path if hasattr(app, "path") else "/wechat"
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": query.encode("utf-8", "surrogateescape"),
        "headers": headers if headers is not None else [(b"content-length", str(len(body)).encode())],
    }
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])
