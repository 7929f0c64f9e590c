"""Scenes of woods, mountains, shores and lawns."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import DAY, ground, hills, sky, water
from curate.synthetic.canvas import (
    WHITE,
    Canvas,
    darker,
    mix,
)
from curate.synthetic.describe import Scene, a, count
from curate.synthetic.scenes.parts import fir_tree, round_tree
from curate.synthetic.scenes.people import person

GREENS = ("green", "dark green", "light green")


def forest(c: Canvas) -> Scene:
    """Many trees, perhaps with a path."""
    horizon = c.h * c.uniform(0.45, 0.6)
    above = sky(c, horizon=horizon)
    autumn = c.chance(0.4) and not c.monochrome
    leaf = c.paint(("orange", "red", "yellow", "brown") if autumn else GREENS)
    ground(c, horizon, c.vary((132, 116, 62) if autumn else (84, 128, 62)))
    path = c.chance(0.5)
    if path:
        mid = c.w * c.uniform(0.4, 0.6)
        c.polygon(
            [(mid - 0.02, horizon), (mid + 0.02, horizon), (mid + 0.22, c.h), (mid - 0.22, c.h)],
            c.vary((186, 160, 118)),
            0.15,
        )
    fir = c.chance(0.5) and not autumn
    for depth in range(3):
        for i in range(5):
            x = (i + c.uniform(0.1, 0.9)) / 5 * c.w
            if path and depth and abs(x - c.w / 2) < 0.16 + 0.04 * depth:
                continue
            y = horizon + (0.02 + 0.13 * depth) * c.h
            tone = mix(leaf.rgb, (170, 190, 200), 0.4 - 0.2 * depth)
            (fir_tree if fir else round_tree)(c, x, y, 0.28 + 0.14 * depth, c.vary(tone, 16))
    kind = "pine forest" if fir else ("autumn forest" if autumn else "forest")
    trees = f"{leaf.name} {'fir trees' if fir else 'trees'}"
    subject = f"{a(kind)} with {trees}" + (" and a winding path" if path else "")
    return Scene(subject, f"{kind}{' path' if path else ''}", above.phrase)


def mountain_lake(c: Canvas) -> Scene:
    """Snowy peaks behind a lake."""
    shore = c.h * c.uniform(0.55, 0.66)
    above = sky(c, horizon=shore)
    number = c.integer(1, 4)
    rock = c.vary((112, 116, 134))
    snow = c.chance(0.75)
    for i in range(number):
        x = c.w * (i + 0.5) / number + c.uniform(-0.08, 0.08)
        tall, half = c.uniform(0.26, 0.44) * c.h, c.w / number * c.uniform(0.6, 0.85)
        top = shore - tall
        tone = c.vary(rock, 12)
        c.polygon([(x - half, shore), (x, top), (x + half, shore)], tone, 0.2)
        c.polygon([(x, top), (x + half, shore), (x + half * 0.2, shore)], darker(tone, 0.22))
        if snow:
            c.polygon(
                [
                    (x - half * 0.3, top + tall * 0.3),
                    (x, top),
                    (x + half * 0.3, top + tall * 0.3),
                    (x + half * 0.1, top + tall * 0.24),
                    (x, top + tall * 0.36),
                    (x - half * 0.12, top + tall * 0.25),
                ],
                (246, 248, 252),
            )
    water(c, shore, c.h, c.vary((58, 118, 160)))
    firs = c.integer(0, 6)
    for _ in range(firs):
        fir_tree(c, c.uniform(0, c.w), shore + 0.03, c.uniform(0.12, 0.2), c.vary((40, 88, 62)))
    peaks = count(number, f"{'snow-capped' if snow else 'rocky'} mountain")
    subject = f"{peaks} {c.pick(('behind', 'above', 'reflected beside', 'overlooking'))} a lake"
    details = ("fir trees line the shore",) if firs > 2 else ()
    return Scene(
        subject,
        c.pick(("mountain lake", "mountains and lake", "alpine lake")),
        above.phrase,
        details,
    )


def desert(c: Canvas) -> Scene:
    """Dunes with cacti or pyramids."""
    horizon = c.h * c.uniform(0.52, 0.62)
    above = sky(c, (*DAY, "stars"), horizon)
    sand = c.vary((226, 186, 116))
    pyramids = c.integer(1, 3) if c.chance(0.45) else 0
    for i in range(pyramids):
        x, half = c.w * (i + 0.6) / (pyramids + 0.4), c.uniform(0.16, 0.26)
        top = horizon - half * 1.05
        c.polygon([(x - half, horizon), (x, top), (x + half, horizon)], darker(sand, 0.1), 0.1)
        c.polygon([(x, top), (x + half, horizon), (x + half * 0.35, horizon)], darker(sand, 0.35))
    ground(c, horizon, sand, 40)
    hills(c, horizon + 0.2 * c.h, darker(sand, 0.08), 0.1)
    if pyramids:
        return Scene(
            f"{count(pyramids, 'pyramid')} in the desert",
            "pyramids" if pyramids > 1 else "pyramid in the desert",
            above.phrase,
            ("sand dunes lie in front",),
        )
    number = c.integer(1, 4)
    for i in range(number):
        x, tall = c.w * (i + 0.5) / number + c.uniform(-0.05, 0.05), c.uniform(0.25, 0.42)
        y, leaf, r = horizon + c.uniform(0.12, 0.3) * c.h, c.vary((64, 134, 76)), 0.035
        c.veil(x, y, 0.12, 0.03)
        c.rect(x - r, y - tall, x + r, y, leaf, shade=0.2, radius=r)
        for side in (-1, 1):
            arm = y - tall * c.uniform(0.35, 0.6)
            c.line([(x, arm), (x + side * 0.1, arm), (x + side * 0.1, arm - 0.1)], leaf, 0.04)
    hue = "" if c.monochrome else "green"
    return Scene(
        f"{count(number, f'{hue} cactus')} in a sandy desert",
        "desert with cactus" if number == 1 else "desert with cacti",
        above.phrase,
    )


def beach(c: Canvas) -> Scene:
    """Sea, sand, parasols."""
    horizon, shore = c.h * 0.42, c.h * c.uniform(0.58, 0.68)
    above = sky(c, DAY, horizon)
    water(c, horizon, shore, c.vary((44, 140, 178)))
    ground(c, shore, c.vary((238, 212, 156)), 60)
    c.line(
        [(0, shore), (c.w * 0.3, shore + 0.02), (c.w * 0.7, shore - 0.01), (c.w, shore + 0.01)],
        WHITE,
        0.014,
    )
    number = c.integer(1, 3)
    first, second = c.paints(2, ("red", "yellow", "blue", "green", "pink", "orange", "white"))
    for i in range(number):
        x, y = c.w * (i + 0.5) / number, c.h * c.uniform(0.84, 0.92)
        c.veil(x + 0.06, y, 0.14, 0.03)
        c.line([(x, y), (x, y - 0.3)], (120, 92, 66), 0.012)
        r = c.uniform(0.13, 0.17)
        for part in range(6):
            tone = (first, second)[part % 2].rgb
            c.pie(
                (x - r, y - 0.3 - r * 0.6, x + r, y - 0.3 + r * 0.6),
                180 + part * 30,
                210 + part * 30,
                tone,
            )
    palm = c.chance(0.4)
    if palm:
        side = c.pick((0.1, 0.9))
        x, y = c.w * side, c.h * 0.78
        c.line([(x, y), (x + 0.02, y - 0.25), (x + 0.06, y - 0.48)], (134, 98, 62), 0.03)
        for k in range(7):
            angle = math.pi * (k / 6) + c.uniform(-0.1, 0.1)
            tip = (x + 0.06 + 0.2 * math.cos(angle), y - 0.46 - 0.1 * math.sin(angle) + 0.06)
            c.line([(x + 0.06, y - 0.48), tip], c.vary((52, 130, 70)), 0.022)
    shades = f"{first.name} and {second.name}" if not c.monochrome else "striped"
    subject = f"{count(number, f'{shades} beach umbrella')} on a sandy beach by the sea"
    details = ("a palm tree leans over the sand",) if palm else ("small waves reach the shore",)
    return Scene(
        subject, c.pick(("beach", "sandy beach", "summer at the sea")), above.phrase, details
    )


def snowman(c: Canvas) -> Scene:
    """A snowman with hat and scarf."""
    horizon = c.h * 0.62
    above = sky(c, ("clear", "overcast", "snow", "snow", "stars", "dawn"), horizon)
    ground(c, horizon, c.vary((232, 238, 246), 5), 30)
    scarf, hat = c.paints(2, ("red", "green", "blue", "purple", "orange", "black"))
    for tx in (0.12, 0.88):
        fir_tree(c, c.w * tx, horizon + 0.05, c.uniform(0.3, 0.45), (52, 104, 78), snowy=True)
    x, y = c.w * c.uniform(0.38, 0.62), c.h * 0.9
    c.veil(x, y, 0.26, 0.05)
    for dy, r in ((0.14, 0.17), (0.37, 0.125), (0.55, 0.09)):
        c.disc(x, y - dy, r, (240, 243, 248), 0.22)
    c.rect(x - 0.09, y - 0.485, x + 0.09, y - 0.45, scarf.rgb, shade=0.2, radius=0.015)
    c.rect(x + 0.03, y - 0.47, x + 0.07, y - 0.33, darker(scarf.rgb, 0.1))
    c.rect(x - 0.12, y - 0.64, x + 0.12, y - 0.615, hat.rgb)
    c.rect(x - 0.075, y - 0.74, x + 0.075, y - 0.62, hat.rgb, shade=0.2)
    for side in (-1, 1):
        c.disc(x + side * 0.033, y - 0.575, 0.011, (30, 30, 34))
        c.line(
            [(x + side * 0.11, y - 0.39), (x + side * 0.26, y - c.uniform(0.4, 0.54))],
            (96, 66, 44),
            0.013,
        )
    c.polygon([(x, y - 0.56), (x, y - 0.535), (x + 0.09, y - 0.54)], (238, 130, 40))
    for k in range(3):
        c.disc(x, y - 0.42 + 0.055 * k, 0.011, (30, 30, 34))
    subject = f"a snowman with {a(f'{scarf.name} scarf')} and {a(f'{hat.name} hat')}"
    return Scene(
        subject, "snowman", above.phrase, ("two fir trees stand behind it", "its nose is a carrot")
    )


def park(c: Canvas) -> Scene:
    """People on a lawn."""
    horizon = c.h * 0.5
    above = sky(c, (*DAY, "rain", "snow"), horizon)
    ground(c, horizon, c.vary((112, 166, 80)))
    for tx in c.rng.random(4):
        round_tree(c, float(tx) * c.w, horizon + 0.05, c.uniform(0.28, 0.4), c.vary((80, 144, 74)))
    number = c.integer(1, 4)
    who = c.pick(("person", "child", "woman", "man"))
    tops = c.paints(number)
    size = c.uniform(0.34, 0.42) if who == "child" else c.uniform(0.46, 0.56)
    dress = who == "woman" and c.chance(0.6)
    for i, top in enumerate(tops):
        person(
            c,
            c.w * (i + 0.5) / number,
            c.h * c.uniform(0.88, 0.94),
            size,
            top.rgb,
            c.vary(c.pick(((52, 60, 92), (70, 60, 54), (40, 40, 46)))),
            dress=dress,
        )
    doing = c.pick(("standing on the grass", "in a park", "on a lawn in front of trees"))
    wear = "dress" if dress else c.pick(("shirt", "sweater", "jacket"))
    clothes = f" in {a(f'{tops[0].name} {wear}')}" if number == 1 and not c.monochrome else ""
    details = [
        f"the one on the left wears {top.name}" for top in tops[:1] if number > 1 and top.name
    ]
    return Scene(
        f"{count(number, who)}{clothes} {doing}",
        f"{count(number, who)} in the park",
        above.phrase,
        tuple(details),
    )


SCENES = {
    "forest": forest,
    "mountain lake": mountain_lake,
    "desert": desert,
    "beach": beach,
    "snowman": snowman,
    "park": park,
}
