"""Scenes of animals and faces."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import ANY, DAY, ground, sky, wall, water
from curate.synthetic.canvas import BLACK, WHITE, Canvas, Point, darker, lighter
from curate.synthetic.describe import Scene, a, count
from curate.synthetic.scenes.parts import HAIR, SKINS, blossom, eyes

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


BRIGHT_FISH = ("red", "orange", "yellow", "purple", "pink", "green", "grey")


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


MOODS = {
    "happy": "smiling",
    "sad": "frowning",
    "surprised": "open-mouthed",
    "sleepy": "half asleep",
    "angry": "scowling",
    "calm": "looking calm",
}


def face(c: Canvas) -> Scene:
    """A portrait with an expression."""
    back = c.paint(("light blue", "beige", "pink", "light green", "violet", "yellow", "grey"))
    wall(c, back.rgb)
    who, mood = c.pick(("man", "woman", "boy", "girl")), c.pick(tuple(MOODS))
    tint = c.pick(tuple(HAIR))
    skin, hair, top = c.vary(c.pick(SKINS), 6), c.vary(HAIR[tint], 8), c.paint()
    x, y = c.w / 2, c.h * 0.5
    long = who in ("woman", "girl")
    if long:
        c.ellipse(x, y + 0.06, 0.27, 0.34, hair, shade=0.18)
    c.ellipse(x, c.h + 0.02, 0.36, c.h * 0.24, top.rgb, shade=0.2)
    c.rect(x - 0.07, y + 0.18, x + 0.07, y + 0.34, darker(skin, 0.12))
    c.ellipse(x, y - 0.06, 0.215, 0.24, hair)
    c.ellipse(x, y, 0.2, 0.25, skin, shade=0.14)
    c.pie((x - 0.215, y - 0.31, x + 0.215, y + 0.1), 190, 350, hair)
    c.ellipse(x, y - 0.06, 0.16, 0.09, skin)
    _expression(c, x, y, mood, hair)
    c.line([(x, y - 0.02), (x - 0.016, y + 0.05), (x + 0.01, y + 0.055)], darker(skin, 0.3), 0.01)
    glasses = c.chance(0.3)
    if glasses:
        for side in (-1, 1):
            c.arc(
                (x + side * 0.08 - 0.06, y - 0.09, x + side * 0.08 + 0.06, y + 0.03),
                0,
                360,
                (40, 36, 40),
                0.011,
            )
        c.line([(x - 0.022, y - 0.035), (x + 0.022, y - 0.035)], (40, 36, 40), 0.011)
    shade = (
        "dark"
        if c.monochrome and tint in ("black", "brown")
        else ("fair" if c.monochrome else tint)
    )
    looks = f"{shade} hair" + (" and glasses" if glasses else "")
    shirt = f"wearing {a(f'{top.name} top')}" if top.name else ""
    return Scene(
        f"the face of {a(f'{mood} {who}')} with {looks}",
        f"{mood} {who}",
        shirt,
        (
            f"the {who} is {MOODS[mood]}",
            *((f"the background is {back.name}",) if back.name else ()),
        ),
    )


def _expression(c: Canvas, x: float, y: float, mood: str, hair: tuple[int, int, int]) -> None:
    brow = {"sad": 0.02, "angry": -0.03, "surprised": 0.0}.get(mood, 0.0)
    lift = 0.03 if mood == "surprised" else 0.0
    for side in (-1, 1):
        ex = x + side * 0.08
        inner: Point = (ex - side * 0.04, y - 0.085 - lift - brow)
        c.line([inner, (ex + side * 0.04, y - 0.085 - lift + brow * 0.4)], hair, 0.015)
        if mood == "sleepy":
            c.arc((ex - 0.035, y - 0.06, ex + 0.035, y - 0.01), 10, 170, BLACK, 0.01)
    if mood != "sleepy":
        eyes(
            c,
            x,
            y - 0.035,
            0.08,
            0.026 if mood == "surprised" else 0.02,
            c.pick(((70, 110, 150), (90, 60, 40), (70, 120, 80))),
        )
    lip = (176, 62, 68)
    if mood == "happy":
        c.pie((x - 0.085, y + 0.05, x + 0.085, y + 0.18), 0, 180, lip)
        c.rect(x - 0.06, y + 0.112, x + 0.06, y + 0.13, WHITE)
    elif mood == "surprised":
        c.ellipse(x, y + 0.13, 0.035, 0.05, (120, 36, 44))
    elif mood in ("sad", "angry"):
        c.arc((x - 0.07, y + 0.11, x + 0.07, y + 0.2), 200, 340, lip, 0.016)
    else:
        c.arc((x - 0.06, y + 0.08, x + 0.06, y + 0.13), 20, 160, lip, 0.014)


SCENES = {
    "cat": cat,
    "dog": dog,
    "birds": birds,
    "fish": fish,
    "butterfly": butterfly,
    "owl": owl,
    "penguins": penguins,
    "face": face,
}
