"""A small painter on Pillow: shaded solids, gradients and textures on a canvas of unit height.

Coordinates: the shorter side of the picture has length 1, so that a drawing fits whatever the
aspect ratio; ``w`` and ``h`` are the sides. Everything is drawn at twice the final size and
averaged down, which smooths the edges that Pillow draws without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]
Point = tuple[float, float]
T = TypeVar("T")

SUPERSAMPLE = 2
WHITE: RGB = (255, 255, 255)
BLACK: RGB = (18, 18, 22)
INK: RGB = (42, 40, 48)

COLOURS: dict[str, RGB] = {
    "red": (205, 48, 44),
    "dark red": (139, 28, 34),
    "orange": (236, 128, 36),
    "yellow": (243, 203, 54),
    "green": (66, 150, 72),
    "dark green": (32, 92, 56),
    "light green": (146, 198, 102),
    "turquoise": (52, 174, 170),
    "blue": (50, 104, 194),
    "light blue": (130, 186, 232),
    "navy": (30, 46, 104),
    "purple": (124, 70, 160),
    "violet": (160, 120, 208),
    "pink": (238, 142, 172),
    "brown": (124, 80, 48),
    "beige": (222, 200, 162),
    "grey": (138, 140, 146),
    "white": (244, 243, 238),
    "black": (34, 34, 40),
    "golden": (212, 164, 52),
}
BRIGHT = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink")


class Paint(NamedTuple):
    """A colour and what a caption calls it; the name is empty in a picture without colours."""

    name: str
    rgb: RGB


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """``first`` with a ``share`` in [0, 1] of ``second``."""
    return (
        int(first[0] + (second[0] - first[0]) * share),
        int(first[1] + (second[1] - first[1]) * share),
        int(first[2] + (second[2] - first[2]) * share),
    )


def lighter(colour: RGB, share: float = 0.3) -> RGB:
    """``colour`` with a share of white."""
    return mix(colour, WHITE, share)


def darker(colour: RGB, share: float = 0.3) -> RGB:
    """``colour`` with a share of black."""
    return mix(colour, BLACK, share)


@lru_cache(maxsize=64)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that Pillow carries, so that a picture does not depend on the machine's fonts."""
    return ImageFont.load_default(size=size_px)


@lru_cache(maxsize=1)
def _sphere_light() -> npt.NDArray[np.float32]:
    """Brightness in [0, 1] of a ball lit from the upper left, 48 x 48."""
    y, x = np.mgrid[0:48, 0:48].astype(np.float32) / 47
    light: npt.NDArray[np.float32] = 1 - np.hypot(x - 0.34, y - 0.28) / np.float32(0.85)
    return np.clip(light, 0, 1)[..., None]


