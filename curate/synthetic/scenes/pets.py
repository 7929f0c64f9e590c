"""Scenes of one animal that looks at us: cat, dog, owl."""

from __future__ import annotations

from curate.synthetic.backdrop import ANY, ground, sky, wall
from curate.synthetic.canvas import (
    BLACK,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import Scene, a
from curate.synthetic.scenes.people import eyes

FUR = ("black", "grey", "white", "orange", "brown", "beige")


def _place(c: Canvas) -> str:
    """An indoor or outdoor setting for a sitting animal, and its phrase."""
    if c.chance(0.5):
        horizon = c.h * 0.6
        above = sky(c, ANY, horizon)
        ground(c, horizon, c.vary((110, 164, 82)))
        return f"{c.pick(('on the grass', 'in a meadow', 'in the garden'))} {above.phrase}"
    rug = c.paint(("red", "blue", "green", "purple", "beige"))
    wall(c, c.vary((222, 204, 176), 30), c.vary((150, 108, 74)), c.h * 0.68)
    c.ellipse(c.w / 2, c.h * 0.86, 0.42, 0.11, rug.rgb, shade=0.12)
    return f"on {a(f'{rug.name} rug')}"


def cat(c: Canvas) -> Scene:
    """A sitting cat."""
    setting = _place(c)
    fur = c.paint(FUR)
    iris = c.paint(("green", "yellow", "blue", "orange"))
    x, y = c.w * c.uniform(0.42, 0.58), c.h * 0.88
    tone, deep = fur.rgb, darker(fur.rgb, 0.25)
    c.veil(x, y, 0.26, 0.05)
    side = c.pick((-1, 1))
    c.line(
        [(x + side * 0.12, y - 0.05), (x + side * 0.27, y - 0.1), (x + side * 0.27, y - 0.3)],
        deep,
        0.045,
    )
    c.ellipse(x, y - 0.18, 0.17, 0.2, tone, shade=0.2)
    for leg in (-0.07, 0.07):
        c.ellipse(x + leg, y - 0.03, 0.05, 0.035, lighter(tone, 0.2))
    hy = y - 0.45
    for ear in (-1, 1):
        c.polygon(
            [(x + ear * 0.15, hy - 0.04), (x + ear * 0.13, hy - 0.21), (x + ear * 0.03, hy - 0.11)],
            tone,
        )
        c.polygon(
            [(x + ear * 0.13, hy - 0.07), (x + ear * 0.12, hy - 0.17), (x + ear * 0.06, hy - 0.11)],
            (236, 164, 164),
        )
    c.ellipse(x, hy, 0.16, 0.135, tone, shade=0.16)
    striped = c.chance(0.35)
    if striped:
        for k in (-1, 0, 1):
            c.line([(x + k * 0.04, hy - 0.12), (x + k * 0.035, hy - 0.06)], deep, 0.014)
            c.line([(x - 0.13, y - 0.2 + 0.06 * k), (x - 0.05, y - 0.19 + 0.06 * k)], deep, 0.016)
    eyes(c, x, hy - 0.01, 0.062, 0.024, iris.rgb)
    c.polygon([(x - 0.017, hy + 0.04), (x + 0.017, hy + 0.04), (x, hy + 0.06)], (220, 120, 130))
    for s in (-1, 1):
        for dy in (0.03, 0.05, 0.07):
            c.line([(x + s * 0.05, hy + 0.055), (x + s * 0.2, hy + dy)], (230, 230, 230), 0.003)
    coat = f"{fur.name} {'striped cat' if striped else 'cat'}"
    details = (f"it has {iris.name} eyes",) if iris.name else ("it looks straight ahead",)
    return Scene(f"{a(coat)} sitting", coat, setting, details)


def dog(c: Canvas) -> Scene:
    """A dog, sitting, with a collar."""
    setting = _place(c)
    fur = c.paint(("brown", "black", "white", "beige", "golden", "grey"))
    collar = c.paint(("red", "blue", "green", "purple"))
    ball = c.paint(("red", "yellow", "green", "blue")) if c.chance(0.5) else None
    x, y, tone = c.w * c.uniform(0.42, 0.58), c.h * 0.88, fur.rgb
    c.veil(x, y, 0.28, 0.05)
    c.line([(x + 0.14, y - 0.08), (x + 0.26, y - 0.2)], tone, 0.04)
    c.ellipse(x, y - 0.17, 0.17, 0.19, tone, shade=0.2)
    c.ellipse(x, y - 0.14, 0.09, 0.13, lighter(tone, 0.3), shade=0.1)
    for leg in (-0.08, 0.08):
        c.rect(x + leg - 0.035, y - 0.18, x + leg + 0.035, y, tone, shade=0.15, radius=0.03)
    c.rect(x - 0.1, y - 0.36, x + 0.1, y - 0.32, collar.rgb, radius=0.015)
    hy = y - 0.47
    c.ellipse(x, hy, 0.14, 0.14, tone, shade=0.16)
    for ear in (-1, 1):
        c.ellipse(x + ear * 0.145, hy + 0.01, 0.045, 0.11, darker(tone, 0.35), shade=0.15)
    c.ellipse(x, hy + 0.06, 0.08, 0.065, lighter(tone, 0.35), shade=0.1)
    c.ellipse(x, hy + 0.03, 0.03, 0.022, BLACK)
    eyes(c, x, hy - 0.035, 0.055, 0.02)
    if c.chance(0.5):
        c.ellipse(x, hy + 0.125, 0.025, 0.04, (230, 110, 120))
    if ball is not None:
        c.disc(x - 0.3, y - 0.02, 0.06, ball.rgb, 0.3)
    subject = f"{a(f'{fur.name} dog')} with {a(f'{collar.name} collar')}"
    details = (f"{a(f'{ball.name} ball')} lies beside it",) if ball is not None else ()
    return Scene(subject, f"{fur.name} dog", setting, details)


def owl(c: Canvas) -> Scene:
    """An owl on a branch at night."""
    above = sky(c, ("stars", "moon", "moon", "sunset"))
    fur = c.paint(("brown", "grey", "white", "beige"))
    c.finishing.clear()
    x, y, tone = c.w * c.uniform(0.4, 0.6), c.h * 0.78, fur.rgb
    c.line([(0, y + 0.02), (c.w, y - 0.02)], (86, 60, 42), 0.055)
    c.ellipse(x, y - 0.26, 0.19, 0.27, tone, shade=0.24)
    c.ellipse(x, y - 0.18, 0.12, 0.17, lighter(tone, 0.4), shade=0.12)
    for row in range(4):
        for k in range(4):
            fx, fy = x - 0.075 + 0.05 * k, y - 0.27 + 0.055 * row
            c.arc((fx - 0.02, fy - 0.02, fx + 0.02, fy + 0.02), 20, 160, darker(tone, 0.3), 0.008)
    for side in (-1, 1):
        c.ellipse(x + side * 0.17, y - 0.22, 0.05, 0.18, darker(tone, 0.25), shade=0.2)
        c.polygon(
            [(x + side * 0.15, y - 0.44), (x + side * 0.17, y - 0.58), (x + side * 0.05, y - 0.5)],
            tone,
        )
        c.disc(x + side * 0.075, y - 0.41, 0.07, lighter(tone, 0.5))
        c.disc(x + side * 0.075, y - 0.41, 0.048, (246, 200, 60))
        c.disc(x + side * 0.075, y - 0.41, 0.026, BLACK)
        c.ellipse(x + side * 0.06, y - 0.005, 0.03, 0.02, (226, 160, 60))
    c.polygon([(x - 0.022, y - 0.37), (x + 0.022, y - 0.37), (x, y - 0.31)], (232, 160, 56))
    eyes_note = (
        ("its eyes are large and yellow",) if fur.name else ("its eyes are large and round",)
    )
    return Scene(
        f"{a(f'{fur.name} owl')} sitting on a branch", f"{fur.name} owl", above.phrase, eyes_note
    )


SCENES = {"cat": cat, "dog": dog, "owl": owl}
