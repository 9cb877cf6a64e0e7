"""Uploads pictures as temporary media and remembers their ids for all nodes while the platform keeps them.

Source: "Adding temporary materials": an id lives three days; the pages disagree on an image's size, 2 MB is safe.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
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
_INLINE_BYTES = 1024 * 1024
_INLINE_TYPES = {"image/jpeg": "jpg", "image/png": "png"}


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
        return await self._once(name, "lasting", "material/add_material", "media_id", IMAGE_BYTES, _TYPES, type="image")

    async def inline(self, name: str) -> str:
        """The platform's address of the picture `name` for the inside of an article (JPG or PNG, 1 MB), or nothing.

        Addresses from elsewhere are taken out of articles. Raises Fault.
        """
        return await self._once(name, "inline", "media/uploadimg", "url", _INLINE_BYTES, _INLINE_TYPES)

    async def _once(
        self, name: str, use: str, path: str, answered: str, most: int, types: Mapping[str, str], **params: str
    ) -> str:
        """Upload the picture `name` by `path` unless it was for this `use`; what it answered, or nothing."""
        found = await self._pictures.picture(name)
        if found is None:
            log.warning("wechat: no picture %s for an article", name)
            return ""
        content, media_type = found
        ending = types.get(media_type.partition(";")[0])
        if ending is None or len(content) > most:
            log.warning("wechat: picture %s is %s of %d bytes: none for %s", name, media_type, len(content), path)
            return ""
        key = f"{self._key(content)}:{use}"
        async with self._uploading.setdefault(key, asyncio.Lock()):
            if kept := await self._pictures.recall(key):
                return str(kept["id"])
            files = {"media": (f"picture.{ending}", content, media_type)}
            answer = await self._api.ask("POST", path, params=params, files=files)
            value = answer.get(answered)
            if not isinstance(value, str) or not value:
                raise Fault(0, f"{path} answered without {answered}", reached=False)
            await self._pictures.keep(key, {"id": value}, _LASTING_SECONDS)
            return value

    async def _keep(self, content: bytes, answer: dict[str, Any]) -> str:
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise Fault(0, "media/upload answered without an id", reached=False)
        await self._pictures.keep(self._key(content), {"id": media_id}, _KEEP_SECONDS)
        return media_id

    def _key(self, content: bytes) -> str:
        # By content, not by name: a new revision may put another picture under the same name.
        return self._prefix + hashlib.sha256(content).hexdigest()[:32]
