"""Uploads pictures as temporary media and remembers their ids for all nodes while the platform keeps them.

Source: "Adding temporary materials": an id lives three days; the pages disagree on an image's size, 2 MB is safe.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any, Protocol
from weakref import WeakValueDictionary

from bot.wechat.api import Api
from bot.wechat.capabilities import Shared
from bot.wechat.faults import Fault

log = logging.getLogger(__name__)

IMAGE_BYTES = 2 * 1024 * 1024
_KEEP_SECONDS = 3 * 86_400 - 6 * 3_600  # three days, less a margin for a push that takes its time
_LASTING_SECONDS = 10 * 365 * 86_400.0
_TYPES = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/bmp": "bmp"}


class Pictures(Shared, Protocol):
    """The part of the service that pictures come from."""

    async def picture(self, name: str) -> tuple[bytes, str] | None: ...


class Media:
    """The uploaded pictures of one account."""

    def __init__(self, account: str, api: Api, pictures: Pictures) -> None:
        self._prefix = f"wechat:{account}:media:"
        self._api = api
        self._pictures = pictures
        self._uploading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def known(self, name: str) -> str:
        """The id of the picture `name` if it is uploaded already, else nothing."""
        found = await self._pictures.picture(name)
        if found is None:
            return ""
        kept = await self._pictures.recall(self._key(found[0]))
        return str(kept["id"]) if kept else ""

    async def upload(self, name: str, refused: str = "") -> str:
        """The id of the picture `name`, uploading it if need be; `refused` is an id that the platform forgot.

        Nothing when there is no such picture or it cannot be shown on WeChat. Raises Fault.
        """
        found = await self._pictures.picture(name)
        if found is None:
            log.warning("wechat: the plan has no picture %s", name)
            return ""
        content, media_type = found
        ending = _TYPES.get(media_type.partition(";")[0])
        if ending is None or len(content) > IMAGE_BYTES:
            log.warning("wechat: picture %s is %s of %d bytes, not to be shown", name, media_type, len(content))
            return ""
        # Each picture once; different ones side by side, for people's own posters come by the hundred.
        async with self._uploading.setdefault(self._key(content), asyncio.Lock()):
            kept = await self._pictures.recall(self._key(content))
            if kept and kept["id"] != refused:
                return str(kept["id"])
            answer = await self._api.wechat.media.upload("image", (f"picture.{ending}", content, media_type))
            return await self._keep(content, answer)

    async def lasting(self, name: str) -> str:
        """The id of the picture `name` as permanent material, for the cover of an article; nothing when there is none.

        An account has room for 100,000 of them, so each picture is added once. Raises Fault.
        """
        found = await self._pictures.picture(name)
        if found is None:
            log.warning("wechat: no picture %s for a cover", name)
            return ""
        content, media_type = found
        ending = _TYPES.get(media_type.partition(";")[0])
        if ending is None or len(content) > IMAGE_BYTES:
            return ""
        key = f"{self._key(content)}:lasting"
        async with self._uploading.setdefault(key, asyncio.Lock()):
            kept = await self._pictures.recall(key)
            if kept:
                return str(kept["id"])
            answer = await self._api.ask(
                "POST",
                "material/add_material",
                params={"type": "image"},
                files={"media": (f"cover.{ending}", content, media_type)},
            )
            await self._pictures.keep(key, {"id": str(answer["media_id"])}, _LASTING_SECONDS)
            return str(answer["media_id"])

    async def _keep(self, content: bytes, answer: dict[str, Any]) -> str:
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise Fault(0, "media/upload answered without an id", reached=False)
        await self._pictures.keep(self._key(content), {"id": media_id}, _KEEP_SECONDS)
        return media_id

    def _key(self, content: bytes) -> str:
        # By content, not by name: a new revision may put another picture under the same name.
        return self._prefix + hashlib.sha256(content).hexdigest()[:32]
