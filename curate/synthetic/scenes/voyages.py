"""Scenes of boats, aircraft, rockets and planets."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import DAY, ground, hills, sky, water
from curate.synthetic.canvas import (
    BRIGHT,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import Scene, a, count, listing


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
    size = 0.5 / (0.7 + 0.3 * number)
    for i in range(number):
        x = c.w * (i + 0.5) / number + c.uniform(-0.03, 0.03)
        y = horizon + c.uniform(0.1, 0.26)
        c.veil(x, y + size * 0.08, size * 0.6, size * 0.12)
        c.line([(x, y), (x, y - size * 1.1)], (98, 76, 56), 0.01)
        c.polygon(
            [
                (x + 0.012, y - size * 1.05),
                (x + 0.012, y - size * 0.15),
                (x + size * 0.5, y - size * 0.15),
            ],
            sail.rgb,
            0.15,
        )
        c.polygon(
            [
                (x - 0.012, y - size * 0.95),
                (x - 0.012, y - size * 0.15),
                (x - size * 0.36, y - size * 0.15),
            ],
            darker(sail.rgb, 0.08),
            0.12,
        )
        c.polygon(
            [
                (x - size * 0.55, y - size * 0.08),
                (x + size * 0.6, y - size * 0.08),
                (x + size * 0.4, y + size * 0.13),
                (x - size * 0.4, y + size * 0.13),
            ],
            hull.rgb,
            0.2,
        )
    subject = (
        f"{count(number, 'sailing boat')} with {sail.name} sails on the {c.pick(('sea', 'water'))}"
    )
    details = [f"the {'hull is' if number == 1 else 'hulls are'} {hull.name}"] if hull.name else []
    if island:
        details.append("hills can be seen on the far shore")
    return Scene(
        subject, "sailing boat" if number == 1 else "sailing boats", above.phrase, tuple(details)
    )


def hot_air_balloons(c: Canvas) -> Scene:
    """Balloons with baskets over hills."""
    above = sky(c, DAY)
    hills(c, c.h * 0.95, c.vary((104, 152, 90)), 0.2)
    ground(c, c.h * 0.94, c.vary((104, 152, 80)), 20)
    number = c.integer(1, 5)
    paints = c.paints(number, BRIGHT)
    for i, paint in enumerate(paints):
        x, y = c.w * (i + 0.5) / number, c.h * c.uniform(0.2, 0.5)
        r = c.uniform(0.1, 0.13) if number > 2 else c.uniform(0.15, 0.2)
        for side in (-1, 1):
            c.line(
                [(x + side * r * 0.6, y + r * 0.6), (x + side * r * 0.16, y + r * 1.55)],
                (90, 72, 56),
                0.005,
            )
        c.polygon(
            [
                (x - r * 0.86, y + r * 0.45),
                (x + r * 0.86, y + r * 0.45),
                (x + r * 0.2, y + r * 1.3),
                (x - r * 0.2, y + r * 1.3),
            ],
            darker(paint.rgb, 0.14),
        )
        c.disc(x, y, r, paint.rgb, 0.3)
        c.ellipse(x, y, r * 0.3, r, lighter(paint.rgb, 0.5), shade=0.2)
        c.rect(x - r * 0.2, y + r * 1.5, x + r * 0.2, y + r * 1.8, (140, 98, 60), shade=0.2)
    hue = listing([p.name for p in paints]) if number < 4 and not c.monochrome else ""
    if number > 3 and not c.monochrome:
        hue = "colourful"
    where = c.pick(("floating over hills", "in the sky", "flying high above the land"))
    return Scene(
        f"{count(number, f'{hue} hot air balloon')} {where}",
        "hot air balloon" if number == 1 else "hot air balloons",
        above.phrase,
    )


def rocket(c: Canvas) -> Scene:
    """A rocket on its way."""
    c.gradient(c.vary((14, 14, 44)), c.vary((54, 38, 96)))
    for x, y, s in c.rng.random((50, 3)):
        c.disc(x * c.w, y * c.h, 0.002 + 0.005 * s**3, (255, 250, 230))
    planet = c.paint(("orange", "turquoise", "purple", "green", "red"))
    has_planet = c.chance(0.6)
    if has_planet:
        c.disc(
            c.w * c.pick((0.14, 0.86)),
            c.h * c.uniform(0.12, 0.3),
            c.uniform(0.1, 0.17),
            planet.rgb,
            0.5,
        )
    body, fins = c.paints(2, ("white", "red", "blue", "grey", "yellow", "orange"))
    x, y, s = c.w * c.uniform(0.4, 0.6), c.h * 0.52, c.uniform(0.85, 1.05)
    for half, tone, low in ((0.1, (255, 150, 40), 0.5), (0.06, (255, 226, 110), 0.42)):
        c.polygon(
            [
                (x - half * s, y + 0.24 * s),
                (x + half * s, y + 0.24 * s),
                (x, y + low * s * c.uniform(0.85, 1.05)),
            ],
            tone,
        )
    for side in (-1, 1):
        c.polygon(
            [
                (x + side * 0.1 * s, y + 0.04 * s),
                (x + side * 0.22 * s, y + 0.28 * s),
                (x + side * 0.08 * s, y + 0.22 * s),
            ],
            fins.rgb,
            0.2,
        )
    c.ellipse(x, y - 0.06 * s, 0.12 * s, 0.33 * s, body.rgb, shade=0.28)
    c.polygon(
        [(x - 0.085 * s, y - 0.29 * s), (x, y - 0.45 * s), (x + 0.085 * s, y - 0.29 * s)],
        fins.rgb,
        0.2,
    )
    c.disc(x, y - 0.1 * s, 0.06 * s, (60, 64, 80))
    c.disc(x, y - 0.1 * s, 0.045 * s, (150, 210, 236), 0.3)
    subject = f"{a(f'{body.name} rocket')} with {fins.name} fins flying through space"
    details = [f"{a(f'{planet.name} planet')} is in the background"] if has_planet else []
    return Scene(
        subject,
        c.pick((f"{body.name} rocket", "rocket in space", "space rocket")),
        c.pick(("among the stars", "")),
        tuple(details),
    )


def planets(c: Canvas) -> Scene:
    """Planets, some with rings."""
    c.gradient(c.vary((8, 8, 28)), c.vary((30, 20, 60)))
    for x, y, s in c.rng.random((70, 3)):
        c.disc(x * c.w, y * c.h, 0.002 + 0.005 * s**3, (255, 250, 236))
    c.veil(
        c.uniform(0, c.w), c.uniform(0, c.h), 0.6, 0.4, c.pick(((120, 50, 140), (40, 90, 150))), 0.5
    )
    number = c.integer(1, 4)
    paints = c.paints(number, (*BRIGHT, "grey", "brown", "beige"))
    ringed = 0
    for i, paint in enumerate(paints):
        x, y = c.w * (i + 0.5) / number, c.h * c.uniform(0.28, 0.72)
        r = c.uniform(0.55, 0.85) * min(0.28, c.w / number / 2)
        c.disc(x, y, r, paint.rgb, 0.55)
        for _ in range(c.integer(0, 4)):
            at = c.uniform(-0.6, 0.6) * r
            half = math.sqrt(r * r - at * at) * 0.9
            c.line(
                [(x - half, y + at), (x + half, y + at)],
                darker(paint.rgb, c.uniform(0.1, 0.3)),
                r * 0.1,
            )
        if c.chance(0.4):
            ringed += 1
            for k in range(3):
                wide = r * (1.45 + 0.14 * k)
                c.arc(
                    (x - wide, y - wide * 0.3, x + wide, y + wide * 0.3),
                    -25,
                    205,
                    lighter(paint.rgb, 0.45 - 0.1 * k),
                    r * 0.06,
                )
    names = listing([p.name for p in paints])
    subject = (
        count(number, "planet")
        if c.monochrome or number > 3
        else (a(f"{names} planet") if number == 1 else f"{count(number, 'planet')}, {names},")
    )
    rings = (
        (f"{count(ringed, 'planet')} {'has' if ringed == 1 else 'have'} rings",) if ringed else ()
    )
    return Scene(
        f"{subject} {c.pick(('in space', 'in the night sky', 'surrounded by stars'))}",
        "planet" if number == 1 else "planets in space",
        "",
        rings,
    )


def airplane(c: Canvas) -> Scene:
    """An aeroplane above clouds."""
    above = sky(c, ("clear", "cloudy", "sunset", "dawn", "overcast"))
    body, tail = c.paints(2, ("white", "red", "blue", "yellow", "green", "orange"))
    x, y, s = c.w * 0.5, c.h * c.uniform(0.4, 0.6), c.uniform(0.75, 1.0)
    way = c.pick((-1, 1))
    c.polygon(
        [
            (x - way * 0.4 * s, y - 0.02 * s),
            (x - way * 0.46 * s, y - 0.22 * s),
            (x - way * 0.36 * s, y - 0.22 * s),
            (x - way * 0.24 * s, y - 0.02 * s),
        ],
        tail.rgb,
        0.2,
    )
    c.ellipse(x, y, 0.44 * s, 0.08 * s, body.rgb, shade=0.25)
    c.polygon(
        [
            (x + way * 0.08 * s, y + 0.02 * s),
            (x - way * 0.2 * s, y + 0.26 * s),
            (x - way * 0.1 * s, y + 0.26 * s),
            (x + way * 0.2 * s, y + 0.02 * s),
        ],
        tail.rgb,
        0.15,
    )
    for k in range(7):
        c.disc(x + way * (0.22 - 0.07 * k) * s, y - 0.02 * s, 0.014 * s, (80, 120, 160))
    c.ellipse(x + way * 0.37 * s, y - 0.02 * s, 0.035 * s, 0.025 * s, (80, 120, 160))
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
