"""Scenes of animals outdoors: birds, fish, butterflies, penguins."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import DAY, ground, sky, water
from curate.synthetic.canvas import BLACK, RGB, WHITE, Canvas, darker, lighter
from curate.synthetic.describe import Scene, a, count
from curate.synthetic.pen import Pen
from curate.synthetic.scenes.parts import blossom

BEAK: RGB = (240, 160, 50)
SCALES = ("red", "orange", "yellow", "purple", "pink", "green", "grey")
ICEBERG = ((-1.0, 0.1), (-0.3, -0.8), (0.4, -0.5), (1.0, 0.1))


def _draw_bird(p: Pen, tone: RGB) -> None:
    """A bird whose feet are at y = 0.42."""
    p.shape([(-0.25, 0), (-0.62, 0.3), (-0.4, 0.32)], darker(tone, 0.3))
    for leg in (-0.05, 0.07):
        p.line([(leg, 0.25), (leg, 0.42)], (120, 90, 50), 0.035)
    p.ellipse(0, 0, 0.33, 0.29, tone, 0.28)
    p.disc(0.24, -0.28, 0.2, tone, 0.22)
    p.ellipse(-0.06, 0.02, 0.2, 0.15, darker(tone, 0.25), 0.15)
    p.shape([(0.42, -0.34), (0.62, -0.26), (0.42, -0.21)], BEAK)
    p.disc(0.29, -0.32, 0.05, WHITE)
    p.disc(0.29, -0.32, 0.035, BLACK)


def birds(c: Canvas) -> Scene:
    """Birds on a branch or wire."""
    above = sky(c, DAY)
    number = c.integer(1, 5)
    paint = c.paint(("red", "blue", "yellow", "green", "brown", "black", "orange", "white"))
    y, wire = c.h * 0.68, c.chance(0.35)
    perch = [(0.0, y), (c.w * 0.5, y + 0.015), (c.w, y - 0.01)]
    if wire:
        c.line(perch, (44, 44, 50), 0.01)
    else:
        c.line(perch, (108, 78, 50), 0.045)
        for px, py in c.rng.random((9, 2)):
            leaf = c.vary((84, 146, 70))
            c.ellipse(px * c.w, y + (py - 0.5) * 0.12, 0.04, 0.02, leaf, shade=0.2)
    s = min(0.3, 0.75 * c.w / number)
    for i in range(number):
        pen = Pen(c, c.w * (i + 0.5) / number, y - s * 0.42, s, c.pick((-1, 1)))
        _draw_bird(pen, c.vary(paint.rgb, 10))
    where = "on a wire" if wire else "on a branch"
    flock = count(number, f"{paint.name} bird")
    return Scene(f"{flock} sitting {where}", f"{flock} {where}", above.phrase)


def _draw_fish(p: Pen, tone: RGB) -> None:
    p.shape([(-0.7, 0), (-1.35, -0.5), (-1.2, 0), (-1.35, 0.5)], darker(tone, 0.15), 0.1)
    p.shape([(-0.3, -0.4), (0, -0.85), (0.3, -0.4)], darker(tone, 0.2))
    p.ellipse(0, 0, 0.9, 0.55, tone, 0.3)
    for x in (-0.25, 0.1):
        p.line([(x, -0.46), (x, 0.46)], lighter(tone, 0.55), 0.1)
    p.disc(0.55, -0.12, 0.13, WHITE)
    p.disc(0.58, -0.12, 0.07, BLACK)


def fish(c: Canvas) -> Scene:
    """Fish under water."""
    c.gradient(c.vary((64, 168, 206)), c.vary((14, 60, 118)))
    ground(c, c.h * 0.86, c.vary((214, 190, 140)), 40)
    for i in range(c.integer(2, 6)):
        x, tall = c.uniform(0, c.w), c.uniform(0.15, 0.4)
        sway = [(x + 0.02 * math.sin(k + i), c.h * 0.92 - tall * k / 6) for k in range(7)]
        c.line(sway, c.vary((44, 130, 82)), 0.022)
    number = c.integer(1, 6)
    paints = c.paints(1 if number == 1 else c.integer(1, 2), SCALES)
    for i in range(number):
        s = c.uniform(0.75, 1.2) * 0.34 / (1 + 0.22 * number)
        pen = Pen(c, c.w * (i + 0.5) / number, c.h * c.uniform(0.2, 0.75), s, c.pick((-1, 1)))
        _draw_fish(pen, paints[i % len(paints)].rgb)
    for x, y, r in c.rng.random((12, 3)):
        c.disc(x * c.w, y * c.h, 0.006 + 0.014 * r, (190, 226, 240))
    hue = " and ".join(p.name for p in paints) if not c.monochrome else ""
    where = c.pick(("under water", "in an aquarium", "among sea plants"))
    details = ("bubbles rise to the surface", "seaweed grows on the sandy bottom")
    return Scene(f"{count(number, f'{hue} fish')} swimming {where}", f"{hue} fish", "", details)


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
    for side in (-1, 1):
        p = Pen(c, c.w * 0.5, c.h * 0.36, c.uniform(0.95, 1.0), side)
        p.ellipse(0.15, -0.08, 0.14, 0.13, wing.rgb, 0.25)
        p.ellipse(0.12, 0.1, 0.1, 0.1, darker(wing.rgb, 0.15), 0.25)
        p.disc(0.18, -0.09, 0.05, spot.rgb, 0.2)
        p.disc(0.13, 0.11, 0.03, spot.rgb, 0.2)
        p.line([(0, -0.14), (0.07, -0.26)], BLACK, 0.006)
        p.ellipse(0, 0, 0.024, 0.16, (46, 38, 40), 0.3)
    spots = f"with {spot.name} spots" if spot.name else "with spotted wings"
    meadow = count(flowers, f"{flower.name} flower")
    subject = f"{a(f'{wing.name} butterfly')} {spots} over {meadow}"
    return Scene(subject, f"{wing.name} butterfly", above.phrase)


def _draw_penguin(p: Pen) -> None:
    dark: RGB = (34, 36, 48)
    p.veil(0, 0, 0.35, 0.07)
    for side in (-1, 1):
        p.ellipse(side * 0.11, 0, 0.1, 0.04, BEAK)
        p.ellipse(side * 0.29, -0.42, 0.06, 0.24, (30, 32, 42))
    p.ellipse(0, -0.42, 0.28, 0.42, dark, 0.15)
    p.ellipse(0, -0.36, 0.19, 0.34, (246, 246, 246), 0.08)
    p.disc(0, -0.86, 0.18, dark, 0.15)
    for side in (-1, 1):
        p.disc(side * 0.07, -0.88, 0.035, WHITE)
        p.disc(side * 0.07, -0.88, 0.018, BLACK)
    p.shape([(-0.04, -0.82), (0.04, -0.82), (0, -0.74)], BEAK)


def penguins(c: Canvas) -> Scene:
    """Penguins on ice."""
    horizon = c.h * 0.5
    above = sky(c, ("clear", "cloudy", "overcast", "snow", "dawn"), horizon)
    water(c, horizon, c.h * 0.64, c.vary((70, 130, 170)), 14)
    for x in c.rng.random(2):
        Pen(c, float(x) * c.w, horizon, c.uniform(0.1, 0.2)).shape(ICEBERG, (226, 238, 246), 0.15)
    ground(c, c.h * 0.62, c.vary((230, 238, 246), 4), 20)
    number = c.integer(1, 5)
    for i in range(number):
        x = c.w * (i + 0.5) / number + c.uniform(-0.02, 0.02)
        size = c.uniform(0.42, 0.55) * (0.6 if number > 2 else 0.85)
        _draw_penguin(Pen(c, x, c.h * c.uniform(0.84, 0.95), size))
    where = c.pick(("ice", "the snow", "an ice floe"))
    title = count(number, "penguin") if number > 1 else "penguin"
    details = ("icebergs float in the sea behind",)
    return Scene(f"{count(number, 'penguin')} standing on {where}", title, above.phrase, details)


SCENES = {"birds": birds, "fish": fish, "butterfly": butterfly, "penguins": penguins}
