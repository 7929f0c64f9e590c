"""Icons of missing pictures, as shapes in a unit square, and their drawing in many styles.

A shape is ``(kind, numbers, role)``. Kinds: ``line`` and ``polygon`` (x0, y0, x1, y1, ...),
``ellipse`` and ``box`` (x0, y0, x1, y1), ``round`` (a box with round corners), ``arc`` (x0, y0,
x1, y1, start, end in degrees), ``glyph`` (a character centred at x, y, with its height). The role
says how a filled icon paints it: ``b`` body in the foreground, ``d`` detail in the background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Shape = tuple[str, tuple[float, ...], str]
Colour = tuple[int, int, int]

_FRAME: Shape = ("round", (0.05, 0.12, 0.95, 0.88), "b")
_PEAKS: Shape = ("polygon", (0.12, 0.8, 0.36, 0.42, 0.55, 0.68, 0.68, 0.52, 0.88, 0.8), "d")
_SUN: Shape = ("ellipse", (0.64, 0.22, 0.8, 0.38), "d")
_HEAD: Shape = ("ellipse", (0.33, 0.15, 0.67, 0.5), "b")
_SHOULDERS: Shape = (
    "polygon",
    (0.1, 0.92, 0.18, 0.66, 0.36, 0.56, 0.64, 0.56, 0.82, 0.66, 0.9, 0.92),
    "b",
)
_CAMERA: tuple[Shape, ...] = (
    ("polygon", (0.34, 0.3, 0.4, 0.17, 0.6, 0.17, 0.66, 0.3), "b"),
    ("round", (0.06, 0.29, 0.94, 0.84), "b"),
    ("ellipse", (0.33, 0.38, 0.67, 0.72), "d"),
    ("ellipse", (0.42, 0.47, 0.58, 0.63), "b"),
)
_PAGE: Shape = ("polygon", (0.18, 0.05, 0.62, 0.05, 0.84, 0.27, 0.84, 0.95, 0.18, 0.95), "b")
_FOLD: Shape = ("polygon", (0.62, 0.05, 0.62, 0.27, 0.84, 0.27), "d")
_SLASH: Shape = ("line", (0.08, 0.06, 0.92, 0.94), "s")
_CLOUD: tuple[Shape, ...] = (
    ("ellipse", (0.05, 0.45, 0.4, 0.8), "b"),
    ("ellipse", (0.24, 0.22, 0.68, 0.72), "b"),
    ("ellipse", (0.52, 0.38, 0.95, 0.8), "b"),
)
_EYE: tuple[Shape, ...] = (
    (
        "polygon",
        (0.03, 0.5, 0.25, 0.3, 0.5, 0.22, 0.75, 0.3, 0.97, 0.5, 0.75, 0.7, 0.5, 0.78, 0.25, 0.7),
        "b",
    ),
    ("ellipse", (0.36, 0.36, 0.64, 0.64), "d"),
)

ICONS: dict[str, tuple[Shape, ...]] = {
    "picture": (_FRAME, _PEAKS, _SUN),
    "picture_off": (_FRAME, _PEAKS, _SUN, _SLASH),
    "picture_open": (
        ("line", (0.08, 0.82, 0.36, 0.42, 0.55, 0.68, 0.68, 0.52, 0.92, 0.82), "b"),
        _SUN,
    ),
    "picture_torn": (
        (
            "polygon",
            (0.08, 0.1, 0.92, 0.1, 0.92, 0.44, 0.7, 0.6, 0.5, 0.46, 0.3, 0.6, 0.08, 0.44),
            "b",
        ),
        (
            "polygon",
            (0.08, 0.6, 0.3, 0.74, 0.5, 0.6, 0.7, 0.74, 0.92, 0.58, 0.92, 0.9, 0.08, 0.9),
            "b",
        ),
        ("ellipse", (0.2, 0.2, 0.36, 0.36), "d"),
    ),
    "picture_split": (
        (
            "polygon",
            (0.06, 0.12, 0.56, 0.12, 0.46, 0.34, 0.56, 0.52, 0.42, 0.7, 0.48, 0.88, 0.06, 0.88),
            "b",
        ),
        (
            "polygon",
            (0.64, 0.12, 0.94, 0.12, 0.94, 0.88, 0.56, 0.88, 0.5, 0.7, 0.64, 0.52, 0.54, 0.34),
            "b",
        ),
    ),
    "picture_cross": (
        _FRAME,
        ("line", (0.35, 0.35, 0.65, 0.65), "d"),
        ("line", (0.65, 0.35, 0.35, 0.65), "d"),
    ),
    "picture_query": (_FRAME, ("glyph", (0.5, 0.5, 0.5), "?")),
    "picture_stack": (
        ("round", (0.18, 0.04, 0.98, 0.7), "b"),
        ("round", (0.03, 0.2, 0.82, 0.92), "d"),
        ("polygon", (0.1, 0.84, 0.32, 0.52, 0.48, 0.7, 0.58, 0.6, 0.76, 0.84), "b"),
    ),
    "page": (_PAGE, _FOLD),
    "page_torn": (
        (
            "polygon",
            (0.18, 0.05, 0.62, 0.05, 0.84, 0.27, 0.84, 0.5, 0.62, 0.6, 0.4, 0.48, 0.18, 0.58),
            "b",
        ),
        ("polygon", (0.18, 0.7, 0.4, 0.6, 0.62, 0.72, 0.84, 0.62, 0.84, 0.95, 0.18, 0.95), "b"),
        _FOLD,
    ),
    "page_picture": (
        _PAGE,
        _FOLD,
        ("polygon", (0.26, 0.82, 0.42, 0.55, 0.54, 0.7, 0.62, 0.62, 0.76, 0.82), "d"),
        ("ellipse", (0.3, 0.36, 0.42, 0.48), "d"),
    ),
    "page_cross": (
        _PAGE,
        ("line", (0.36, 0.45, 0.66, 0.75), "d"),
        ("line", (0.66, 0.45, 0.36, 0.75), "d"),
    ),
    "camera": _CAMERA,
    "camera_off": (*_CAMERA, _SLASH),
    "film_camera": (
        ("round", (0.04, 0.26, 0.66, 0.76), "b"),
        ("polygon", (0.7, 0.48, 0.96, 0.3, 0.96, 0.72, 0.7, 0.56), "b"),
        _SLASH,
    ),
    "question": (("glyph", (0.5, 0.5, 0.95), "?"),),
    "question_disc": (("ellipse", (0.05, 0.05, 0.95, 0.95), "b"), ("glyph", (0.5, 0.5, 0.62), "?")),
    "exclamation_disc": (
        ("ellipse", (0.05, 0.05, 0.95, 0.95), "b"),
        ("glyph", (0.5, 0.5, 0.62), "!"),
    ),
    "info_disc": (("ellipse", (0.05, 0.05, 0.95, 0.95), "b"), ("glyph", (0.5, 0.5, 0.62), "i")),
    "warning": (
        ("polygon", (0.5, 0.06, 0.97, 0.9, 0.03, 0.9), "b"),
        ("glyph", (0.5, 0.62, 0.5), "!"),
    ),
    "cross": (("line", (0.1, 0.1, 0.9, 0.9), "b"), ("line", (0.9, 0.1, 0.1, 0.9), "b")),
    "cross_disc": (
        ("ellipse", (0.04, 0.04, 0.96, 0.96), "b"),
        ("line", (0.32, 0.32, 0.68, 0.68), "d"),
        ("line", (0.68, 0.32, 0.32, 0.68), "d"),
    ),
    "cross_box": (
        ("box", (0.04, 0.04, 0.96, 0.96), "b"),
        ("line", (0.3, 0.3, 0.7, 0.7), "d"),
        ("line", (0.7, 0.3, 0.3, 0.7), "d"),
    ),
    "no_entry": (("ellipse", (0.04, 0.04, 0.96, 0.96), "b"), ("box", (0.2, 0.43, 0.8, 0.57), "d")),
    "prohibited": (
        ("arc", (0.05, 0.05, 0.95, 0.95, 0, 360), "b"),
        ("line", (0.18, 0.18, 0.82, 0.82), "b"),
    ),
    "sad_face": (
        ("ellipse", (0.05, 0.05, 0.95, 0.95), "b"),
        ("ellipse", (0.29, 0.32, 0.39, 0.42), "d"),
        ("ellipse", (0.61, 0.32, 0.71, 0.42), "d"),
        ("arc", (0.3, 0.58, 0.7, 0.9, 180, 360), "d"),
    ),
    "avatar": (_HEAD, _SHOULDERS),
    "avatar_disc": (
        ("ellipse", (0.02, 0.02, 0.98, 0.98), "b"),
        ("ellipse", (0.35, 0.22, 0.65, 0.5), "d"),
        ("polygon", (0.2, 0.82, 0.28, 0.64, 0.42, 0.57, 0.58, 0.57, 0.72, 0.64, 0.8, 0.82), "d"),
    ),
    "avatar_group": (
        ("ellipse", (0.06, 0.3, 0.28, 0.52), "b"),
        ("ellipse", (0.72, 0.3, 0.94, 0.52), "b"),
        ("polygon", (0.0, 0.84, 0.04, 0.62, 0.16, 0.56, 0.3, 0.62, 0.32, 0.84), "b"),
        ("polygon", (0.68, 0.84, 0.7, 0.62, 0.84, 0.56, 0.96, 0.62, 1.0, 0.84), "b"),
        _HEAD,
        ("polygon", (0.26, 0.92, 0.3, 0.66, 0.42, 0.58, 0.58, 0.58, 0.7, 0.66, 0.74, 0.92), "b"),
    ),
    "file_box": (
        ("polygon", (0.08, 0.3, 0.24, 0.1, 0.76, 0.1, 0.92, 0.3), "b"),
        ("box", (0.08, 0.32, 0.92, 0.9), "b"),
        ("line", (0.36, 0.5, 0.64, 0.5), "d"),
    ),
    "link_broken": (
        ("arc", (0.04, 0.34, 0.44, 0.66, 60, 300), "b"),
        ("arc", (0.56, 0.34, 0.96, 0.66, 240, 480), "b"),
        ("line", (0.5, 0.1, 0.5, 0.28), "b"),
        ("line", (0.5, 0.72, 0.5, 0.9), "b"),
    ),
    "cloud_off": (*_CLOUD, _SLASH),
    "eye_off": (*_EYE, _SLASH),
    "lock": (
        ("arc", (0.28, 0.08, 0.72, 0.66, 180, 360), "b"),
        ("round", (0.16, 0.42, 0.84, 0.94), "b"),
        ("ellipse", (0.43, 0.58, 0.57, 0.72), "d"),
    ),
    "magnifier": (
        ("arc", (0.08, 0.08, 0.66, 0.66, 0, 360), "b"),
        ("line", (0.6, 0.6, 0.92, 0.92), "b"),
    ),
    "play": (
        ("ellipse", (0.03, 0.03, 0.97, 0.97), "b"),
        ("polygon", (0.4, 0.3, 0.72, 0.5, 0.4, 0.7), "d"),
    ),
    "bag": (
        ("polygon", (0.12, 0.3, 0.88, 0.3, 0.96, 0.94, 0.04, 0.94), "b"),
        ("arc", (0.32, 0.08, 0.68, 0.5, 180, 360), "b"),
    ),
    "plus_frame": (
        ("round", (0.06, 0.06, 0.94, 0.94), "b"),
        ("line", (0.3, 0.5, 0.7, 0.5), "d"),
        ("line", (0.5, 0.3, 0.5, 0.7), "d"),
    ),
    "hourglass": (
        ("polygon", (0.2, 0.06, 0.8, 0.06, 0.54, 0.5, 0.8, 0.94, 0.2, 0.94, 0.46, 0.5), "b"),
        ("line", (0.14, 0.06, 0.86, 0.06), "b"),
        ("line", (0.14, 0.94, 0.86, 0.94), "b"),
    ),
    "wrench": (
        ("line", (0.2, 0.84, 0.64, 0.38), "b"),
        ("arc", (0.54, 0.08, 0.94, 0.48, 0, 270), "b"),
    ),
}


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
    """Paint the icon ``name`` with its upper left ``corner`` and ``side`` in pixels of ``canvas``."""
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
        pen.slash(_SLASH[1])
