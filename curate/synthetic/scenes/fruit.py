"""Pieces of fruit, each drawn in its own way."""

from __future__ import annotations

from curate.synthetic.canvas import (
    RGB,
    Canvas,
    darker,
    lighter,
)


def fruit(c: Canvas, kind: str, x: float, y: float, r: float) -> None:
    """One piece of fruit of about radius ``r``."""
    colours: dict[str, RGB] = {
        "apple": (204, 44, 46),
        "orange": (240, 140, 40),
        "lemon": (244, 214, 70),
        "pear": (176, 196, 78),
        "plum": (96, 52, 120),
        "peach": (246, 172, 122),
        "green apple": (136, 186, 66),
        "lime": (104, 168, 60),
    }
    colour = c.vary(colours.get(kind, (240, 208, 72)), 10)
    if kind == "banana":
        c.arc((x - r * 1.3, y - r * 1.6, x + r * 1.3, y + r), 20, 160, (238, 204, 70), r * 0.5)
        c.arc(
            (x - r * 1.3, y - r * 1.6, x + r * 1.3, y + r * 0.9), 24, 156, (214, 172, 48), r * 0.1
        )
    elif kind == "grapes":
        tone = c.vary((98, 54, 130))
        for row in range(4):
            for i in range(4 - row):
                gx = x + (i - (3 - row) / 2) * r * 0.55
                c.disc(gx, y - r * 0.7 + row * r * 0.48, r * 0.32, c.vary(tone, 8), 0.35)
    elif kind == "pear":
        c.disc(x, y - r * 0.7, r * 0.55, colour, 0.3)
        c.disc(x, y, r * 0.9, colour, 0.3)
        c.line([(x, y - r * 1.2), (x + r * 0.1, y - r * 1.6)], (92, 62, 40), r * 0.12)
    elif kind == "lemon":
        c.ellipse(x, y, r * 1.15, r * 0.8, colour, shade=0.3)
        c.disc(x + r * 1.1, y, r * 0.16, darker(colour, 0.12))
    elif kind == "cherry":
        c.disc(x, y, r * 0.6, (176, 20, 44), 0.4)
        c.line([(x, y - r * 0.5), (x + r * 0.4, y - r * 1.7)], (88, 112, 50), r * 0.1)
    elif kind == "strawberry":
        red = c.vary((214, 42, 56), 8)
        c.polygon([(x - r * 0.8, y - r * 0.4), (x + r * 0.8, y - r * 0.4), (x, y + r * 1.1)], red)
        c.ellipse(x, y - r * 0.4, r * 0.8, r * 0.5, red, shade=0.15)
        for px, py in c.rng.random((9, 2)):
            c.disc(x + (px - 0.5) * r, y + (py - 0.5) * r, r * 0.06, (250, 214, 130))
        c.polygon(
            [(x - r * 0.6, y - r * 0.9), (x, y - r * 0.5), (x + r * 0.6, y - r * 0.9)],
            (80, 140, 60),
        )
    else:
        c.disc(x, y, r, colour, 0.38)
        c.line([(x, y - r * 0.85), (x + r * 0.12, y - r * 1.25)], (92, 62, 40), r * 0.12)
        if "apple" in kind:
            c.ellipse(x + r * 0.35, y - r * 1.1, r * 0.28, r * 0.13, lighter((70, 130, 60), 0.1))
