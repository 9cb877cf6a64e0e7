"""Reads an update strictly and says what it means as an `Incoming`.

Promises that anything malformed ends in Refused, in bounded time and memory, and that what is well-formed but not ours
to answer (groups, other bots, kinds of updates nobody asked for) means nothing. Decides nothing about the person.
Rules: core.telegram.org/bots/api, "Getting updates" and "Available types".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.knocking import Refused
from bot.telegram.buttons import words_of
from storage.incoming import Incoming
from storage.trees import clean

# What is asked of the platform; members of groups and inline queries are no business of this bot yet.
WANTED = ("message", "edited_message", "callback_query", "my_chat_member", "poll_answer")

_DEPTH = 32  # an update is a dozen levels deep
_OPENINGS = 64  # with fewer brackets than this there is no need to look how deep they go
_POLL_ID = 64  # characters; they are numbers of some twenty digits
_LARGEST_ID = 2**52  # "at most 52 significant bits"
_START = re.compile(r"/start(?:@\w+)?(?:\s+(.*))?", re.I | re.S)
_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Messages that nobody wrote: the platform tells of something that happened in the chat.
_SERVICE = re.compile(
    r"pinned_message|message_auto_delete_timer_changed|write_access_allowed|(users|chat)_shared|connected_website"
    r"|(successful|refunded)_payment|proximity_alert_triggered|boost_added|chat_background_set|(unique_)?gift\w*"
    r"|giveaway_\w+|video_chat_\w+|paid_message_price_changed|checklist_tasks_\w+|suggested_post_\w+"
)
_ENVELOPE = frozenset({"message_id", "from", "chat", "date", "edit_date", "caption", "caption_entities"})

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What an update means: something said (None: nothing of ours), and the id of a pressed button to be answered.

    With a `poll` what was said is a vote in it, for the option of number `option` (from 0): `polls.meant` knows more.
    """

    incoming: Incoming | None = None
    query: str = ""
    poll: str = ""
    option: int = 0


def read_json(body: bytes) -> Fields:
    """The object in `body`: UTF-8, at most 32 levels. Raises Refused (400)."""
    try:
        update = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused(400, "不是 JSON not JSON") from None
    if not isinstance(update, dict):
        raise Refused(400, "不是 JSON 对象 not an object")
    if body.count(b"{") + body.count(b"[") > _OPENINGS and _deeper(update, _DEPTH):
        raise Refused(400, "JSON 嵌套太深 JSON too deep")
    return update


