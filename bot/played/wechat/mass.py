"""Mass sends as the platform plays them: by openid list, deduped by clientmsgid, four a month per follower.

Sources: "Batch Sends" of the service account's pages; the least number of openids and the errcode of an unknown draft
are on no current page. How it ended is told later, by `finish`, as MASSSENDJOBFINISH.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from bot.played.wechat.calls import Code, _file, body_of, error, live_media, refusing
from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.platform import PlayedWeChat

FEWEST, MOST = 2, 10_000
A_MONTH = 4
_KEY_BYTES = 64
_CHINA = timezone(timedelta(hours=8))


@dataclass(slots=True)
class MassSend:
    """One accepted mass send and what became of it; `reached` are the openids that got it."""

    number: int
    key: str
    asked: int
    reached: list[str] = field(default_factory=list)
    told: bool = False


def _send(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    openids = body.get("touser")
    if not isinstance(openids, list) or not FEWEST <= len(openids) <= MOST:
        raise Code(40032)
    if any(openid not in world.people for openid in openids):
        raise Code(40003)
    key = str(body.get("clientmsgid") or "")
    if len(key.encode()) > _KEY_BYTES:
        raise Code(45067)
    known = next((one for one in world.masses.values() if key and one.key == key), None)
    if known:
        return {**error(45065), "msg_id": known.number}
    kind, content = _content(world, body)
    sent = MassSend(world.serial() % 10**10, key, len(openids))
    month = world.clock().astimezone(_CHINA).strftime("%Y-%m")
    for openid in dict.fromkeys(openids):
        person = world.people[openid]
        if person.since is None or world.monthly[month, openid] >= A_MONTH:
            continue
        world.monthly[month, openid] += 1
        sent.reached.append(openid)
        person.receive("mass", kind, content)
    world.masses[sent.number] = sent
    return {**error(0), "msg_id": sent.number, "msg_data_id": sent.number + 1}


def _content(world: PlayedWeChat, body: dict[str, Any]) -> tuple[str, str]:
    kind = body.get("msgtype")
    if kind == "text":
        content = str((body.get("text") or {}).get("content") or "")
        if not content:
            raise Code(44004)
        if len(content.encode()) > 2048:
            raise Code(45002)
        return "text", content
    if kind == "mpnews":
        media_id = str((body.get("mpnews") or {}).get("media_id") or "")
        if media_id not in world.drafts:
            raise Code(40007)
        return "mpnews", str(world.drafts[media_id]["title"])
    if kind == "image":
        media_id = str((body.get("image") or {}).get("media_id") or "")
        if not live_media(world, media_id):
            raise Code(40007)
        return "image", media_id
    raise Code(40008)


def _draft(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    articles = body_of(request).get("articles")
    if not isinstance(articles, list) or not 1 <= len(articles) <= 8:
        raise Code(40032)
    for article in articles:
        if not article.get("title") or not article.get("content"):
            raise Code(44003)
        if article.get("thumb_media_id") not in world.materials:
            raise Code(40007)
    media_id = f"draft_{world.dice.getrandbits(128):032x}"
    world.drafts[media_id] = dict(articles[0])
    return {"media_id": media_id}


def _material(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    if request.query.get("type") != "image":
        raise Code(40004)
    content = _file(request)
    if len(content) > world.image_bytes:
        raise Code(45001)
    media_id = f"material_{world.dice.getrandbits(128):032x}"
    world.materials[media_id] = content
    return {"media_id": media_id, "url": f"http://mmbiz.qpic.cn/{media_id}"}


async def finish(world: PlayedWeChat, number: int) -> None:
    """Tell the account how a mass send ended, once."""
    sent = world.masses[number]
    filtered = len(sent.reached)
    sent.told = True
    await world.push(
        f"<xml><ToUserName><![CDATA[{world.name}]]></ToUserName><FromUserName><![CDATA[oPlatform0000000000000000000]]>"
        f"</FromUserName><CreateTime>{int(world.clock().timestamp())}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[MASSSENDJOBFINISH]]></Event><MsgID>{number}</MsgID><Status><![CDATA[send success]]></Status>"
        f"<TotalCount>{sent.asked}</TotalCount><FilterCount>{filtered}</FilterCount><SentCount>{filtered}</SentCount>"
        "<ErrorCount>0</ErrorCount></xml>"
    )


CALLS = {
    "message/mass/send": refusing(_send),
    "draft/add": refusing(_draft),
    "material/add_material": refusing(_material),
}
