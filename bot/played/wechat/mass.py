"""Mass sends as the platform plays them: by openid list or tag, deduped by clientmsgid, four a month per follower.

Sources: "Batch Sends" of the service account's pages for the limits, the platform's error list for 45028, 45065, 45066,
45067 and 45159. Unverified, for no current page says it: the least number of openids, that an openid nobody has is
passed over (with `strict_openids` it refuses the whole list), the errcode of an unknown msg_id, and whether clientmsgid
or content is looked at first (`content_first`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from bot.played.wechat.calls import Code, body_of, error, live_media, refusing
from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.people import Person
    from bot.played.wechat.platform import PlayedWeChat

FEWEST, MOST = 2, 10_000
A_MONTH = 4
KEY_LIFE = timedelta(hours=24)  # for so long the platform looks for an earlier send with the same clientmsgid
_KEY_BYTES, _TEXT_BYTES = 64, 2048
_CHINA = timezone(timedelta(hours=8))
_HELPER = "oMassHelper_0000000000000000"  # MASSSENDJOBFINISH comes from the platform's own helper, not from a follower


@dataclass(slots=True)
class MassSend:
    """One accepted mass send and what became of it.

    `asked` were named by the request and `total` of them follow; `reached` got it, `failed` did not for a reason of the
    network's; whoever is in neither was filtered.
    """

    number: int
    key: str
    kind: str
    at: datetime
    until: datetime
    asked: int = 0
    total: int = 0
    reached: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    deleted: bool = False

    def counts(self) -> dict[str, int]:
        """The four counts as the platform names them; FilterCount is what is left after filtering."""
        left = len(self.reached) + len(self.failed)
        sent, errors = len(self.reached), len(self.failed)
        return {"TotalCount": self.total, "FilterCount": left, "SentCount": sent, "ErrorCount": errors}


def _send(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    openids = body.get("touser")
    if not isinstance(openids, list) or not FEWEST <= len(openids) <= MOST:
        raise Code(40032)
    if world.strict_openids and any(openid not in world.people for openid in openids):
        raise Code(40003)
    known = [world.people[openid] for openid in dict.fromkeys(map(str, openids)) if openid in world.people]
    return _accept(world, body, len(openids), known)


def _send_all(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    chosen = body.get("filter")
    if not isinstance(chosen, dict):
        raise Code(40032)
    everybody, tag = chosen.get("is_to_all") is True, chosen.get("tag_id")
    if not everybody and tag not in world.tags:
        raise Code(45159)
    people = [person for person in world.people.values() if everybody or tag in person.tags]
    return _accept(world, body, len(people), people)


def _accept(world: PlayedWeChat, body: dict[str, Any], asked: int, people: Iterable[Person]) -> dict[str, Any]:
    now, key = world.clock(), str(body.get("clientmsgid") or "")
    if len(key.encode()) > _KEY_BYTES:
        raise Code(45067)
    if world.content_first:
        _content(world, body)
    if found := _earlier(world, key, now):
        return found
    kind, content = _content(world, body)
    _check_quota(world, now)
    sent = MassSend(world.serial() % 10**10, key, kind, now, now + timedelta(seconds=world.mass_seconds), asked)
    month = now.astimezone(_CHINA).strftime("%Y-%m")
    for person in people:
        if person.since is None:
            continue
        sent.total += 1
        if person.refuses_messages or world.monthly[month, person.openid] >= A_MONTH:
            continue
        if person.unreachable:
            sent.failed.append(person.openid)
            continue
        world.monthly[month, person.openid] += 1
        sent.reached.append(person.openid)
        person.receive("mass", kind, content)
    world.masses[sent.number] = sent
    if kind == "mpnews":
        del world.drafts[body["mpnews"]["media_id"]]  # a draft that was sent is no draft any more
    world.later(_finished(world, sent), world.mass_seconds)
    answer = {"errcode": 0, "errmsg": "send job submission success", "msg_id": sent.number}
    return answer | ({"msg_data_id": sent.number + 1} if kind == "mpnews" else {})


def _earlier(world: PlayedWeChat, key: str, now: datetime) -> dict[str, Any] | None:
    """The refusal of a key that was sent within a day."""
    known = next((one for one in world.masses.values() if key and one.key == key and now - one.at < KEY_LIFE), None)
    if known is None:
        return None
    if now - world.keys_asked.get(key, known.at) < timedelta(seconds=world.key_rest_seconds):
        return error(45066)
    world.keys_asked[key] = now
    return {**error(45065), "msg_id": known.number}


def _check_quota(world: PlayedWeChat, now: datetime) -> None:
    """A subscription account's one success a day."""
    today = now.astimezone(_CHINA).date()
    if world.kind == "subscription" and any(m.at.astimezone(_CHINA).date() == today for m in world.masses.values()):
        raise Code(45028)


