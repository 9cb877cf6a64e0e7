"""Updates on their way to the bot: kept until acknowledged or expired, fetched by polling or posted to a webhook.

One queue is posted strictly one at a time, queues go in parallel; refused updates come again with growing waits.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from bot.played.telegram.wire import Call, Refused, as_text, read_json

if TYPE_CHECKING:
    from bot.played.telegram.platform import PlayedTelegram

Queue = tuple[str, int]
LIFETIMES = {"callback_query": 150}  # seconds; all else played here lives a day
_DAY, _WEEK = 86_400, 7 * 86_400
_RESEND_CAP = 60
_GONE = 23 * 3_600
_MODELESS = {"setwebhook", "deletewebhook", "close", "logout"}
KINDS = {
    *("message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message"),
    *("edited_business_message", "deleted_business_messages", "message_reaction", "message_reaction_count"),
    *("inline_query", "chosen_inline_result", "callback_query", "shipping_query", "pre_checkout_query"),
    *("purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member", "chat_join_request"),
    *("chat_boost", "removed_chat_boost", "managed_bot", "guest_message"),
}
DEFAULT_KINDS = KINDS - {"chat_member", "message_reaction", "message_reaction_count"}


@dataclass(slots=True)
class Update:
    """One update. `until` is platform time in seconds; `due` is machine time."""

    id: int
    kind: str
    body: dict[str, Any]
    queue: Queue
    until: float
    delay: float = 1.0
    due: float = 0.0
    fails: int = 0

    def json(self) -> dict[str, Any]:
        """As the bot gets it."""
        return {"update_id": self.id, self.kind: self.body}


@dataclass
class Hook:
    """What setWebhook set, and how it went since."""

    url: str = ""
    secret: str = ""
    max_connections: int = 40
    ip_address: str = ""
    error_at: int = 0
    error: str = ""
    gone_since: float = 0.0

    def address(self) -> tuple[str, str, int, str]:
        """What two equal webhooks have in common."""
        return self.url, self.secret, self.max_connections, self.ip_address


@dataclass
class Courier:
    """The updates of one bot. All but `fetch` and what runs on the server's loop may be called from any thread."""

    world: PlayedTelegram
    hook: Hook = field(default_factory=Hook)
    kinds: set[str] = field(default_factory=lambda: set(DEFAULT_KINDS))
    waiting: dict[int, Update] = field(default_factory=dict)  # by id, oldest first
    expired: list[Update] = field(default_factory=list)
    said: dict[int, Update] = field(default_factory=dict)  # everything, for redelivery
    deaf: int = 0  # so many 2xx answers get lost on their way

    def __post_init__(self) -> None:
        self._next = 100_000_000 + self.world.dice.randrange(500_000_000)
        self._last_at = 0.0
        self._soonest = math.inf  # when the first of those waiting expires, at the earliest
        self._queues: dict[Queue, deque[Update]] = {}
        self._busy: dict[Queue, asyncio.Task[None]] = {}
        self._generation = 0
        self._slots = asyncio.Semaphore(40)
        self._session: aiohttp.ClientSession | None = None
        self._poll: asyncio.Future[str] | None = None
        self._asked_at, self._asked_offset, self._conflict_at = -10.0, 0, -10.0

    def add(self, kind: str, body: dict[str, Any], queue: Queue) -> int:
        """Queue one update. Returns its id, 0 when the bot does not want its kind."""
        with self.world.lock:
            if kind not in self.kinds:
                return 0
            now = self.world.seconds()
            if self._last_at and now - self._last_at >= _WEEK:
                self.jump(None)
            self._last_at = now
            update = Update(self._next, kind, body, queue, now + LIFETIMES.get(kind, _DAY))
            self._next += 1
            self._soonest = min(self._soonest, update.until)
            self.waiting[update.id] = self.said[update.id] = update
            self._queues.setdefault(queue, deque()).append(update)
        self._wake(queue)
        return update.id

    def jump(self, update_id: int | None) -> None:
        """Go on with `update_id`, or with a random one as after a week of silence."""
        with self.world.lock:
            self._next = update_id or 100_000_000 + self.world.dice.randrange(500_000_000)

    def redeliver(self, update_id: int) -> None:
        """Send an update that was acknowledged once more."""
        with self.world.lock:
            update = self.said[update_id]
            self.waiting = dict(sorted({**self.waiting, update_id: update}.items()))
            again = Update(update.id, update.kind, update.body, update.queue, self.world.seconds() + _DAY)
            self._queues.setdefault(update.queue, deque()).append(again)
        self._wake(update.queue)

    def pending(self) -> list[int]:
        """Ids of the updates not yet acknowledged nor expired."""
        with self.world.lock:
            return list(self.waiting)

    def clear(self) -> None:
        """Forget what waits."""
        with self.world.lock:
            self.waiting.clear()
            for queue in self._queues.values():
                queue.clear()

    def set_hook(self, hook: Hook) -> None:
        """Post to `hook` from now on, or to none if its url is empty. On the server's loop only."""
        self.hook = hook
        self._generation += 1
        self._slots = asyncio.Semaphore(hook.max_connections)
        self._busy.clear()
        if hook.url:
            self._end_poll("terminated by setWebhook request")
            for queue in self._queues.values():
                for update in queue:
                    update.due = 0.0
            for key in list(self._queues):
                self._serve(key)

    async def close(self) -> None:
        """End the connections to the webhook."""
        if self._session is not None:
            await self._session.close()

    async def fetch(self, offset: int, limit: int, timeout: float) -> list[dict[str, Any]]:
        """getUpdates: a later offset acknowledges; waits for one update at most `timeout` seconds. Raises Refused."""
        if self.hook.url:
            raise self._conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        now = self.world.machine()
        if offset == self._asked_offset and timeout < 3 and now < self._asked_at + 3:
            timeout = 3.0 / self.world.hurry  # who asks the same again is slowed down
        if offset == self._asked_offset and now < self._asked_at + 0.5:
            limit = 1
        self._asked_offset, self._asked_at = offset, now
        found = self._take(offset, limit)
        if found or not timeout:
            return found
        self._end_poll("terminated by other getUpdates request; make sure that only one bot instance is running")
        mine = self._poll = asyncio.get_running_loop().create_future()
        try:
            why = await asyncio.wait_for(mine, timeout)
        except TimeoutError:
            why = ""
        finally:
            if self._poll is mine:
                self._poll = None
        if why:
            raise self._conflict(why)
        return self._take(offset, limit)

    def _take(self, offset: int, limit: int) -> list[dict[str, Any]]:
        with self.world.lock:
            self._expire()
            ids = list(self.waiting)
            if offset < 0:
                ids, gone = ids[offset:], ids[:offset]
            elif offset > self._next + 10:  # in the future: the platform begins at the oldest and forgets nothing
                gone = []
            else:
                ids, gone = [i for i in ids if i >= offset], [i for i in ids if i < offset]
            for update_id in gone:
                self._forget(self.waiting[update_id])
            return [self.waiting[update_id].json() for update_id in ids[:limit]]

    def _forget(self, update: Update) -> None:
        self.waiting.pop(update.id, None)
        queue = self._queues.get(update.queue)
        if queue:
            self._queues[update.queue] = deque(other for other in queue if other.id != update.id)

    def _expire(self) -> None:
        now = self.world.seconds()
        if now <= self._soonest:
            return
        for update in [update for update in self.waiting.values() if update.until < now]:
            self._forget(update)
            self.expired.append(update)
        self._soonest = min((update.until for update in self.waiting.values()), default=math.inf)

    def _conflict(self, why: str) -> Refused:
        now = self.world.machine()
        delay = 0.0 if now >= self._conflict_at else 3.0 / self.world.hurry
        if not delay:
            self._conflict_at = now + 3.0
        return Refused(409, f"Conflict: {why}", delay=delay)

    def _end_poll(self, why: str) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(why)

    def _wake(self, queue: Queue) -> None:
        self.world.soon(self._end_poll, "")
        self.world.soon(self._serve, queue)

    def _serve(self, key: Queue) -> None:
        with self.world.lock:
            if self.hook.url and self._queues.get(key) and key not in self._busy:
                self._busy[key] = asyncio.get_running_loop().create_task(self._drain(key, self._generation))

    async def _drain(self, key: Queue, generation: int) -> None:
        """Post one queue's updates in their order until it is empty or another webhook is set."""
        slots = self._slots
        while True:
            with self.world.lock:
                if generation != self._generation:
                    return
                self._expire()
                queue = self._queues.get(key)
                if not queue:
                    del self._busy[key]
                    self._queues.pop(key, None)
                    return
                update = queue[0]
            if (wait := update.due - self.world.machine()) > 0:
                await asyncio.sleep(wait)
            async with slots:
                if generation != self._generation:
                    return
                error, retry_after = await self._post(update)
            with self.world.lock:
                self._settle(update, error, retry_after)

    def _settle(self, update: Update, error: str, retry_after: int) -> None:
        queue = self._queues.get(update.queue, deque())
        now, wait = self.world.seconds(), float(min(max(retry_after, 0), 3_600))
        if error:
            self.hook.error, self.hook.error_at = error, int(now)
            if not wait and update.fails:
                cap = self.world.dice.uniform(_RESEND_CAP, 2 * _RESEND_CAP)
                update.delay = wait = min(cap, update.delay * 2)
            if now + wait <= update.until:
                update.fails += 1
                update.due = self.world.machine() + wait / self.world.hurry
                return
            self.expired.append(update)
        if queue and queue[0] is update:
            queue.popleft()
        if not any(other.id == update.id for other in queue):
            self.waiting.pop(update.id, None)

    async def _post(self, update: Update) -> tuple[str, int]:
        """Post once. Returns what was wrong, empty for a 2xx, and the seconds the webhook asked to wait."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60))
        headers = {"Content-Type": "application/json"}
        if self.hook.secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = self.hook.secret
        timeout = aiohttp.ClientTimeout(self.world.deadline)
        body = json.dumps(update.json(), ensure_ascii=False).encode()
        address = self.world.webhook or self.hook.url
        try:
            async with self._session.post(
                address, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                status, said, kind = answer.status, await answer.read(), answer.content_type
                asked = answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError, TimeoutError) as broken:
            return f"Connection error: {type(broken).__name__}", 0
        if self.deaf > 0:
            self.deaf -= 1
            return "Webhook connection closed", 0
        if 200 <= status <= 299:
            self.hook.gone_since = 0.0
            await self._obey(said, kind)
            return "", 0
        self._note_gone(status)
        return f"Wrong response from the webhook: {status}", int(asked) if asked.isdigit() else 0

    def _note_gone(self, status: int) -> None:
        now = self.world.seconds()
        if status != 410:
            self.hook.gone_since = 0.0
        elif not self.hook.gone_since:
            self.hook.gone_since = now
        elif now > self.hook.gone_since + _GONE:
            self.set_hook(Hook())

    async def _obey(self, said: bytes, kind: str) -> None:
        """Execute the method a 2xx body names; what comes of it nobody hears, but a fault is noted."""
        if kind != "application/json" or not said.strip():
            return
        try:
            args = read_json(said)
        except ValueError as broken:
            self.world.faults.append(f"the webhook's answer: {broken}")
            return
        method = as_text(args.pop("method", ""))
        if not method:
            return
        if method.lower() in _MODELESS or method.lower().startswith("get"):
            self.world.faults.append(f"{method} in the webhook's answer is not executed")
            return
        await self.world.handle(Call(self.world.token, method, args))
