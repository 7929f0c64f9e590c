"""Scenes of things about the house: clocks, books, balloons, washing."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import sky, wall
from curate.synthetic.canvas import (
    BRIGHT,
    COLOURS,
    INK,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing

WALLS = (
    (226, 212, 188),
    (196, 212, 220),
    (220, 196, 196),
    (206, 216, 190),
    (120, 110, 124),
    (236, 232, 222),
)


WOOD = ((150, 106, 70), (190, 148, 104), (104, 70, 48), (214, 200, 184))


def clock(c: Canvas) -> Scene:
    """A clock that shows a time in steps of five minutes."""
    wall(c, c.vary(c.pick(WALLS)))
    rim = c.paint(("black", "red", "blue", "brown", "golden", "green", "grey"))
    hour, minute = c.integer(1, 12), 5 * c.integer(0, 11)
    x, y, r = c.w / 2, c.h / 2, c.uniform(0.36, 0.44)
    c.veil(x + 0.03, y + 0.04, r * 1.15, r * 1.15)
    square = c.chance(0.25)
    if square:
        c.rect(x - r, y - r, x + r, y + r, rim.rgb, shade=0.25, radius=0.05)
    else:
        c.disc(x, y, r, rim.rgb, 0.3)
    c.disc(x, y, r * 0.88, (250, 248, 240))
    numerals = c.chance(0.6)
    for k in range(1, 13):
        angle = math.tau * k / 12
        dx, dy = math.sin(angle), -math.cos(angle)
        if numerals:
            c.text(x + dx * r * 0.72, y + dy * r * 0.72, str(k), r * 0.19, INK)
        else:
            c.line(
                [(x + dx * r * 0.7, y + dy * r * 0.7), (x + dx * r * 0.82, y + dy * r * 0.82)],
                INK,
                0.014,
            )
    for angle, length, width in (
        (math.tau * (hour + minute / 60) / 12, 0.45, 0.026),
        (math.tau * minute / 60, 0.66, 0.015),
    ):
        c.line(
            [(x, y), (x + r * length * math.sin(angle), y - r * length * math.cos(angle))],
            INK,
            width,
        )
    c.disc(x, y, r * 0.05, rim.rgb)
    time = _time(c, hour, minute)
    shape = "square " if square else ("round " if c.chance(0.4) else "")
    face = (f"the face {'has numerals' if numerals else 'has lines in place of numerals'}",)
    return Scene(
        f"{a(f'{shape}{rim.name} clock')} showing {time}",
        f"clock at {time}",
        c.pick(("on a wall", "")),
        face,
    )


def _time(c: Canvas, hour: int, minute: int) -> str:
    nearest = NUMBERS[hour]
    following = NUMBERS[hour % 12 + 1]
    if c.chance(0.4):
        return f"{hour}:{minute:02d}"
    spoken = {
        0: f"{nearest} o'clock",
        15: f"a quarter past {nearest}",
        30: f"half past {nearest}",
        45: f"a quarter to {following}",
        5: f"five past {nearest}",
        10: f"ten past {nearest}",
        50: f"ten to {following}",
        55: f"five to {following}",
    }
    return spoken.get(minute, f"{hour}:{minute:02d}")


def bookshelf(c: Canvas) -> Scene:
    """Shelves with books."""
    wood = c.vary(c.pick(WOOD))
    wall(c, darker(wood, 0.45))
    shelves = c.integer(1, 3)
    tall = c.h / shelves
    counted = 0
    extra = c.pick(("a plant", "a globe", "no ornament"))
    for row in range(shelves):
        foot, x = tall * (row + 1) - 0.035, 0.05
        full = c.chance(0.5)
        while x < c.w - (0.09 if full else c.w * 0.35):
            wide, high = c.uniform(0.035, 0.085), (tall - 0.06) * c.uniform(0.6, 0.92)
            tone = c.vary(COLOURS[c.pick(tuple(COLOURS))], 20)
            c.rect(x, foot - high, x + wide, foot, tone, shade=0.12)
            c.line(
                [(x + wide * 0.2, foot - high * 0.8), (x + wide * 0.8, foot - high * 0.8)],
                lighter(tone, 0.6),
                0.007,
            )
            c.line(
                [(x + wide * 0.2, foot - high * 0.72), (x + wide * 0.8, foot - high * 0.72)],
                lighter(tone, 0.6),
                0.007,
            )
            x += wide + 0.004
            counted += 1
        c.rect(0, foot, c.w, foot + 0.035, lighter(wood, 0.12), shade=0.2)
        if row == 0 and not full and extra == "a plant":
            c.rect(c.w * 0.8 - 0.05, foot - 0.09, c.w * 0.8 + 0.05, foot, (190, 106, 70), shade=0.2)
            for k in range(7):
                c.line(
                    [
                        (c.w * 0.8, foot - 0.09),
                        (c.w * 0.8 + 0.03 * (k - 3), foot - 0.2 + 0.01 * abs(k - 3)),
                    ],
                    (70, 140, 70),
                    0.014,
                )
        elif row == 0 and not full and extra == "a globe":
            c.disc(c.w * 0.8, foot - 0.11, 0.075, (60, 120, 180), 0.3)
            c.ellipse(c.w * 0.79, foot - 0.13, 0.03, 0.03, (90, 150, 80))
            c.line([(c.w * 0.8, foot - 0.035), (c.w * 0.8, foot)], (120, 90, 50), 0.02)
    books = "many books" if counted > 15 else count(counted, "book")
    hue = "" if c.monochrome else c.pick(("colourful ", ""))
    return Scene(
        f"{a(f'{hue}bookshelf')} with {books} on {count(shelves, 'shelf')}",
        c.pick(("bookshelf", "books on a shelf", "shelf of books")),
    )


def balloons(c: Canvas) -> Scene:
    """Party balloons on strings."""
    above = sky(c, ("clear", "cloudy")) if c.chance(0.6) else None
    if above is None:
        wall(c, c.vary(c.pick(WALLS)))
    number = c.integer(1, 7)
    paints = [c.paint() for _ in range(number)]
    knot = (c.w / 2, c.h * 0.94)
    for i, paint in enumerate(paints):
        x = c.w / 2 + (i - (number - 1) / 2) * min(0.15, 0.8 / number)
        y, r = (
            c.h * c.uniform(0.22, 0.5),
            c.uniform(0.1, 0.13) if number > 3 else c.uniform(0.13, 0.17),
        )
        c.line(
            [(x, y + r), ((x + knot[0]) / 2 + 0.02, (y + knot[1]) / 2), knot], (90, 90, 96), 0.004
        )
        c.polygon(
            [(x, y + r * 1.1), (x - 0.02, y + r * 1.28), (x + 0.02, y + r * 1.28)],
            darker(paint.rgb, 0.15),
        )
        c.ellipse(x, y, r, r * 1.18, paint.rgb, shade=0.35)
        c.ellipse(x - r * 0.35, y - r * 0.45, r * 0.16, r * 0.24, lighter(paint.rgb, 0.7))
    names = sorted({p.name for p in paints})
    hue = listing(names) if len(names) < 4 and names[0] else ("colourful" if names[0] else "")
    where = c.pick(("on strings", "tied together", "floating in the air"))
    return Scene(
        f"{count(number, f'{hue} balloon')} {where}",
        "balloon" if number == 1 else c.pick(("balloons", "party balloons", "bunch of balloons")),
        above.phrase if above else "",
    )


def clothes(c: Canvas) -> Scene:
    """Clothes on a line."""
    above = sky(c, ("clear", "cloudy", "overcast"))
    y = c.h * 0.22
    c.line([(0, y - 0.02), (c.w / 2, y + 0.02), (c.w, y - 0.02)], (80, 76, 72), 0.008)
    number = c.integer(1, 4)
    told = []
    for i in range(number):
        paint, kind = (
            c.paint((*BRIGHT, "white", "grey", "navy")),
            c.pick(("t-shirt", "skirt", "sock", "pair of trousers")),
        )
        x, s, top = c.w * (i + 0.5) / number, min(0.32, 0.8 * c.w / number), y + 0.01
        if kind == "t-shirt":
            c.polygon(
                [
                    (x - s * 0.55, top + s * 0.2),
                    (x - s * 0.3, top),
                    (x + s * 0.3, top),
                    (x + s * 0.55, top + s * 0.2),
                    (x + s * 0.42, top + s * 0.42),
                    (x + s * 0.3, top + s * 0.32),
                    (x + s * 0.3, top + s),
                    (x - s * 0.3, top + s),
                    (x - s * 0.3, top + s * 0.32),
                    (x - s * 0.42, top + s * 0.42),
                ],
                paint.rgb,
                0.2,
            )
        elif kind == "skirt":
            c.polygon(
                [
                    (x - s * 0.22, top),
                    (x + s * 0.22, top),
                    (x + s * 0.5, top + s * 0.9),
                    (x - s * 0.5, top + s * 0.9),
                ],
                paint.rgb,
                0.22,
            )
        elif kind == "sock":
            c.rect(x - s * 0.12, top, x + s * 0.12, top + s * 0.6, paint.rgb, shade=0.2)
            c.ellipse(
                x + s * 0.1, top + s * 0.62, s * 0.24, s * 0.13, darker(paint.rgb, 0.12), shade=0.2
            )
        else:
            c.polygon(
                [
                    (x - s * 0.3, top),
                    (x + s * 0.3, top),
                    (x + s * 0.38, top + s * 1.3),
                    (x + s * 0.08, top + s * 1.3),
                    (x, top + s * 0.45),
                    (x - s * 0.08, top + s * 1.3),
                    (x - s * 0.38, top + s * 1.3),
                ],
                paint.rgb,
                0.2,
            )
        for side in (-0.2, 0.2):
            c.rect(
                x + side * s - 0.008, top - 0.025, x + side * s + 0.008, top + 0.02, (206, 170, 120)
            )
        told.append(a(f"{paint.name} {kind}"))
    return Scene(
        f"{listing(told)} {c.pick(('hanging on a clothesline', 'drying on a line'))}",
        "washing line",
        above.phrase,
    )


SCENES = {"clock": clock, "bookshelf": bookshelf, "balloons": balloons, "clothes": clothes}
