"""The calls of the platform's API that are played: their checks in the platform's order, limits and error codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.platform import PlayedWeChat

_MEDIA_LIFE = timedelta(days=3)
RENEWED_BEFORE = timedelta(minutes=5)
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM")
_OF_SERVICE_ACCOUNTS = ("qrcode/", "message/template/", "message/subscribe/")
_TEXTS = {
    -1: "system error",
    0: "ok",
    40001: "invalid credential, access_token is invalid or not latest",
    40003: "invalid openid",
    40013: "invalid appid",
    40125: "invalid appsecret",
    40164: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist",
    40243: "AppSecret is frozen",
    40052: "invalid action name",
    40053: "invalid action info",
    42001: "access_token expired",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45028: "has no masssend quota",
    45065: "clientmsgid exist",
    45066: "same clientmsgid retry too fast",
    43101: "user refuse to accept the msg",
    45015: "response out of time limit or subscription is canceled",
    45047: "out of response count limit",
    48001: "api unauthorized",
    48004: "api forbidden for irregularities",
}


@dataclass(slots=True)
class Token:
    """One access token and until when it works."""

    value: str
    until: datetime


@dataclass(slots=True)
class Upload:
    """One temporary picture or sound."""

    kind: str
    content: bytes
    until: datetime


class Code(Exception):
    """A call refused with this errcode."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def error(code: int) -> dict[str, Any]:
    """An answer with `code`; 0 is ok."""
    return {"errcode": code, "errmsg": _TEXTS.get(code, "refused")}


def allowed(path: str, kind: str, verified: bool) -> bool:
    """Whether such an account may call `path` at all."""
    if path in ("stable_token", "token"):
        return True
    if path == "message/mass/send" or path.startswith(_OF_SERVICE_ACCOUNTS):
        return verified and kind == "service"
    if verified:
        return True
    return kind == "service" and path.startswith("menu/")


def read_reply(xml: bytes) -> dict[str, str]:
    """The fields of a passive reply, two levels joined as `Image/MediaId`. Raises ValueError on anything but XML."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as broken:
        raise ValueError(f"the reply is no XML: {broken}") from broken
    if root.tag != "xml":
        raise ValueError("the reply's root is not xml")
    fields: dict[str, str] = {}
    for child in root:
        if child.tag in fields:
            raise ValueError(f"{child.tag} stands twice in the reply")
        fields[child.tag] = child.text or ""
        fields.update({f"{child.tag}/{inner.tag}": inner.text or "" for inner in child})
    return fields


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a call. Raises Code."""
    try:
        body = json.loads(request.body or b"null")
    except ValueError:
        raise Code(47001) from None
    if body is None:
        raise Code(44002)
    if not isinstance(body, dict):
        raise Code(47001)
    return body


