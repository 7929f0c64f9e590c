"""Pictures that the web serves instead of a picture, drawn in many designs.

Designs named after an icon (``camera_off``, ``warning``, ...) place that icon alone, framed, in a
corner, tiled or with a message; the others are texts, blanks, grids, skeletons, spinners and error
pages. Colours, sizes, strokes, fonts and messages are random, so that no two are alike.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.errors import ConfigError
from curate.synthetic.placeholder_blanks import BLANK_DESIGNS
from curate.synthetic.placeholder_canvas import SUPERSAMPLING, Canvas, random_palette
from curate.synthetic.placeholder_layouts import ICON_DESIGNS, TEXT_DESIGNS
from curate.synthetic.placeholder_texts import OWN_TYPEFACE, Typeface

MIN_SIDE = 8  # pixels; smaller requests cannot be drawn at all


_DESIGNS = {**TEXT_DESIGNS, **BLANK_DESIGNS, **ICON_DESIGNS}

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
