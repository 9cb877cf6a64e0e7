"""Draws a poster: what never changes once per language, then code, name and other open texts on a copy of that.

Safe in any number of threads. What is kept is bounded by its pixels; equal drawings are equal bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from content.posters import setting, strips
from content.posters.layout import FIXED, OPEN, Box, Code, Layout, Slot, Text, fields
from content.posters.strips import Banded

if TYPE_CHECKING:
    from PIL.Image import Image

QUIET = 4  # modules of quiet zone, ISO/IEC 18004
MASK = 0  # fixed: choosing one costs six times the drawing, and none of the eight scans measurably better
MOST_KEPT = 64_000_000  # bytes of finished grounds: eight phones' are about 12 million, each A4's at 300 dpi 9
MOST_PIXELS = 40_000_000  # of a picture that is opened
SHEET_HEIGHT, SHEET_ROW, SHEET_GAP = 700, 6, 16  # pixels, posters, pixels
SLACK = 2  # pixels by which ink may leave its box through rounding
NAME_MOST = 40  # characters of a name that are looked at at all


class BadPicture(ValueError):
    """Bytes that are no picture that we open: neither JPEG, PNG nor WebP, broken, or too large."""


class QrTooLong(ValueError):
    """A text for the QR code that does not fit into its box at two pixels a module."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a layout is drawn from: its own files, and what tells its grounds from others'."""

    layout: Layout
    background: bytes
    font: bytes
    digest: str
    fixed: Mapping[str, Mapping[str, str]]  # language → what the plan says elsewhere


class _Kept:
    """The grounds drawn last, as many as fit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._grounds: OrderedDict[tuple[str, str], Banded] = OrderedDict()

    def get(self, key: tuple[str, str], make: Callable[[], Banded]) -> Banded:
        with self._lock:
            if key in self._grounds:
                self._grounds.move_to_end(key)
                return self._grounds[key]
        made = make()  # outside the lock: two threads may both draw it, none waits
        with self._lock:
            self._grounds[key] = made
            self._grounds.move_to_end(key)
            while sum(one.weight for one in self._grounds.values()) > self._most and len(self._grounds) > 1:
                self._grounds.popitem(last=False)
        return made


_kept = _Kept(MOST_KEPT)


def opened(raw: bytes) -> Image:
    """A JPEG, PNG or WebP, decoded and upright, in RGB on white. Raises BadPicture."""
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(raw), formats=("JPEG", "PNG", "WEBP")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise BadPicture(f"{picture.width} × {picture.height} pixels")
            upright = ImageOps.exif_transpose(picture)
            if "A" in upright.getbands() or "transparency" in upright.info:
                seen = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
            return upright.convert("RGB")
    except BadPicture:
        raise
    except Exception as error:  # a decoder meets hostile bytes here: whatever it raises, they are no picture
        raise BadPicture(str(error)) from error


def background(ground: Ground) -> Image:
    """The background alone, at the poster's size. Raises BadPicture."""
    from PIL import Image

    picture = opened(ground.background)
    if picture.size == ground.layout.size:
        return picture
    return picture.resize(ground.layout.size, Image.Resampling.BICUBIC)


def words_of(ground: Ground, text: Text, language: str, given: Mapping[str, str]) -> str:
    """The words of a text with its fields filled; those for empty fields, or none, when one of them is empty."""
    fixed = {**dict.fromkeys(FIXED, ""), **ground.fixed.get(language, {})}
    known = {**fixed, **given}
    words = text.words[language]
    if any(not known.get(name) for name in text.fields(language)):
        words = text.otherwise.get(language, "")
        if any(not known.get(name) for name in _open_in(words)):
            return ""
    return words.format_map(known)


def _open_in(words: str) -> frozenset[str]:
    return fields(words) & frozenset(OPEN)


