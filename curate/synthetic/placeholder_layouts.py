"""Designs of placeholders around an icon or a message."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from curate.synthetic.placeholder_canvas import Canvas
from curate.synthetic.placeholder_icons import ICONS
from curate.synthetic.placeholder_texts import site_name


def _icon_centred(canvas: Canvas, name: str) -> None:
    canvas.icon(name, (0.5, 0.5), canvas.uniform(0.15, 0.9) * canvas.short)


def _icon_with_text(canvas: Canvas, name: str) -> None:
    canvas.icon(name, (0.5, 0.38), canvas.uniform(0.25, 0.55) * canvas.short)
    canvas.text(centre=(0.5, 0.82), tallest=canvas.uniform(0.06, 0.13))


def _icon_over_text(canvas: Canvas, name: str) -> None:
    canvas.text(centre=(0.5, 0.16), tallest=canvas.uniform(0.06, 0.13))
    canvas.icon(name, (0.5, 0.6), canvas.uniform(0.25, 0.55) * canvas.short)


def _icon_framed(canvas: Canvas, name: str) -> None:
    canvas.frame(canvas.uniform(0.0, 0.15), canvas.accent, dashed=canvas.chance(0.3))
    canvas.icon(name, (0.5, 0.5), canvas.uniform(0.15, 0.5) * canvas.short)


def _icon_in_disc(canvas: Canvas, name: str) -> None:
    radius = canvas.uniform(0.25, 0.5) * canvas.short
    x, y = canvas.width / 2, canvas.height / 2
    canvas.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=canvas.accent)
    canvas.icon(name, (0.5, 0.5), canvas.uniform(0.7, 1.2) * radius)


def _icon_in_corner(canvas: Canvas, name: str) -> None:
    side = canvas.uniform(0.06, 0.2) * canvas.short
    inset = 0.7 * side / canvas.width, 0.7 * side / canvas.height
    canvas.icon(name, inset, side)
    canvas.frame(0.0, canvas.accent)
    if canvas.chance(0.5):
        canvas.text(centre=(0.55, inset[1]), share=0.6, tallest=0.07)


def _icon_tiled(canvas: Canvas, name: str) -> None:
    columns, rows = (int(n) for n in canvas.rng.integers(2, 6, 2))
    side = 0.55 * min(canvas.width / columns, canvas.height / rows)
    for row in range(rows):
        for column in range(columns):
            canvas.icon(name, ((column + 0.5) / columns, (row + 0.5) / rows), side)


_ICON_LAYOUTS = (
    _icon_centred,
    _icon_centred,
    _icon_with_text,
    _icon_with_text,
    _icon_over_text,
    _icon_framed,
    _icon_in_disc,
    _icon_in_corner,
    _icon_tiled,
)


def _icon_design(name: str) -> Callable[[Canvas], None]:
    def design(canvas: Canvas) -> None:
        layout = _ICON_LAYOUTS[int(canvas.rng.integers(len(_ICON_LAYOUTS)))]
        if canvas.chance(0.12):
            canvas.gradient(canvas.background, canvas.accent, canvas.uniform(0, 6.3))
        layout(canvas, name)

    return design


def _text_plain(canvas: Canvas) -> None:
    canvas.text(tallest=canvas.uniform(0.06, 0.3), centre=(0.5, canvas.uniform(0.3, 0.7)))


def _text_framed(canvas: Canvas) -> None:
    canvas.frame(canvas.uniform(0.0, 0.12), dashed=canvas.chance(0.4))
    canvas.text(share=0.7, tallest=canvas.uniform(0.08, 0.22))


def _text_twice(canvas: Canvas) -> None:
    canvas.text(centre=(0.5, 0.35), tallest=canvas.uniform(0.12, 0.3))
    canvas.text(centre=(0.5, 0.7), tallest=canvas.uniform(0.05, 0.1), colour=canvas.accent)


def _text_ribbon(canvas: Canvas) -> None:
    middle, half = canvas.uniform(0.3, 0.7), canvas.uniform(0.08, 0.2)
    top, bottom = (middle - half) * canvas.height, (middle + half) * canvas.height
    canvas.pen.rectangle((0, top, canvas.width, bottom), fill=canvas.foreground)
    canvas.text(centre=(0.5, middle), tallest=1.2 * half, colour=canvas.background)


def _text_tilted(canvas: Canvas) -> None:
    canvas.text(share=0.75, tallest=canvas.uniform(0.1, 0.25))
    turned = canvas.image.rotate(
        canvas.uniform(-50, 50), Image.Resampling.BICUBIC, fillcolor=canvas.background
    )
    canvas.image.paste(turned)


def _text_paragraph(canvas: Canvas) -> None:
    lines = int(canvas.rng.integers(2, 6))
    for line in range(lines):
        canvas.text(centre=(0.5, (line + 0.7) / (lines + 0.4)), tallest=0.5 / lines)


def _watermark_tiled(canvas: Canvas) -> None:
    name = site_name(canvas.rng)
    count = int(canvas.rng.integers(2, 6))
    for row in range(count):
        for column in range(count):
            x = (column + (0.5 if row % 2 else 0.15)) / count
            canvas.text(name, (x, (row + 0.5) / count), 0.8 / count, 0.12, canvas.accent)


def _logo_in_box(canvas: Canvas) -> None:
    canvas.frame(canvas.uniform(0.02, 0.25), canvas.accent)
    name = site_name(canvas.rng).split(".")[0]
    canvas.text(name.upper() if canvas.chance(0.5) else name.title(), share=0.55, tallest=0.2)


def _sizes(canvas: Canvas) -> None:
    width, height = (int(n) * 10 for n in canvas.rng.integers(5, 130, 2))
    sign = ("x", " x ", "×", " × ")[int(canvas.rng.integers(4))]
    canvas.text(f"{width}{sign}{height}".replace("×", "x"), tallest=canvas.uniform(0.08, 0.3))


TEXT_DESIGNS: dict[str, Callable[[Canvas], None]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _text_plain,
        _text_framed,
        _text_twice,
        _text_ribbon,
        _text_tilted,
        _text_paragraph,
        _watermark_tiled,
        _logo_in_box,
        _sizes,
    )
}
ICON_DESIGNS: dict[str, Callable[[Canvas], None]] = {name: _icon_design(name) for name in ICONS}
