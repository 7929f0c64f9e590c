"""How a drawing is finished: as a watercolour, a pencil sketch, an old print and so on.

Every style but the plain ones changes texture and contrast, and all add the grain and uneven
light that set a picture apart from flat clip art.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """A finish: its names for captions, its relative frequency, whether it loses the colours."""

    finish: Callable[[Image.Image, np.random.Generator], Pixels]
    media: tuple[str, ...]
    weight: float
    grain: float
    monochrome: bool = False


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, np.float32)


def _smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Pixels:
    """Noise of mean 0 and deviation about 1 that changes over 1/``cells`` of the picture."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    fine = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(fine, np.float32)[..., None]


def _plain(image: Image.Image, _: np.random.Generator) -> Pixels:
    return _pixels(image)


def _watercolour(image: Image.Image, rng: np.random.Generator) -> Pixels:
    soft = _pixels(image.filter(ImageFilter.BoxBlur(1)))
    wash = _smooth_noise(rng, image.size, 9) * 6 + _smooth_noise(rng, image.size, 40) * 5
    return 255 - (255 - soft) * 0.78 + wash


def _oil(image: Image.Image, rng: np.random.Generator) -> Pixels:
    strokes = rng.standard_normal((image.height // 2 + 1, image.width // 7 + 1), dtype=np.float32)
    relief = Image.fromarray(strokes).resize(image.size, Image.Resampling.BICUBIC)
    strong = _pixels(image.filter(ImageFilter.MedianFilter(5)))
    return (strong - 128) * 1.12 + 126 + np.asarray(relief, np.float32)[..., None] * 5


def _sketch(image: Image.Image, rng: np.random.Generator) -> Pixels:
    grey = image.convert("L")
    soft = np.asarray(grey.filter(ImageFilter.BoxBlur(3)), np.float32)
    light = np.asarray(grey, np.float32)
    lines = np.clip(light / np.maximum(soft, 24) * 236, 0, 255)
    shade = lines * 0.72 + light * 0.28
    hatch = _smooth_noise(rng, image.size, 90)[..., 0] * 6
    return np.repeat((shade + hatch)[..., None], 3, axis=2)


def _charcoal(image: Image.Image, rng: np.random.Generator) -> Pixels:
    light = np.asarray(image.convert("L").filter(ImageFilter.BoxBlur(1)), np.float32)
    paper = _smooth_noise(rng, image.size, 110)[..., 0] * 7
    return np.repeat(((light - 120) * 1.35 + 135 + paper)[..., None], 3, axis=2)


def _black_and_white(image: Image.Image, _: np.random.Generator) -> Pixels:
    light = np.asarray(image.convert("L"), np.float32)[..., None]
    return np.repeat((light - 128) * 1.1 + 128, 3, axis=2) * _vignette(image.size, 0.35)


def _sepia(image: Image.Image, _: np.random.Generator) -> Pixels:
    light = np.asarray(image.convert("L"), np.float32)[..., None] / 255
    dark, pale = np.array([48, 30, 16], np.float32), np.array([246, 228, 192], np.float32)
    return (dark + light * (pale - dark)) * _vignette(image.size, 0.3)


def _pastel(image: Image.Image, rng: np.random.Generator) -> Pixels:
    chalk = _smooth_noise(rng, image.size, 120) * 9
    return _pixels(image) * 0.62 + 95 + chalk


def _poster(image: Image.Image, _: np.random.Generator) -> Pixels:
    few = image.quantize(12, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    return (_pixels(few.convert("RGB")) - 128) * 1.12 + 128


def _pixel_art(image: Image.Image, _: np.random.Generator) -> Pixels:
    small = image.reduce(4)
    return _pixels(small.resize(image.size, Image.Resampling.NEAREST))


def _photo(image: Image.Image, rng: np.random.Generator) -> Pixels:
    soft = _pixels(image.filter(ImageFilter.GaussianBlur(0.7)))
    tone = 1 + rng.standard_normal(3, dtype=np.float32) * 0.035
    return soft * tone * _vignette(image.size, 0.22) + _smooth_noise(rng, image.size, 5) * 4


def _vignette(size: tuple[int, int], strength: float) -> Pixels:
    """Factor per pixel: 1 in the middle, 1 - ``strength`` in the corners."""
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j].astype(np.float32)
    fade: Pixels = 1 - np.float32(strength / 2) * (x * x + y * y)
    return fade[..., None]


STYLES: dict[str, Style] = {
    "plain": Style(_plain, ("",), 3.0, 3.0),
    "flat": Style(_plain, ("flat vector illustration", "cartoon", "clip art"), 1.0, 0.8),
    "camera": Style(_photo, ("", "photograph of a painting", "3D render"), 1.6, 5.0),
    "watercolour": Style(
        _watercolour,
        ("watercolour", "watercolor painting", "watercolour style drawing", "soft watercolour"),
        1.3,
        3.0,
    ),
    "oil": Style(_oil, ("oil painting", "painting", "oil on canvas"), 0.8, 2.0),
    "pastel": Style(_pastel, ("pastel drawing", "chalk pastel", "soft pastel picture"), 0.7, 3.0),
    "poster": Style(_poster, ("poster", "screen print", "retro poster"), 0.5, 2.0),
    "pixel": Style(_pixel_art, ("pixel art", "8-bit pixel art picture"), 0.4, 0.5),
    "sketch": Style(_sketch, ("pencil sketch", "pencil drawing"), 0.7, 3.0, monochrome=True),
    "charcoal": Style(_charcoal, ("charcoal drawing",), 0.4, 4.0, monochrome=True),
    "monochrome": Style(
        _black_and_white,
        ("black and white picture", "black-and-white drawing", "greyscale image"),
        0.5,
        6.0,
        monochrome=True,
    ),
    "sepia": Style(
        _sepia, ("sepia print", "old sepia picture", "vintage engraving"), 0.4, 6.0, monochrome=True
    ),
}


def finish(image: Image.Image, style: Style, rng: np.random.Generator) -> Image.Image:
    """The picture in its style, with grain, as 8-bit RGB of the same size."""
    pixels = style.finish(image, rng)
    grain = rng.standard_normal((image.height, image.width, 1), dtype=np.float32) * style.grain
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
