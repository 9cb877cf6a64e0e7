"""Sets type: fonts in real weights, what a font can show, and lines broken as Chinese and English want it.

It knows boxes and words, nothing of posters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

# GB/T 15834-2011: these do not begin a line, those do not end one.
CLOSING = frozenset("，。、；：！？）》」』】〉〕…—～·％%,.;:!?)]}”’°℃")
OPENING = frozenset("（《「『【〈〔([{“‘￥¥#@")
_SIMPLIFIED = 2  # the face of the shipped collection with the mainland's forms of characters
_SMALL = 16


class Unusable(Exception):
    """A file that is no font."""


@cache
def shipped_font() -> str:
    """Where the font that comes with us lies: Noto Sans CJK, weights 100 to 900."""
    import manimgx_fonts_cjk

    return str(next(Path(manimgx_fonts_cjk.__file__).parent.glob("*.ttc")))


@lru_cache(maxsize=48)
def font(own: bytes, size: int, weight: int) -> FreeTypeFont:
    """A face of the font whose file is `own`, or of the shipped one when that is empty. Raises Unusable.

    A font that does not vary in weight is used as it is.
    """
    from PIL import ImageFont

    try:
        face = ImageFont.truetype(BytesIO(own), size) if own else ImageFont.truetype(shipped_font(), size, _SIMPLIFIED)
    except OSError as error:
        raise Unusable(str(error)) from error
    try:
        axes = face.get_variation_axes()
    except OSError:
        return face
    named = [(axis["name"] or b"").lower() for axis in axes]
    values = [weight if b"weight" in name else axis["default"] for name, axis in zip(named, axes, strict=True)]
    limits = [(axis["minimum"] or 0, axis["maximum"] or 0) for axis in axes]
    face.set_variation_by_axes([min(max(v or 0, least), most) for v, (least, most) in zip(values, limits, strict=True)])
    return face


@lru_cache(maxsize=16)
def _nothing(own: bytes) -> bytes:
    return bytes(font(own, _SMALL, 400).getmask("\uffff"))


@lru_cache(maxsize=16_384)
def shows(own: bytes, char: str) -> bool:
    """Whether the font has a glyph of its own for one character."""
    return char.isspace() or bytes(font(own, _SMALL, 400).getmask(char)) != _nothing(own)


def showable(own: bytes, text: str, most: int) -> str:
    """`text` on one line without what cannot be shown (controls, emoji, other scripts), cut with … at `most`."""
    kept: list[str] = []
    whole = True  # whether the last base character was kept: a mark without it would sit on its neighbour
    for char in unicodedata.normalize("NFC", text[: 8 * most]):
        category = unicodedata.category(char)
        if category[0] == "M" and not whole:
            continue
        if char.isspace():
            kept.append(" ")
        elif category[0] != "C" and shows(own, char):
            kept.append(char)
        whole = char.isspace() or bool(kept and kept[-1] == char)
    shown = " ".join("".join(kept).split())
    if shown and (len(shown) > most or len(text) > 8 * most):
        shown = shown[: most - 1].rstrip() + "…"
    return shown


@dataclass(frozen=True, slots=True)
class Block:
    """Lines set within a width: each with its own width, in pixels."""

    lines: tuple[str, ...]
    widths: tuple[float, ...]


_TOKEN = re.compile(r"\s+|[^\s⺀-鿿豈-﫿︰-﹏＀-￯　-〿‘’“”…—·\U00020000-\U0003ffff]+|.", re.DOTALL)


def _pieces(line: str) -> list[str]:
    """What must not be torn apart: words and numbers, characters with the punctuation that clings to them."""
    pieces: list[str] = []
    for token in _TOKEN.findall(line):
        clings = pieces and not token.isspace() and (token[0] in CLOSING or pieces[-1][-1] in OPENING)
        if clings and not pieces[-1].isspace():
            pieces[-1] += token
        else:
            pieces.append(token)
    return pieces


def _filled(pieces: list[tuple[str, float]], width: float) -> list[str]:
    """The pieces, each with its width, in lines that are full."""
    lines, line, long, gap = [], "", 0.0, 0.0
    for piece, wide in pieces:
        if piece.isspace():
            gap += wide if line else 0.0
        elif line and long + gap + wide > width:
            lines.append(line)
            line, long, gap = piece, wide, 0.0
        else:
            line += (" " if gap else "") + piece
            long, gap = long + gap + wide, 0.0
    return [*lines, line]


def broken(text: str, own: bytes, size: int, weight: int, width: int) -> Block:
    """`text` in as few lines as `width` allows, those of one paragraph about equally long.

    A line feed begins a new line. A piece that is wider than `width` stands on its own line and sticks out.
    """

    def long(piece: str) -> float:
        return length(own, size, weight, piece)

    lines: list[str] = []
    for paragraph in text.split("\n"):
        paragraph = paragraph.strip()
        if long(paragraph) <= width:
            lines.append(paragraph)
            continue
        pieces = [(piece, long(piece)) for piece in _pieces(paragraph)]
        count = len(_filled(pieces, width))
        least, most = width / count / 2, float(width)
        while most - least > size / 4:
            middle = (least + most) / 2
            if len(_filled(pieces, middle)) == count:
                most = middle
            else:
                least = middle
        lines += _filled(pieces, most)
    return Block(tuple(lines), tuple(map(long, lines)))


@lru_cache(maxsize=512)
def length(own: bytes, size: int, weight: int, line: str) -> float:
    """How far one line reaches, in pixels."""
    return font(own, size, weight).getlength(line)


@lru_cache(maxsize=512)
def inked(own: bytes, size: int, weight: int, line: str) -> tuple[int, int, int, int]:
    """The rectangle that one line covers, from the beginning of its baseline: left, top, right, bottom."""
    left, top, right, bottom = font(own, size, weight).getbbox(line, anchor="ls")
    return round(left), round(top), round(right), round(bottom)


@lru_cache(maxsize=64)
def stamp(own: bytes, size: int, weight: int, line: str) -> tuple[Image, tuple[int, int]]:
    """One line as a mask, and where its upper left corner lies from the beginning of its baseline.

    Kept, because the same date or invitation stands on many posters.
    """
    from PIL import Image, ImageDraw

    face = font(own, size, weight)
    left, top, right, bottom = inked(own, size, weight, line)
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)), 0)
    ImageDraw.Draw(mask).text((-left, -top), line, fill=255, font=face, anchor="ls")
    return mask, (left, top)
