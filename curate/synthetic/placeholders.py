"""Pictures that the web serves instead of a picture, drawn in many designs.

Designs named after an icon (``camera_off``, ``warning``, ...) place that icon alone, framed, in a
corner, tiled or with a message; the others are texts, blanks, grids, skeletons, spinners and error
pages. Colours, sizes, strokes, fonts and messages are random, so that no two are alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from curate.errors import ConfigError
from curate.synthetic.placeholder_canvas import SUPERSAMPLING, Canvas, random_palette
from curate.synthetic.placeholder_icons import ICONS
from curate.synthetic.placeholder_texts import OWN_TYPEFACE, Typeface, site_name

MIN_SIDE = 8  # pixels; smaller requests cannot be drawn at all


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


_PLAIN: dict[str, Callable[[Canvas], None]] = {
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
_DESIGNS = {**_PLAIN, **{name: _icon_design(name) for name in ICONS}}

PLACEHOLDER_DESIGNS: tuple[str, ...] = tuple(_DESIGNS)
"""Names of the designs that :func:`draw_placeholder` knows."""


def _random_size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels, as thumbnails on the web have them."""
    side = int(rng.integers(96, 400))
    aspect = float(rng.choice([1.0, 1.0, rng.uniform(0.6, 1.0), rng.uniform(1.0, 1.8)]))
    return side, max(64, round(side / aspect))


def draw_placeholder(
    rng: np.random.Generator,
    size: tuple[int, int] | None = None,
    *,
    design: str | None = None,
    typefaces: tuple[Typeface, ...] = (OWN_TYPEFACE,),
) -> Image.Image:
    """A picture that stands where a picture should be, in RGB.

    Args:
        rng: source of randomness; the same state gives the same pixels.
        size: width and height in pixels, each at least ``MIN_SIDE``; random when omitted.
        design: one of :data:`PLACEHOLDER_DESIGNS`; a random one when omitted.
        typefaces: fonts to choose from; Pillow's own needs no file.

    Raises:
        ConfigError: when the design is unknown or the size too small.
    """
    if design is None:
        design = PLACEHOLDER_DESIGNS[int(rng.integers(len(PLACEHOLDER_DESIGNS)))]
    if design not in _DESIGNS:
        raise ConfigError(
            f"design: {design!r} is unknown; allowed: {', '.join(PLACEHOLDER_DESIGNS)}"
        )
    width, height = _random_size(rng) if size is None else size
    if min(width, height) < MIN_SIDE:
        raise ConfigError(f"size: {width}x{height} is too small; at least {MIN_SIDE} pixels a side")
    background, foreground, accent = random_palette(rng)
    typeface = typefaces[int(rng.integers(len(typefaces)))]
    image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), background)
    canvas = Canvas(rng, image, background, foreground, accent, typeface)
    _DESIGNS[design](canvas)
    return canvas.finish((width, height))
