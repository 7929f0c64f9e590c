"""Scenes of houses, castles, towns."""

from __future__ import annotations

from curate.synthetic.backdrop import ANY, DAY, ground, hills, sky, water
from curate.synthetic.canvas import (
    RGB,
    WHITE,
    Canvas,
    darker,
    glow_at_last,
    lighter,
)
from curate.synthetic.describe import Scene, a, count
from curate.synthetic.pen import Pen
from curate.synthetic.scenes.parts import cottage, fir_tree, round_tree

GREENS = ("green", "dark green", "light green")


def house(c: Canvas) -> Scene:
    """One house with trees."""
    horizon = c.h * c.uniform(0.58, 0.72)
    above = sky(c, horizon=horizon)
    if c.chance(0.5):
        hills(c, horizon, c.vary((110, 150, 120)))
    ground(c, horizon, c.vary((104, 158, 72)))
    walls = c.paint(("white", "beige", "yellow", "red", "light blue", "pink", "grey", "brown"))
    roof = c.paint(("red", "dark red", "brown", "grey", "navy", "orange", "black"))
    trees = c.integer(0, 4)
    fir = c.chance(0.4)
    leaf = c.paint(GREENS)
    left = c.chance(0.5)
    x = c.w * (0.32 if left else 0.68)
    y = horizon + c.uniform(0.06, 0.14) * c.h
    size = c.uniform(0.36, 0.46)
    for i in range(trees):
        tx = x + (1 if left else -1) * (size * 0.75 + i * c.uniform(0.13, 0.17))
        draw = fir_tree if fir else round_tree
        draw(c, tx, y + c.uniform(-0.04, 0.05), c.uniform(0.3, 0.5), leaf.rgb)
    cottage(c, x, y, size, walls.rgb, roof.rgb, lit=above.night)
    home = f"{walls.name} house with {a(f'{roof.name} roof')}"
    tree = f"{leaf.name} {'fir tree' if fir else 'tree'}"
    beside = f"{c.pick(('beside', 'next to', 'and'))} {count(trees, tree)}" if trees else ""
    details = [f"the house stands on the {'left' if left else 'right'}"]
    if above.night:
        details.append("light shines from the windows")
    return Scene(f"{a(home)} {beside}", f"{walls.name} house", above.phrase, tuple(details))


def village(c: Canvas) -> Scene:
    """A row of houses."""
    horizon = c.h * 0.6
    above = sky(c, horizon=horizon)
    hills(c, horizon, c.vary((92, 136, 104)), 0.2)
    ground(c, horizon, c.vary((120, 160, 84)))
    number = c.integer(3, 5)
    names = []
    for i in range(number):
        walls = c.paint(("white", "beige", "yellow", "red", "light blue", "pink", "orange"))
        roof = c.paint(("red", "dark red", "brown", "grey", "navy"))
        x = c.w * (i + 0.5) / number + c.uniform(-0.02, 0.02)
        cottage(
            c,
            x,
            horizon + c.uniform(0.06, 0.2),
            c.w / number * 0.8,
            walls.rgb,
            roof.rgb,
            lit=above.night,
        )
        names.append(walls.name)
    hue = "" if c.monochrome else c.pick(("colourful", "painted", ""))
    details = () if c.monochrome else (f"the first house is {names[0]}, the last is {names[-1]}",)
    subject = f"{count(number, f'{hue} house')} in {c.pick(('a village', 'a row', 'a small town'))}"
    return Scene(
        subject, c.pick(("small village", "row of houses", "village street")), above.phrase, details
    )


