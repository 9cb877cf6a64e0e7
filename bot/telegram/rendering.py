"""Renders message trees as Telegram can show them: pieces, each one platform message of plain text, with buttons below.

No markup is ever asked for, so nobody's words can become any. Knows nothing of sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.telegram.buttons import Button, as_text, rows

TEXT_UNITS, CAPTION_UNITS = 4096, 1024  # UTF-16 units, which is never more than the platform's count of characters
_POINT = "👇"  # a message must have words to have buttons


@dataclass(frozen=True, slots=True)
class Piece:
    """One platform message: words, or a picture by its name with the words as its caption, and rows of buttons.

    Or a `poll`, as in a message tree, with its question as the text.
    """

    text: str
    picture: str = ""
    keyboard: tuple[tuple[Button, ...], ...] = ()
    poll: dict[str, Any] | None = None


def pieces(tree: dict[str, Any], public_url: str, pictures: bool = True) -> list[Piece]:
    """What `tree` becomes, in order; the buttons stand under the last. Without `pictures` their words stand for them.

    A picture carries the words if they fit in a caption, else it goes ahead of them. A poll stands for all else.
    """
    if poll := tree.get("poll"):
        return [*(Piece(part) for part in split(poll["before"])), Piece(poll["question"], poll=poll)]
    choices = tree.get("choices", ())
    keyboard = rows(choices, public_url)
    text = "\n".join(filter(None, [tree["text"].rstrip(), *as_text(choices, public_url)]))
    picture = tree.get("picture")
    if picture and not pictures:
        text = "\n".join(filter(None, [text, f"〔{picture['alt']}〕"]))
        picture = None
    if picture and units(text) <= CAPTION_UNITS:
        return [Piece(text, picture["name"], keyboard)]
    parts = [Piece(part) for part in split(text)] or ([Piece(_POINT)] if keyboard else [])
    if parts and keyboard:
        parts[-1] = Piece(parts[-1].text, "", keyboard)
    return [Piece("", picture["name"]), *parts] if picture else parts


def units(text: str) -> int:
    """The length of `text` as the platform measures at most: characters beyond the basic plane count twice."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(text: str, limit: int = TEXT_UNITS) -> list[str]:
    """`text` in parts of at most `limit` units, cut at a line's end if there is one, else between characters.

    Parts that hold nothing visible are left out, as the platform takes none.
    """
    parts = []
    rest = text
    while units(rest) > limit:
        head = _head(rest, limit)
        line_end = head.rfind("\n")
        cut = line_end if line_end > 0 else len(head)
        parts.append(rest[:cut])
        rest = rest[cut:].removeprefix("\n")
    return [part for part in [*parts, rest] if part.strip()]


def _head(text: str, limit: int) -> str:
    head = text[:limit]
    while (over := units(head) - limit) > 0:
        head = head[: -max(1, over // 2)]
    return head
