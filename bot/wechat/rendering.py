"""Renders message trees as WeChat can show them: pieces, each one platform message, and the XML of a passive reply.

Choices become numbered lines, because a bare number answers the newest list and works on every kind of account; a
choice that opens a page becomes a link. Knows nothing of windows or of what an account may do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

TEXT_BYTES = 2048  # the platform's limit on a text, passive or active (45002 above)


class Piece(NamedTuple):
    """One platform message: words, or a picture by its name with `text` as the words that replace it."""

    text: str
    picture: str = ""


def pieces(tree: dict[str, Any], pictures: bool, address: str = "") -> list[Piece]:
    """What `tree` becomes, in order: the words first, then the picture; without `pictures` its words stand for it.

    `address` is where our own pages stand (see `spoken`).
    """
    text = words(tree)
    picture = tree.get("picture")
    if picture and not pictures:
        instead = spoken(picture, address)
        text = f"{text}\n{instead}" if text else instead
    parts = [Piece(part) for part in split(text)]
    if picture and pictures:
        parts.append(Piece(picture["alt"], picture["name"]))
    return parts


def spoken(picture: dict[str, Any], address: str = "") -> str:
    """The words that stand where `picture` cannot be shown; those of one made for the person open it at `address`."""
    alt = picture["alt"]
    if address and is_own({"picture": picture}):
        alt = _anchor(f"{address}/pictures/{quote(picture['name'], safe='')}", alt)
    return f"〔{alt}〕"


def is_own(tree: dict[str, Any]) -> bool:
    """Whether `tree` shows a picture made for this person, which is what they asked for."""
    return str(tree.get("picture", {}).get("name", "")).startswith("poster:")


def words(tree: dict[str, Any]) -> str:
    """The text of `tree` with its choices as numbered lines."""
    choices = tree.get("choices")
    if not choices:
        return tree["text"]
    lines = [_line(number, choice) for number, choice in enumerate(choices, 1)]
    return "\n".join([tree["text"], *lines] if tree["text"] else lines)


def _line(number: int, choice: dict[str, Any]) -> str:
    label, url = choice["label"], choice.get("url")
    if not url:
        return f"{number}. {label}"
    return f"{number}. {_anchor(url, label)}"


def _anchor(url: str, label: str) -> str:
    shown = label.replace("<", "＜").replace(">", "＞")
    return f'<a href="{url.replace(chr(34), "%22")}">{shown}</a>'


def split(text: str, limit: int = TEXT_BYTES) -> list[str]:
    """`text` in parts of at most `limit` UTF-8 bytes, cut at a line's end if there is one, else between characters."""
    if not _too_long(text, limit):
        return [text] if text else []
    parts = []
    rest = text
    while len(raw := rest.encode()) > limit:
        head = raw[:limit].decode(errors="ignore")
        line_end = head.rfind("\n")
        cut = line_end if line_end > 0 else len(head)
        parts.append(rest[:cut])
        rest = rest[cut:].removeprefix("\n")
    if rest:
        parts.append(rest)
    return parts


def _too_long(text: str, limit: int = TEXT_BYTES) -> bool:
    # No character takes more than four bytes, and most texts are so short that none need be counted.
    return 4 * len(text) > limit and len(text.encode()) > limit


def join(trees: Sequence[dict[str, Any]], pictures: bool, address: str = "") -> tuple[int, Piece | None, bool]:
    """The first platform message that can carry `trees`, for a passive reply, which is one message only.

    Returns how many leading trees it carries whole, the piece, and whether it carries the beginning of the next tree.
    Plain texts share one reply up to the length limit; a list of choices ends it, for numbers must mean one list.
    """
    said = ""
    carried = 0
    for tree in trees:
        parts = pieces(tree, pictures, address)
        joined = f"{said}\n\n{parts[0].text}" if said and parts else parts[0].text if parts else said
        if len(parts) > 1 or (parts and parts[0].picture) or _too_long(joined):
            if said:
                break
            return 0, parts[0], len(parts) > 1
        said = joined
        carried += 1
        if tree.get("choices"):
            break
    return carried, Piece(said) if said else None, False


_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _cdata(text: str) -> str:
    if _UNWRITABLE.search(text):
        text = _UNWRITABLE.sub("", text)
    # "]]>" would end the section early and let a person's words write the reply's XML.
    return text.replace("]]>", "]]]]><![CDATA[>") if "]]>" in text else text


def text_reply(to: str, sender: str, seconds: int, text: str) -> bytes:
    """The XML of a passive text from `sender` (the account) `to` a person; `seconds` is the time, Unix."""
    return (
        f"<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[{sender}]]></FromUserName>"
        f"<CreateTime>{seconds}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{_cdata(text)}]]></Content></xml>"
    ).encode()


def image_reply(to: str, sender: str, seconds: int, media_id: str) -> bytes:
    """The XML of a passive picture that was uploaded as `media_id`."""
    return (
        f"<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[{sender}]]></FromUserName>"
        f"<CreateTime>{seconds}</CreateTime><MsgType><![CDATA[image]]></MsgType>"
        f"<Image><MediaId><![CDATA[{_cdata(media_id)}]]></MediaId></Image></xml>"
    ).encode()


def sealed_reply(encrypted: bytes, signature: str, timestamp: bytes, nonce: bytes) -> bytes:
    """The envelope of an encrypted reply."""
    return (
        b"<xml><Encrypt><![CDATA[%b]]></Encrypt><MsgSignature><![CDATA[%b]]></MsgSignature>"
        b"<TimeStamp>%b</TimeStamp><Nonce><![CDATA[%b]]></Nonce></xml>"
    ) % (encrypted, signature.encode(), timestamp, nonce)
