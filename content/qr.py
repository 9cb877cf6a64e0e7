"""A bare QR code as a picture, black on white with its quiet zone, for pages that show nothing else of a poster."""

from __future__ import annotations

import io

from PIL import Image

from content.posters.drawing import code
from content.posters.layout import Box, Code

SIDE = 480  # pixels: sharp on a phone's screen at half that size
_WHERE = Code(Box(0, 0, SIDE, SIDE), dark=(0, 0, 0), light=(255, 255, 255))


def png(text: str) -> bytes:
    """A square PNG whose one code reads as `text`. Raises content.posters.QrTooLong."""
    symbol = code(text, _WHERE)
    image = Image.new("L", (SIDE, SIDE), 255)
    edge = (SIDE - symbol.width) // 2
    image.paste(0, (edge, edge), symbol)
    out = io.BytesIO()
    image.convert("1").save(out, "PNG", optimize=True)
    return out.getvalue()
