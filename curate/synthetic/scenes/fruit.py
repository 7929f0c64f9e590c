"""Pieces of fruit, each drawn in its own way."""

from __future__ import annotations

from curate.synthetic.canvas import RGB, Canvas, darker
from curate.synthetic.pen import Pen

STALK: RGB = (92, 62, 40)
LEAF: RGB = (80, 140, 66)
ROUND: dict[str, RGB] = {
    "apple": (204, 44, 46),
    "orange": (240, 140, 40),
    "plum": (96, 52, 120),
    "peach": (246, 172, 122),
    "green apple": (136, 186, 66),
    "lime": (104, 168, 60),
}


def fruit(c: Canvas, kind: str, x: float, y: float, r: float) -> None:
    """One piece of fruit of about radius ``r``; unknown kinds raise KeyError."""
    p = Pen(c, x, y, r)
    if kind in ROUND:
        p.disc(0, 0, 1, c.vary(ROUND[kind], 10), 0.38)
        p.line([(0, -0.85), (0.12, -1.25)], STALK, 0.12)
        if "apple" in kind:
            p.ellipse(0.35, -1.1, 0.28, 0.13, LEAF)
    else:
        OTHERS[kind](p)


def _banana(p: Pen) -> None:
    p.arc(0, -0.3, 1.3, 1.3, (20, 160), (238, 204, 70), 0.5)
    p.arc(0, -0.35, 1.3, 1.25, (24, 156), (214, 172, 48), 0.1)


def _grapes(p: Pen) -> None:
    tone = p.canvas.vary((98, 54, 130))
    for row in range(4):
        for i in range(4 - row):
            berry = p.canvas.vary(tone, 8)
            p.disc((i - (3 - row) / 2) * 0.55, -0.7 + row * 0.48, 0.32, berry, 0.35)


def _pear(p: Pen) -> None:
    tone = p.canvas.vary((176, 196, 78), 10)
    p.disc(0, -0.7, 0.55, tone, 0.3)
    p.disc(0, 0, 0.9, tone, 0.3)
    p.line([(0, -1.2), (0.1, -1.6)], STALK, 0.12)


def _lemon(p: Pen) -> None:
    tone = p.canvas.vary((244, 214, 70), 10)
    p.disc(1.1, 0, 0.16, darker(tone, 0.12))
    p.ellipse(0, 0, 1.15, 0.8, tone, 0.3)


def _cherry(p: Pen) -> None:
    p.line([(0, -0.5), (0.4, -1.7)], (88, 112, 50), 0.1)
    p.disc(0, 0, 0.6, (176, 20, 44), 0.4)


def _strawberry(p: Pen) -> None:
    red = p.canvas.vary((214, 42, 56), 8)
    p.shape([(-0.8, -0.4), (0.8, -0.4), (0, 1.1)], red)
    p.ellipse(0, -0.4, 0.8, 0.5, red, 0.15)
    for x, y in p.canvas.rng.random((9, 2)):
        p.disc(x - 0.5, y - 0.5, 0.06, (250, 214, 130))
    p.shape([(-0.6, -0.9), (0, -0.5), (0.6, -0.9)], LEAF)


OTHERS = {
    "banana": _banana,
    "grapes": _grapes,
    "pear": _pear,
    "lemon": _lemon,
    "cherry": _cherry,
    "strawberry": _strawberry,
}
FRUITS = (*ROUND, *OTHERS)
