"""A provider of text messages as our contract has it, on a local port: limits, refusals and lost replies on demand.

For tests and training; never loaded by `serve`. It keeps every key for ever, so that a repeated one is not sent again.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from bot.played.wechat.wire import Request, Response, Server

_NUMBER = re.compile(r"\+?\d{6,15}")


@dataclass(slots=True)
class Trouble:
    """What the next `times` requests meet. With `accept` the message goes out all the same; `drop` loses the answer."""

    times: int = 1
    status: int = 500
    drop: bool = False
    accept: bool = False


@dataclass
class PlayedSMS:
    """One customer's account with the provider. `per_second` and `per_number` (a day) are its limits."""

    key: str = "played-sms-key"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    per_second: int = 10
    per_number: int = 10
    letters: int = 500
    blocked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sent: list[tuple[str, str]] = []  # number and text, as they arrive on phones
        self.asked = 0
        self.troubles: list[Trouble] = []
        self._known: dict[str, tuple[str, str]] = {}
        self._times: list[datetime] = []
        self._lock = threading.Lock()
        self._server = Server(self._answer)

    def __enter__(self) -> Self:
        self.url = f"{self._server.start()}/v1/messages"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Response:
        with self._lock:
            self.asked += 1
            trouble = self.troubles[0] if self.troubles else None
            if trouble:
                trouble.times -= 1
                if trouble.times <= 0:
                    self.troubles.pop(0)
                if not trouble.accept:
                    return Response(trouble.status, b"{}", drop=trouble.drop)
            status, body = self._take(request)
            if trouble:
                return Response(trouble.status, b"{}", drop=trouble.drop)
            return Response(status, json.dumps(body).encode())

    def _take(self, request: Request) -> tuple[int, dict[str, Any]]:
        if request.method != "POST" or request.path != "/v1/messages":
            return 404, {"code": "no_such_path"}
        headers = {name.lower(): value for name, value in request.headers.items()}
        if headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"code": "bad_key"}
        try:
            body = json.loads(request.body)
            key, number, text = (str(body[name]) for name in ("id", "to", "text"))
        except (ValueError, KeyError, TypeError):
            return 400, {"code": "bad_request"}
        if key in self._known:
            same = self._known[key] == (number, text)
            return (200, {"status": "known"}) if same else (409, {"code": "key_reused"})
        if not _NUMBER.fullmatch(number):
            return 422, {"code": "bad_number"}
        if not 1 <= len(text) <= self.letters:
            return 422, {"code": "bad_text"}
        if number in self.blocked:
            return 422, {"code": "blocked"}
        now = self.clock()
        if sum((now - at).total_seconds() < 1 for at in self._times) >= self.per_second:
            return 429, {"code": "too_fast", "wait": 1}
        if sum(to == number for to, _ in self.sent) >= self.per_number:
            return 422, {"code": "too_many"}
        self._times.append(now)
        self._known[key] = (number, text)
        self.sent.append((number, text))
        return 202, {"status": "accepted"}