def castle(c: Canvas) -> Scene:
    """A castle with towers and flags."""
    horizon = c.h * 0.68
    above = sky(c, ANY, horizon)
    hills(c, horizon, c.vary((88, 134, 92)), 0.16)
    ground(c, horizon, c.vary((96, 148, 74)))
    stone = c.paint(("grey", "beige", "white", "brown"))
    roof = c.paint(("red", "blue", "purple", "green", "navy"))
    towers = c.integer(2, 4)
    left, right, foot = c.w / 2 - 0.36, c.w / 2 + 0.36, horizon + 0.12
    c.rect(left, foot - 0.3, right, foot, stone.rgb, shade=0.14)
    for k in range(12):
        x = left + 0.72 * k / 12
        c.rect(x, foot - 0.335, x + 0.035, foot - 0.295, lighter(stone.rgb, 0.12))
    for k in range(towers):
        x = left + 0.72 * k / (towers - 1)
        tall = c.uniform(0.42, 0.56)
        c.rect(x - 0.07, foot - tall, x + 0.07, foot, darker(stone.rgb, 0.08), shade=0.2)
        c.polygon(
            [(x - 0.09, foot - tall), (x, foot - tall - 0.17), (x + 0.09, foot - tall)],
            roof.rgb,
            0.2,
        )
        c.line([(x, foot - tall - 0.17), (x, foot - tall - 0.25)], (60, 50, 50), 0.006)
        c.polygon(
            [(x, foot - tall - 0.25), (x + 0.07, foot - tall - 0.225), (x, foot - tall - 0.2)],
            (236, 196, 60),
        )
        c.rect(
            x - 0.018,
            foot - tall + 0.08,
            x + 0.018,
            foot - tall + 0.15,
            (255, 222, 120) if above.night else (58, 52, 60),
            radius=0.018,
        )
    c.rect(c.w / 2 - 0.07, foot - 0.16, c.w / 2 + 0.07, foot, (84, 54, 38), radius=0.05)
    subject = f"{a(f'{stone.name} castle')} with {count(towers, 'tower')} and {roof.name} roofs"
    return Scene(subject, f"{stone.name} castle", above.phrase, ("a flag flies from every tower",))


def lighthouse(c: Canvas) -> Scene:
    """A striped lighthouse at sea."""
    horizon = c.h * 0.6
    above = sky(c, ANY, horizon)
    water(c, horizon, c.h, c.vary((44, 98, 150)))
    stripe = c.paint(("red", "blue", "black", "green"))
    x = c.w * c.uniform(0.3, 0.7)
    y, tall = c.h * 0.8, 0.56
    c.ellipse(x, y + 0.06, 0.32, 0.12, c.vary((110, 100, 92)), shade=0.3)
    for k in range(6):
        low, high = y - tall * k / 6, y - tall * (k + 1) / 6
        wide, slim = 0.085 - 0.006 * k, 0.085 - 0.006 * (k + 1)
        tone = stripe.rgb if k % 2 else (242, 240, 234)
        c.polygon([(x - wide, low), (x + wide, low), (x + slim, high), (x - slim, high)], tone)
    c.rect(x - 0.065, y - tall - 0.015, x + 0.065, y - tall, (50, 50, 56))
    c.rect(x - 0.04, y - tall - 0.085, x + 0.04, y - tall - 0.015, (255, 238, 160))
    c.polygon(
        [(x - 0.055, y - tall - 0.085), (x, y - tall - 0.15), (x + 0.055, y - tall - 0.085)],
        darker(stripe.rgb, 0.2),
    )
    if above.night:
        c.veil(x, y - tall - 0.05, 0.35, 0.16, (255, 240, 170), 0.75)
    subject = f"{a(f'{stripe.name} and white lighthouse' if stripe.name else 'striped lighthouse')}"
    where = c.pick(("on a rock in the sea", "on a rocky island", "by the sea"))
    details = ("its lamp shines over the water",) if above.night else ()
    return Scene(f"{subject} {where}", "lighthouse", above.phrase, details)


