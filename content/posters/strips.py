"""A JPEG of which only a band changes: the rest is encoded once, and each picture is the old rows around new ones.

With a restart marker after every row of blocks, each row can be read without the one before it (ITU-T T.81, B.2.1), so
rows of one file can stand in another of the same width and tables. The result is the very bytes of encoding it whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

ROW = 16  # pixels: the height of a row of blocks when colour is kept at half resolution
QUALITY = 85
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Banded:
    """A finished picture: its rows from `top` on as pixels, and the encoded rows above and below them."""

    band: Image
    top: int
    head: bytes
    above: tuple[bytes, ...]
    below: tuple[bytes, ...]

    @property
    def weight(self) -> int:
        """Bytes of memory: Pillow keeps four for a pixel."""
        return 4 * self.band.width * self.band.height + sum(map(len, (*self.above, *self.below)))

    def around(self, band: Image) -> bytes:
        """The JPEG with `band` in place of its own."""
        rows = (*self.above, *_rows(_encoded(band, 96))[1], *self.below)
        parts = [self.head, rows[0]]
        for number, row in enumerate(rows[1:]):
            parts += (bytes((0xFF, 0xD0 + number % 8)), row)
        return b"".join((*parts, _END))


def banded(image: Image, top: int, bottom: int, dpi: int) -> Banded:
    """`image` made ready for changes between `top` and `bottom`, in pixels."""
    first, last = top // ROW, -(-bottom // ROW)
    head, rows = _rows(_encoded(image, dpi))
    band = image.crop((0, first * ROW, image.width, min(last * ROW, image.height)))
    return Banded(band, first * ROW, head, tuple(rows[:first]), tuple(rows[last:]))


def _encoded(image: Image, dpi: int) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling="4:2:0", restart_marker_rows=1, dpi=(dpi, dpi))
    return out.getvalue()


def _rows(raw: bytes) -> tuple[bytes, list[bytes]]:
    """Everything up to the picture's data, and each row of that. Inside a row, 0xFF is always followed by a zero."""
    place = 2
    while raw[place + 1] != 0xDA:
        place += 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    place += 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    return raw[:place], _RESTART.split(raw[place : -len(_END)])
