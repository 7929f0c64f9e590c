"""Drawing one thing in its own coordinates, so that it can stand anywhere, at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.synthetic.canvas import RGB, Canvas, Point


@dataclass(frozen=True)
class Pen:
    """A canvas seen from (x, y), with lengths in units of ``size``; y points down.

    ``flip`` of -1 draws the mirror image.
    """

    canvas: Canvas
    x: float
    y: float
    size: float = 1.0
    flip: int = 1

    def to(self, point: Point) -> Point:
        """The point's place on the canvas."""
        return (self.x + self.flip * self.size * point[0], self.y + self.size * point[1])

    def shape(self, points: Sequence[Point], colour: RGB, shade: float = 0.0) -> None:
        """A filled polygon."""
        self.canvas.polygon([self.to(p) for p in points], colour, shade)

    def line(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """A polyline; its width scales too."""
        self.canvas.line([self.to(p) for p in points], colour, width * self.size)

    def disc(self, x: float, y: float, r: float, colour: RGB, shade: float = 0.0) -> None:
        """A filled circle."""
        self.canvas.disc(*self.to((x, y)), r * self.size, colour, shade)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: RGB, shade: float = 0.0
    ) -> None:
        """A filled ellipse."""
        cx, cy = self.to((x, y))
        self.canvas.ellipse(cx, cy, rx * self.size, ry * self.size, colour, shade=shade)

    def rect(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: RGB,
        shade: float = 0.0,
        radius: float = 0.0,
    ) -> None:
        """A filled rectangle."""
        first, second = self.to((x0, y0)), self.to((x1, y1))
        self.canvas.rect(*first, *second, colour, shade=shade, radius=radius * self.size)

    def arc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        span: tuple[float, float],
        colour: RGB,
        width: float,
    ) -> None:
        """Part of an ellipse's outline; ``span`` in degrees as for ``Canvas.arc``."""
        cx, cy = self.to((x, y))
        rx, ry = rx * self.size, ry * self.size
        start, end = span if self.flip > 0 else (180 - span[1], 180 - span[0])
        self.canvas.arc((cx - rx, cy - ry, cx + rx, cy + ry), start, end, colour, width * self.size)

    def veil(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: RGB = (20, 24, 30),
        strength: float = 0.35,
    ) -> None:
        """A shadow or glow."""
        cx, cy = self.to((x, y))
        self.canvas.veil(cx, cy, rx * self.size, ry * self.size, colour, strength)
