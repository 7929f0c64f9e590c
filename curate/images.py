"""Encoded images of unknown origin to RGB arrays, with every loss typed.

Pillow reads the header and decides what is refused. The pixels of plain JPEGs are then decoded by
simplejpeg, straight into the array that the resizing reads: both use libjpeg-turbo, to the same
bits, and Pillow's way there takes twice as long. At its first doubt it all goes to Pillow.
"""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Any, Final

import numpy as np
from PIL import Image
from simplejpeg import decode_jpeg

from curate.errors import SampleError
from curate.image_guards import refuse_bombs, refuse_layout
from curate.pixels import RGB, PixelSpec, resized_size

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""What the web holds under an image's name. Every other parser of Pillow stays out of reach."""

DECODE_ERRORS: Final = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    MemoryError,
    BufferError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on damaged bytes.

Mutated files of every format raised OSError, SyntaxError and ValueError only (159,000 of them);
the others are known of its TIFF, PNG and GIF parsers in older versions.
"""

_ADDRESS: Final = re.compile(r" <[^<>]* at 0x[0-9a-fA-F]+>")
_JPEG_MODES: Final = ("L", "RGB")
_WHITE: Final = (255, 255, 255, 255)


class _QuietPillow:
    """Mute Pillow's warnings while any thread decodes.

    `warnings.catch_warnings` alone is not safe with threads: it restores what it found, in any
    order. The first thread in enters it and the last one out leaves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._outer: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._outer = warnings.catch_warnings()
                self._outer.__enter__()
                warnings.simplefilter("ignore")
            self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._outer.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 [height, width, 3].
        size: (width, height) of the encoded image; `pixels` has fewer where the geometry it is
            decoded for allows for that.
    """

    pixels: RGB
    size: tuple[int, int]


def decode(data: bytes, max_pixels: int) -> RGB:
    """Decode an image to RGB, uint8 [height, width, 3], in full; see `decode_picture`."""
    return decode_picture(data, max_pixels).pixels


def decode_picture(data: bytes, max_pixels: int, spec: PixelSpec | None = None) -> Picture:
    """Decode an image of unknown origin to RGB.

    The format is sniffed from the content (JPEG, PNG, WebP, GIF, TIFF, BMP), whatever the member
    was called. Of animations the first frame counts. Transparency is laid on white, 16-bit grey is
    scaled to 8 bits, CMYK, palette and 1-bit images become RGB. The EXIF orientation is not
    applied, as in open_clip's own loaders, with which models were trained.

    Args:
        data: the encoded image, whole.
        max_pixels: refused above, by the header, before any pixel is decoded. Pillow itself
            refuses beyond 2 x `PIL.Image.MAX_IMAGE_PIXELS` (179 million by default).
        spec: what it is decoded for; JPEGs may be decoded at a fraction of their size if it says
            so (`resampling: scaled`). Without it everything is decoded in full.

    Raises:
        SampleError: `image_too_large` or `undecodable_image`, the cause chained.
    """
    refuse_bombs(data, max_pixels)
    try:
        with _quiet_pillow, Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise SampleError(
                    "image_too_large", f"{width} x {height} pixels; the limit is {max_pixels}"
                )
            refuse_layout(image, data, max_pixels)
            pixels = _plain_jpeg(image, data, _least(image.size, spec))
            if pixels is None:
                image.load()
                pixels = np.array(_to_rgb(image))
            return Picture(pixels, (width, height))
    except Image.DecompressionBombError as exc:
        raise SampleError("image_too_large", str(exc)) from exc
    except DECODE_ERRORS as exc:
        # Pillow names the buffer by its address, and equal runs write equal bytes.
        text = _ADDRESS.sub("", str(exc))
        detail = f"{len(data)} bytes: {type(exc).__name__}: {text}"
        raise SampleError("undecodable_image", detail[:500]) from exc


def convert_picture(image: Image.Image, max_pixels: int) -> Picture:
    """An image that Pillow has opened or made, as `decode_picture` makes it of its bytes.

    Raises:
        SampleError: `image_too_large` or `undecodable_image`, the cause chained.
    """
    width, height = image.size
    if width * height > max_pixels:
        raise SampleError(
            "image_too_large", f"{width} x {height} pixels; the limit is {max_pixels}"
        )
    try:
        with _quiet_pillow:
            image.load()
            return Picture(np.array(_to_rgb(image)), (width, height))
    except DECODE_ERRORS as exc:
        detail = f"{type(exc).__name__}: {_ADDRESS.sub('', str(exc))}"
        raise SampleError("undecodable_image", detail[:500]) from exc


def _least(size: tuple[int, int], spec: PixelSpec | None) -> tuple[int, int]:
    """(width, height) that pixels must have at least, at most `size`: all of it, or less."""
    if spec is None or spec.resampling != "scaled":
        return size
    wanted = resized_size(size, spec)
    return size if wanted[0] >= size[0] or wanted[1] >= size[1] else wanted


def _plain_jpeg(image: Image.Image, data: bytes, least: tuple[int, int]) -> RGB | None:
    """Decode a JPEG of one or three components; None for all else, and where it is damaged."""
    if image.format != "JPEG" or image.mode not in _JPEG_MODES:
        return None
    try:
        if least == image.size:
            pixels: RGB = decode_jpeg(data, colorspace="RGB", strict=True)
        else:
            pixels = decode_jpeg(
                data, colorspace="RGB", min_width=least[0], min_height=least[1], strict=True
            )
    except ValueError:  # an error, or a mere warning: Pillow has the last word on what can be read
        return None
    height, width = pixels.shape[:2]
    fits = least[0] <= width <= image.size[0] and least[1] <= height <= image.size[1]
    return pixels if fits else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _on_white(image)
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode.startswith("I"):
        return _from_16_bit_grey(image).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # a transparent shade of 16-bit grey is not worth a mask
        return _from_16_bit_grey(image).convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255, rounding; `convert` would clip at 255."""
    grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    return Image.fromarray(((grey + 128) // 257).astype(np.uint8))
