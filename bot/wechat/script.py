"""What lets a page of ours use WeChat's script: a ticket of the account, shared by all nodes, and signatures with it.

Refuses to know what the page shows. No ticket leaves this process: pages get the signature alone.

Sources: "JS-SDK instructions", appendix 1 (jsapi_ticket: 7200 s, to be kept centrally; the signature and its vector).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bot.wechat.api import Api
from bot.wechat.faults import Fault

_REST_SECONDS = 60.0  # after a ticket was refused: pages are opened more often than the platform wants to be asked


class Kept(Protocol):
    """The part of the service that tickets need."""

    def now(self) -> datetime: ...

    async def recall(self, key: str) -> dict[str, Any] | None: ...

    async def keep(self, key: str, value: dict[str, Any], seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Signed:
    """What `wx.config` takes, by the names of our data attributes. `timestamp` is in Unix seconds."""

    app_id: str
    timestamp: int
    nonce: str
    signature: str


def signature(ticket: str, nonce: str, timestamp: int, url: str) -> str:
    """The signature of a page's address, of which the fragment is no part."""
    address = url.partition("#")[0]
    said = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={address}"
    return hashlib.sha1(said.encode()).hexdigest()


class Script:
    """The signatures of one account."""

    def __init__(self, account: str, app_id: str, api: Api, service: Kept) -> None:
        self._app_id, self._api, self._service = app_id, api, service
        self._key = f"wechat:{account}:jsapi:{app_id}"
        self._fetching = asyncio.Lock()
        self._rests_until = 0.0

    async def sign(self, url: str) -> Signed:
        """Let the page at `url`, as the browser shows it, use WeChat's script. Raises Fault without a ticket."""
        ticket = await self._ticket()
        nonce, timestamp = secrets.token_hex(8), int(self._service.now().timestamp())
        return Signed(self._app_id, timestamp, nonce, signature(ticket, nonce, timestamp, url))

    async def _ticket(self) -> str:
        kept = await self._service.recall(self._key)
        if kept:
            return str(kept["ticket"])
        async with self._fetching:
            kept = await self._service.recall(self._key)
            return str(kept["ticket"]) if kept else await self._fetch()

    async def _fetch(self) -> str:
        if time.monotonic() < self._rests_until:
            raise Fault(0, "getticket was refused a moment ago", reached=False)
        self._rests_until = time.monotonic() + _REST_SECONDS
        answer = await self._api.ask("GET", "ticket/getticket", params={"type": "jsapi"})
        ticket, seconds = answer.get("ticket"), answer.get("expires_in")
        if not isinstance(ticket, str) or not isinstance(seconds, int):
            raise Fault(0, "getticket answered without a ticket", reached=False)
        self._rests_until = 0.0
        await self._service.keep(self._key, {"ticket": ticket}, max(1.0, seconds - min(120.0, seconds * 0.2)))
        return ticket