def _content(world: PlayedWeChat, body: dict[str, Any]) -> tuple[str, str]:
    kind = body.get("msgtype")
    if kind == "text":
        content = str((body.get("text") or {}).get("content") or "")
        if not content:
            raise Code(44004)
        if len(content.encode()) > _TEXT_BYTES:
            raise Code(45002)
        return "text", content
    media_id = str((body.get(str(kind)) or {}).get("media_id") or "")
    if kind == "mpnews":
        if media_id not in world.drafts:
            raise Code(40007)
        return "mpnews", str(world.drafts[media_id]["title"])
    if kind == "image":
        if not live_media(world, media_id) and media_id not in world.materials:
            raise Code(40007)
        return "image", media_id
    raise Code(40008)


def _preview(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    """Shows it to one follower; counts toward no month and leaves the draft where it is."""
    body = body_of(request)
    person = world.people.get(str(body.get("touser")))
    if person is None:
        raise Code(40003)
    if person.since is None:
        raise Code(43004)
    person.receive("preview", *_content(world, body))
    return {"errcode": 0, "errmsg": "preview success", "msg_id": world.serial() % 10**10}


def _get(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    sent = _named(world, request)
    status = "DELETE" if sent.deleted else "SEND_SUCCESS" if world.clock() >= sent.until else "SENDING"
    return {"msg_id": sent.number, "msg_status": status}


def _delete(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    """Takes an article's page away; the cards that people have stay. Nothing else can be deleted."""
    sent = _named(world, request)
    if sent.kind != "mpnews" or world.clock() < sent.until:
        raise Code(40059)
    sent.deleted = True
    return error(0)


def _named(world: PlayedWeChat, request: Request) -> MassSend:
    number = str(body_of(request).get("msg_id", ""))
    if not number.isdecimal() or int(number) not in world.masses:
        raise Code(40059)
    return world.masses[int(number)]


def _finished(world: PlayedWeChat, sent: MassSend) -> str:
    counts = "".join(f"<{name}>{count}</{name}>" for name, count in sent.counts().items())
    checked = (
        "<CopyrightCheckResult><Count>0</Count><ResultList></ResultList><CheckState>2</CheckState>"
        "</CopyrightCheckResult>"
        if sent.kind == "mpnews"
        else ""
    )
    return (
        f"<xml><ToUserName><![CDATA[{world.name}]]></ToUserName><FromUserName><![CDATA[{_HELPER}]]></FromUserName>"
        f"<CreateTime>{int(sent.until.timestamp())}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[MASSSENDJOBFINISH]]></Event><MsgID>{sent.number}</MsgID>"
        f"<Status><![CDATA[send success]]></Status>{counts}{checked}</xml>"
    )


CALLS = {
    "message/mass/send": refusing(_send),
    "message/mass/sendall": refusing(_send_all),
    "message/mass/preview": refusing(_preview),
    "message/mass/get": refusing(_get),
    "message/mass/delete": refusing(_delete),
}
