"""WeChat official accounts, service and subscription: callbacks in, customer-service messages out.

Turns what the platform says into `Incoming` and sends message trees within the platform's windows and limits. Decides
nothing about people, points or campaigns. Platform rules: docs/wechat.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.routing import BaseRoute, Route

from bot.channels import Channel, Link, MassOutcome, Outcome, Parcel, Service
from bot.settings import WeChatAccount
from bot.wechat.api import Api, load_libraries
from bot.wechat.articles import Articles
from bot.wechat.capabilities import CUSTOMER_SERVICE, MASS, MEDIA, NOTICES, Capabilities
from bot.wechat.door import SAID_SECONDS, Door, said_key
from bot.wechat.faults import BAD_MEDIA, NO_PERMISSION, Fault, outcome
from bot.wechat.mass import Mass
from bot.wechat.media import Media
from bot.wechat.notices import About, Notices
from bot.wechat.rendering import Piece, pieces, spoken
from bot.wechat.scenes import Scenes
from bot.wechat.script import Script, Signed
from bot.wechat.seal import Seal

log = logging.getLogger(__name__)

# How long and how often the customer-service API may answer each act (in force since 2023-06-12).
_WINDOW, _AFTER_MESSAGE = timedelta(hours=48), 5
_FOLLOW_WINDOW, _AFTER_FOLLOW = timedelta(minutes=1), 3
# These acts open a short window of their own, or none; that of an earlier message may still be open.
_EARLIER_MAY_STAND = frozenset({"scan", "menu", "view", "notice", "unfollow", "timer", "internal"})
# The platform takes no such picture: its words are sent instead.
_UNSHOWABLE = frozenset({NO_PERMISSION, 40004, 40005, 40006, 40009, 45001})


def open_channel(account: str, settings: WeChatAccount, service: Service) -> Channel:
    """The channel of one account. `settings` is its table in config.toml.

    Raises ValueError when a key that the mode needs is missing or malformed.
    """
    return WeChat(account, settings, service)


class WeChat:
    """One official account. `api` and `abilities` serve the menu and followers commands."""

    name = "wechat"
    per_second = 20.0  # the platform names no rate for customer service; its 45009 and 45011 slow us further

    def __init__(self, account: str, settings: WeChatAccount, service: Service) -> None:
        self.account = account
        token, aes_key = settings.token.get_secret_value(), settings.aes_key.get_secret_value()
        for key, value in (("token", token), ("app_id", settings.app_id)):
            if not value:
                raise ValueError(f"channels.wechat.{key} 未填写 / is not set")
        if settings.mode != "plain" and not aes_key:
            raise ValueError(f"channels.wechat.aes_key 未填写，{settings.mode} 模式需要 / is needed in this mode")
        self._service = service
        self.abilities = Capabilities(account, settings.kind, settings.verified, service)
        secret = settings.app_secret.get_secret_value()
        self.api = Api(account, settings.app_id, secret, settings.api_url, service, self.abilities)
        self._media = Media(account, self.api, service)
        articles = Articles(account, self.api, self._media, service, self.abilities, service.public_url)
        self._mass = Mass(self.api, articles, service, self.abilities)
        self._notices = Notices(self.api, service, self.abilities)
        self._scenes = Scenes(account, self.api, service, self.abilities)
        self._script = Script(account, settings.app_id, self.api, service)
        self.asking, self._push_template = settings.asking, settings.push_template
        self._mode = settings.mode
        seal = Seal(token, aes_key if settings.mode != "plain" else "", settings.app_id)
        self._door = Door(account, settings.mode, seal, service, self.abilities, self._media)

    def routes(self) -> list[BaseRoute]:
        """`/wechat` for the account `main`, `/wechat/<account>` for others."""
        path = "/wechat" if self.account == "main" else f"/wechat/{self.account}"
        return [Route(path, self._door)]

    async def link(self, scene: str) -> Link | None:
        """What a QR code with this scene holds: whoever scans it follows, or opens the chat, with the scene."""
        return await self._scenes.link(scene)

    async def ways(self) -> frozenset[str]:
        """By customer-service message within its window, by mass send, and by a notice agreed to, where it may."""
        ways = {"service": CUSTOMER_SERVICE, "mass": MASS} | ({"notice": NOTICES} if self._push_template else {})
        return frozenset([way for way, needs in ways.items() if await self.abilities.has(needs)])

    async def mass_send(self, addresses: Sequence[str], message: dict[str, Any], key: str) -> MassOutcome:
        """One mass send to 2 to 10,000 followers (see bot.wechat.mass); never raises for what a platform can do."""
        return await self._mass.send(addresses, message, key)

    async def mass_send_by_tag(self, tag: int | None, message: dict[str, Any], key: str) -> MassOutcome:
        """One mass send to a tag of the platform's, or to all followers; only where consent cannot differ."""
        return await self._mass.send_by_tag(tag, message, key)

    async def mass_preview(self, address: str, message: dict[str, Any]) -> Outcome:
        """Show one follower what a mass send would show; counts toward no month."""
        return await self._mass.preview(address, message)

    async def mass_status(self, platform: str) -> str:
        """How the mass send with this msg_id stands: `send_success`, `sending`, `send_fail`, `delete`. Raises Fault."""
        return await self._mass.status(platform)

    async def subscription_notice(
        self, address: str, template: str, fields: Mapping[str, str], page: str = ""
    ) -> Outcome:
        """The notice that a person agreed to once (see bot.wechat.notices)."""
        return await self._notices.subscription(address, template, fields, page)

    async def template_message(
        self, address: str, template: str, fields: Mapping[str, str], about: About, page: str = ""
    ) -> Outcome:
        """A template message; one for marketing is refused before any request."""
        return await self._notices.template(address, template, fields, about, page)

    async def sign(self, url: str) -> Signed:
        """Let our page at `url` use WeChat's script (see bot.wechat.script). Raises Fault."""
        return await self._script.sign(url)

    def pulls(self) -> bool:
        """WeChat pushes; nobody fetches."""
        return False

    async def start(self) -> None:
        """Make ready to send, beside the event loop. The platform itself need not be told anything."""
        if self._mode == "plain":
            log.warning("wechat %s: plain mode, the signature does not cover what a message says", self.account)
        await asyncio.to_thread(load_libraries)

    async def close(self) -> None:
        """Release the connections to the platform."""
        await self.api.close()

    async def open(self) -> None:
        """Nothing to make."""

    async def send(self, parcel: Parcel) -> Outcome:
        """Send by the customer-service API, piece by piece, from where an earlier try or the passive reply ended."""
        if not await self.abilities.has(CUSTOMER_SERVICE):
            return Outcome("refused", "no_capability")
        parts = pieces(parcel.message, await self.abilities.has(MEDIA), self._service.public_url)
        if not parts:
            return Outcome("failed", "empty")
        first = await self._said(parcel) if len(parts) > 1 else 0
        for number in range(first, len(parts)):
            ended = self._closed(parcel, number - first) or await self._send_piece(parcel, parts[number])
            if ended.state != "sent":
                if number > first:
                    await self._service.keep(said_key(self.account, parcel.delivery), {"pieces": number}, SAID_SECONDS)
                return ended
        return Outcome("sent")

    def _closed(self, parcel: Parcel, more: int) -> Outcome | None:
        """A refusal when the window is certainly shut or the count certainly used up; `more` were sent just now.

        After a scan or a tap on the menu the window of an earlier message may still be open, which only the platform
        knows: it is asked, and answers 45015 or 45047.
        """
        if parcel.heard_at is None:
            return Outcome("refused", "window_closed")
        age = self._service.now() - parcel.heard_at
        if age > (_FOLLOW_WINDOW if parcel.heard_kind == "follow" else _WINDOW):
            return Outcome("refused", "window_closed")
        if parcel.heard_kind in _EARLIER_MAY_STAND:
            return None
        limit = _AFTER_FOLLOW if parcel.heard_kind == "follow" else _AFTER_MESSAGE
        return Outcome("refused", "count_used_up") if parcel.sent_since + more >= limit else None

    async def _said(self, parcel: Parcel) -> int:
        kept = await self._service.recall(said_key(self.account, parcel.delivery))
        return int(kept["pieces"]) if kept else 0

    async def _send_piece(self, parcel: Parcel, piece: Piece) -> Outcome:
        try:
            if piece.picture:
                await self._send_picture(parcel.address, piece)
            else:
                await self.api.wechat.message.send_text(parcel.address, piece.text)
        except Fault as fault:
            return outcome(fault, self._service.now())
        return Outcome("sent")

    async def _send_picture(self, address: str, piece: Piece) -> None:
        media_id = await self._upload(piece.picture)
        try:
            await self._show(address, piece, media_id)
        except Fault as fault:
            if fault.code != BAD_MEDIA:
                raise
            await self._show(address, piece, await self._upload(piece.picture, refused=media_id))

    async def _show(self, address: str, piece: Piece, media_id: str) -> None:
        if media_id:
            await self.api.wechat.message.send_image(address, media_id)
        else:
            await self.api.wechat.message.send_text(
                address, spoken({"name": piece.picture, "alt": piece.text}, self._service.public_url)
            )

    async def _upload(self, name: str, refused: str = "") -> str:
        try:
            return await self._media.upload(name, refused)
        except Fault as fault:
            if fault.code in _UNSHOWABLE:
                return ""
            # An upload is not a message: whatever befell it, nothing reached the person.
            raise Fault(0 if fault.code == -1 else fault.code, str(fault), reached=False) from None