class Canvas:
    """A picture being drawn, with the random generator that decides its details."""

    def __init__(
        self, size: tuple[int, int], rng: np.random.Generator, *, monochrome: bool = False
    ) -> None:
        self.rng = rng
        self.size = size
        self.monochrome = monochrome
        self.scale = min(size) * SUPERSAMPLE
        self.w = size[0] / min(size)
        self.h = size[1] / min(size)
        self.image = Image.new("RGB", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE), WHITE)
        self.draw = ImageDraw.Draw(self.image)
        self.finishing: list[Callable[[Canvas], None]] = []

    # --- chance -----------------------------------------------------------------------------

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * float(self.rng.random())

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """True with probability ``share``."""
        return float(self.rng.random()) < share

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self.rng.integers(len(options)))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` different options in random order."""
        return [options[int(i)] for i in self.rng.permutation(len(options))[:count]]

    def vary(self, colour: RGB, spread: int = 14) -> RGB:
        """A colour near ``colour``: every channel moved by up to ``spread``."""
        red, green, blue = (int(v) for v in self.rng.integers(-spread, spread + 1, 3))
        return (
            min(max(colour[0] + red, 0), 255),
            min(max(colour[1] + green, 0), 255),
            min(max(colour[2] + blue, 0), 255),
        )

    def paint(self, names: Sequence[str] = BRIGHT) -> Paint:
        """A named colour, varied a little."""
        return self.paints(1, names)[0]

    def paints(self, count: int, names: Sequence[str] = BRIGHT) -> list[Paint]:
        """``count`` colours of different names."""
        chosen = self.sample(names, count)
        return [Paint("" if self.monochrome else n, self.vary(COLOURS[n])) for n in chosen]

    # --- shapes -----------------------------------------------------------------------------

    def _px(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
        left, right = sorted((round(x0 * self.scale), round(x1 * self.scale)))
        top, bottom = sorted((round(y0 * self.scale), round(y1 * self.scale)))
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def _thickness(self, width: float) -> int:
        return max(1, round(width * self.scale))

    def gradient(self, top: RGB, bottom: RGB, y0: float = 0.0, y1: float | None = None) -> None:
        """A band over the whole width that turns from ``top`` to ``bottom``."""
        box = self._box(0, y0, self.w, self.h if y1 is None else y1)
        self._paste(_ramp(top, bottom), box, None)

    def _paste(self, texture: Image.Image, box: tuple[int, int, int, int], mask: object) -> None:
        size = (box[2] - box[0], box[3] - box[1])
        stretched = texture.resize(size, Image.Resampling.BILINEAR)
        self.image.paste(stretched, box[:2], mask if isinstance(mask, Image.Image) else None)

    def polygon(self, points: Sequence[Point], colour: RGB, shade: float = 0.0) -> None:
        """A filled polygon; ``shade`` in [0, 1] lightens its top and darkens its foot."""
        pixels = self._px(points)
        if shade <= 0:
            self.draw.polygon(pixels, fill=colour)
            return
        xs, ys = [x for x, _ in points], [y for _, y in points]
        box = self._box(min(xs), min(ys), max(xs), max(ys))
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        moved = [(x - box[0], y - box[1]) for x, y in pixels]
        ImageDraw.Draw(mask).polygon(moved, fill=255)
        self._paste(_ramp(lighter(colour, shade), darker(colour, shade)), box, mask)

    def rect(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: RGB,
        *,
        shade: float = 0.0,
        radius: float = 0.0,
        outline: RGB | None = None,
    ) -> None:
        """A filled rectangle, shaded like ``polygon``, with rounded corners on request."""
        box = self._box(x0, y0, x1, y1)
        corner = radius * self.scale
        line = self._thickness(0.006)
        if shade > 0:
            mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
            inner = (0, 0, mask.width - 1, mask.height - 1)
            ImageDraw.Draw(mask).rounded_rectangle(inner, corner, fill=255)
            self._paste(_ramp(lighter(colour, shade), darker(colour, shade)), box, mask)
            if outline is not None:
                self.draw.rounded_rectangle(box, corner, outline=outline, width=line)
        else:
            self.draw.rounded_rectangle(box, corner, fill=colour, outline=outline, width=line)

    def ellipse(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        colour: RGB,
        *,
        shade: float = 0.0,
        outline: RGB | None = None,
    ) -> None:
        """A filled ellipse; with ``shade`` it looks like a ball lit from the upper left."""
        box = self._box(cx - rx, cy - ry, cx + rx, cy + ry)
        line = self._thickness(0.006)
        if shade <= 0:
            self.draw.ellipse(box, fill=colour, outline=outline, width=line)
            return
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        ImageDraw.Draw(mask).ellipse((0, 0, mask.width - 1, mask.height - 1), fill=255)
        dark = np.asarray(darker(colour, shade), np.float32)
        light = np.asarray(lighter(colour, shade), np.float32)
        ball = (dark + _sphere_light() * (light - dark)).astype(np.uint8)
        self._paste(Image.fromarray(ball), box, mask)
        if outline is not None:
            self.draw.ellipse(box, outline=outline, width=line)

    def disc(self, cx: float, cy: float, r: float, colour: RGB, shade: float = 0.0) -> None:
        """A filled circle."""
        self.ellipse(cx, cy, r, r, colour, shade=shade)

    def line(self, points: Sequence[Point], colour: RGB, width: float = 0.01) -> None:
        """A polyline with round joints."""
        self.draw.line(self._px(points), fill=colour, width=self._thickness(width), joint="curve")

    def arc(
        self,
        box: tuple[float, float, float, float],
        start: float,
        end: float,
        colour: RGB,
        width: float = 0.01,
    ) -> None:
        """Part of the outline of the ellipse in ``box``; degrees clockwise from three o'clock."""
        self.draw.arc(self._box(*box), start, end, fill=colour, width=self._thickness(width))

    def pie(
        self, box: tuple[float, float, float, float], start: float, end: float, colour: RGB
    ) -> None:
        """A slice of the ellipse in ``box``."""
        self.draw.pieslice(self._box(*box), start, end, fill=colour)

    def text(
        self, x: float, y: float, words: str, size: float, colour: RGB, anchor: str = "mm"
    ) -> None:
        """``words`` of letter height ``size``, placed by Pillow's ``anchor``."""
        height = max(6, round(size * self.scale))
        self.draw.text(
            (x * self.scale, y * self.scale), words, fill=colour, font=font(height), anchor=anchor
        )

    def veil(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        colour: RGB = (20, 24, 30),
        strength: float = 0.35,
    ) -> None:
        """A soft, translucent ellipse: a shadow when dark, a glow when light."""
        box = self._box(cx - rx, cy - ry, cx + rx, cy + ry)
        size = (box[2] - box[0], box[3] - box[1])
        mask = _soft_disc(round(strength * 20)).resize(size, Image.Resampling.BILINEAR)
        self.image.paste(colour, box, mask)


def glow_at_last(
    c: Canvas, cx: float, cy: float, rx: float, ry: float, colour: RGB, strength: float
) -> None:
    """Plan a glow above everything else, weather and darkness included."""
    c.finishing.append(lambda later: later.veil(cx, cy, rx, ry, colour, strength))


def _ramp(top: RGB, bottom: RGB) -> Image.Image:
    """A column of two hundred-odd pixels from ``top`` to ``bottom``."""
    steps = np.linspace(0, 1, 64, dtype=np.float32)[:, None, None]
    first, last = np.asarray(top, np.float32), np.asarray(bottom, np.float32)
    return Image.fromarray((first + steps * (last - first)).astype(np.uint8).reshape(64, 1, 3))


@lru_cache(maxsize=32)
def _soft_disc(strength: int) -> Image.Image:
    """A mask that fades from ``strength`` twentieths in the middle to nothing at the rim."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    fade = np.clip(1 - np.hypot(x, y), 0, 1) ** 0.7
    return Image.fromarray((fade * 255 * strength / 20).astype(np.uint8))