def set_in(ground: Ground, text: Text, language: str, words: str) -> tuple[setting.Block, bool]:
    """The lines of `words` in the text's box, and whether they stay inside it."""
    box = text.box[language]
    block = setting.broken(words, ground.font, text.size[language], text.weight, box.width)
    _, top, _, bottom = ink(ground, text, language, block)
    inside = top >= box.top - 1 and bottom <= box.top + box.height + 1
    return block, inside and max(block.widths) <= box.width


def baselines(text: Text, language: str, block: setting.Block) -> list[tuple[int, int]]:
    """Where each line begins: x and the y of its baseline. Chinese characters fill 0.88 above and 0.12 below it."""
    box, size = text.box[language], text.size[language]
    room = box.height - size * (1 + text.leading * (len(block.lines) - 1))
    top = box.top + {"top": 0.0, "middle": room / 2, "bottom": room}[text.vertical]
    across = {"left": 0.0, "centre": 0.5, "right": 1.0}[text.align]
    return [
        (round(box.left + across * (box.width - width)), round(top + size * (0.88 + text.leading * row)))
        for row, width in enumerate(block.widths)
    ]


def ink(ground: Ground, text: Text, language: str, block: setting.Block) -> tuple[int, int, int, int]:
    """The rectangle that the lines really cover: left, top, right, bottom."""
    boxes = []
    for line, (x, y) in zip(block.lines, baselines(text, language, block), strict=True):
        left, top, right, bottom = setting.inked(ground.font, text.size[language], text.weight, line)
        boxes.append((x + left, y + top, x + right, y + bottom))
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return int(min(lefts)), int(min(tops)), int(max(rights)), int(max(bottoms))


def _write(image: Image, ground: Ground, text: Text, language: str, block: setting.Block, above: int = 0) -> None:
    """Put the lines on an image that begins `above` pixels below the poster's top."""
    for line, (x, y) in zip(block.lines, baselines(text, language, block), strict=True):
        mask, (left, top) = setting.stamp(ground.font, text.size[language], text.weight, line)
        x, y = x + left, y + top - above
        image.paste(text.colour, (x, y, x + mask.width, y + mask.height), mask)


def _finished(ground: Ground, language: str) -> Banded:
    """The background with the code's light field and every text that is the same on all drawings."""
    image = background(ground)
    image.paste(ground.layout.qr.light, ground.layout.qr.box.corners)
    for text in ground.layout.texts:
        if not text.fields(language):
            _write(
                image, ground, text, language, set_in(ground, text, language, words_of(ground, text, language, {}))[0]
            )
    top, bottom = _open_band(ground.layout, language)
    return strips.banded(image, top, bottom, ground.layout.dpi)


def _open_band(layout: Layout, language: str) -> tuple[int, int]:
    """From where to where, in pixels from the top, one drawing differs from the next."""
    boxes = [layout.qr.box, *(text.box[language] for text in layout.texts if text.fields(language))]
    boxes += [layout.picture.box] if layout.picture else []
    edges = [(box.top - SLACK, box.top + box.height + SLACK) for box in boxes]
    return max(0, min(top for top, _ in edges)), min(layout.size[1], max(bottom for _, bottom in edges))


def fitting(ground: Ground, text: Text, language: str, given: Mapping[str, str]) -> setting.Block | None:
    """An open text set in its box, None when there is none; a name too long is cut with …, or else the whole text."""
    words = words_of(ground, text, language, given)
    if not words:
        return None
    block, fits = set_in(ground, text, language, words)
    if fits:
        return block
    named = "name" in text.fields(language) and bool(given.get("name"))

    def shortened(length: int) -> str:
        if named:
            return words_of(ground, text, language, {**given, "name": given["name"][:length].rstrip() + "…"})
        return words[:length].rstrip() + "…"

    least, most = 0, len(given["name"] if named else words) - 1
    while least < most:
        middle = (least + most + 1) // 2
        if set_in(ground, text, language, shortened(middle))[1]:
            least = middle
        else:
            most = middle - 1
    return set_in(ground, text, language, shortened(least))[0] if least else None


