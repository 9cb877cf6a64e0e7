"""QR codes with a scene, made at the platform on demand: each is kept for all nodes and renewed long before its end.

Promises that a code given out lives for at least three weeks more, that equal requests at once make one, and that a
fifth of the day's quota is left to placements (`p_…`). None means: not now; a link of ours must serve instead.

Source: "Creating a QR code with a scene": string scenes of 1–64 characters, at most 30 days, 100,000 a day; `url` in
the answer is what the code holds. Verified service accounts alone may (48001 otherwise).
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime, timedelta
from typing import Protocol

from bot.channels import Link
from bot.wechat.api import Api
from bot.wechat.capabilities import SCENE_CODES, Capabilities, Shared
from bot.wechat.faults import CHINA, DAY_QUOTA, Fault
from storage.tables import instant, micros

log = logging.getLogger(__name__)

LIFE = timedelta(days=30)
LEAST = timedelta(days=21)  # a poster is shared for weeks
A_DAY = 100_000
FOR_REFERRERS = A_DAY * 4 // 5
_REST_SECONDS = 30.0  # after a fault of the platform, so that nobody waits for it again and again
_SCENE_CHARACTERS = 64


class Rationed(Shared, Protocol):
    """The part of the service that scene codes need."""

    def now(self) -> datetime: ...

    async def count(self, key: str, most: int, seconds: float) -> bool: ...


class Scenes:
    """The scene codes of one account."""

    def __init__(self, account: str, api: Api, shared: Rationed, abilities: Capabilities) -> None:
        self._prefix = f"wechat:{account}:scene"
        self._api, self._shared, self._abilities = api, shared, abilities
        self._making: dict[str, asyncio.Task[Link | None]] = {}
        self._rest_until = 0.0

    async def link(self, scene: str) -> Link | None:
        """The address to draw for `scene`, and until when it works; None when the account cannot give one now."""
        if not 1 <= len(scene) <= _SCENE_CHARACTERS or not await self._abilities.has(SCENE_CODES):
            return None
        if kept := await self._kept(scene):
            return kept
        making = self._making.get(scene)
        if making is None:
            making = self._making[scene] = asyncio.create_task(self._make(scene))
            making.add_done_callback(lambda _: self._making.pop(scene, None))
        return await asyncio.shield(making)  # who waits may give up; the code is made all the same

    async def _kept(self, scene: str) -> Link | None:
        kept = await self._shared.recall(f"{self._prefix}:{scene}")
        if not kept:
            return None
        until = instant(int(str(kept["until"])))
        # Asked by campaign time as well: `kept` counts in the machine's.
        return Link(str(kept["url"]), until) if until - self._shared.now() >= LEAST else None

    async def _make(self, scene: str) -> Link | None:
        if time.monotonic() < self._rest_until or not await self._may(scene):
            return None
        body = {
            "expire_seconds": int(LIFE.total_seconds()),
            "action_name": "QR_STR_SCENE",
            "action_info": {"scene": {"scene_str": scene}},
        }
        asked = self._shared.now()
        try:
            answer = await self._api.wechat.qrcode.create(body)
        except Fault as fault:
            await self._refused(scene, fault)
            return None
        url, seconds = answer.get("url"), answer.get("expire_seconds")
        if not isinstance(url, str) or not url.startswith("http") or not isinstance(seconds, int):
            log.error("wechat: qrcode/create answered without an address")
            return None
        link = Link(url, asked + timedelta(seconds=seconds))
        fresh = timedelta(seconds=seconds) - LEAST
        if link.until and fresh > timedelta():
            value = {"url": url, "until": micros(link.until)}
            await self._shared.keep(f"{self._prefix}:{scene}", value, fresh.total_seconds())
        return link

    async def _may(self, scene: str) -> bool:
        """Whether the day's quota has room; what referrers may take of it is counted over all nodes."""
        if await self._shared.recall(self._spent()):
            return False
        if scene.startswith("p_"):
            return True
        return await self._shared.count(f"{self._prefix}s:{self._day()}", FOR_REFERRERS, 2 * 86_400.0)

    async def _refused(self, scene: str, fault: Fault) -> None:
        log.warning("wechat: no code for a scene: %s", fault)
        if fault.code == DAY_QUOTA:
            await self._shared.keep(self._spent(), {"spent": True}, 86_400.0)
        else:
            self._rest_until = time.monotonic() + _REST_SECONDS

    def _spent(self) -> str:
        return f"{self._prefix}s:{self._day()}:spent"

    def _day(self) -> str:
        return self._shared.now().astimezone(CHINA).date().isoformat()
