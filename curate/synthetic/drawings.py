"""Captioned drawings: pictures of many kinds of scene, and what is to be said about each.

They stand in for good pairs wherever real data cannot be had: in the demonstration, in the tests
and, beside real pairs, in training. A drawing is a pure function of its random generator.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.synthetic.canvas import SUPERSAMPLE, Canvas
from curate.synthetic.describe import write_caption
from curate.synthetic.scenes import COLOUR_ONLY, PAINTERS
from curate.synthetic.styles import STYLES, Style, finish

SCENE_KINDS: tuple[str, ...] = tuple(PAINTERS)
"""Names of the kinds of scene that :func:`draw_kind` knows."""

# Sides in pixels: what a pool of small web pictures holds.
_SIDES = (192, 208, 224, 240, 256, 288, 320)


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int] | None = None
) -> tuple[Image.Image, str]:
    """Draw one scene of a random kind and write its caption.

    Args:
        rng: decides everything: kind, style, size, layout, colours and wording.
        size: width and height in pixels; by default sides between 192 and 320.

    Returns:
        The picture (RGB, exactly of ``size``) and its caption (one line, not empty).
    """
    return draw_kind(rng, SCENE_KINDS[int(rng.integers(len(SCENE_KINDS)))], size)


def draw_kind(
    rng: np.random.Generator, kind: str, size: tuple[int, int] | None = None
) -> tuple[Image.Image, str]:
    """Like ``draw_scene``, for one of ``SCENE_KINDS``.

    Raises:
        KeyError: there is no such kind of scene.
    """
    painter = PAINTERS[kind]
    style = _style(rng, colour_only=kind in COLOUR_ONLY)
    canvas = Canvas(size or _size(rng), rng, monochrome=style.monochrome)
    scene = painter(canvas)
    for step in canvas.finishing:
        step(canvas)
    image = finish(canvas.image.reduce(SUPERSAMPLE), style, rng)
    medium = style.media[int(rng.integers(len(style.media)))]
    return image, write_caption(rng, scene, medium)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    width, height = (_SIDES[int(i)] for i in rng.integers(len(_SIDES), size=2))
    # A long, narrow picture would leave most scenes with an empty margin.
    return (width, height) if max(width, height) <= 1.45 * min(width, height) else (width, width)


def _style(rng: np.random.Generator, *, colour_only: bool) -> Style:
    styles = [s for s in STYLES.values() if not (colour_only and s.monochrome)]
    weights = np.cumsum([s.weight for s in styles])
    return styles[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
