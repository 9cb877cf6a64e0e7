"""Reads a callback's XML strictly and says what it means as an `Incoming`.

Promises that anything malformed ends in Refused, in bounded time and memory. Decides nothing about the person.
Rules: developers.weixin.qq.com, "Receiving standard messages" and "Receiving event pushes".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from xml.parsers import expat

from bot.knocking import Refused
from storage.incoming import Incoming

_DEPTH = 16
_ID = re.compile(r"[A-Za-z0-9_@.\-]{1,64}")
_OPENID = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
_CODE = re.compile(r"-?[0-9]{1,9}")
_MESSAGE_ID = re.compile(r"[0-9]{1,20}")

# One field: a name and a marked section or text, of plain characters only. Marks within either, and any character that
# XML forbids or turns into another, are left to the parser. No field is looked at past the next mark, so that what does
# not fit costs no more than what does.
_PLAIN = r"[^<\]\x00-\x08\x0b-\x1f\ufffe\uffff"
_FIELD = re.compile(rf"<([A-Za-z][A-Za-z0-9_]{{0,63}})>(?:<!\[CDATA\[({_PLAIN}]*+)\]\]>|({_PLAIN}&>]*+))</\1>[ \n\t]*+")
_SPACE = " \n\t"

Fields = dict[str, Any]


def read_xml(body: bytes) -> Fields:
    """The children of `<xml>` by name: text, a nested dict, or a list where a name repeats.

    No DTD, no entities beyond XML's five, no namespaces, at most 16 levels. Raises Refused (400).
    """
    return _flat(body) or _parsed(body)


def _flat(body: bytes) -> Fields | None:
    """The fields of an envelope in the form that nearly all have, in half the time; None for any other."""
    try:
        parts = _FIELD.split(body.decode())  # what is before the first; then of each its name, values, and what follows
    except UnicodeDecodeError:
        return None
    if parts[0].rstrip(_SPACE) != "<xml>" or parts[-1].rstrip(_SPACE) != "</xml>" or any(parts[4:-1:4]):
        return None
    found = zip(parts[1::4], parts[2::4], parts[3::4], strict=True)
    fields: Fields = {name: marked or plain or "" for name, marked, plain in found}
    return fields if len(fields) == len(parts) // 4 else None  # a name that comes twice


def _parsed(body: bytes) -> Fields:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_doctype
    open_nodes: list[Fields] = []
    texts: list[str] = []
    top: list[tuple[str, Fields]] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        if len(open_nodes) >= _DEPTH:
            raise Refused(400, "XML 嵌套太深 XML too deep")
        open_nodes.append({})
        texts.clear()

    def end(name: str) -> None:
        node = open_nodes.pop()
        if not open_nodes:
            top.append((name, node))
            return
        value: Any = node or "".join(texts)
        texts.clear()
        parent = open_nodes[-1]
        if name not in parent:
            parent[name] = value
        elif isinstance(parent[name], list):
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        raise Refused(400, "不是 XML not XML") from None
    name, fields = top[0]
    if name != "xml":
        raise Refused(400, "根元素不是 xml not a WeChat message")
    return fields


def _no_doctype(*_: Any) -> None:
    raise Refused(400, "不收 DTD no DTD")


def incoming(fields: Fields, account: str, at: datetime) -> Incoming:
    """What `fields` mean. `at` is when we received them. Raises Refused (400) when a needed field is missing or odd."""
    sender = _exact(fields, "FromUserName", _ID)
    kind = _exact(fields, "MsgType", _WORD).lower()
    created = _exact(fields, "CreateTime", _MESSAGE_ID)
    _exact(fields, "ToUserName", _ID)
    if kind == "event":
        event = _exact(fields, "Event", _WORD).lower()
        key = f"wechat:{account}:e:{sender}:{created}:{event}:{_print(fields)}"
        name, text, data = _event(event, fields)
        sender = data.get("openid") or sender
    else:
        message_id = fields.get("MsgId", "")
        if isinstance(message_id, str) and _MESSAGE_ID.fullmatch(message_id):
            key = f"wechat:{account}:m:{message_id}"
        else:
            key = f"wechat:{account}:x:{sender}:{created}:{_print(fields)}"
        name, text, data = _MESSAGES.get(kind, _other)(fields)
    return Incoming("wechat", account, sender, key, name, at, text, data)


Meaning = tuple[str, str, dict[str, Any]]


def _text(fields: Fields) -> Meaning:
    return "text", _string(fields, "Content"), {}


def _picture(fields: Fields) -> Meaning:
    return "picture", "", _pick(fields, media="MediaId", url="PicUrl")


def _voice(fields: Fields) -> Meaning:
    return "voice", _string(fields, "Recognition"), _pick(fields, media="MediaId", format="Format")


def _location(fields: Fields) -> Meaning:
    data: dict[str, Any] = _pick(fields, label="Label")
    try:
        data["latitude"], data["longitude"] = float(_string(fields, "Location_X")), float(_string(fields, "Location_Y"))
    except ValueError:
        raise Refused(400, "位置不是数字 bad location") from None
    if not (-90 <= data["latitude"] <= 90 and -180 <= data["longitude"] <= 180):
        raise Refused(400, "位置超出范围 bad location")
    return "location", "", data


def _link(fields: Fields) -> Meaning:
    return "link", "", _pick(fields, title="Title", description="Description", url="Url")


def _other(fields: Fields) -> Meaning:
    return "other", "", {"type": fields["MsgType"].lower(), **_pick(fields, media="MediaId")}


_MESSAGES: dict[str, Callable[[Fields], Meaning]] = {
    "text": _text,
    "image": _picture,
    "voice": _voice,
    "location": _location,
    "link": _link,
}


def _event(event: str, fields: Fields) -> Meaning:
    key = _string(fields, "EventKey")
    if event == "subscribe":
        # After a payment WeChat sets a trade number here; that is no code of ours.
        scene = "" if key.startswith("last_trade_no_") else key.removeprefix("qrscene_")
        return "follow", "", {"scene": scene} if scene else {}
    if event == "unsubscribe":
        return "unfollow", "", {}
    if event == "scan":
        return "scan", "", {"scene": key}
    if event == "click":
        # The key of a menu button is the words it stands for; `by` lets the house keep the shorter reply window.
        return "text", key, {"by": "menu"}
    if event in ("view", "view_miniprogram"):
        return "view", "", {"url": key}
    return "notice", "", {"event": event, **_notice(event, fields)}


_COUNTS = {"total": "TotalCount", "filtered": "FilterCount", "sent": "SentCount", "errors": "ErrorCount"}
_ENVELOPE = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "Event", "Encrypt"})
_MOST_LISTED = 20  # a window shows three templates, an account's page somewhat more


def _notice(event: str, fields: Fields) -> dict[str, Any]:
    """The rest of an event nobody answers: results of jobs, consents and withdrawals, and what is not known yet."""
    if event in ("templatesendjobfinish", "masssendjobfinish"):
        counts = {
            name: int(text) for name, tag in _COUNTS.items() if _MESSAGE_ID.fullmatch(text := _string(fields, tag))
        }
        return {**_pick(fields, msg_id="MsgID", status="Status"), **counts}
    if event.startswith("user_") and "OpenID" in fields:
        # FromUserName is the platform's own name here; OpenID is the person it is about.
        openid = _exact(fields, "OpenID", _OPENID)
        return {"openid": openid, **_pick(fields, app_id="AppID", revoked="RevokeInfo")}
    for wrapper, read in _LISTS.items():
        inside = fields.get(wrapper)
        if isinstance(inside, dict):
            items = inside.get("List", [])
            listed = items if isinstance(items, list) else [items]
            return read([item for item in listed[:_MOST_LISTED] if isinstance(item, dict)])
    rest = {name: value for name, value in fields.items() if name not in _ENVELOPE}
    return {"fields": rest} if rest else {}


def _consents(items: list[Fields]) -> dict[str, Any]:
    """`consents`: what the person answered of each template; one yes is one notice that may come."""
    said = [(_string(item, "TemplateId"), _string(item, "SubscribeStatusString").lower()) for item in items]
    return {"consents": [{"template": name, "agreed": how == "accept"} for name, how in said if name and how]}


def _ended(items: list[Fields]) -> dict[str, Any]:
    """`notices`: how each subscription notice ended; `code` 0 means that it arrived."""
    told = [_pick(item, template="TemplateId", msg_id="MsgID", status="ErrorStatus") for item in items]
    codes = [text if _CODE.fullmatch(text := _string(item, "ErrorCode")) else "-1" for item in items]
    return {"notices": [one | {"code": int(code)} for one, code in zip(told, codes, strict=True) if "template" in one]}


_LISTS: dict[str, Callable[[list[Fields]], dict[str, Any]]] = {
    "SubscribeMsgPopupEvent": _consents,
    "SubscribeMsgChangeEvent": _consents,
    "SubscribeMsgSentEvent": _ended,
}


def _exact(fields: Fields, name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refused(400, f"{name} 缺失或不合法 missing or bad")
    return value


def _string(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def _pick(fields: Fields, **names: str) -> dict[str, Any]:
    return {name: value for name, tag in names.items() if (value := _string(fields, tag))}


def _print(fields: Fields) -> str:
    """A short print of all fields: two events of one person in one second differ in something, a retry in nothing."""
    tree = json.dumps(fields, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(tree).hexdigest()[:16]
