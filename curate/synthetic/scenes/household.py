"""Scenes of things about the house: clocks, books, balloons, washing."""

from __future__ import annotations

import math
from collections.abc import Callable

from curate.synthetic.backdrop import sky, wall
from curate.synthetic.canvas import BRIGHT, COLOURS, INK, RGB, Canvas, darker, lighter
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing
from curate.synthetic.pen import Pen
from curate.synthetic.scenes.parts import WALLS, WOOD


def _dial(p: Pen, *, numerals: bool) -> None:
    p.disc(0, 0, 0.88, (250, 248, 240))
    for k in range(1, 13):
        dx, dy = math.sin(math.tau * k / 12), -math.cos(math.tau * k / 12)
        if numerals:
            x, y = p.to((dx * 0.72, dy * 0.72))
            p.canvas.text(x, y, str(k), p.size * 0.19, INK)
        else:
            p.line([(dx * 0.7, dy * 0.7), (dx * 0.82, dy * 0.82)], INK, 0.035)


def _hand(p: Pen, turn: float, length: float, width: float) -> None:
    """A hand that has gone ``turn`` of the way round."""
    angle = math.tau * turn
    p.line([(0, 0), (length * math.sin(angle), -length * math.cos(angle))], INK, width)


def clock(c: Canvas) -> Scene:
    """A clock that shows a time in steps of five minutes."""
    wall(c, c.vary(c.pick(WALLS)))
    rim = c.paint(("black", "red", "blue", "brown", "golden", "green", "grey"))
    hour, minute = c.integer(1, 12), 5 * c.integer(0, 11)
    p = Pen(c, c.w / 2, c.h / 2, c.uniform(0.36, 0.44))
    p.veil(0.08, 0.1, 1.15, 1.15)
    square, numerals = c.chance(0.25), c.chance(0.6)
    if square:
        p.rect(-1, -1, 1, 1, rim.rgb, 0.25, 0.12)
    else:
        p.disc(0, 0, 1, rim.rgb, 0.3)
    _dial(p, numerals=numerals)
    _hand(p, (hour + minute / 60) / 12, 0.45, 0.065)
    _hand(p, minute / 60, 0.66, 0.038)
    p.disc(0, 0, 0.05, rim.rgb)
    time = _time(c, hour, minute)
    shape = "square " if square else ("round " if c.chance(0.4) else "")
    dial = f"the face {'has numerals' if numerals else 'has lines in place of numerals'}"
    subject = f"{a(f'{shape}{rim.name} clock')} showing {time}"
    return Scene(subject, f"clock at {time}", c.pick(("on a wall", "")), (dial,))


def _time(c: Canvas, hour: int, minute: int) -> str:
    """The time as people say it, or in digits."""
    digits = f"{hour}:{minute:02d}"
    if c.chance(0.4):
        return digits
    now, following = NUMBERS[hour], NUMBERS[hour % 12 + 1]
    spoken = {
        0: f"{now} o'clock",
        5: f"five past {now}",
        10: f"ten past {now}",
        15: f"a quarter past {now}",
        30: f"half past {now}",
        45: f"a quarter to {following}",
        50: f"ten to {following}",
        55: f"five to {following}",
    }
    return spoken.get(minute, digits)


def _row_of_books(c: Canvas, foot: float, tall: float, end: float) -> int:
    """Books side by side from the left to ``end``; returns their number."""
    x, number = 0.05, 0
    while x < end:
        wide, high = c.uniform(0.035, 0.085), tall * c.uniform(0.6, 0.92)
        tone = c.vary(COLOURS[c.pick(tuple(COLOURS))], 20)
        c.rect(x, foot - high, x + wide, foot, tone, shade=0.12)
        for level in (0.72, 0.8):
            y = foot - high * level
            c.line([(x + wide * 0.2, y), (x + wide * 0.8, y)], lighter(tone, 0.6), 0.007)
        x += wide + 0.004
        number += 1
    return number


def _plant(p: Pen) -> None:
    for k in range(-3, 4):
        p.line([(0, -0.09), (0.03 * k, -0.2 + 0.01 * abs(k))], (70, 140, 70), 0.014)
    p.rect(-0.05, -0.09, 0.05, 0, (190, 106, 70), 0.2)


def _globe(p: Pen) -> None:
    p.line([(0, -0.035), (0, 0)], (120, 90, 50), 0.02)
    p.disc(0, -0.11, 0.075, (60, 120, 180), 0.3)
    p.disc(-0.01, -0.13, 0.03, (90, 150, 80))


