"""What pictures cost before they are decoded, where a decoder would begin without asking.

`images.decode` compares the size that Pillow reads from a header with the limit. Two formats do
their harm beside that: a progressive JPEG of few bytes may hold ten thousand scans, each a pass
over all of its pixels, and of a WebP the decoder allocates the canvas when the file is opened.
"""

from __future__ import annotations

from typing import Final

from curate.errors import SampleError

JPEG_SCANS: Final = 500
"""Scans of a JPEG; encoders write one or about ten. It is the limit that libjpeg-turbo's own fuzz
tests set, for the same reason."""

_SCAN: Final = b"\xff\xda"
"""Start of a scan. In compressed data 0xFF is followed by 0x00 or a restart marker, so that only
embedded previews and profiles can add to the count."""


def refuse_bombs(data: bytes, max_pixels: int) -> None:
    """Refuse encoded pictures that would cost far more than their pixels.

    Raises:
        SampleError: `undecodable_image` for a JPEG of too many scans, `image_too_large` for a WebP
            whose canvas has over `max_pixels`.
    """
    if data.startswith(b"\xff\xd8"):
        scans = data.count(_SCAN)
        if scans > JPEG_SCANS:
            raise SampleError("undecodable_image", f"{scans} scans; the limit is {JPEG_SCANS}")
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
        if width * height > max_pixels:
            raise SampleError(
                "image_too_large", f"{width} x {height} pixels; the limit is {max_pixels}"
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
