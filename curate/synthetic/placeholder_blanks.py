"""Designs of placeholders without an icon or a message at their heart: blanks, grids, skeletons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.synthetic.placeholder_canvas import Canvas
from curate.synthetic.placeholder_texts import site_name


def _solid(canvas: Canvas) -> None:
    canvas.image.paste(
        canvas.foreground if canvas.chance(0.5) else canvas.background,
        (0, 0, canvas.width, canvas.height),
    )


def _solid_framed(canvas: Canvas) -> None:
    for _ in range(int(canvas.rng.integers(1, 3))):
        canvas.frame(canvas.uniform(0.0, 0.3), canvas.foreground)


def _two_tones(canvas: Canvas) -> None:
    cut = canvas.uniform(0.1, 0.9)
    if canvas.chance(0.5):
        canvas.pen.rectangle((0, 0, cut * canvas.width, canvas.height), fill=canvas.accent)
    else:
        canvas.pen.rectangle((0, 0, canvas.width, cut * canvas.height), fill=canvas.accent)


def _gradient(canvas: Canvas) -> None:
    canvas.gradient(canvas.background, canvas.foreground, canvas.uniform(0, 6.3))
    if canvas.chance(0.3):
        canvas.text(tallest=0.15, colour=canvas.background)


def _radial(canvas: Canvas) -> None:
    x = np.linspace(-1, 1, canvas.width)[None, :] - canvas.uniform(-0.5, 0.5)
    y = np.linspace(-1, 1, canvas.height)[:, None] - canvas.uniform(-0.5, 0.5)
    ramp = np.clip(np.hypot(x, y) / canvas.uniform(0.8, 2.0), 0, 1)[..., None]
    pixels = np.asarray(canvas.background) * (1 - ramp) + np.asarray(canvas.accent) * ramp
    canvas.image.paste(Image.fromarray(pixels.astype(np.uint8)))


def _blurred_blobs(canvas: Canvas) -> None:
    cells = tuple(int(n) for n in canvas.rng.integers(2, 5, 2))
    spread = canvas.uniform(4, 45)
    small = np.asarray(canvas.background) + canvas.rng.normal(0, spread, (*cells, 3))
    picture = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))
    canvas.image.paste(picture.resize(canvas.image.size, Image.Resampling.BICUBIC))


def _static(canvas: Canvas) -> None:
    cell = int(canvas.rng.integers(1, 6))
    shape = (max(1, canvas.height // cell), max(1, canvas.width // cell))
    noise = canvas.rng.integers(0, 256, shape, dtype=np.uint8)
    picture = Image.fromarray(noise).resize(canvas.image.size, Image.Resampling.NEAREST)
    canvas.image.paste(picture.convert("RGB"))
    if canvas.chance(0.4):
        canvas.text("no signal", tallest=0.2, colour=(255, 255, 255))


def _colour_bars(canvas: Canvas) -> None:
    count = int(canvas.rng.integers(5, 10))
    for bar in range(count):
        colour = tuple(int(level) for level in canvas.rng.choice([0, 190, 255], 3))
        left, right = bar * canvas.width / count, (bar + 1) * canvas.width / count
        canvas.pen.rectangle((left, 0, right, canvas.height), fill=colour)
    if canvas.chance(0.4):
        canvas.text(tallest=0.15)


def _checkerboard(canvas: Canvas) -> None:
    cell = max(2, round(canvas.uniform(0.02, 0.15) * canvas.short))
    y, x = np.mgrid[0 : canvas.height, 0 : canvas.width] // cell
    odd = ((x + y) % 2)[..., None]
    pixels = np.where(odd, np.asarray(canvas.accent), np.asarray(canvas.background))
    canvas.image.paste(Image.fromarray(pixels.astype(np.uint8)))


def _stripes(canvas: Canvas) -> None:
    step = max(3, round(canvas.uniform(0.03, 0.2) * canvas.short))
    slope = canvas.height if canvas.chance(0.6) else 0
    for x in range(-slope, canvas.width + slope, step):
        canvas.pen.line(
            (x, 0, x + slope, canvas.height), fill=canvas.accent, width=max(1, step // 2)
        )


def _grid(canvas: Canvas) -> None:
    step = max(4, round(canvas.uniform(0.05, 0.3) * canvas.short))
    line = canvas.line_width(0.002, 0.012)
    for x in range(0, canvas.width, step):
        canvas.pen.line((x, 0, x, canvas.height), fill=canvas.accent, width=line)
    for y in range(0, canvas.height, step):
        canvas.pen.line((0, y, canvas.width, y), fill=canvas.accent, width=line)


def _diagonals(canvas: Canvas) -> None:
    line, (w, h) = canvas.line_width(0.004, 0.05), canvas.image.size
    canvas.pen.line((0, 0, w, h), fill=canvas.foreground, width=line)
    canvas.pen.line((0, h, w, 0), fill=canvas.foreground, width=line)
    canvas.frame(0.0)
    if canvas.chance(0.4):
        canvas.pen.rectangle((0.2 * w, 0.4 * h, 0.8 * w, 0.6 * h), fill=canvas.background)
        canvas.text(share=0.55, tallest=0.14)


def _skeleton(canvas: Canvas) -> None:
    w, h = canvas.image.size
    top = canvas.uniform(0.2, 0.6)
    canvas.pen.rectangle((0.06 * w, 0.06 * h, 0.94 * w, top * h), fill=canvas.accent)
    for row in np.arange(top + 0.08, 0.92, canvas.uniform(0.09, 0.16)):
        right = canvas.uniform(0.35, 0.94)
        canvas.pen.rounded_rectangle(
            (0.06 * w, row * h, right * w, (row + 0.05) * h), 4, fill=canvas.accent
        )


def _spinner(canvas: Canvas) -> None:
    radius = canvas.uniform(0.06, 0.3) * canvas.short
    x, y = canvas.width / 2, canvas.height * canvas.uniform(0.4, 0.55)
    bounds, line = (x - radius, y - radius, x + radius, y + radius), max(2, round(radius / 4))
    if canvas.chance(0.4):
        start = canvas.uniform(0, 360)
        canvas.pen.arc(bounds, 0, 360, fill=canvas.accent, width=line)
        canvas.pen.arc(bounds, start, start + canvas.uniform(60, 280), canvas.foreground, line)
    else:
        count = int(canvas.rng.integers(6, 14))
        for angle in np.arange(count) * 2 * np.pi / count:
            cx, cy, dot = x + radius * np.cos(angle), y + radius * np.sin(angle), radius / 5
            colour = canvas.foreground if angle < canvas.uniform(2, 6) else canvas.accent
            canvas.pen.ellipse((cx - dot, cy - dot, cx + dot, cy + dot), fill=colour)
    if canvas.chance(0.3):
        canvas.text("loading...", (0.5, 0.85), tallest=0.1)


def _loading_bar(canvas: Canvas) -> None:
    w, h = canvas.image.size
    canvas.pen.rectangle(
        (0.15 * w, 0.47 * h, 0.85 * w, 0.55 * h), outline=canvas.foreground, width=2
    )
    right = canvas.uniform(0.17, 0.8)
    canvas.pen.rectangle((0.15 * w, 0.47 * h, right * w, 0.55 * h), fill=canvas.foreground)
    if canvas.chance(0.5):
        canvas.text("loading", (0.5, 0.36), tallest=0.12)


def _error_page(canvas: Canvas) -> None:
    code = ("404", "403", "500", "410", "503", "401")[int(canvas.rng.integers(6))]
    canvas.text(code, (0.5, 0.35), tallest=canvas.uniform(0.3, 0.5))
    canvas.text(centre=(0.5, 0.7), tallest=0.11)
    if canvas.chance(0.4):
        canvas.text(site_name(canvas.rng), (0.5, 0.9), tallest=0.07, colour=canvas.accent)


def _browser_alt(canvas: Canvas) -> None:
    canvas.pen.rectangle(
        (0, 0, canvas.width - 1, canvas.height - 1), outline=(160, 160, 160), width=2
    )
    canvas.icon("page_torn" if canvas.chance(0.5) else "picture", (0.12, 0.12), 0.14 * canvas.short)
    canvas.text(centre=(0.55, 0.12), share=0.6, tallest=0.09)


def _forbidden(canvas: Canvas) -> None:
    canvas.icon("prohibited", (0.5, 0.4), canvas.uniform(0.3, 0.6) * canvas.short)
    canvas.text(f"{site_name(canvas.rng)}", (0.5, 0.82), tallest=0.1)


def _polaroid(canvas: Canvas) -> None:
    w, h = canvas.image.size
    canvas.pen.rectangle((0.15 * w, 0.1 * h, 0.85 * w, 0.9 * h), fill=(255, 255, 255))
    canvas.pen.rectangle((0.2 * w, 0.15 * h, 0.8 * w, 0.7 * h), fill=canvas.accent)
    if canvas.chance(0.5):
        canvas.text(centre=(0.5, 0.8), share=0.55, tallest=0.09, colour=(60, 60, 60))


def _lone_mark(canvas: Canvas) -> None:
    side = canvas.uniform(0.01, 0.12) * canvas.short
    x, y = canvas.uniform(0, 0.9) * canvas.width, canvas.uniform(0, 0.9) * canvas.height
    draw = canvas.pen.ellipse if canvas.chance(0.5) else canvas.pen.rectangle
    draw((x, y, x + side, y + side), fill=canvas.foreground)


BLANK_DESIGNS: dict[str, Callable[[Canvas], None]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _solid,
        _solid_framed,
        _two_tones,
        _gradient,
        _radial,
        _blurred_blobs,
        _static,
        _colour_bars,
        _checkerboard,
        _stripes,
        _grid,
        _diagonals,
        _skeleton,
        _spinner,
        _loading_bar,
        _error_page,
        _browser_alt,
        _forbidden,
        _polaroid,
        _lone_mark,
    )
}
