"""What the platform checks of a message before it takes it: text and its entities, keyboards, pictures.

The limits are those of the Bot API's page; lengths count UTF-16 units, as entities do, which is never laxer.
"""

from __future__ import annotations

import html
import json
import re
import struct
from typing import Any
from urllib.parse import urlsplit

from bot.played.telegram.wire import Refused, bad, to_bool

TEXT, CAPTION, BUTTONS = 4_096, 1_024, 100
PHOTO_BYTES, PHOTO_SIDES, PHOTO_RATIO = 10 * 1024 * 1024, 10_000, 20
_TAGS = {
    **{"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline"},
    **{"s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "code": "code", "pre": "pre"},
    **{"a": "text_link", "blockquote": "blockquote", "tg-spoiler": "spoiler", "span": "spoiler"},
}
_TAG = re.compile(r"<(/?)([a-zA-Z-]*)([^<>]*)>?")
_CODED = re.compile(r"&(lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")  # no other names are known
_FOUND = re.compile(r"(?P<url>https?://[^\s<>]+)|(?<![\w/])(?P<bot_command>/[a-zA-Z0-9_]{1,32})(?![\w/])")

Entities = list[dict[str, Any]]


def units(text: str) -> int:
    """The length of `text` in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def found(text: str) -> Entities:
    """The commands and addresses that Telegram finds in `text` by itself."""
    hits = ((match, str(match.lastgroup)) for match in _FOUND.finditer(text))
    return [{"type": kind, "offset": units(text[: m.start()]), "length": units(m.group())} for m, kind in hits]


def formatted(args: dict[str, str], name: str, entities: str) -> tuple[str, Entities]:
    """Text and entities of argument `name`. Raises Refused when they cannot be parsed."""
    raw, mode = args.get(name, ""), args.get("parse_mode", "").lower()
    if mode == "html":
        text, marks = _html(raw)
    elif mode in ("", "none"):
        text, marks = raw, read(args, entities, list) or []
    elif mode in ("markdown", "markdownv2"):
        raise bad(f"parse_mode {mode} is not played")
    else:
        raise bad("unsupported parse_mode")
    kept = text.strip()
    shift = units(text[: len(text) - len(text.lstrip())])
    marks = [mark | {"offset": mark["offset"] - shift} for mark in marks if mark["offset"] >= shift]
    return kept, sorted([*marks, *found(kept)], key=lambda mark: mark["offset"])


def text_of(args: dict[str, str]) -> tuple[str, Entities]:
    """The text of a message, 1-4096 after parsing. Raises Refused."""
    if not args.get("text"):
        raise bad("message text is empty")
    text, entities = formatted(args, "text", "entities")
    if not text:
        raise bad("text must be non-empty")
    if units(text) > TEXT:
        raise bad("message is too long")
    return text, entities


def poll_of(args: dict[str, str]) -> tuple[dict[str, Any], int]:
    """A quiz poll as shown, without its id, and the right option. Raises Refused; other polls are not played.

    Both spellings of the right option are taken, that of Bot API 9.6 first; limits are the strictest of all versions.
    """
    if args.get("type", "regular") != "quiz":
        raise bad("only quiz polls are played")
    question, options = args.get("question", "").strip(), read(args, "options", list) or []
    if not 1 <= units(question) <= 300:
        raise bad("poll question must be 1 to 300 characters long")
    texts = [str(one.get("text", "") if isinstance(one, dict) else one).strip() for one in options]
    if not 2 <= len(texts) <= 12:
        raise bad("poll must have 2 to 12 answer options")
    if not all(1 <= units(text) <= 100 for text in texts):
        raise bad("poll options length must be from 1 to 100")
    if len(set(texts)) < len(texts):
        raise bad("POLL_ANSWER_INVALID")  # two that read alike
    listed = read(args, "correct_option_ids", list)
    right = listed[0] if listed else integer(args, "correct_option_id", -1)
    if not isinstance(right, int) or not 0 <= right < len(texts) or len(listed or [0]) != 1:
        raise bad("wrong correct option ID specified")
    why = args.get("explanation", "").strip()
    if units(why) > 200 or why.count("\n") > 2:
        raise bad("poll explanation is too long")
    seconds = integer(args, "open_period")
    if args.get("open_period") and not 5 <= seconds <= 600:
        raise bad("open_period must be from 5 to 600")
    shown: dict[str, Any] = {"question": question, "total_voter_count": 0, "is_closed": False, "type": "quiz"}
    shown["options"] = [{"text": text, "voter_count": 0, "persistent_id": str(n)} for n, text in enumerate(texts)]
    shown |= {"is_anonymous": to_bool(args.get("is_anonymous", "true")), "allows_multiple_answers": False}
    shown |= {"correct_option_id": right, "correct_option_ids": [right], "allows_revoting": False}
    return shown | ({"explanation": why} if why else {}) | ({"open_period": seconds} if seconds else {}), right


def caption_of(args: dict[str, str]) -> tuple[str, Entities]:
    """The caption of a picture, 0-1024 after parsing. Raises Refused."""
    caption, entities = formatted(args, "caption", "caption_entities")
    if units(caption) > CAPTION:
        raise bad("message caption is too long")
    return caption, entities


def unescape(text: str) -> str:
    """`text` with its character references resolved."""
    return _CODED.sub(lambda match: html.unescape(match.group()), text)


def _html(raw: str) -> tuple[str, Entities]:
    text, marks, open_, at = "", [], [], 0
    for match in _TAG.finditer(raw):
        text += unescape(raw[at : match.start()])
        at = match.end()
        closing, name, rest = match.group(1), match.group(2).lower(), match.group(3)
        where = len(raw[: match.start()].encode())
        if not match.group().endswith(">"):
            raise bad(f"can't parse entities: Unclosed start tag at byte offset {where}")
        if name not in _TAGS or (name == "span" and not closing and "tg-spoiler" not in rest):
            raise bad(f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {where}')
        if not closing:
            mark: dict[str, Any] = {"type": _TAGS[name], "offset": units(text), "length": 0}
            if name == "a" and (link := re.search(r"""href\s*=\s*["']?([^"'\s>]+)""", rest)):
                mark["url"] = unescape(link.group(1))
            open_.append((name, mark))
            continue
        if not open_ or open_[-1][0] != name:
            raise bad(f"can't parse entities: Unexpected end tag at byte offset {where}")
        mark = open_.pop()[1]
        mark["length"] = units(text) - mark["offset"]
        if mark["length"]:
            marks.append(mark)
    if open_:
        raise bad(f"can't parse entities: Can't find end tag corresponding to start tag \"{open_[-1][0]}\"")
    return text + unescape(raw[at:]), marks


def read(args: dict[str, str], name: str, kind: type) -> Any:
    """Argument `name` as JSON of `kind`, None when absent. Raises Refused."""
    if not args.get(name):
        return None
    try:
        value = json.loads(args[name])
    except ValueError:
        raise bad(f"can't parse {name} JSON object") from None
    if not isinstance(value, kind):
        raise bad(f"can't parse {name}: {kind.__name__} expected")
    return value


def markup_of(args: dict[str, str], editing: bool = False) -> dict[str, Any] | None:
    """The keyboard with a message. Raises Refused; an edit takes an inline one only."""
    markup = read(args, "reply_markup", dict)
    if not markup:
        return None
    if "inline_keyboard" not in markup:
        if editing:
            raise bad("inline keyboard expected")
        if not {"keyboard", "remove_keyboard", "force_reply"} & markup.keys():
            raise bad("can't parse reply keyboard markup JSON object")
        return dict(markup)
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad('field "inline_keyboard" must be an Array of Arrays')
    for button in (button for row in rows for button in row):
        _check_button(button)
    if sum(map(len, rows)) > BUTTONS:
        raise bad("reply markup is too long")
    rows = [row for row in rows if row]
    return {"inline_keyboard": rows} if rows else None


def _check_button(button: Any) -> None:
    if not isinstance(button, dict):
        raise bad("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    if not isinstance(button.get("text"), str):
        raise bad('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not button["text"].strip():
        raise bad("inline keyboard button text must be non-empty")
    does = button.keys() - {"text", "style", "icon_custom_emoji_id"}
    if not does or (does == {"callback_data"} and not button["callback_data"]):
        raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if len(does) != 1:
        raise bad(f"an inline keyboard button does one thing, not {', '.join(sorted(does))}")
    if len(str(button.get("callback_data", "")).encode()) > 64:
        raise bad("BUTTON_DATA_INVALID")
    if "url" in button and not _good_link(str(button["url"])):
        raise bad(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
    if "copy_text" in button and not 1 <= units(str((button["copy_text"] or {}).get("text", ""))) <= 256:
        raise bad("BUTTON_COPY_TEXT_INVALID")


def _good_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    if parts.scheme == "tg":
        return bool(parts.netloc)
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and "." in host and " " not in link


def picture_of(content: bytes) -> tuple[int, int]:
    """Width and height of an uploaded picture. Raises Refused when the platform would not show it as a photo."""
    if not content:
        raise bad("file must be non-empty")
    if len(content) > PHOTO_BYTES:
        raise bad(f"file of size {len(content)} bytes is too big for a photo; the maximum size is {PHOTO_BYTES} bytes")
    size = _size(content)
    if size is None:
        raise bad("IMAGE_PROCESS_FAILED")
    width, height = size
    if width + height > PHOTO_SIDES or max(size) > PHOTO_RATIO * min(size):
        raise bad("PHOTO_INVALID_DIMENSIONS")
    return size


def _size(content: bytes) -> tuple[int, int] | None:
    """Width and height by the head of a PNG, GIF, WebP or JPEG; None for anything else or a broken one."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", content[16:24])
        elif content.startswith(b"GIF8"):
            width, height = struct.unpack("<HH", content[6:10])
        elif content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X":
            width = int.from_bytes(content[24:27], "little") + 1
            height = int.from_bytes(content[27:30], "little") + 1
        elif content.startswith(b"\xff\xd8"):
            width, height = _jpeg_size(content)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return (width, height) if width and height else None


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    while True:
        mark, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        if content[at] != 0xFF:
            raise IndexError
        at += 2 + length


def integer(args: dict[str, str], name: str, default: int = 0) -> int:
    """An integer argument; what is no number counts as the default, as the platform does it."""
    try:
        return int(args.get(name, "").strip() or default)
    except ValueError:
        return default


__all__ = [
    "Refused",
    "caption_of",
    "formatted",
    "integer",
    "markup_of",
    "picture_of",
    "poll_of",
    "read",
    "text_of",
    "units",
]
