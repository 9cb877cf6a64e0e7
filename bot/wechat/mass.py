"""WeChat's mass sends by openid list: one request for up to 10,000 followers, counted once by our key.

A text goes as a text; with a picture it goes as an article whose cover is the picture, for a mass send is one message.
Sources: "Batch Sends" of the service account's pages; 45065 stands in the platform's error list. The real result comes
later, as MASSSENDJOBFINISH.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape
from typing import Any

from bot.channels import MassOutcome
from bot.wechat.api import Api
from bot.wechat.faults import Fault, outcome
from bot.wechat.media import Media

FEWEST, MOST = 2, 10_000
_TITLE_MAX, _DIGEST_MAX = 32, 120  # characters, as the platform shows them
_KEEP_SECONDS = 7 * 86_400
_SENT_BEFORE = 45065


class Mass:
    """The mass sends of one account."""

    def __init__(self, account: str, api: Api, media: Media, service: Any) -> None:
        self._prefix = f"wechat:{account}:mass:"
        self._api, self._media, self._service = api, media, service

    async def send(self, addresses: Sequence[str], message: dict[str, Any], key: str) -> MassOutcome:
        """Send `message` to these followers under `key`; the same key again reaches nobody twice.

        A key that the platform knows counts as sent: what an earlier request with a lost answer did.
        """
        if len(addresses) < FEWEST:
            return MassOutcome("refused", "too_few")
        try:
            body = await self._body(message)
        except Fault as fault:
            # Nothing was sent yet, whatever befell it.
            ended = outcome(
                Fault(0 if fault.code == -1 else fault.code, str(fault), reached=False), self._service.now()
            )
            return MassOutcome(ended.state, ended.reason, ended.wait)
        try:
            data = {"touser": list(addresses), **body, "send_ignore_reprint": 0, "clientmsgid": key}
            answer = await self._api.ask("POST", "message/mass/send", data=data)
        except Fault as fault:
            ended = outcome(fault, self._service.now())
            if fault.code == _SENT_BEFORE:
                return MassOutcome("sent", ended.reason, platform=str(fault.answer.get("msg_id", "")))
            return MassOutcome(ended.state, ended.reason, ended.wait)
        return MassOutcome("sent", platform=str(answer.get("msg_id", "")))

    async def _body(self, message: dict[str, Any]) -> dict[str, Any]:
        picture = message.get("picture")
        article = await self._article(message["text"], picture["name"]) if picture else ""
        if article:
            return {"msgtype": "mpnews", "mpnews": {"media_id": article}}
        return {"msgtype": "text", "text": {"content": message["text"]}}

    async def _article(self, said: str, picture: str) -> str:
        """The id of a draft that says it under this cover, made once; nothing when the picture cannot be shown."""
        cover = await self._media.lasting(picture)
        if not cover:
            return ""
        first, _, _ = said.partition("\n")
        article = {
            "title": first[:_TITLE_MAX],
            "digest": said.replace("\n", " ")[:_DIGEST_MAX],
            "content": "".join(f"<p>{escape(line)}</p>" for line in said.splitlines() if line.strip()),
            "thumb_media_id": cover,
            "need_open_comment": 0,
        }
        kept_under = self._prefix + hashlib.sha256(f"{cover}\0{said}".encode()).hexdigest()[:32]
        kept = await self._service.recall(kept_under)
        if kept:
            return str(kept["id"])
        answer = await self._api.ask("POST", "draft/add", data={"articles": [article]})
        await self._service.keep(kept_under, {"id": answer["media_id"]}, _KEEP_SECONDS)
        return str(answer["media_id"])
