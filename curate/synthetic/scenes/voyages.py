"""Scenes of boats, aircraft, rockets and planets."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import DAY, ground, hills, sky, water
from curate.synthetic.canvas import BRIGHT, RGB, Canvas, darker, lighter
from curate.synthetic.describe import Scene, a, count, listing
from curate.synthetic.pen import Pen

MAST: RGB = (98, 76, 56)
MAIN_SAIL = ((0.02, -1.05), (0.02, -0.15), (0.5, -0.15))
FORE_SAIL = ((-0.02, -0.95), (-0.02, -0.15), (-0.36, -0.15))
HULL = ((-0.55, -0.08), (0.6, -0.08), (0.4, 0.13), (-0.4, 0.13))

FIN = ((0.1, 0.04), (0.22, 0.28), (0.08, 0.22))
NOSE = ((-0.085, -0.29), (0.0, -0.45), (0.085, -0.29))

TAIL = ((-0.4, -0.02), (-0.46, -0.22), (-0.36, -0.22), (-0.24, -0.02))
WING = ((0.08, 0.02), (-0.2, 0.26), (-0.1, 0.26), (0.2, 0.02))


def boats(c: Canvas) -> Scene:
    """Sailing boats at sea."""
    horizon = c.h * c.uniform(0.48, 0.6)
    above = sky(c, horizon=horizon)
    island = c.chance(0.4)
    if island:
        hills(c, horizon, c.vary((96, 128, 110)), 0.08)
    water(c, horizon, c.h, c.vary((36, 106, 164)))
    number = c.integer(1, 4)
    sail = c.paint(("white", "red", "yellow", "orange", "pink", "light blue"))
    hull = c.paint(("brown", "white", "red", "navy", "green"))
    way = c.pick((-1, 1))
    for i in range(number):
        x = c.w * (i + 0.5) / number + c.uniform(-0.03, 0.03)
        p = Pen(c, x, horizon + c.uniform(0.1, 0.26), 0.5 / (0.7 + 0.3 * number), way)
        p.veil(0, 0.1, 0.6, 0.12)
        p.line([(0, 0), (0, -1.1)], MAST, 0.022)
        p.shape(MAIN_SAIL, sail.rgb, 0.15)
        p.shape(FORE_SAIL, darker(sail.rgb, 0.08), 0.12)
        p.shape(HULL, hull.rgb, 0.2)
    where = c.pick(("sea", "water"))
    subject = f"{count(number, 'sailing boat')} with {sail.name} sails on the {where}"
    details = [f"the {'hull is' if number == 1 else 'hulls are'} {hull.name}"] if hull.name else []
    if island:
        details.append("hills can be seen on the far shore")
    title = "sailing boat" if number == 1 else "sailing boats"
    return Scene(subject, title, above.phrase, tuple(details))


def _draw_balloon(p: Pen, tone: RGB) -> None:
    for side in (-1, 1):
        p.line([(side * 0.6, 0.6), (side * 0.16, 1.55)], (90, 72, 56), 0.04)
    p.shape([(-0.86, 0.45), (0.86, 0.45), (0.2, 1.3), (-0.2, 1.3)], darker(tone, 0.14))
    p.disc(0, 0, 1.0, tone, 0.3)
    p.ellipse(0, 0, 0.3, 1.0, lighter(tone, 0.5), 0.2)
    p.rect(-0.2, 1.5, 0.2, 1.8, (140, 98, 60), 0.2)


def hot_air_balloons(c: Canvas) -> Scene:
    """Balloons with baskets over hills."""
    above = sky(c, DAY)
    hills(c, c.h * 0.95, c.vary((104, 152, 90)), 0.2)
    ground(c, c.h * 0.94, c.vary((104, 152, 80)), 20)
    number = c.integer(1, 5)
    paints = c.paints(number, BRIGHT)
    for i, paint in enumerate(paints):
        r = c.uniform(0.1, 0.13) if number > 2 else c.uniform(0.15, 0.2)
        _draw_balloon(Pen(c, c.w * (i + 0.5) / number, c.h * c.uniform(0.2, 0.5), r), paint.rgb)
    hue = listing([p.name for p in paints]) if number < 4 and not c.monochrome else ""
    if number > 3 and not c.monochrome:
        hue = "colourful"
    where = c.pick(("floating over hills", "in the sky", "flying high above the land"))
    title = "hot air balloon" if number == 1 else "hot air balloons"
    return Scene(f"{count(number, f'{hue} hot air balloon')} {where}", title, above.phrase)


def _starry(c: Canvas, top: RGB, bottom: RGB, stars: int) -> None:
    c.gradient(c.vary(top), c.vary(bottom))
    for x, y, s in c.rng.random((stars, 3)):
        c.disc(x * c.w, y * c.h, 0.002 + 0.005 * s**3, (255, 250, 232))


def _draw_rocket(p: Pen, body: RGB, fins: RGB, flame: float) -> None:
    p.shape([(-0.1, 0.24), (0.1, 0.24), (0, 0.5 * flame)], (255, 150, 40))
    p.shape([(-0.06, 0.24), (0.06, 0.24), (0, 0.42 * flame)], (255, 226, 110))
    p.shape(FIN, fins, 0.2)
    p.shape([(-x, y) for x, y in FIN], fins, 0.2)
    p.ellipse(0, -0.06, 0.12, 0.33, body, 0.28)
    p.shape(NOSE, fins, 0.2)
    p.disc(0, -0.1, 0.06, (60, 64, 80))
    p.disc(0, -0.1, 0.045, (150, 210, 236), 0.3)


def rocket(c: Canvas) -> Scene:
    """A rocket on its way."""
    _starry(c, (14, 14, 44), (54, 38, 96), 50)
    planet = c.paint(("orange", "turquoise", "purple", "green", "red"))
    has_planet = c.chance(0.6)
    if has_planet:
        x, y = c.w * c.pick((0.14, 0.86)), c.h * c.uniform(0.12, 0.3)
        c.disc(x, y, c.uniform(0.1, 0.17), planet.rgb, 0.5)
    body, fins = c.paints(2, ("white", "red", "blue", "grey", "yellow", "orange"))
    pen = Pen(c, c.w * c.uniform(0.4, 0.6), c.h * 0.52, c.uniform(0.85, 1.05))
    _draw_rocket(pen, body.rgb, fins.rgb, c.uniform(0.85, 1.05))
    subject = f"{a(f'{body.name} rocket')} with {fins.name} fins flying through space"
    details = (f"{a(f'{planet.name} planet')} is in the background",) if has_planet else ()
    title = c.pick((f"{body.name} rocket", "rocket in space", "space rocket"))
    return Scene(subject, title, c.pick(("among the stars", "")), details)


def _draw_planet(p: Pen, tone: RGB, *, ringed: bool) -> None:
    c = p.canvas
    p.disc(0, 0, 1, tone, 0.55)
    for _ in range(c.integer(0, 4)):
        y = c.uniform(-0.6, 0.6)
        half = math.sqrt(1 - y * y) * 0.9
        p.line([(-half, y), (half, y)], darker(tone, c.uniform(0.1, 0.3)), 0.1)
    for k in range(3 if ringed else 0):
        wide = 1.45 + 0.14 * k
        p.arc(0, 0, wide, wide * 0.3, (-25, 205), lighter(tone, 0.45 - 0.1 * k), 0.06)


def planets(c: Canvas) -> Scene:
    """Planets, some with rings."""
    _starry(c, (8, 8, 28), (30, 20, 60), 70)
    mist = c.pick(((120, 50, 140), (40, 90, 150)))
    c.veil(c.uniform(0, c.w), c.uniform(0, c.h), 0.6, 0.4, mist, 0.5)
    number = c.integer(1, 4)
    paints = c.paints(number, (*BRIGHT, "grey", "brown", "beige"))
    ringed = 0
    for i, paint in enumerate(paints):
        r = c.uniform(0.55, 0.85) * min(0.28, c.w / number / 2)
        ring = c.chance(0.4)
        ringed += ring
        pen = Pen(c, c.w * (i + 0.5) / number, c.h * c.uniform(0.28, 0.72), r)
        _draw_planet(pen, paint.rgb, ringed=ring)
    if number == 1:
        subject = a(f"{paints[0].name} planet")
    elif c.monochrome or number > 3:
        subject = count(number, "planet")
    else:
        subject = f"{count(number, 'planet')}, {listing([p.name for p in paints])},"
    verb = "has" if ringed == 1 else "have"
    rings = (f"{count(ringed, 'planet')} {verb} rings",) if ringed else ()
    where = c.pick(("in space", "in the night sky", "surrounded by stars"))
    return Scene(f"{subject} {where}", "planet" if number == 1 else "planets in space", "", rings)


def airplane(c: Canvas) -> Scene:
    """An aeroplane above clouds."""
    above = sky(c, ("clear", "cloudy", "sunset", "dawn", "overcast"))
    body, tail = c.paints(2, ("white", "red", "blue", "yellow", "green", "orange"))
    way = c.pick((-1, 1))
    p = Pen(c, c.w * 0.5, c.h * c.uniform(0.4, 0.6), c.uniform(0.75, 1.0), way)
    p.shape(TAIL, tail.rgb, 0.2)
    p.ellipse(0, 0, 0.44, 0.08, body.rgb, 0.25)
    p.shape(WING, tail.rgb, 0.15)
    for k in range(7):
        p.disc(0.22 - 0.07 * k, -0.02, 0.014, (80, 120, 160))
    p.ellipse(0.37, -0.02, 0.035, 0.025, (80, 120, 160))
    side = "right" if way > 0 else "left"
    subject = f"{a(f'{body.name} airplane')} with {a(f'{tail.name} tail')} flying to the {side}"
    return Scene(subject, f"{body.name} airplane", above.phrase)


SCENES = {
    "boats": boats,
    "hot air balloons": hot_air_balloons,
    "rocket": rocket,
    "planets": planets,
    "airplane": airplane,
}
