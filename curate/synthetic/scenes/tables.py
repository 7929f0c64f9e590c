"""Scenes on a table: flowers, fruit, cake, drinks, presents."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import wall
from curate.synthetic.canvas import (
    BRIGHT,
    WHITE,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing, plural
from curate.synthetic.scenes.fruit import FRUITS, fruit
from curate.synthetic.scenes.parts import WALLS, WOOD, blossom, tulip


def _table(c: Canvas, edge: float = 0.68) -> str:
    wall(c, c.vary(c.pick(WALLS)), c.vary(c.pick(WOOD)), c.h * edge)
    return c.pick(("on a wooden table", "on a table", "on a kitchen table", ""))


def flower_vase(c: Canvas) -> Scene:
    """Flowers in a vase."""
    place = _table(c)
    number = c.integer(1, 7)
    kind = c.pick(("tulip", "daisy", "flower", "rose"))
    bloom, vase = (
        c.paint(("red", "pink", "yellow", "white", "purple", "orange", "violet")),
        c.paint(("blue", "white", "green", "brown", "turquoise", "red", "black")),
    )
    x, y = c.w / 2, c.h * 0.84
    c.veil(x + 0.04, y, 0.2, 0.045)
    for i in range(number):
        spread = (i - (number - 1) / 2) * min(0.12, 0.5 / number)
        fx, fy = x + spread * 1.5, y - c.uniform(0.5, 0.66) + abs(spread) * 0.3
        c.line([(x + spread * 0.2, y - 0.2), (fx, fy)], c.vary((70, 132, 66)), 0.013)
        c.ellipse((x + fx) / 2, (fy + y) / 2 - 0.06, 0.035, 0.014, c.vary((80, 146, 74)), shade=0.2)
        if kind == "tulip":
            tulip(c, fx, fy, 0.075, c.vary(bloom.rgb, 8))
        elif kind == "rose":
            for k in range(4):
                c.disc(fx + 0.012 * (k % 2), fy, 0.07 - 0.017 * k, darker(bloom.rgb, 0.1 * k), 0.2)
        else:
            blossom(c, fx, fy, 0.08, bloom.rgb, 10 if kind == "daisy" else 6)
    c.ellipse(x, y - 0.11, 0.11, 0.13, vase.rgb, shade=0.35)
    c.rect(x - 0.055, y - 0.27, x + 0.055, y - 0.18, vase.rgb, shade=0.15, radius=0.01)
    subject = f"{count(number, f'{bloom.name} {kind}')} in {a(f'{vase.name} vase')}"
    return Scene(subject, f"{bloom.name} {plural(kind) if number > 1 else kind} in a vase", place)


def _fruits(c: Canvas) -> tuple[str, ...]:
    """The kinds that can be told from each other in this picture."""
    return tuple(kind for kind in FRUITS if not (c.monochrome and kind == "green apple"))


def fruit_bowl(c: Canvas) -> Scene:
    """A bowl of fruit."""
    place = _table(c, 0.6)
    kinds = c.sample([kind for kind in _fruits(c) if kind != "grapes"], c.integer(1, 3))
    counts = [c.integer(1, 3) for _ in kinds]
    bowl = c.paint(("blue", "white", "brown", "green", "red", "turquoise", "yellow"))
    x, y = c.w / 2, c.h * 0.74
    c.veil(x, y + 0.14, 0.36, 0.06)
    pieces = [k for k, n in zip(kinds, counts, strict=True) for _ in range(n)]
    for i, kind in enumerate(c.sample(pieces, len(pieces))):
        slot = (i + 0.5) / len(pieces) - 0.5
        fruit(c, kind, x + slot * 0.46, y - 0.09 - (0.09 if i % 2 else 0.0), c.uniform(0.085, 0.1))
    c.pie((x - 0.34, y - 0.26, x + 0.34, y + 0.16), 0, 180, bowl.rgb)
    c.ellipse(x, y - 0.045, 0.34, 0.025, lighter(bowl.rgb, 0.3))
    c.rect(x - 0.1, y + 0.14, x + 0.1, y + 0.17, darker(bowl.rgb, 0.25), radius=0.01)
    fruits = listing([count(n, k) for n, k in zip(counts, kinds, strict=True)])
    return Scene(f"{a(f'{bowl.name} bowl')} with {fruits}", "fruit bowl", place)


def fruits_row(c: Canvas) -> Scene:
    """Fruit laid out on a cloth."""
    cloth = c.paint(("white", "beige", "light blue", "pink", "navy", "light green"))
    wall(c, cloth.rgb)
    kind = c.pick(_fruits(c))
    number = c.integer(1, 9)
    columns = min(3, number)
    rows = math.ceil(number / columns)
    r = 0.36 * min(c.w / columns, c.h / rows, 0.55)
    for i in range(number):
        x = c.w * (i % columns + 0.5) / columns + c.uniform(-0.02, 0.02)
        y = c.h * (i // columns + 0.55) / rows + c.uniform(-0.02, 0.02)
        c.veil(x + r * 0.2, y + r * 0.85, r * 1.1, r * 0.4)
        fruit(c, kind, x, y, r)
    name = {"grapes": "bunch"}.get(kind, kind)
    subject = count(number, name) + (" of grapes" if kind == "grapes" else "")
    back = f"on {a(f'{cloth.name} cloth')}" if cloth.name else "on a cloth"
    return Scene(subject, kind if kind == "grapes" else plural(kind), back)


def cake(c: Canvas) -> Scene:
    """A birthday cake with candles."""
    place = _table(c)
    icing, plate = (
        c.paint(("pink", "white", "brown", "yellow", "light blue", "light green", "violet")),
        c.paint(("white", "blue", "golden", "grey")),
    )
    candles, layers = c.integer(0, 8), c.integer(1, 3)
    x, y = c.w / 2, c.h * 0.84
    c.veil(x, y + 0.03, 0.42, 0.06)
    c.ellipse(x, y, 0.38, 0.06, plate.rgb, shade=0.15)
    top = y
    for level in range(layers):
        half = 0.3 - 0.07 * level
        c.rect(x - half, top - 0.16, x + half, top, c.vary(icing.rgb, 8), shade=0.16, radius=0.02)
        for k in range(9):
            c.disc(
                x - half + half * 2 * (k + 0.5) / 9,
                top - 0.145,
                half * 0.13,
                lighter(icing.rgb, 0.5),
                0.1,
            )
        top -= 0.16
    half = 0.3 - 0.07 * (layers - 1)
    for i in range(candles):
        cx = x - half * 0.8 + half * 1.6 * (i + 0.5) / candles
        c.rect(cx - 0.01, top - 0.1, cx + 0.01, top - 0.01, c.paint(BRIGHT).rgb)
        c.veil(cx, top - 0.13, 0.06, 0.07, (255, 236, 150), 0.8)
        c.ellipse(cx, top - 0.125, 0.011, 0.024, (255, 196, 60))
    tiers = f"{NUMBERS[layers]}-layer " if layers > 1 else ""
    flavour = c.pick(("birthday cake", "cake")) if candles else "cake"
    lit = f"with {count(candles, 'candle')}" if candles else "without candles"
    return Scene(
        f"{a(f'{tiers}{icing.name} {flavour}')} {lit}",
        f"{icing.name} {flavour}",
        place,
        ("the candles are burning",) if candles > 1 else (),
    )


def teacup(c: Canvas) -> Scene:
    """A hot drink."""
    place = _table(c, 0.6)
    cup, dots = c.paints(
        2, ("white", "red", "blue", "green", "yellow", "pink", "turquoise", "black")
    )
    drink = c.pick(("tea", "coffee", "hot chocolate"))
    x, y, pattern = c.w * 0.48, c.h * 0.8, c.pick(("dots", "stripes", ""))
    c.veil(x, y + 0.02, 0.36, 0.05)
    c.ellipse(x, y, 0.33, 0.055, lighter(cup.rgb, 0.2), shade=0.15)
    c.arc((x + 0.12, y - 0.29, x + 0.34, y - 0.08), -110, 110, darker(cup.rgb, 0.1), 0.035)
    c.pie((x - 0.23, y - 0.68, x + 0.23, y - 0.02), 0, 180, cup.rgb)
    if pattern == "dots":
        for px, py in c.rng.random((14, 2)):
            c.disc(x + (px - 0.5) * 0.3, y - 0.1 - py * 0.19, 0.016, dots.rgb)
    elif pattern == "stripes":
        c.line([(x - 0.205, y - 0.24), (x + 0.205, y - 0.24)], dots.rgb, 0.026)
        c.line([(x - 0.175, y - 0.16), (x + 0.175, y - 0.16)], dots.rgb, 0.026)
    tone = {"tea": (176, 104, 44), "coffee": (74, 46, 32), "hot chocolate": (110, 66, 42)}[drink]
    c.ellipse(x, y - 0.35, 0.23, 0.045, lighter(cup.rgb, 0.3))
    c.ellipse(x, y - 0.345, 0.2, 0.034, tone)
    steam = c.chance(0.7)
    for k in range(3 if steam else 0):
        for j in range(4):
            c.veil(
                x - 0.08 + 0.08 * k + 0.02 * math.sin(j * 2.0),
                y - 0.44 - 0.07 * j,
                0.035,
                0.06,
                WHITE,
                0.5,
            )
    worn = f"with {dots.name} {pattern}" if pattern else ""
    return Scene(
        f"{a(f'{cup.name} cup')} of {drink} {worn} on a saucer",
        f"cup of {drink}",
        place,
        (f"steam rises from the {drink}",) if steam else (),
    )


def gifts(c: Canvas) -> Scene:
    """Wrapped presents."""
    place = _table(c, 0.62)
    number = c.integer(1, 4)
    told = []
    for i in range(number):
        box, ribbon = c.paints(2, (*BRIGHT, "white", "golden"))
        wide, high = min(0.36, 0.8 * c.w / number) * c.uniform(0.8, 1), c.uniform(0.22, 0.4)
        x, y = c.w * (i + 0.5) / number, c.h * c.uniform(0.82, 0.9)
        c.veil(x, y, wide * 0.7, 0.04)
        c.rect(x - wide / 2, y - high, x + wide / 2, y, box.rgb, shade=0.2)
        c.rect(x - 0.022, y - high, x + 0.022, y, ribbon.rgb)
        c.rect(x - wide / 2, y - high * 0.6, x + wide / 2, y - high * 0.6 + 0.04, ribbon.rgb)
        for side in (-1, 1):
            c.ellipse(x + side * 0.05, y - high - 0.025, 0.05, 0.028, ribbon.rgb, shade=0.3)
        told.append(f"{a(f'{box.name} present')} with {a(f'{ribbon.name} ribbon')}")
    short = c.monochrome or number > 2
    subject = f"{count(number, 'present')} with ribbons" if short else listing(told)
    return Scene(
        subject,
        c.pick(
            (
                "gift" if number == 1 else "gifts",
                "wrapped presents" if number > 1 else "wrapped present",
            )
        ),
        place,
    )


SCENES = {
    "flower vase": flower_vase,
    "fruit bowl": fruit_bowl,
    "fruits": fruits_row,
    "cake": cake,
    "teacup": teacup,
    "gifts": gifts,
}
