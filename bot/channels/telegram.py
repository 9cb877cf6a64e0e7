"""Telegram bots: updates in by webhook or by polling, messages out by the Bot API.

Turns what the platform says into `Incoming` and sends message trees as it can show them. Decides nothing about people,
points or campaigns. Platform rules: docs/telegram.md.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, Route

from bot.channels import Channel, Link, Outcome, Parcel, Service
from bot.settings import TelegramAccount
from bot.telegram.door import Door

if TYPE_CHECKING:
    from telegram import Bot

    from bot.telegram.request import AiohttpRequest
    from bot.telegram.sending import Sending

log = logging.getLogger(__name__)

_NAME_SECONDS = 30 * 86_400.0
_SCENE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_REST = 300.0


def open_channel(account: str, settings: TelegramAccount, service: Service) -> Channel:
    """The channel of one bot. `settings` is its table in config.toml.

    Raises ValueError when a key that it needs is missing.
    """
    return Telegram(account, settings, service)


class Telegram:
    """One bot."""

    name = "telegram"

    def __init__(self, account: str, settings: TelegramAccount, service: Service) -> None:
        self.account = account
        self.per_second = float(settings.messages_per_second)
        self._token = settings.token.get_secret_value()
        self._secret_token = settings.secret_token.get_secret_value()
        self._polls = settings.updates == "polling"
        if not self._token:
            raise ValueError("channels.telegram.token 未填写 / is not set")
        if not self._polls and not self._secret_token:
            raise ValueError("channels.telegram.secret_token 未填写 / is not set")
        self._api_url, self._service = settings.api_url, service
        self._path = "/telegram" if account == "main" else f"/telegram/{account}"
        self._bot_id = self._token.partition(":")[0]
        self._username = ""
        self._bot: Bot | None = None
        self._sending: Sending | None = None
        self._request: AiohttpRequest | None = None
        self._opening = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None

    def routes(self) -> list[BaseRoute]:
        """`/telegram` for the account `main`, `/telegram/<account>` for others; none when it polls."""
        return [] if self._polls else [Route(self._path, Door(self.account, self._secret_token, self._service))]

    async def ways(self) -> frozenset[str]:
        """The bot may write to whoever started it, and post to channels that it administers."""
        return frozenset({"bot", "post"})

    def pulls(self) -> bool:
        """Telegram pushes; nobody fetches."""
        return False

    async def open(self) -> None:
        """Make the client, whose library takes a third of a second to import."""
        if self._sending is None:
            await self._open()

    async def send(self, parcel: Parcel) -> Outcome:
        """Send one message by the Bot API."""
        return await (await self._open())[1].send(parcel)

    async def post(self, channel: str, message: dict[str, Any], key: str, scene: str = "") -> Outcome:
        """Post to a channel that the bot administers (see bot.telegram.sending); its buttons open the bot with `scene`,
        or with one of their own.

        Raises ValueError for what cannot name a channel.
        """
        choices = [one | await self._opened_by(one) for one in message.get("choices", ())]
        message = {**message, "choices": choices} if choices else message
        link, name = await self.link(scene) if scene else None, await self._name()
        address = link.url if link else f"https://t.me/{name}" if name else self._service.public_url
        return await (await self._open())[1].post(channel, message, key, address)

    async def _opened_by(self, choice: dict[str, Any]) -> dict[str, str]:
        link = await self.link(choice["scene"]) if choice.get("scene") else None
        return {"url": link.url} if link else {}

    async def post_fault(self, channel: str) -> str:
        """Why the bot may not post to this channel now (`not_admin`, `no_channel`, …), or nothing."""
        return await (await self._open())[1].post_fault(channel)

    async def link(self, scene: str) -> Link | None:
        """The `t.me` link that starts the bot with this scene; None while the platform does not tell the bot's name."""
        if not _SCENE.fullmatch(scene):
            return None
        name = await self._name()
        return Link(f"https://t.me/{name}?start={scene}") if name else None

    async def start(self) -> None:
        """Introduce the bot to the platform, or begin to poll; goes on beside the service until it succeeds."""
        self._work = asyncio.create_task(self._greet())

    async def close(self) -> None:
        """Stop polling, give the lease back, and release the connections."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        if self._request is not None:
            await self._request.shutdown()

    async def _open(self) -> tuple[Bot, Sending]:
        """The client, made on first use: its library takes a third of a second to import."""
        async with self._opening:
            if self._bot is None or self._sending is None:
                await asyncio.to_thread(_load_libraries)
                from bot.telegram.sending import Sending, open_bot

                self._bot, self._request = open_bot(self._token, self._api_url)
                self._sending = Sending(self._bot, self.account, self._bot_id, self._service, self.per_second)
            return self._bot, self._sending

    async def _greet(self) -> None:
        bot, _ = await self._open()
        from bot.telegram import account
        from bot.telegram.polling import Poller

        async def answer(query: str) -> None:
            await bot.answer_callback_query(query)

        poll = asyncio.create_task(Poller(bot, self.account, self._service, answer).run()) if self._polls else None
        try:
            told = [
                self._insist("name", self._learn_name),
                self._insist("commands", lambda: account.list_commands(bot, self._service.commands())),
            ]
            if poll is None:
                url = f"{self._service.public_url}{self._path}"
                told.append(self._insist("webhook", lambda: account.set_webhook(bot, url, self._secret_token)))
            await asyncio.gather(*told)
            if poll is not None:
                await poll
        finally:
            if poll is not None:
                poll.cancel()
                await asyncio.gather(poll, return_exceptions=True)

    async def _insist(self, what: str, act: Callable[[], Awaitable[None]]) -> None:
        """Do it until it is done, with growing rests."""
        from telegram.error import RetryAfter, TelegramError

        from bot.telegram.faults import seconds_to_wait

        rest = 1.0
        while True:
            try:
                await act()
                return
            except RetryAfter as error:
                await asyncio.sleep(seconds_to_wait(error))
            except Exception as error:
                # Only the platform's own words are safe to show; those of others may hold an address.
                why = error if isinstance(error, TelegramError) else type(error).__name__
                log.error("telegram %s: the platform does not know our %s yet: %s", self.account, what, why)
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)

    async def _name(self) -> str:
        """The bot's username; nothing while the platform does not tell it."""
        if not self._username:
            kept = await self._service.recall(self._username_key)
            self._username = str(kept["username"]) if kept else await self._ask_name()
        return self._username

    async def _ask_name(self) -> str:
        from telegram.error import TelegramError

        try:
            await self._learn_name()
        except TelegramError as error:
            log.warning("telegram %s: the bot's name is not known yet: %s", self.account, error)
        return self._username

    async def _learn_name(self) -> None:
        bot, _ = await self._open()
        from bot.telegram import account

        self._username = await account.username(bot)
        await self._service.keep(self._username_key, {"username": self._username}, _NAME_SECONDS)

    @property
    def _username_key(self) -> str:
        return f"telegram:{self.account}:{self._bot_id}:name"


def _load_libraries() -> None:
    """Import what calls need, beside the event loop."""
    import bot.telegram.account
    import bot.telegram.polling
    import bot.telegram.sending  # noqa: F401
