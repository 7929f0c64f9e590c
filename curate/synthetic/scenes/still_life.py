"""Scenes on a table or in a room: flowers, fruit, cake, books, clocks, clothes."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import sky, wall
from curate.synthetic.canvas import BRIGHT, COLOURS, INK, WHITE, Canvas, darker, lighter
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing, plural
from curate.synthetic.scenes.parts import blossom, fruit, tulip

WALLS = (
    (226, 212, 188),
    (196, 212, 220),
    (220, 196, 196),
    (206, 216, 190),
    (120, 110, 124),
    (236, 232, 222),
)
WOOD = ((150, 106, 70), (190, 148, 104), (104, 70, 48), (214, 200, 184))


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


FRUITS = (
    "apple",
    "orange",
    "lemon",
    "pear",
    "plum",
    "peach",
    "green apple",
    "banana",
    "lime",
    "strawberry",
    "cherry",
)


def fruit_bowl(c: Canvas) -> Scene:
    """A bowl of fruit."""
    place = _table(c, 0.6)
    kinds = c.sample(FRUITS, c.integer(1, 3))
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
    kind = c.pick((*FRUITS, "grapes"))
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


SCENES = {
    "flower vase": flower_vase,
    "fruit bowl": fruit_bowl,
    "fruits": fruits_row,
    "clock": clock,
    "cake": cake,
    "bookshelf": bookshelf,
    "balloons": balloons,
    "teacup": teacup,
    "gifts": gifts,
    "clothes": clothes,
}
