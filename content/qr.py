"""A bare QR code as a picture, black on white with its quiet zone, for pages that show nothing else of a poster."""

from __future__ import annotations

import io

import qrcode
from PIL import Image

_LEAST_PIXELS = 480  # sharp on a phone's screen at half that size


def png(text: str) -> bytes:
    """A PNG whose one code reads as `text`, a third level of repair (M), four modules of white around it."""
    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, border=4, mask_pattern=3)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    side = len(matrix)
    image = Image.new("1", (side, side), 1)
    image.putdata([0 if dark else 1 for row in matrix for dark in row])
    size = -(-_LEAST_PIXELS // side) * side
    out = io.BytesIO()
    image.resize((size, size), Image.Resampling.NEAREST).save(out, "PNG", optimize=True)
    return out.getvalue()
