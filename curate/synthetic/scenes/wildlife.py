"""Scenes of animals outdoors: birds, fish, butterflies, penguins."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import DAY, ground, sky, water
from curate.synthetic.canvas import (
    BLACK,
    WHITE,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import Scene, a, count
from curate.synthetic.scenes.parts import blossom


def birds(c: Canvas) -> Scene:
    """Birds on a branch or wire."""
    above = sky(c, DAY)
    number = c.integer(1, 5)
    paint = c.paint(("red", "blue", "yellow", "green", "brown", "black", "orange", "white"))
    y, wire = c.h * 0.68, c.chance(0.35)
    c.line(
        [(0, y), (c.w * 0.5, y + 0.015), (c.w, y - 0.01)],
        (44, 44, 50) if wire else (108, 78, 50),
        0.01 if wire else 0.045,
    )
    if not wire:
        for px, py in c.rng.random((9, 2)):
            c.ellipse(px * c.w, y + (py - 0.5) * 0.12, 0.04, 0.02, c.vary((84, 146, 70)), shade=0.2)
    s = min(0.3, 0.75 * c.w / number)
    for i in range(number):
        x, way, tone = c.w * (i + 0.5) / number, c.pick((-1, 1)), c.vary(paint.rgb, 10)
        by = y - s * 0.42
        c.polygon(
            [
                (x - way * s * 0.25, by),
                (x - way * s * 0.62, by + s * 0.3),
                (x - way * s * 0.4, by + s * 0.32),
            ],
            darker(tone, 0.3),
        )
        for leg in (-0.05, 0.07):
            c.line([(x + leg * s, by + s * 0.25), (x + leg * s, y)], (120, 90, 50), 0.008)
        c.ellipse(x, by, s * 0.33, s * 0.29, tone, shade=0.28)
        c.disc(x + way * s * 0.24, by - s * 0.28, s * 0.2, tone, 0.22)
        c.ellipse(
            x - way * s * 0.06, by + s * 0.02, s * 0.2, s * 0.15, darker(tone, 0.25), shade=0.15
        )
        c.polygon(
            [
                (x + way * s * 0.42, by - s * 0.34),
                (x + way * s * 0.62, by - s * 0.26),
                (x + way * s * 0.42, by - s * 0.21),
            ],
            (240, 160, 50),
        )
        c.disc(x + way * s * 0.29, by - s * 0.32, s * 0.035, BLACK)
    where = "on a wire" if wire else "on a branch"
    return Scene(
        f"{count(number, f'{paint.name} bird')} sitting {where}",
        f"{count(number, f'{paint.name} bird')} {where}",
        above.phrase,
    )


BRIGHT_FISH = ("red", "orange", "yellow", "purple", "pink", "green", "grey")


def fish(c: Canvas) -> Scene:
    """Fish under water."""
    c.gradient(c.vary((64, 168, 206)), c.vary((14, 60, 118)))
    ground(c, c.h * 0.86, c.vary((214, 190, 140)), 40)
    for i in range(c.integer(2, 6)):
        x, tall = c.uniform(0, c.w), c.uniform(0.15, 0.4)
        sway = [(x + 0.02 * math.sin(k + i), c.h * 0.92 - tall * k / 6) for k in range(7)]
        c.line(sway, c.vary((44, 130, 82)), 0.022)
    number = c.integer(1, 6)
    kinds = c.paints(1 if number == 1 else c.integer(1, 2), (*BRIGHT_FISH,))
    for i in range(number):
        paint, way, s = (
            kinds[i % len(kinds)],
            c.pick((-1, 1)),
            c.uniform(0.75, 1.2) * 0.34 / (1 + 0.22 * number),
        )
        x, y = c.w * (i + 0.5) / number, c.h * c.uniform(0.2, 0.75)
        c.polygon(
            [
                (x - way * s * 0.7, y),
                (x - way * s * 1.35, y - s * 0.5),
                (x - way * s * 1.2, y),
                (x - way * s * 1.35, y + s * 0.5),
            ],
            darker(paint.rgb, 0.15),
            0.1,
        )
        c.polygon(
            [(x - s * 0.3, y - s * 0.4), (x, y - s * 0.85), (x + s * 0.3, y - s * 0.4)],
            darker(paint.rgb, 0.2),
        )
        c.ellipse(x, y, s * 0.9, s * 0.55, paint.rgb, shade=0.3)
        for k in (-0.25, 0.1):
            c.line(
                [(x + k * s, y - s * 0.46), (x + k * s, y + s * 0.46)],
                lighter(paint.rgb, 0.55),
                s * 0.1,
            )
        c.disc(x + way * s * 0.55, y - s * 0.12, s * 0.13, WHITE)
        c.disc(x + way * s * 0.58, y - s * 0.12, s * 0.07, BLACK)
    for bx, by, r in c.rng.random((12, 3)):
        c.ellipse(bx * c.w, by * c.h, 0.006 + 0.014 * r, 0.006 + 0.014 * r, (190, 226, 240))
    hue = " and ".join(p.name for p in kinds) if not c.monochrome else ""
    return Scene(
        f"{count(number, f'{hue} fish')} swimming {c.pick(('under water', 'in an aquarium', 'among sea plants'))}",
        f"{hue} fish",
        "",
        ("bubbles rise to the surface", "seaweed grows on the sandy bottom"),
    )


def butterfly(c: Canvas) -> Scene:
    """A butterfly above flowers."""
    above = sky(c, ("clear", "cloudy", "dawn"))
    ground(c, c.h * 0.74, c.vary((114, 170, 82)))
    wing, spot, flower = c.paints(3, ("red", "orange", "yellow", "blue", "purple", "pink", "white"))
    flowers = c.integer(2, 5)
    for i in range(flowers):
        x, y = c.w * (i + 0.5) / flowers, c.h * c.uniform(0.7, 0.86)
        c.line([(x, y), (x + 0.01, c.h)], (64, 128, 60), 0.014)
        blossom(c, x, y, c.uniform(0.06, 0.085), flower.rgb, c.integer(5, 8))
    x, y = c.w * c.uniform(0.4, 0.6), c.h * 0.36
    for side in (-1, 1):
        c.ellipse(x + side * 0.15, y - 0.08, 0.14, 0.13, wing.rgb, shade=0.25)
        c.ellipse(x + side * 0.12, y + 0.1, 0.1, 0.1, darker(wing.rgb, 0.15), shade=0.25)
        c.disc(x + side * 0.18, y - 0.09, 0.05, spot.rgb, 0.2)
        c.disc(x + side * 0.13, y + 0.11, 0.03, spot.rgb, 0.2)
        c.line([(x, y - 0.14), (x + side * 0.07, y - 0.26)], BLACK, 0.006)
    c.ellipse(x, y, 0.024, 0.16, (46, 38, 40), shade=0.3)
    spots = f"with {spot.name} spots" if spot.name else "with spotted wings"
    return Scene(
        f"{a(f'{wing.name} butterfly')} {spots} over {count(flowers, f'{flower.name} flower')}",
        f"{wing.name} butterfly",
        above.phrase,
    )


def penguins(c: Canvas) -> Scene:
    """Penguins on ice."""
    horizon = c.h * 0.5
    above = sky(c, ("clear", "cloudy", "overcast", "snow", "dawn"), horizon)
    water(c, horizon, c.h * 0.64, c.vary((70, 130, 170)), 14)
    for bx in c.rng.random(2):
        x, r = float(bx) * c.w, c.uniform(0.1, 0.2)
        c.polygon(
            [
                (x - r, horizon + 0.02),
                (x - r * 0.3, horizon - r * 0.8),
                (x + r * 0.4, horizon - r * 0.5),
                (x + r, horizon + 0.02),
            ],
            (226, 238, 246),
            0.15,
        )
    ground(c, c.h * 0.62, c.vary((230, 238, 246), 4), 20)
    number = c.integer(1, 5)
    for i in range(number):
        x, y = c.w * (i + 0.5) / number + c.uniform(-0.02, 0.02), c.h * c.uniform(0.84, 0.95)
        s = c.uniform(0.85, 1.1) * (0.6 if number > 2 else 0.85) * 0.5
        c.veil(x, y, s * 0.35, s * 0.07)
        for side in (-1, 1):
            c.ellipse(x + side * s * 0.11, y, s * 0.1, s * 0.04, (240, 160, 50))
            c.ellipse(x + side * s * 0.29, y - s * 0.42, s * 0.06, s * 0.24, (30, 32, 42))
        c.ellipse(x, y - s * 0.42, s * 0.28, s * 0.42, (34, 36, 48), shade=0.15)
        c.ellipse(x, y - s * 0.36, s * 0.19, s * 0.34, (246, 246, 246), shade=0.08)
        c.disc(x, y - s * 0.86, s * 0.18, (34, 36, 48), 0.15)
        for side in (-1, 1):
            c.disc(x + side * s * 0.07, y - s * 0.88, s * 0.035, WHITE)
            c.disc(x + side * s * 0.07, y - s * 0.88, s * 0.018, BLACK)
        c.polygon(
            [(x - s * 0.04, y - s * 0.82), (x + s * 0.04, y - s * 0.82), (x, y - s * 0.74)],
            (242, 166, 56),
        )
    return Scene(
        f"{count(number, 'penguin')} standing on {c.pick(('ice', 'the snow', 'an ice floe'))}",
        count(number, "penguin") if number > 1 else "penguin",
        above.phrase,
        ("icebergs float in the sea behind",),
    )


SCENES = {"birds": birds, "fish": fish, "butterfly": butterfly, "penguins": penguins}
