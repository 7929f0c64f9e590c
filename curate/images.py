"""Encoded images to model pixels.

Two steps. `decode` makes an RGB image of untrusted bytes, with every loss typed. `to_pixels` is
open_clip's evaluation transform up to, and not including, the division by 255: uint8 is what
travels to the model, which normalises on its own device.
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
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ConfigError, SampleError
from curate.image_guards import refuse_bombs, refuse_layout

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

BOX_RESIZE_PIXELS: Final = 32_000_000
"""Pixels of a resized image, before the centre crop, beyond which only the crop is computed.

A 100,000 x 1 image resized to 224 pixels on its shorter side would be 22,400,000 pixels wide.
"""

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
_FILTERS: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_ADDRESS: Final = re.compile(r" <[^<>]* at 0x[0-9a-fA-F]+>")
_MODES: Final = ("shortest", "longest", "squash")
_WHITE: Final = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """The geometry of a model's input: open_clip's preprocessing configuration.

    Attributes:
        size: (height, width), pixels.
        resize_mode: `shortest` side to `size`, then centre crop; `longest` side to `size`, then
            pad; or `squash` to `size`.
        interpolation: Pillow's antialiased filter. As in open_clip 3.3, `shortest` with a size
            that is not square is always bicubic.
        fill_color: 0..255, of the padding of `longest`.

    Raises:
        ConfigError: a value is outside of these.
    """

    size: tuple[int, int]
    resize_mode: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    fill_color: int = 0

    def __post_init__(self) -> None:
        if len(self.size) != 2 or any(not isinstance(n, int) or n < 1 for n in self.size):
            raise ConfigError(f"size is {self.size!r}; it takes two positive integers (h, w)")
        if self.resize_mode not in _MODES:
            raise ConfigError(f"resize_mode is {self.resize_mode!r}; it takes one of {_MODES}")
        if self.interpolation not in _FILTERS:
            allowed = tuple(_FILTERS)
            raise ConfigError(f"interpolation is {self.interpolation!r}; it takes one of {allowed}")
        if not 0 <= self.fill_color <= 255:
            raise ConfigError(f"fill_color is {self.fill_color!r}; it takes 0 to 255")


# --- decoding -------------------------------------------------------------------------------


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


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """Decode an image of unknown origin to RGB, uint8.

    The format is sniffed from the content (JPEG, PNG, WebP, GIF, TIFF, BMP), whatever the member
    was called. Of animations the first frame counts. Transparency is laid on white, 16-bit grey is
    scaled to 8 bits, CMYK, palette and 1-bit images become RGB. The EXIF orientation is not
    applied, as in open_clip's own loaders, with which models were trained.

    Args:
        data: the encoded image, whole.
        max_pixels: refused above, by the header, before any pixel is decoded. Pillow itself
            refuses beyond 2 x `PIL.Image.MAX_IMAGE_PIXELS` (179 million by default).

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
            image.load()
            return _to_rgb(image)
    except Image.DecompressionBombError as exc:
        raise SampleError("image_too_large", str(exc)) from exc
    except DECODE_ERRORS as exc:
        # Pillow names the buffer by its address, and equal runs write equal bytes.
        text = _ADDRESS.sub("", str(exc))
        detail = f"{len(data)} bytes: {type(exc).__name__}: {text}"
        raise SampleError("undecodable_image", detail[:500]) from exc


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


# --- geometry -------------------------------------------------------------------------------


