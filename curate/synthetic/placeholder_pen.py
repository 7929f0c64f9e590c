"""Paints the icons of missing pictures: outlined or filled, thin or bold, crossed out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curate.synthetic.placeholder_icons import ICONS, SLASH, Colour


@dataclass(frozen=True)
class IconStyle:
    """How an icon is painted. ``stroke`` is a share of the icon's side."""

    foreground: Colour
    background: Colour
    filled: bool
    stroke: float
    jitter: float
    slash: bool


def random_style(rng: np.random.Generator, foreground: Colour, background: Colour) -> IconStyle:
    """A style in the given colours: outlined or filled, thin or bold, with or without a slash."""
    return IconStyle(
        foreground,
        background,
        filled=bool(rng.random() < 0.5),
        stroke=float(rng.uniform(0.02, 0.11)),
        jitter=float(rng.uniform(0.0, 0.03)),
        slash=bool(rng.random() < 0.15),
    )


class _Pen:
    """Paints shapes of one icon at one place of a canvas."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        corner: tuple[float, float],
        side: float,
        style: IconStyle,
        rng: np.random.Generator,
    ) -> None:
        self._draw, self._corner, self._side, self._style, self._rng = (
            draw,
            corner,
            side,
            style,
            rng,
        )
        self.width = max(1, round(style.stroke * side))
        self.filled = style.filled

    def _points(self, numbers: tuple[float, ...]) -> list[tuple[float, float]]:
        unit = np.asarray(numbers, dtype=np.float64).reshape(-1, 2)
        unit = unit + self._rng.uniform(-1, 1, unit.shape) * self._style.jitter
        placed = np.asarray(self._corner) + unit * self._side
        return [(float(x), float(y)) for x, y in placed]

    def _stroke(self, points: list[tuple[float, float]], colour: Colour, width: int) -> None:
        self._draw.line(points, fill=colour, width=width, joint="curve")
        radius = width / 2
        for x, y in (points[0], points[-1]):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def slash(self, numbers: tuple[float, ...]) -> None:
        """A line through the icon with a halo in the background's colour."""
        points = self._points(numbers)
        self._stroke(points, self._style.background, 3 * self.width)
        self._stroke(points, self._style.foreground, self.width)

    def glyph(self, numbers: tuple[float, ...], character: str, alone: bool) -> None:
        """A character; in the background's colour when it lies on a filled body."""
        centre = self._points(numbers[:2])[0]
        font = ImageFont.load_default(max(6.0, numbers[2] * self._side))
        on_body = self.filled and not alone
        colour = self._style.background if on_body else self._style.foreground
        self._draw.text(
            centre, character, font=font, fill=colour, anchor="mm", stroke_width=self.width // 3
        )

    def shape(self, kind: str, numbers: tuple[float, ...], role: str) -> None:
        """A body or a detail."""
        detail = self.filled and role == "d"
        colour = self._style.background if detail else self._style.foreground
        if kind == "line":
            self._stroke(self._points(numbers), colour, self.width)
            return
        if kind == "polygon":
            points = self._points(numbers)
            if self.filled:
                self._draw.polygon(points, fill=colour)
            else:
                self._stroke([*points, points[0]], colour, self.width)
            return
        (x0, y0), (x1, y1) = self._points(numbers[:4])
        bounds = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        fill, outline = (colour, None) if self.filled else (None, colour)
        if kind == "arc":
            self._draw.arc(bounds, numbers[4], numbers[5], fill=colour, width=self.width)
        elif kind == "ellipse":
            self._draw.ellipse(bounds, fill=fill, outline=outline, width=self.width)
        elif kind == "box":
            self._draw.rectangle(bounds, fill=fill, outline=outline, width=self.width)
        else:
            radius = self._side * 0.08
            self._draw.rounded_rectangle(
                bounds, radius, fill=fill, outline=outline, width=self.width
            )


def paint_icon(
    canvas: Image.Image,
    name: str,
    corner: tuple[float, float],
    side: float,
    style: IconStyle,
    rng: np.random.Generator,
) -> None:
    """Paint the icon ``name`` with its upper left ``corner`` and ``side`` in pixels."""
    pen = _Pen(ImageDraw.Draw(canvas), corner, side, style, rng)
    shapes = ICONS[name]
    for kind, numbers, role in shapes:
        if role == "s":
            pen.slash(numbers)
        elif kind == "glyph":
            pen.glyph(numbers, role, alone=len(shapes) == 1)
        else:
            pen.shape(kind, numbers, role)
    if style.slash:
        pen.slash(SLASH[1])
