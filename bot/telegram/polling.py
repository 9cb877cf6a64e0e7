"""Fetches updates by long polling, on one node at a time, and confirms them only after every one of them is committed.

Promises that what was fetched and not committed is fetched again, by whoever holds the lease then. Should two nodes
poll for a moment all the same, the inbox key keeps every update to one effect.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Bot
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from bot.channels import Busy, Service
from bot.knocking import Refused
from bot.telegram import polls
from bot.telegram.account import delete_webhook
from bot.telegram.faults import seconds_to_wait
from bot.telegram.reading import WANTED, Heard, heard

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
_RENEW_SECONDS = 4.0
_POLL_SECONDS = 25  # the platform's most is 50
_AGAIN_SECONDS = 0.5
_ANSWERED_SECONDS = 3.0
_FIRST_REST, _LONGEST_REST = 1.0, 30.0


class Poller:
    """One bot's poll. `run` until it is cancelled."""

    def __init__(self, bot: Bot, account: str, service: Service, answer: Callable[[str], Awaitable[None]]) -> None:
        """`answer` tells the platform that a pressed button was heard, by the id of its query."""
        self._bot, self._account, self._service, self._answer = bot, account, service, answer
        self._lease = f"telegram:{account}:polling"
        self._held_until = 0.0
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Wait for the lease, poll while it is ours, give it back at the end."""
        try:
            while True:
                if await self._hold(LEASE_SECONDS):
                    log.info("telegram %s: this node polls", self._account)
                    try:
                        await self._poll_while_held()
                    except Exception:
                        log.exception("telegram %s: the poll broke", self._account)
                    log.warning("telegram %s: this node polls no longer", self._account)
                await asyncio.sleep(_RENEW_SECONDS)
        finally:
            await self._hold(0.0)

    async def _hold(self, seconds: float) -> bool:
        asked = time.monotonic()
        try:
            ours = await self._service.hold(self._lease, seconds)
        except Exception as fault:
            # The database is away: ours until the lease that it knows of has ended.
            log.warning("telegram %s: the lease was not renewed: %s", self._account, type(fault).__name__)
            return time.monotonic() < self._held_until
        self._held_until = asked + seconds if ours else 0.0
        return ours

    async def _poll_while_held(self) -> None:
        poll = asyncio.create_task(self._poll())
        try:
            while await self._hold(LEASE_SECONDS):
                await asyncio.wait({poll}, timeout=_RENEW_SECONDS)
                if poll.done():
                    poll.result()  # it never ends by itself: what broke it is to be seen
        finally:
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)

    async def _poll(self) -> None:
        offset, rest, webhook_gone = 0, _FIRST_REST, False
        while True:
            try:
                if not webhook_gone:
                    await delete_webhook(self._bot)
                    webhook_gone = True
                updates = await self._fetch(offset)
            except TelegramError as error:
                webhook_gone = webhook_gone and not isinstance(error, Conflict)
                await asyncio.sleep(self._rest_after(error, rest))
                rest = min(2 * rest, _LONGEST_REST)
                continue
            rest = _FIRST_REST
            offset = await self._take(updates, offset)

    async def _fetch(self, offset: int) -> list[dict[str, Any]]:
        asked = {"offset": offset, "timeout": _POLL_SECONDS, "limit": 100, "allowed_updates": WANTED}
        # As it came: the library's own call makes objects of a batch, and one it cannot read loses the whole batch.
        # It claims the method's usual spelling for that call; the platform does not mind the case.
        updates: Any = await self._bot.do_api_request("getupdates", asked, read_timeout=_POLL_SECONDS + 15)
        return [update for update in updates if isinstance(update, dict)] if isinstance(updates, list) else []

    async def _take(self, updates: list[dict[str, Any]], offset: int) -> int:
        """Have all of `updates` committed. Returns what confirms them."""
        now = self._service.now()
        meant: list[Heard] = []
        for update in updates:
            number = update.get("update_id")
            if type(number) is int:
                offset = max(offset, number + 1)
            try:
                meant.append(heard(update, self._account, now))
            except Refused as odd:
                log.warning("telegram %s: update %s cannot be read: %s", self._account, number, odd.text)
        # Handed over in their order, so that one person's words keep it, and decided together.
        await asyncio.gather(*[self._commit(one) for one in meant])
        return offset

    async def _commit(self, one: Heard) -> None:
        incoming = await polls.meant(one, self._account, self._service)
        while incoming is not None:
            try:
                await self._service.hear(incoming)
                break
            except Busy:
                await asyncio.sleep(_AGAIN_SECONDS)
        if one.query:
            task = asyncio.create_task(self._say_heard(one.query))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _say_heard(self, query: str) -> None:
        try:
            async with asyncio.timeout(_ANSWERED_SECONDS):
                await self._answer(query)
        except (TelegramError, TimeoutError) as error:
            log.info("telegram %s: a pressed button was not answered: %s", self._account, type(error).__name__)

    def _rest_after(self, error: TelegramError, rest: float) -> float:
        if isinstance(error, RetryAfter):
            return seconds_to_wait(error)
        if isinstance(error, Conflict):
            log.warning("telegram %s: somebody else polls or has set a webhook: %s", self._account, error)
            return max(rest, _RENEW_SECONDS)
        if isinstance(error, InvalidToken):
            log.error("telegram %s: the platform refuses the bot's token", self._account)
            return 60.0
        log.warning("telegram %s: no updates: %s", self._account, error)
        return rest
