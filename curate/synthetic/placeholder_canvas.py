"""A canvas with the colours of one placeholder, and the marks that designs are composed of."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from curate.synthetic.placeholder_icons import Colour
from curate.synthetic.placeholder_pen import paint_icon, random_style
from curate.synthetic.placeholder_texts import Typeface, message, wrap

SUPERSAMPLING = 2  # icons and frames are drawn larger and reduced: Pillow does not anti-alias


def _grey(level: float) -> Colour:
    value = int(np.clip(level, 0, 255))
    return (value, value, value)


def _tone(rng: np.random.Generator, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(float(rng.random()), saturation, value)
    return (int(red * 255), int(green * 255), int(blue * 255))


def random_palette(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Background, foreground and accent: mostly greys on white, as the web has them."""
    kind = rng.random()
    if kind < 0.35:
        background = _grey(rng.uniform(235, 256))
    elif kind < 0.6:
        background = _grey(rng.uniform(150, 240))
    elif kind < 0.72:
        background = _grey(rng.uniform(0, 110))
    elif kind < 0.87:
        background = _tone(rng, float(rng.uniform(0.02, 0.25)), float(rng.uniform(0.75, 1.0)))
    else:
        background = _tone(rng, float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.2, 1.0)))
    light = sum(background) / 3
    contrast = float(rng.choice([rng.uniform(18, 60), rng.uniform(60, 140), 255]))
    level = light - contrast if light > 127 else light + contrast
    coloured = rng.random() < 0.25
    vivid = _tone(rng, float(rng.uniform(0.4, 1.0)), float(rng.uniform(0.3, 1.0)))
    foreground = vivid if coloured and abs(sum(vivid) / 3 - light) > 40 else _grey(level)
    accent = vivid if rng.random() < 0.4 else _grey((light + level) / 2)
    return background, foreground, accent


@dataclass
class Canvas:
    """A picture in the making, ``SUPERSAMPLING`` times larger than its final size.

    Most marks are measured in shares of the shorter side.
    """

    rng: np.random.Generator
    image: Image.Image
    background: Colour
    foreground: Colour
    accent: Colour
    typeface: Typeface

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.image.height

    @property
    def short(self) -> int:
        """The shorter side in pixels."""
        return min(self.image.size)

    @property
    def pen(self) -> ImageDraw.ImageDraw:
        """Pillow's drawing interface."""
        return ImageDraw.Draw(self.image)

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def line_width(self, low: float = 0.004, high: float = 0.03) -> int:
        """A stroke in pixels, given as shares of the shorter side."""
        return max(1, round(self.uniform(low, high) * self.short))

    def icon(self, name: str, centre: tuple[float, float], side: float) -> None:
        """An icon centred at shares of width and height, ``side`` in pixels."""
        corner = (centre[0] * self.width - side / 2, centre[1] * self.height - side / 2)
        style = random_style(self.rng, self.foreground, self.background)
        paint_icon(self.image, name, corner, side, style, self.rng)

    def text(
        self,
        text: str | None = None,
        centre: tuple[float, float] = (0.5, 0.5),
        share: float = 0.85,
        tallest: float = 0.2,
        colour: Colour | None = None,
    ) -> None:
        """A text, as large as fits.

        Args:
            text: what to write; a random message of a placeholder when omitted.
            centre: where, as shares of width and height.
            share: the widest it may be, as a share of the width.
            tallest: the tallest line, as a share of the shorter side.
            colour: the foreground when omitted.
        """
        words = message(self.rng, self.typeface) if text is None else self.typeface.spell(text)
        words = wrap(words, int(self.rng.choice([10, 16, 24, 60])))
        longest = max(len(line) for line in words.split("\n")) if words else 1
        size = min(tallest * self.short, share * self.width / max(1.0, 0.56 * longest))
        lines = words.count("\n") + 1
        size = min(size, 0.9 * self.height / (1.3 * lines))
        self.pen.multiline_text(
            (centre[0] * self.width, centre[1] * self.height),
            words,
            font=self.typeface.load(round(size)),
            fill=self.foreground if colour is None else colour,
            anchor="mm",
            align="center",
        )

    def frame(self, inset: float, colour: Colour | None = None, dashed: bool = False) -> None:
        """A border ``inset`` of the shorter side away from the edge."""
        margin, line = round(inset * self.short), self.line_width(0.004, 0.025)
        bounds = (margin, margin, self.width - 1 - margin, self.height - 1 - margin)
        colour = self.foreground if colour is None else colour
        pen = self.pen
        if not dashed:
            radius = int(self.rng.choice([0, 0, 0, 6, 16, 30]))
            pen.rounded_rectangle(bounds, radius, outline=colour, width=line)
            return
        dash = max(4, round(self.uniform(0.03, 0.1) * self.short))
        for x in range(margin, self.width - margin, 2 * dash):
            for y in (margin, self.height - 1 - margin):
                pen.line((x, y, min(x + dash, self.width - margin), y), fill=colour, width=line)
        for y in range(margin, self.height - margin, 2 * dash):
            for x in (margin, self.width - 1 - margin):
                pen.line((x, y, x, min(y + dash, self.height - margin)), fill=colour, width=line)

    def gradient(self, first: Colour, second: Colour, angle: float) -> None:
        """Cover the canvas with a linear gradient; ``angle`` in radians."""
        x = np.linspace(-1, 1, self.width)[None, :]
        y = np.linspace(-1, 1, self.height)[:, None]
        ramp = np.clip((x * np.cos(angle) + y * np.sin(angle)) / 2 + 0.5, 0, 1)[..., None]
        pixels = np.asarray(first) * (1 - ramp) + np.asarray(second) * ramp
        self.image.paste(Image.fromarray(pixels.astype(np.uint8)))

    def finish(self, size: tuple[int, int]) -> Image.Image:
        """The picture at its final size, now and then soft as a bad copy is."""
        picture = self.image.resize(size, Image.Resampling.LANCZOS)
        if self.chance(0.08):
            picture = picture.filter(ImageFilter.GaussianBlur(self.uniform(0.4, 1.6)))
        return picture