def code(text: str, where: Code) -> Image:
    """The QR code of `text` as large as whole modules allow in its box, without quiet zone. Raises QrTooLong."""
    from PIL import Image
    from qrcode import QRCode
    from qrcode.constants import ERROR_CORRECT_M
    from qrcode.exceptions import DataOverflowError

    symbol = QRCode(error_correction=ERROR_CORRECT_M, border=0, mask_pattern=MASK)
    try:
        symbol.add_data(text, optimize=0)
        symbol.make(fit=True)
    except (DataOverflowError, ValueError) as error:
        raise QrTooLong(f"{len(text)} characters") from error
    rows = symbol.get_matrix()
    module = where.box.width // (len(rows) + 2 * QUIET)
    if module < 2:
        raise QrTooLong(f"{len(text)} characters in {where.box.width} pixels")
    raw = b"".join(bytes(255 if dark else 0 for dark in row) for row in rows)
    small = Image.frombytes("L", (len(rows), len(rows)), raw)
    return small.resize((module * len(rows), module * len(rows)), Image.Resampling.NEAREST)


def _place(image: Image, slot: Slot, raw: bytes, above: int) -> None:
    """A picture cropped to fill its slot, on an image that begins `above` pixels below the poster's top."""
    from PIL import Image, ImageDraw, ImageOps

    size = (slot.box.width, slot.box.height)
    picture = ImageOps.fit(opened(raw), size, Image.Resampling.BILINEAR)
    mask = None
    if slot.round:
        mask = Image.new("L", (4 * size[0], 4 * size[1]), 0)
        ImageDraw.Draw(mask).ellipse((0, 0, 4 * size[0] - 1, 4 * size[1] - 1), fill=255)
        mask = mask.resize(size, Image.Resampling.BOX)
    image.paste(picture, (slot.box.left, slot.box.top - above), mask)


def drawn(ground: Ground, language: str, qr: str, given: Mapping[str, str], picture: bytes | None) -> bytes:
    """The poster in one language as a JPEG. Raises BadPicture, QrTooLong."""
    finished = _kept.get((ground.digest, language), lambda: _finished(ground, language))
    image, above = finished.band.copy(), finished.top
    layout = ground.layout
    symbol = code(qr, layout.qr)
    box: Box = layout.qr.box
    at = (box.left + (box.width - symbol.width) // 2, box.top - above + (box.height - symbol.height) // 2)
    image.paste(layout.qr.dark, (*at, at[0] + symbol.width, at[1] + symbol.height), symbol)
    if picture is not None and layout.picture:
        _place(image, layout.picture, picture, above)
    shown = {name: setting.showable(ground.font, value, NAME_MOST) for name, value in given.items()}
    for text in layout.texts:
        if text.fields(language):
            block = fitting(ground, text, language, shown)
            if block:
                _write(image, ground, text, language, block, above)
    return finished.around(image)


def sheet(drawings: Sequence[bytes]) -> bytes:
    """Drawings side by side at one height, six in a row, as a JPEG to look them over."""
    from PIL import Image, ImageOps

    small = [ImageOps.contain(opened(one), (1000, SHEET_HEIGHT)) for one in drawings]
    rows = [small[start : start + SHEET_ROW] for start in range(0, len(small), SHEET_ROW)]
    width = max(sum(one.width + SHEET_GAP for one in row) for row in rows) + SHEET_GAP
    image = Image.new("RGB", (width, len(rows) * (SHEET_HEIGHT + SHEET_GAP) + SHEET_GAP), (128, 128, 128))
    for line, row in enumerate(rows):
        left = SHEET_GAP
        for one in row:
            image.paste(one, (left, SHEET_GAP + line * (SHEET_HEIGHT + SHEET_GAP)))
            left += one.width + SHEET_GAP
    out = BytesIO()
    image.save(out, "JPEG", quality=strips.QUALITY)
    return out.getvalue()