def bookshelf(c: Canvas) -> Scene:
    """Shelves with books, perhaps with an ornament where there is room."""
    wood = c.vary(c.pick(WOOD))
    wall(c, darker(wood, 0.45))
    shelves = c.integer(1, 3)
    ornament = c.pick(("plant", "globe", ""))
    tall = c.h / shelves
    books = 0
    for row in range(shelves):
        foot = tall * (row + 1) - 0.035
        room = c.chance(0.5) or (row == 0 and ornament != "")
        books += _row_of_books(c, foot, tall - 0.06, c.w * 0.62 if room else c.w - 0.09)
        c.rect(0, foot, c.w, foot + 0.035, lighter(wood, 0.12), shade=0.2)
        if row == 0 and ornament:
            {"plant": _plant, "globe": _globe}[ornament](Pen(c, c.w * 0.82, foot))
    number = "many books" if books > 15 else count(books, "book")
    hue = "" if c.monochrome else c.pick(("colourful ", ""))
    beside = f"and {a(ornament)}" if ornament else ""
    subject = f"{a(f'{hue}bookshelf')} with {number} {beside} on {count(shelves, 'shelf')}"
    return Scene(subject, c.pick(("bookshelf", "books on a shelf", "shelf of books")))


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
        y = c.h * c.uniform(0.22, 0.5)
        p = Pen(c, x, y, c.uniform(0.1, 0.13) if number > 3 else c.uniform(0.13, 0.17))
        string = [p.to((0, 1.0)), ((x + knot[0]) / 2 + 0.02, (y + knot[1]) / 2), knot]
        c.line(string, (90, 90, 96), 0.004)
        p.shape([(0, 1.1), (-0.15, 1.3), (0.15, 1.3)], darker(paint.rgb, 0.15))
        p.ellipse(0, 0, 1, 1.18, paint.rgb, 0.35)
        p.ellipse(-0.35, -0.45, 0.16, 0.24, lighter(paint.rgb, 0.7))
    names = sorted({p.name for p in paints})
    hue = listing(names) if len(names) < 4 and names[0] else ("colourful" if names[0] else "")
    where = c.pick(("on strings", "tied together", "floating in the air"))
    title = c.pick(("balloons", "party balloons", "bunch of balloons"))
    subject = f"{count(number, f'{hue} balloon')} {where}"
    return Scene(subject, "balloon" if number == 1 else title, above.phrase if above else "")


SHIRT_HALF = ((0.3, 0.0), (0.55, 0.2), (0.42, 0.42), (0.3, 0.32), (0.3, 1.0))
SKIRT_HALF = ((0.22, 0.0), (0.5, 0.9))
TROUSERS_HALF = ((0.3, 0.0), (0.38, 1.3), (0.08, 1.3), (0.0, 0.45))


def _mirrored(half: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    return [*half, *((-x, y) for x, y in reversed(half))]


def _sock(p: Pen, tone: RGB) -> None:
    p.ellipse(0.1, 0.62, 0.24, 0.13, darker(tone, 0.12), 0.2)
    p.rect(-0.12, 0, 0.12, 0.62, tone, 0.2)
    p.rect(-0.12, 0, 0.12, 0.12, lighter(tone, 0.4))


GARMENTS: dict[str, Callable[[Pen, RGB], None]] = {
    "t-shirt": lambda p, tone: p.shape(_mirrored(SHIRT_HALF), tone, 0.2),
    "skirt": lambda p, tone: p.shape(_mirrored(SKIRT_HALF), tone, 0.22),
    "pair of trousers": lambda p, tone: p.shape(_mirrored(TROUSERS_HALF), tone, 0.2),
    "sock": _sock,
}


def clothes(c: Canvas) -> Scene:
    """Clothes on a line."""
    above = sky(c, ("clear", "cloudy", "overcast"))
    y = c.h * 0.22
    c.line([(0, y - 0.02), (c.w / 2, y + 0.02), (c.w, y - 0.02)], (80, 76, 72), 0.008)
    number = c.integer(1, 4)
    told = []
    for i in range(number):
        paint, kind = c.paint((*BRIGHT, "white", "grey", "navy")), c.pick(tuple(GARMENTS))
        p = Pen(c, c.w * (i + 0.5) / number, y + 0.01, min(0.42, 0.8 * c.w / number))
        GARMENTS[kind](p, paint.rgb)
        for x in (-0.17, 0.17) if kind != "sock" else (0.0,):
            p.rect(x - 0.025, -0.08, x + 0.025, 0.06, (206, 170, 120))
        told.append(a(f"{paint.name} {kind}"))
    where = c.pick(("hanging on a clothesline", "drying on a line"))
    title = c.pick(("washing line", "laundry", "clothes on a line"))
    return Scene(f"{listing(told)} {where}", title, above.phrase)


SCENES = {"clock": clock, "bookshelf": bookshelf, "balloons": balloons, "clothes": clothes}
