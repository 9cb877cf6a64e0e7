"""Pictures by file_id: each uploaded once, by the first message that shows it, and known to all nodes afterwards.

The platform throttles repeated uploads of one size to a few in a second, while file_ids are free and do not expire.
A file_id belongs to one bot.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from telegram import InputFile
from telegram.error import BadRequest

from bot.channels import Service
from bot.telegram.faults import file_gone
from bot.telegram.request import NotSent

log = logging.getLogger(__name__)

PHOTO_BYTES = 10 * 1024 * 1024
_KEEP_SECONDS = 90 * 86_400.0
_WAIT_SECONDS = 10.0  # for somebody else's upload of the same picture
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}

Use = Callable[[str | InputFile], Awaitable[Any]]


class Pictures:
    """The pictures of one bot."""

    def __init__(self, account: str, bot_id: str, service: Service) -> None:
        self._prefix = f"telegram:{account}:{bot_id}:photo:"
        self._service = service
        self._uploading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unshowable: set[str] = set()

    async def showable(self, name: str) -> bool:
        """Whether there is such a picture and the platform takes its kind."""
        found = await self._service.picture(name)
        if found is None:
            log.warning("telegram: the plan has no picture %s", name)
            return False
        content, media_type = found
        if media_type.partition(";")[0] not in _ENDINGS or len(content) > PHOTO_BYTES:
            log.warning("telegram: picture %s is %s of %d bytes, not to be shown", name, media_type, len(content))
            return False
        return self._key(content) not in self._unshowable

    async def give_up(self, name: str) -> None:
        """The platform will not show it: say its words instead, until this process ends."""
        if found := await self._service.picture(name):
            log.warning("telegram: the platform will not show the picture %s", name)
            self._unshowable.add(self._key(found[0]))

    async def show(self, name: str, use: Use, attach: bool = False) -> None:
        """Call `use` with the picture's file_id, or with the file when it has none that works.

        `attach` is for calls that take the file inside of something else. Raises what `use` does, and NotSent when
        others take too long to upload it.
        """
        content, media_type = await self._service.picture(name) or (b"", "image/jpeg")
        key = self._key(content)
        refused = ""
        if file_id := await self._known(key):
            try:
                await use(file_id)
                return
            except BadRequest as error:
                if not file_gone(error):
                    raise
                refused = file_id
        lock = self._uploading.setdefault(key, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), _WAIT_SECONDS)
        except TimeoutError:
            raise NotSent("the picture is still being uploaded") from None
        try:
            file_id = await self._known(key)
            if not file_id or file_id == refused:
                filename = f"picture.{_ENDINGS.get(media_type.partition(';')[0], 'jpg')}"
                await self._learn(key, await use(InputFile(content, filename=filename, attach=attach)))
                return
        finally:
            lock.release()
        await use(file_id)

    async def _known(self, key: str) -> str:
        kept = await self._service.recall(key)
        return str(kept["id"]) if kept else ""

    async def _learn(self, key: str, shown: Any) -> None:
        try:
            file_id = shown["photo"][-1]["file_id"]  # the whole picture comes last
        except (KeyError, IndexError, TypeError):
            return  # shown as something else, or an answer of another shape: the next one uploads again
        await self._service.keep(key, {"id": str(file_id)}, _KEEP_SECONDS)

    def _key(self, content: bytes) -> str:
        # By content, not by name: a new revision may put another picture under the same name.
        return self._prefix + hashlib.sha256(content).hexdigest()[:32]
