"""What articles are made of, as the platform keeps it: covers, pictures inside of a text, drafts; and followers' tags.

Sources: "Adding a draft" (a draft is gone once it was sent; pictures from elsewhere are taken out of the text), "Adding
permanent materials", "Uploading a picture for an article" (JPG or PNG below 1 MB), "Managing tags" (a hundred, 30 bytes
each, fifty people at once). Unverified: the errcode of a draft without title, text or cover.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.played.wechat.calls import Code, body_of, error, file_of, refusing
from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.platform import PlayedWeChat

_ARTICLES = 8
_CONTENT_CHARACTERS = 20_000
_TITLE, _DIGEST, _URL_BYTES = 64, 128, 1_024
_INLINE_BYTES = 1024 * 1024
_LASTING = 100_000
_TAGS, _TAG_BYTES, _TAGGED_AT_ONCE = 100, 30, 50
_PICTURE = re.compile(r'<img[^>]*\bsrc="([^"]*)"[^>]*>')


def _draft(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    articles = body_of(request).get("articles")
    if not isinstance(articles, list) or not 1 <= len(articles) <= _ARTICLES:
        raise Code(45008)
    kept = [_article(world, article) for article in articles]
    media_id = f"draft_{world.dice.getrandbits(128):032x}"
    world.drafts[media_id] = kept[0]
    return {"media_id": media_id}


def _article(world: PlayedWeChat, article: Any) -> dict[str, Any]:
    if not isinstance(article, dict) or not article.get("title") or not article.get("content"):
        raise Code(44003)
    if len(article["title"]) > _TITLE:
        raise Code(45003)
    if len(str(article.get("digest", ""))) > _DIGEST:
        raise Code(45004)
    if len(str(article.get("content_source_url", "")).encode()) > _URL_BYTES:
        raise Code(45005)
    if len(article["content"]) >= _CONTENT_CHARACTERS:
        raise Code(45002)
    if article.get("thumb_media_id") not in world.materials:
        raise Code(40007)
    shown = _PICTURE.sub(lambda found: found[0] if found[1] in world.inline else "", article["content"])
    return {**article, "content": shown}


def _material(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    if request.query.get("type") != "image":
        raise Code(40004)
    if len(world.materials) >= _LASTING:
        raise Code(45001)
    content = file_of(request)
    if len(content) > world.image_bytes:
        raise Code(45001)
    media_id = f"material_{world.dice.getrandbits(128):032x}"
    world.materials[media_id] = content
    return {"media_id": media_id, "url": f"http://mmbiz.qpic.cn/{media_id}"}


def _inline(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    content = file_of(request)
    if not content.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")):
        raise Code(40005)
    if len(content) > _INLINE_BYTES:
        raise Code(45001)
    url = f"http://mmbiz.qpic.cn/inline/{world.dice.getrandbits(128):032x}/0"
    world.inline[url] = content
    return {"url": url}


def _create_tag(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    name = str((body_of(request).get("tag") or {}).get("name") or "")
    if not name or name in world.tags.values():
        raise Code(45157)
    if len(name.encode()) > _TAG_BYTES:
        raise Code(45158)
    if len(world.tags) >= _TAGS:
        raise Code(45056)
    number = 100 + len(world.tags)  # 0 to 2 are the platform's own
    world.tags[number] = name
    return {"tag": {"id": number, "name": name}}


def _get_tags(world: PlayedWeChat, _: Request) -> dict[str, Any]:
    counts = {number: sum(number in person.tags for person in world.people.values()) for number in world.tags}
    return {"tags": [{"id": number, "name": name, "count": counts[number]} for number, name in world.tags.items()]}


def _put_in_tag(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    openids, tag = body.get("openid_list"), body.get("tagid")
    if tag not in world.tags:
        raise Code(45159)
    if not isinstance(openids, list) or not 1 <= len(openids) <= _TAGGED_AT_ONCE:
        raise Code(40032)
    people = [world.people.get(str(openid)) for openid in openids]
    if any(person is None or person.since is None for person in people):
        raise Code(40003)
    for person in people:
        assert person
        person.tags.add(tag)
    return error(0)


CALLS = {
    "draft/add": refusing(_draft),
    "material/add_material": refusing(_material),
    "media/uploadimg": refusing(_inline),
    "tags/create": refusing(_create_tag),
    "tags/get": refusing(_get_tags),
    "tags/members/batchtagging": refusing(_put_in_tag),
}