def _stable_token(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    if request.method != "POST":
        raise Code(43002)
    body = body_of(request)
    _check_keys(world, body.get("appid"), body.get("secret"), body.get("grant_type"))
    now = world.clock()
    current = world.tokens[-1] if world.tokens else None
    if body.get("force_refresh"):
        today = [at for at in world.forced if now - at < timedelta(days=1)]
        if len(today) >= 20 or (today and now - today[-1] < timedelta(seconds=30)):
            raise Code(45009)
        world.forced.append(now)
        world.tokens.clear()
    elif current and now < current.until - RENEWED_BEFORE:
        return _token_answer(world, now)
    _new_token(world)
    return _token_answer(world, now)


def _token(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    query = request.query
    _check_keys(world, query.get("appid"), query.get("secret"), query.get("grant_type"))
    now = world.clock()
    for old in world.tokens:
        old.until = min(old.until, now + RENEWED_BEFORE)
    _new_token(world)
    return _token_answer(world, now)


def _check_keys(world: PlayedWeChat, app_id: Any, secret: Any, grant: Any) -> None:
    if grant != "client_credential":
        raise Code(40002)
    if app_id != world.app_id:
        raise Code(40013)
    if secret != world.app_secret:
        raise Code(40125)


def _new_token(world: PlayedWeChat) -> None:
    value = f"{world.dice.getrandbits(64):016x}_" + "".join(world.dice.choices("abcdefghij0123456789-_", k=119))
    world.tokens.append(Token(value, world.clock() + timedelta(seconds=world.token_seconds)))


def _token_answer(world: PlayedWeChat, now: datetime) -> dict[str, Any]:
    token = world.tokens[-1]
    return {"access_token": token.value, "expires_in": int((token.until - now).total_seconds())}


def _send(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    person = world.people.get(str(body.get("touser")))
    if person is None:
        raise Code(40003)
    kind = body.get("msgtype")
    if kind == "text":
        content = str((body.get("text") or {}).get("content") or "")
        if not content:
            raise Code(44004)
        if len(content.encode()) > 2048:
            raise Code(45002)
    elif kind == "image":
        content = str((body.get("image") or {}).get("media_id") or "")
        if not live_media(world, content):
            raise Code(40007)
    else:
        raise Code(40008)
    if code := person.spend():
        raise Code(code)
    person.receive("custom", kind, content)
    return error(0)


def live_media(world: PlayedWeChat, media_id: Any) -> bool:
    """True while the platform still has the upload `media_id`."""
    upload = world.uploads.get(str(media_id))
    return upload is not None and world.clock() < upload.until


def _upload(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    kind = request.query.get("type", "")
    if kind not in ("image", "voice", "video", "thumb"):
        raise Code(40004)
    content = file_of(request)
    limit = {"image": world.image_bytes, "voice": 2 * 1024 * 1024, "video": 10 * 1024 * 1024, "thumb": 65_536}[kind]
    if len(content) > limit:
        raise Code(45001)
    if kind == "image" and not content.startswith(_PICTURES):
        raise Code(40005)
    media_id = f"{kind}_{world.dice.getrandbits(128):032x}"
    now = world.clock()
    world.uploads[media_id] = Upload(kind, content, now + _MEDIA_LIFE)
    return {"type": kind, "media_id": media_id, "created_at": int(now.timestamp())}


def file_of(request: Request) -> bytes:
    """The uploaded file of a call. Raises Code."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    for part in BytesParser(policy=HTTP).parsebytes(head + request.body).iter_parts():
        if part.get_param("name", header="content-disposition") == "media" and part.get_filename():
            return bytes(part.get_payload(decode=True) or b"")
    raise Code(41005)


def _menu_create(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    buttons = body_of(request).get("button")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
        raise Code(40016)
    for button in buttons:
        under = button.get("sub_button") or []
        if len(under) > 5:
            raise Code(40023)
        _check_button(button, 16, bool(under))
        for inner in under:
            _check_button(inner, 60, False)
    world.menu = buttons
    return error(0)


def _check_button(button: dict[str, Any], name_bytes: int, parent: bool) -> None:
    if not 1 <= len(str(button.get("name", "")).encode()) <= name_bytes:
        raise Code(40018)
    if parent:
        return
    kind = button.get("type")
    if kind == "click":
        if not 1 <= len(str(button.get("key", "")).encode()) <= 128:
            raise Code(40019)
    elif kind == "view":
        if not 1 <= len(str(button.get("url", "")).encode()) <= 1024:
            raise Code(40020)
    else:
        raise Code(40017)


def _menu_get(world: PlayedWeChat, _: Request) -> dict[str, Any]:
    if not world.menu:
        raise Code(46003)
    return {"menu": {"button": world.menu}}


def _menu_delete(world: PlayedWeChat, _: Request) -> dict[str, Any]:
    world.menu = []
    return error(0)


def _followers(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    following = [openid for openid, person in world.people.items() if person.since]
    after = request.query.get("next_openid", "")
    if after and after not in world.people:
        raise Code(40003)
    start = following.index(after) + 1 if after in following else 0
    page = following[start : start + world.page_size]
    answer: dict[str, Any] = {"total": len(following), "count": len(page), "next_openid": page[-1] if page else ""}
    return answer | {"data": {"openid": page}} if page else answer


def _info(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    return _describe(world, request.query.get("openid", ""))


def _infos(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    rows = body_of(request).get("user_list")
    if not isinstance(rows, list) or not 1 <= len(rows) <= 100:
        raise Code(40032)
    return {"user_info_list": [_describe(world, str(row.get("openid"))) for row in rows]}


def _describe(world: PlayedWeChat, openid: str) -> dict[str, Any]:
    person = world.people.get(openid)
    if person is None:
        raise Code(40003)
    if person.since is None:
        return {"subscribe": 0, "openid": openid}
    return {
        "subscribe": 1,
        "openid": openid,
        "language": person.language,
        "subscribe_time": int(person.since.timestamp()),
        "remark": "",
        "groupid": 0,
        "tagid_list": [],
        "subscribe_scene": "ADD_SCENE_QR_CODE" if person.scene else "ADD_SCENE_SEARCH",
        "qr_scene": 0,
        "qr_scene_str": person.scene,
    }


def refusing(
    call: Callable[[PlayedWeChat, Request], dict[str, Any]],
) -> Callable[[PlayedWeChat, Request], dict[str, Any]]:
    """A call whose refusal becomes an answer with its code."""

    def answer(world: PlayedWeChat, request: Request) -> dict[str, Any]:
        try:
            return call(world, request)
        except Code as refused:
            return error(refused.code)

    return answer


CALLS = {
    path: refusing(call)
    for path, call in {
        "stable_token": _stable_token,
        "token": _token,
        "message/custom/send": _send,
        "media/upload": _upload,
        "menu/create": _menu_create,
        "menu/get": _menu_get,
        "menu/delete": _menu_delete,
        "user/get": _followers,
        "user/info": _info,
        "user/info/batchget": _infos,
    }.items()
}