def night_street(c: Canvas) -> Scene:
    """Tall buildings with lit windows and lamps."""
    sky(c, ("stars", "moon"))
    foot = c.h * 0.8
    number, x, lit = c.integer(4, 7), 0.0, c.uniform(0.3, 0.7)
    while x < c.w:
        wide, tall = c.w / number * c.uniform(0.8, 1.2), c.uniform(0.25, 0.65) * c.h
        c.rect(x, foot - tall, x + wide, foot, c.vary((52, 56, 84), 16), shade=0.16)
        rows, columns = int(tall / 0.075), max(2, int(wide / 0.06))
        glow = c.rng.random((rows, columns))
        for r in range(rows):
            for k in range(columns):
                wx, wy = x + wide * (k + 0.3) / columns, foot - tall + 0.03 + 0.07 * r
                tone = (255, 218, 120) if glow[r, k] < lit else (34, 38, 60)
                c.rect(wx, wy, wx + wide * 0.4 / columns, wy + 0.035, tone)
        x += wide
    c.gradient((58, 58, 70), (34, 34, 44), foot, c.h)
    lamps = c.integer(1, 4)
    for i in range(lamps):
        lx = c.w * (i + 0.5) / lamps
        c.line([(lx, c.h * 0.95), (lx, foot - 0.18)], (26, 26, 30), 0.014)
        glow_at_last(c, lx, foot - 0.19, 0.13, 0.13, (255, 230, 150), 0.9)
    c.line([(0, c.h * 0.92), (c.w, c.h * 0.92)], (210, 200, 150), 0.008)
    subject = f"a city street with {count(lamps, 'street lamp')} and lit windows"
    return Scene(
        subject,
        c.pick(("city at night", "street at night", "night skyline")),
        "at night",
        ("tall buildings stand along the street",),
    )


BARN_ROOF = ((-1.1, -1.15), (-0.7, -1.8), (0.0, -2.1), (0.7, -1.8), (1.1, -1.15))
COATS: dict[str, RGB] = {
    "sheep": (240, 238, 230),
    "cow": (236, 232, 226),
    "pig": (240, 176, 170),
}


def _draw_barn(p: Pen, tone: RGB) -> None:
    """A barn two wide, standing on y = 0."""
    p.veil(0, 0, 1.4, 0.2)
    p.rect(-1, -1.15, 1, 0, tone, 0.14)
    p.shape(BARN_ROOF, darker(tone, 0.35), 0.1)
    p.rect(-0.39, -0.76, 0.39, 0.02, WHITE)
    p.rect(-0.36, -0.73, 0.36, 0, darker(tone, 0.2))
    for side in (-1, 1):
        p.line([(-0.36 * side, -0.73), (0.36 * side, 0)], WHITE, 0.042)


def _draw_cattle(p: Pen, kind: str) -> None:
    """A sheep, cow or pig about two wide, standing on y = 0."""
    coat = p.canvas.vary(COATS[kind], 6)
    p.veil(0, 0, 1.1, 0.25)
    for x in (-0.56, -0.25, 0.31, 0.62):
        p.line([(x, -0.5), (x, 0)], (60, 52, 50), 0.15)
    p.ellipse(0, -0.87, 1.0, 0.62, coat, 0.2)
    if kind == "cow":
        p.ellipse(-0.25, -1.0, 0.31, 0.25, (40, 36, 36))
        p.ellipse(0.44, -0.81, 0.25, 0.22, (40, 36, 36))
    head: RGB = (50, 46, 48) if kind == "sheep" else darker(coat, 0.1)
    p.ellipse(1.06, -1.19, 0.35, 0.32, head, 0.2)


def farm(c: Canvas) -> Scene:
    """A barn with animals in front of it."""
    horizon = c.h * 0.55
    above = sky(c, DAY, horizon)
    hills(c, horizon, c.vary((120, 160, 96)), 0.1)
    ground(c, horizon, c.vary((128, 172, 76)))
    barn = c.paint(("red", "brown", "white", "grey"))
    _draw_barn(Pen(c, c.w * c.pick((0.28, 0.72)), horizon + 0.1, 0.19), barn.rgb)
    kind, number = c.pick(tuple(COATS)), c.integer(1, 5)
    for i in range(number):
        x, y = c.w * (i + 0.5) / number + c.uniform(-0.04, 0.04), c.h * c.uniform(0.78, 0.92)
        _draw_cattle(Pen(c, x, y, c.uniform(0.07, 0.09), c.pick((-1, 1))), kind)
    subject = f"{count(number, kind)} in front of {a(f'{barn.name} barn')}"
    title = c.pick(("farm", f"{kind} on a farm", "farm with a barn"))
    hue = "" if c.monochrome else "green"
    return Scene(subject, title, above.phrase, (f"{hue} hills lie behind the farm".strip(),))


SCENES = {
    "house": house,
    "village": village,
    "castle": castle,
    "lighthouse": lighthouse,
    "night street": night_street,
    "farm": farm,
}