def _deeper(tree: Any, levels: int) -> bool:
    level = [tree]
    for _ in range(levels):
        level = [
            inner
            for node in level
            for inner in (node.values() if isinstance(node, dict) else node)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def heard(update: Fields, account: str, at: datetime) -> Heard:
    """What `update` means. `at` is when we received it. Raises Refused (400) when a needed field is missing or odd."""
    number = _number(update, "update_id")
    for kind, read in _READERS.items():
        if kind in update:
            meant = read(_object(update, kind))
            if meant.sender is None:
                return Heard(None, meant.query)
            key = f"telegram:{account}:u:{number}"
            sender, language = str(_number(meant.sender, "id")), _language(meant.sender)
            said, data = clean(meant.text), meant.data or {}
            one = Incoming("telegram", account, sender, key, meant.kind, at, said, data, language, passive=False)
            return Heard(one, meant.query, meant.poll, meant.option)
    return Heard()


@dataclass(frozen=True, slots=True)
class _Meaning:
    sender: Fields | None = None
    kind: str = ""
    text: str = ""
    data: Fields | None = None
    query: str = ""
    poll: str = ""
    option: int = 0


def _private(body: Fields) -> bool:
    chat = _object(body, "chat")
    _chat_number(chat)
    return _string(chat, "type") == "private"


def _message(body: Fields) -> _Meaning:
    if not _private(body):
        return _Meaning()
    sender = _object(body, "from")
    if sender.get("is_bot") is True:
        return _Meaning()
    if "text" in body:
        text = _string(body, "text")
        if started := _START.fullmatch(text.strip()):
            # The platform sends the same to newcomers and to those who open the link again: the house knows which.
            payload = (started[1] or "").strip()
            return _Meaning(sender, "follow", "", {"scene": payload} if _PAYLOAD.fullmatch(payload) else {})
        return _Meaning(sender, "text", text, {})
    for name, read in _CONTENTS.items():
        if name in body:
            return _Meaning(sender, *read(body))
    caption = _string(body, "caption") if "caption" in body else ""
    names = sorted(body.keys() - _ENVELOPE)
    if told := next((name for name in names if _SERVICE.fullmatch(name)), ""):
        return _Meaning(sender, "notice", "", {"event": told})
    return _Meaning(sender, "other", caption, {"type": names[0][:40]} if names else {})


def _picture(body: Fields) -> tuple[str, str, Fields]:
    sizes = body["photo"]
    if not isinstance(sizes, list) or not sizes or not isinstance(sizes[-1], dict):
        raise Refused(400, "photo 不合法 bad photo")
    caption = _string(body, "caption") if "caption" in body else ""
    return "picture", caption, {"media": clean(_string(sizes[-1], "file_id"))}


def _voice(body: Fields) -> tuple[str, str, Fields]:
    return "voice", "", {"media": clean(_string(_object(body, "voice"), "file_id"))}


def _location(body: Fields) -> tuple[str, str, Fields]:
    place = _object(body, "location")
    latitude, longitude = _degrees(place, "latitude", 90), _degrees(place, "longitude", 180)
    return "location", "", {"latitude": latitude, "longitude": longitude}


_CONTENTS: dict[str, Callable[[Fields], tuple[str, str, Fields]]] = {
    "photo": _picture,
    "voice": _voice,
    "location": _location,  # of a venue, too
}


def _edited(body: Fields) -> _Meaning:
    """Somebody mended their words: what those did stays done, and the new ones do nothing."""
    if not _private(body):
        return _Meaning()
    return _Meaning(_object(body, "from"), "notice", "", {"event": "edited"})


def _tapped(body: Fields) -> _Meaning:
    """A pressed button is the words it stands for."""
    query = _string(body, "id")
    if "message" not in body or not _private(message := _object(body, "message")):
        return _Meaning(query=query)
    sender = _object(body, "from")
    number = _number(message, "message_id")
    # Of a message that is too old the platform knows no more than its number; it has date 0 and cannot be edited.
    data = {"message": str(number)} if message.get("date") else {}
    words = words_of(_string(body, "data") if "data" in body else "", message.get("reply_markup"))
    if not words:
        return _Meaning(sender, "other", "", data | {"type": "button"}, query)
    return _Meaning(sender, "text", words, data, query)


def _member(body: Fields) -> _Meaning:
    """In private chats this tells that the bot was blocked or unblocked, and nothing else."""
    if not _private(body):
        return _Meaning()
    status = _string(_object(body, "new_chat_member"), "status")
    if status == "kicked":
        return _Meaning(_object(body, "from"), "unfollow", "", {})
    event = "unblocked" if status == "member" else f"member_{status}"[:40]
    return _Meaning(_object(body, "from"), "notice", "", {"event": clean(event)})


def _voted(body: Fields) -> _Meaning:
    """A vote in a poll of ours; it tells neither the chat nor the question. One taken back means nothing."""
    poll, options = _string(body, "poll_id"), body.get("option_ids")
    if not isinstance(options, list) or any(type(one) is not int or not 0 <= one < 100 for one in options):
        raise Refused(400, "option_ids 缺失或不合法 missing or bad")
    if not 0 < len(poll) <= _POLL_ID:
        raise Refused(400, "poll_id 缺失或不合法 missing or bad")
    if "user" not in body or len(options) != 1:  # a channel votes, or somebody takes the vote back
        return _Meaning()
    voter = _object(body, "user")
    if voter.get("is_bot") is True:
        return _Meaning()
    return _Meaning(voter, "notice", "", {"event": "voted"}, "", clean(poll), options[0])


_READERS: dict[str, Callable[[Fields], _Meaning]] = dict(
    zip(WANTED, (_message, _edited, _tapped, _member, _voted), strict=True)
)


def _language(who: Fields) -> str:
    code = who.get("language_code")
    if not isinstance(code, str) or not code:
        return ""
    return "zh" if code.lower().startswith("zh") else "en"


def _object(fields: Fields, name: str) -> Fields:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise Refused(400, f"{name} 缺失或不合法 missing or bad")
    return value


def _string(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise Refused(400, f"{name} 缺失或不合法 missing or bad")
    return value


def _number(fields: Fields, name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 < value < _LARGEST_ID:
        raise Refused(400, f"{name} 缺失或不合法 missing or bad")
    return value


def _chat_number(chat: Fields) -> int:
    """Groups have negative ones."""
    value = chat.get("id")
    if type(value) is not int or not 0 < abs(value) < _LARGEST_ID:
        raise Refused(400, "chat.id 缺失或不合法 missing or bad")
    return value


def _degrees(place: Fields, name: str, most: int) -> float:
    value = place.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or abs(value) > most:
        raise Refused(400, f"{name} 缺失或不合法 missing or bad")
    return float(value)
