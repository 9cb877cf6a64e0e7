"""What a mass send carries, made of a message tree: an article under a cover, a picture alone, or plain words.

A mass send is one message, so words with a picture become an article that shows the picture above the words. Sources:
"Adding a draft" (a draft is gone once it was sent, so each send has its own; pictures inside must have been uploaded
for articles), "Batch Sends".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from typing import Any

from bot.wechat.api import Api
from bot.wechat.capabilities import ARTICLES, MEDIA, Capabilities, Shared
from bot.wechat.faults import NO_PERMISSION, Fault
from bot.wechat.media import Media
from bot.wechat.rendering import TEXT_BYTES, spoken, words
from content.articles import TITLE_MOST, headline

_AUTHOR, _DIGEST = 16, 120  # characters, as the platform shows them
_CONTENT_CHARACTERS = 20_000
_DRAFT_SECONDS = 2 * 86_400.0  # longer than a send may be repeated
EMPTY, TOO_LONG = 44004, 45002


@dataclass(frozen=True, slots=True)
class Carried:
    """One mass send's `msgtype` and what stands under it; `media_id` is what the platform may have forgotten."""

    kind: str
    content: dict[str, Any]
    media_id: str = ""

    def body(self) -> dict[str, Any]:
        """As a request says it."""
        return {"msgtype": self.kind, self.kind: self.content}


class Articles:
    """Makes what the mass sends of one account carry."""

    def __init__(self, account: str, api: Api, media: Media, shared: Shared, abilities: Capabilities, address: str):
        """`address` is where our own pages stand."""
        self._prefix = f"wechat:{account}:draft:"
        self._api, self._media, self._shared, self._abilities = api, media, shared, abilities
        self._address = address

    async def make(self, message: dict[str, Any], key: str, refused: str = "") -> Carried:
        """What says `message` in the send that `key` names; `refused` is an id that the platform does not know.

        Besides what every message tree has, `article` may hold `title`, `text` and, if wanted, `html` (shown in place
        of `text` where it can be), `author`, `digest` and `link`; the tree's picture is its cover. What the account or
        the platform cannot show is said in words. Raises Fault, after which nothing was sent.
        """
        try:
            return await self._shown(message, key, refused) or self._said(message)
        except Fault as fault:
            if fault.code != NO_PERMISSION:
                raise
            return self._said(message)

    async def _shown(self, message: dict[str, Any], key: str, refused: str) -> Carried | None:
        picture = message.get("picture")
        if not picture:
            return None
        if "article" not in message and not words(message):
            if not await self._abilities.has(MEDIA):
                return None
            media_id = await self._media.upload(picture["name"], refused)
            return Carried("image", {"media_id": media_id}, media_id) if media_id else None
        if not await self._abilities.has(ARTICLES):
            return None
        cover = await self._media.lasting(picture["name"])
        if not cover:
            return None
        inside = await self._media.inline(picture["name"])
        draft = await self._draft(_article(message, cover, inside), key, refused)
        return Carried("mpnews", {"media_id": draft}, draft)

    def _said(self, message: dict[str, Any]) -> Carried:
        article, text = message.get("article"), words(message)
        if article:
            text = "\n\n".join(filter(None, [article["title"], article["text"], article.get("link", "")]))
        elif message.get("picture") and not text:
            text = spoken(message["picture"], self._address)
        if not text:
            raise Fault(EMPTY, "nothing to say", reached=False)
        if len(text.encode()) > TEXT_BYTES:
            raise Fault(TOO_LONG, "more than one message holds", reached=False)
        return Carried("text", {"content": text})

    async def _draft(self, article: dict[str, Any], key: str, refused: str) -> str:
        """The id of this send's draft; the same one when it is repeated."""
        told = "\0".join([key, *map(str, article.values())])
        kept_under = self._prefix + hashlib.sha256(told.encode()).hexdigest()[:32]
        kept = await self._shared.recall(kept_under)
        if kept and kept["id"] != refused:
            return str(kept["id"])
        answer = await self._api.ask("POST", "draft/add", data={"articles": [article]})
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise Fault(0, "draft/add answered without an id", reached=False)
        await self._shared.keep(kept_under, {"id": media_id}, _DRAFT_SECONDS)
        return media_id


def _article(message: dict[str, Any], cover: str, inside: str) -> dict[str, Any]:
    given = message.get("article")
    said = given["text"] if given else words(message)
    title = given["title"][:TITLE_MOST] if given else headline(said)
    shown = f'<p><img src="{escape(inside)}"/></p>' if inside else ""
    ours = (given or {}).get("html", "")  # which content.articles made, and nobody wrote
    content = shown + (ours or "".join(f"<p>{escape(line)}</p>" for line in said.splitlines() if line.strip()))
    if len(content) >= _CONTENT_CHARACTERS:
        raise Fault(TOO_LONG, "more than an article holds", reached=False)
    article = {
        "title": title,
        "digest": ((given or {}).get("digest") or said.replace("\n", " "))[:_DIGEST],
        "content": content or f"<p>{escape(title)}</p>",
        "thumb_media_id": cover,
        "need_open_comment": 0,
    }
    if given and given.get("author"):
        article["author"] = given["author"][:_AUTHOR]
    if given and given.get("link"):
        article["content_source_url"] = given["link"]
    return article
