"""The geometry of a model's input: from an RGB array of any size to the pixels the model takes.

It is open_clip's evaluation transform up to, and not including, the division by 255: uint8 is what
travels to the model, which normalises on its own device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ConfigError

RGB = NDArray[np.uint8]
"""[height, width, 3]."""

BOX_RESIZE_PIXELS: Final = 32_000_000
"""Pixels of a resized image, before the centre crop, beyond which only the crop is computed.

A 100,000 x 1 image resized to 224 pixels on its shorter side would be 22,400,000 pixels wide.
"""

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
Resampling = Literal["torch", "pillow", "scaled"]
_FILTERS: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_MODES: Final = ("shortest", "longest", "squash")
_RESAMPLINGS: Final = ("torch", "pillow", "scaled")


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
        resampling: whose arithmetic resizes, see `to_pixels`.

    Raises:
        ConfigError: a value is outside of these.
    """

    size: tuple[int, int]
    resize_mode: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    fill_color: int = 0
    resampling: Resampling = "torch"

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
        if self.resampling not in _RESAMPLINGS:
            raise ConfigError(f"resampling is {self.resampling!r}; it takes one of {_RESAMPLINGS}")


def to_pixels(image: RGB, spec: PixelSpec, size: tuple[int, int] | None = None) -> RGB:
    """Resize, then crop or pad, an RGB image: uint8 [h, w, 3], contiguous.

    With `resampling: pillow` it equals open_clip's `image_transform(is_train=False)` before
    `ToTensor` to the bit. With `torch`, the same filter is computed with coefficients of 16 bits
    instead of 22, in a sixth of the time: some 0.4 % of the values differ, by one level, seldom by
    two. Both agree on everything else, with two exceptions where open_clip fails or would need
    gigabytes: a side that would round to nothing keeps one pixel, and where the resized image
    would exceed BOX_RESIZE_PIXELS only what the crop keeps is computed, by Pillow, which then
    orders its two passes differently (a level on smooth images, up to 24 on white noise, by
    clipping between the passes).

    With `scaled`, torch resizes what a JPEG's decoder has made smaller by a fraction of eighths, to
    no less than what is wanted: a third less time for pictures of twice the model's size, and a
    softer picture: values differ by 1.4 levels in the mean, by up to 20 at edges.

    Args:
        image: uint8 [height, width, 3].
        spec: the geometry.
        size: (width, height) of the image that `image` is a smaller version of; its own if None.
    """
    own = image.shape[1], image.shape[0]
    width, height = resized_size(own if size is None else size, spec)
    target_height, target_width = spec.size
    fill = spec.fill_color if spec.resize_mode == "longest" else 0
    if width * height > max(BOX_RESIZE_PIXELS, target_width * target_height):
        part = _resize_centre(Image.fromarray(image), (width, height), spec)
        return _crop_or_pad(*part, spec.size, fill)
    if own != (width, height):
        image = _resize(image, (width, height), spec)
    return _crop_or_pad(image, (height, width), spec.size, fill)


def _resize(image: RGB, size: tuple[int, int], spec: PixelSpec) -> RGB:
    """Resize a whole image to `size` (width, height)."""
    if spec.resampling == "pillow":
        return np.array(Image.fromarray(image).resize(size, _filter(spec)))
    # Channels last in memory, and seen to be so: then the result is as well, and cropping it copies
    # rows instead of gathering bytes.
    planes = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    mode = "bilinear" if _filter(spec) == Image.Resampling.BILINEAR else "bicubic"
    (height, width), (columns, rows) = image.shape[:2], size
    if height - rows > max(0, 2 * (width - columns)):
        # Torch always begins with the columns. Pillow begins with the rows by this very rule (seen
        # of version 13 in 4,000 cases), and to clip in another order would be seen at sharp edges.
        planes = F.interpolate(planes, size=(rows, width), mode=mode, antialias=True)
    resized = F.interpolate(planes, size=size[::-1], mode=mode, antialias=True)
    pixels: RGB = resized[0].permute(1, 2, 0).numpy()
    return pixels


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


def _crop_or_pad(pixels: RGB, size: tuple[int, int], target: tuple[int, int], fill: int) -> RGB:
    """Centre `pixels` [h, w, 3] in `target` (h, w)."""
    height, width = size
    target_height, target_width = target
    if (height, width) == target:
        return np.ascontiguousarray(pixels)
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
) -> tuple[RGB, tuple[int, int]]:
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
