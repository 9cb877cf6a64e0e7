"""The platform's side: the bot's token, rates, faults on demand, the server, and who is on Telegram.

Dates and lifetimes run by the given clock; rates, waits and polls by machine time, as they are not the campaign's.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bot.played.telegram import account, calls
from bot.played.telegram.channels import Channel
from bot.played.telegram.courier import Courier, Hook, Update
from bot.played.telegram.people import File, Person, Poll, Query
from bot.played.telegram.wire import Call, Refused, Reply, Server, too_many

_WORDS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_MIGRATED = "Bad Request: group chat was upgraded to a supergroup chat"
CALLS = account.CALLS | calls.CALLS


@dataclass(slots=True)
class Trouble:
    """What the next `times` calls of `method` (`*` for any), to `chat` if given, meet.

    A `code` refuses (429 with `retry_after`; 400 with `migrate_to_chat_id`); with `accept` the call takes effect all
    the same. `drop` ends the connection without an answer: with `accept` the reply is lost, else the call. `delay`
    seconds pass before the answer. `html` answers as a proxy would, without JSON.
    """

    method: str
    times: int
    code: int = 0
    description: str = ""
    retry_after: int = 0
    migrate_to_chat_id: int = 0
    chat: int = 0
    delay: float = 0.0
    drop: bool = False
    accept: bool = False
    html: bool = False

    def refusal(self) -> Refused:
        """The error it makes."""
        if self.code == 429 or (self.retry_after and not self.code):
            return too_many(self.retry_after or 1)
        if self.migrate_to_chat_id:
            return Refused(400, self.description or _MIGRATED, migrate_to_chat_id=self.migrate_to_chat_id)
        return Refused(self.code or 502, self.description or _WORDS.get(self.code or 502, "Error"))


@dataclass(slots=True)
class Bucket:
    """Tokens that come back at `rate` a second up to `size`; who overdraws is shut out until they are back."""

    rate: float
    size: float
    left: float
    at: float
    shut: float = 0.0

    def spend(self, now: float) -> int:
        """Take one token. Returns 0, or the whole seconds to wait."""
        if now < self.shut:
            return math.ceil(self.shut - now)
        self.left = min(self.size, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            wait = math.ceil((1 - self.left) / self.rate)
            self.shut = now + wait
            return wait
        self.left -= 1
        return 0


@dataclass
class PlayedTelegram:
    """One bot on the platform. Use `start()` and `stop()`, or `with`. The package's docstring lists what it offers.

    `chat_burst` is how many messages one chat takes at once beyond its rate; the real number is not published. `hurry`
    divides the platform's own waits: between tries of a webhook, of a repeated poll and before some refusals.
    """

    token: str = "7012345678:AAHplayed_token-of_a_bot_0123456789ab"
    username: str = "koukou_played_bot"
    name: str = "Koukou"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    machine: Callable[[], float] = time.monotonic
    seed: int = 0
    webhook: str = ""
    local: bool = True
    hurry: float = 1.0
    deadline: float = 60.0
    chat_per_second: float = 1.0
    chat_burst: int = 5
    channel_per_minute: float = 20.0
    per_second: float = 30.0
    burst: int = 30

    def __post_init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.channels: dict[int, Channel] = {}
        self.files: dict[str, File] = {}  # by every file_id
        self.polls: dict[str, Poll] = {}
        self.queries: dict[str, Query] = {}  # pressed buttons by callback_query_id
        self.commands: dict[tuple[str, int, str], list[dict[str, str]]] = {}  # by scope, chat and language
        self.asked: Counter[str] = Counter()  # calls by method, refused ones too
        self.faults: list[str] = []  # what the service did that the real platform would not take
        self.lock = threading.RLock()
        self.dice = random.Random(self.seed)
        self.hook_set_at = -10.0
        self.uploads: dict[int, float] = {}  # by size, when the last was let through
        self.courier = Courier(self)
        self._all = Bucket(self.per_second, self.burst, self.burst, 0.0)
        self._chats: dict[int, Bucket] = {}
        self._troubles: list[Trouble] = []
        self._server = Server(self.handle, self._download)
        self.url = ""

    @property
    def id(self) -> int:
        """The bot's own user id."""
        return int(self.token.split(":")[0])

    @property
    def hook(self) -> Hook:
        """What setWebhook set."""
        return self.courier.hook

    @property
    def expired(self) -> list[Update]:
        """Updates the platform gave up."""
        return self.courier.expired

    def start(self) -> str:
        """Serve the API. Returns scheme, host and port, for `api_url`."""
        self.url = self._server.start()
        return self.url

    def stop(self) -> None:
        """End the server."""
        self._server.stop(self.courier.close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def seconds(self) -> float:
        """Platform time in seconds since 1970."""
        return self.clock().timestamp()

    def soon(self, act: Callable[..., None], *args: Any) -> None:
        """Run `act` on the server's loop; before the start it is left out."""
        if self.url and not self._server.loop.is_closed():
            self._server.loop.call_soon_threadsafe(act, *args)

    def person(
        self, id: int = 0, language_code: str = "zh-hans", first_name: str = "小明", username: str = ""
    ) -> Person:
        """Somebody on Telegram who has not started the bot yet; without `id` a new one by the seed."""
        with self.lock:
            id = id or 5_000_000_000 + self.dice.randrange(2_000_000_000)
            return self.people.setdefault(id, Person(self, id, language_code, first_name, username))

    def channel(self, title: str = "小店", username: str = "") -> Channel:
        """A channel that the bot is not in yet; without a `username` a private one."""
        with self.lock:
            number = -1_000_000_000_000 - self.dice.randrange(1_000_000_000, 3_000_000_000)
            return self.channels.setdefault(number, Channel(self, number, title, username))

    def fail(self, method: str, times: int = 1, **how: Any) -> None:
        """The next `times` calls of `method` meet trouble: fields of Trouble."""
        with self.lock:
            self._troubles.append(Trouble(method, times, **how))

    def redeliver(self, update_id: int) -> None:
        """Deliver an update once more though it was acknowledged."""
        self.courier.redeliver(update_id)

    def forget_answers(self, times: int) -> None:
        """The next `times` answers of the webhook get lost, so that their updates come again."""
        self.courier.deaf = times

    def jump(self, update_id: int | None = None) -> None:
        """The next update has this id, or a random one as after a week of silence."""
        self.courier.jump(update_id)

    def pending(self) -> list[int]:
        """Ids of the updates that are neither acknowledged nor expired."""
        return self.courier.pending()

    async def taken(self, update_id: int, seconds: float = 10.0) -> None:
        """Return when this update is acknowledged (or expired). Raises TimeoutError after `seconds`."""
        await until(lambda: update_id not in self.courier.waiting, seconds)

    async def idle(self, seconds: float = 10.0) -> None:
        """Return when no update waits. Raises TimeoutError after `seconds`."""
        await until(lambda: not self.courier.waiting, seconds)

    def spend(self, chat: int) -> None:
        """Count one message to `chat`. Raises Refused with 429 when one of the rates is used up."""
        now = self.machine()
        rate, burst = self.chat_per_second, float(self.chat_burst)
        if chat in self.channels:
            rate, burst = self.channel_per_minute / 60, self.channel_per_minute
        mine = self._chats.setdefault(chat, Bucket(rate, burst, burst, now))
        for bucket in (mine, self._all):
            if wait := bucket.spend(now):
                raise too_many(wait)

    async def handle(self, call: Call) -> Reply:
        """Answer one call, after any trouble laid in its way."""
        name = call.method.lower()
        with self.lock:
            self.asked[CALLS[name].name if name in CALLS else call.method] += 1
            trouble = self._trouble(call)
        if trouble is None:
            return await self._answer(call)
        if (trouble.code or trouble.retry_after or trouble.migrate_to_chat_id or trouble.drop) and not trouble.accept:
            reply = trouble.refusal().reply()
        else:
            reply = await self._answer(call)
            if trouble.code:
                reply = trouble.refusal().reply()
        body, kind = (b"<html>Bad Gateway</html>", "text/html") if trouble.html else (reply.body, reply.kind)
        return Reply(reply.status, body, reply.delay + trouble.delay, trouble.drop, reply.retry_after, kind)

    def _trouble(self, call: Call) -> Trouble | None:
        for trouble in self._troubles:
            method = trouble.method in ("*", call.method) or trouble.method.lower() == call.method.lower()
            if trouble.times > 0 and method and (not trouble.chat or call.args.get("chat_id") == str(trouble.chat)):
                trouble.times -= 1
                return trouble
        return None

    async def _answer(self, call: Call) -> Reply:
        try:
            result, delay = await self._execute(call)
        except Refused as refused:
            if refused.fault:
                self.faults.append(f"{call.method}: {refused.what}")
            return refused.reply()
        return Reply(200, json.dumps({"ok": True, "result": result}, ensure_ascii=False).encode(), delay)

    async def _execute(self, call: Call) -> tuple[Any, float]:
        if call.token != self.token:
            well_formed = call.token[:1] != "0" and len(call.token) <= 80 and ":" in call.token
            raise Refused(401, "Unauthorized" if well_formed else "Unauthorized: invalid token specified", fault=True)
        rule = CALLS.get(call.method.lower())
        if rule is None:
            raise Refused(404, "Not Found: method not found", fault=True)
        strange = (call.args.keys() | call.files.keys()) - set(rule.takes)
        attached = {name for value in call.args.values() for name in re.findall(r'attach://([^"\s]+)', value)}
        self.faults += [f"{call.method} takes no {name}" for name in sorted(strange - attached)]
        if rule.name == "getUpdates":
            return await account.get_updates(self, call), 0.0
        with self.lock:
            delay = calls.check_uploads(self, call)
            return rule.call(self, call), delay

    def _download(self, token: str, path: str) -> bytes | None:
        with self.lock:
            held = next((file for file in self.files.values() if file.path == path), None)
        return held.content if held and token == self.token else None


async def until(true: Callable[[], bool], seconds: float) -> None:
    """Return when `true()`. Raises TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.005)
