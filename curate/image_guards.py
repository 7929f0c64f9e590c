"""What pictures cost before they are decoded, where a decoder would begin without asking.

`images.decode` compares the size that Pillow reads from a header with the limit. Three formats do
their harm beside that: a progressive JPEG of few bytes may hold ten thousand scans, each a pass
over all of its pixels; of a WebP the decoder allocates the canvas when the file is opened; and a
TIFF of 64 x 64 pixels may consist of one tile of 30,000 x 30,000, which is decoded whole.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from curate.errors import SampleError

JPEG_SCANS: Final = 500
"""Scans of a JPEG; encoders write one or about ten. It is the limit that libjpeg-turbo's own fuzz
tests set, for the same reason."""

SCAN_PIXELS: Final = 2_000_000_000
"""Pixels times scans of a JPEG: forty passes over 50 Mpixel, some five seconds of a core."""

_TILE_SIDES: Final = (322, 323)
"""TIFF 6.0's TileWidth and TileLength."""

_SCAN: Final = (0xFF, 0xDA)
"""Start of a scan. In compressed data 0xFF is followed by 0x00 or a restart marker, so that only
embedded previews and profiles can add to the count."""


def refuse_bombs(data: bytes, max_pixels: int) -> None:
    """Refuse encoded pictures that would cost far more than their pixels.

    Raises:
        SampleError: `undecodable_image` for a JPEG of too many scans, `image_too_large` for a WebP
            whose canvas has over `max_pixels`.
    """
    if data.startswith(b"\xff\xd8"):
        scans = _count_scans(data)
        if scans > JPEG_SCANS:
            raise SampleError("undecodable_image", f"{scans} scans; the limit is {JPEG_SCANS}")
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
        if width * height > max_pixels:
            raise SampleError(
                "image_too_large", f"{width} x {height} pixels; the limit is {max_pixels}"
            )


def refuse_layout(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuse an opened picture, of a size that is allowed, whose inner layout is not.

    Raises:
        SampleError: `undecodable_image` for a JPEG whose scans pass over more than SCAN_PIXELS,
            `image_too_large` for a TIFF whose tiles have over `max_pixels`.
    """
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        pixels = image.width * image.height
        if pixels * JPEG_SCANS <= SCAN_PIXELS:
            return  # it has no more scans than that
        passed = pixels * _count_scans(data)
        if passed > SCAN_PIXELS:
            raise SampleError(
                "undecodable_image", f"{passed} pixels times scans; the limit is {SCAN_PIXELS}"
            )
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        sides = [image.tag_v2.get(tag, 1) for tag in _TILE_SIDES]
        if not all(isinstance(side, int) for side in sides):
            raise SampleError("undecodable_image", f"tiles of {sides[0]} x {sides[1]}"[:500])
        if math.prod(sides) > max_pixels:
            raise SampleError(
                "image_too_large",
                f"tiles of {sides[0]} x {sides[1]} pixels; the limit is {max_pixels}",
            )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first chunk (RFC 9649, sections 2.5 to 2.7); zeros without one."""
    kind, first = data[12:16], data[20:30]
    if len(first) < 10:
        return 0, 0
    if kind == b"VP8X":
        sides = (int.from_bytes(first[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8 ":
        sides = (int.from_bytes(first[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    elif kind == b"VP8L":
        bits = int.from_bytes(first[1:5], "little")
        sides = ((bits >> shift & 0x3FFF) + 1 for shift in (0, 14))
    else:
        return 0, 0
    width, height = sides
    return width, height


def _count_scans(data: bytes) -> int:
    # A fifth of the time of `bytes.count`, which stops at every 0xFF.
    array = np.frombuffer(data, dtype=np.uint8)
    return int(np.count_nonzero((array[:-1] == _SCAN[0]) & (array[1:] == _SCAN[1])))