def to_pixels(image: Image.Image, spec: PixelSpec) -> NDArray[np.uint8]:
    """Resize, then crop or pad, an RGB image: uint8 [h, w, 3], writable, contiguous.

    Equal to the bit to open_clip's `image_transform(is_train=False)` before `ToTensor`, with two
    exceptions where that one fails or would need gigabytes: a side that would round to nothing
    keeps one pixel, and where the resized image would exceed BOX_RESIZE_PIXELS only what the crop
    keeps is computed. That is not the default: it saves a seventh of the time, but Pillow then
    orders its two passes differently, which changes pixels (a level on smooth images, up to 24 on
    white noise, by clipping between the passes).
    """
    width, height = resized_size(image.size, spec)
    target_height, target_width = spec.size
    fill = spec.fill_color if spec.resize_mode == "longest" else 0
    if width * height > max(BOX_RESIZE_PIXELS, target_width * target_height):
        return _crop_or_pad(*_resize_centre(image, (width, height), spec), spec.size, fill)
    if image.size != (width, height):
        image = image.resize((width, height), _filter(spec))
    return _crop_or_pad(np.array(image), (height, width), spec.size, fill)


def resized_size(size: tuple[int, int], spec: PixelSpec) -> tuple[int, int]:
    """(width, height) of an image of (width, height) `size` before it is cropped or padded."""
    width, height = size
    target_height, target_width = spec.size
    if spec.resize_mode == "squash":
        return target_width, target_height
    if spec.resize_mode == "shortest" and target_height == target_width:
        # torchvision's Resize(int): truncates. open_clip's own, below: rounds.
        short, long = min(width, height), max(width, height)
        long = int(target_width * long / short)
        return (target_width, long) if width <= height else (long, target_width)
    pick = max if spec.resize_mode == "longest" else min
    ratio = pick(height / target_height, width / target_width)
    return max(1, round(width / ratio)), max(1, round(height / ratio))


def _filter(spec: PixelSpec) -> Image.Resampling:
    if spec.resize_mode == "shortest" and spec.size[0] != spec.size[1]:
        return Image.Resampling.BICUBIC
    return _FILTERS[spec.interpolation]


def _crop_offset(size: int, target: int) -> int:
    """Pixels cut on the left, or on top, of a centre crop; torchvision's rounding."""
    return round((size - target) / 2.0)


def _crop_or_pad(
    pixels: NDArray[np.uint8], size: tuple[int, int], target: tuple[int, int], fill: int
) -> NDArray[np.uint8]:
    """Centre `pixels` [h, w, 3] in `target` (h, w)."""
    height, width = size
    target_height, target_width = target
    if (height, width) == target:
        return pixels
    if height < target_height or width < target_width:
        padded_size = (max(height, target_height), max(width, target_width), 3)
        padded = np.full(padded_size, fill, dtype=np.uint8)
        top, left = max(0, target_height - height) // 2, max(0, target_width - width) // 2
        padded[top : top + height, left : left + width] = pixels
        pixels, (height, width) = padded, padded_size[:2]
    top, left = _crop_offset(height, target_height), _crop_offset(width, target_width)
    return np.ascontiguousarray(pixels[top : top + target_height, left : left + target_width])


def _resize_centre(
    image: Image.Image, resized: tuple[int, int], spec: PixelSpec
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Compute only what a centre crop keeps of an image resized to `resized` (width, height)."""
    box: list[float] = []
    window: list[int] = []
    kept: list[int] = []
    for length, whole, target in zip(image.size, resized, spec.size[::-1], strict=True):
        scale = length / whole
        keep = min(whole, target)
        start = _crop_offset(whole, keep) * scale
        # A cubic filter reaches two (scaled) source pixels beyond the box. The window is cut out
        # first because Pillow holds a box in single precision, too coarse far from the origin.
        margin = 2 * max(scale, 1.0) + 2
        first, last = int(max(0, start - margin)), int(min(length, start + keep * scale + margin))
        window += [first, max(last, first + 1)]
        box += [start - first, min(start - first + keep * scale, window[-1] - first)]
        kept.append(keep)
    part = image.crop((window[0], window[2], window[1], window[3]))
    part = part.resize((kept[0], kept[1]), _filter(spec), box=(box[0], box[2], box[1], box[3]))
    return np.array(part), (kept[1], kept[0])
