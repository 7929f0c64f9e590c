"""Scenes of cars, buses, trains and bicycles."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import ANY, ground, hills, sky
from curate.synthetic.canvas import RGB, WHITE, Canvas, darker, glow_at_last, lighter
from curate.synthetic.describe import Scene, a, count, listing
from curate.synthetic.pen import Pen
from curate.synthetic.scenes.parts import round_tree

BODY = ("red", "blue", "yellow", "green", "white", "black", "orange", "turquoise", "grey")
GLASS: RGB = (190, 220, 236)
TYRE: RGB = (30, 30, 34)

CABIN = ((-0.36, -0.22), (-0.22, -0.46), (0.18, -0.46), (0.38, -0.22))
REAR_WINDOW = ((-0.3, -0.22), (-0.19, -0.42), (-0.03, -0.42), (-0.03, -0.22))
FRONT_WINDOW = ((0.01, -0.22), (0.01, -0.42), (0.16, -0.42), (0.3, -0.22))


def _wheel(p: Pen, x: float, y: float, r: float) -> None:
    p.disc(x, y, r, TYRE, 0.12)
    p.disc(x, y, r * 0.55, (176, 178, 184), 0.25)


def _road(c: Canvas, y: float) -> None:
    c.gradient((104, 104, 110), (70, 70, 76), y, c.h)
    middle = y + (c.h - y) * 0.6
    for k in range(8):
        x = c.w * k / 8
        c.line([(x, middle), (x + c.w * 0.06, middle)], (236, 226, 178), 0.014)


def _draw_car(p: Pen, tone: RGB) -> None:
    p.veil(0, 0.03, 0.75, 0.08)
    p.shape(CABIN, darker(tone, 0.1), 0.1)
    p.shape(REAR_WINDOW, GLASS, 0.2)
    p.shape(FRONT_WINDOW, GLASS, 0.2)
    p.rect(-0.6, -0.24, 0.6, 0, tone, 0.25, 0.08)
    p.ellipse(0.57, -0.15, 0.03, 0.045, (255, 244, 190))
    p.ellipse(-0.58, -0.15, 0.02, 0.04, (200, 40, 40))
    p.line([(-0.05, -0.13), (0.03, -0.13)], darker(tone, 0.4), 0.014)
    for x in (-0.34, 0.34):
        _wheel(p, x, 0, 0.12)


def car(c: Canvas) -> Scene:
    """Cars on a road."""
    horizon = c.h * 0.62
    above = sky(c, horizon=horizon)
    hills(c, horizon, c.vary((98, 146, 96)))
    for tx in c.rng.random(3):
        round_tree(c, float(tx) * c.w, horizon, c.uniform(0.18, 0.3), c.vary((70, 132, 66)))
    _road(c, horizon)
    number = c.integer(1, 2)
    paints = c.paints(number, BODY)
    way = c.pick((-1, 1))
    for i, paint in enumerate(paints):
        x, y = c.w * (i + 0.5) / number, horizon + c.uniform(0.12, 0.2)
        _draw_car(Pen(c, x, y, 0.66 / (0.6 + 0.55 * number), way), paint.rgb)
    names = [a(f"{p.name} car") for p in paints]
    if c.monochrome:
        names = [count(number, "car")]
    verb = c.pick(("on a road", "driving along a country road", "parked at the roadside"))
    heading = f"{'it faces' if number == 1 else 'both face'} {'right' if way > 0 else 'left'}"
    details = ("trees and hills are seen behind the road", heading)
    return Scene(f"{listing(names)} {verb}", f"{paints[0].name} car", above.phrase, details)


def _draw_truck(p: Pen, box: RGB, cab: RGB) -> None:
    p.rect(-0.4, -0.34, 0.16, -0.03, box, 0.2, 0.01)
    p.rect(0.17, -0.25, 0.38, -0.03, cab, 0.2, 0.03)
    p.rect(0.25, -0.22, 0.36, -0.12, GLASS, 0.0, 0.01)


def _draw_bus(p: Pen, tone: RGB, decks: int) -> None:
    top = 0.16 + 0.18 * decks
    p.rect(-0.4, -top, 0.4, 0, tone, 0.2, 0.04)
    for deck in range(decks):
        for k in range(6):
            x, y = -0.36 + 0.122 * k, -top + 0.05 + 0.19 * deck
            p.rect(x, y, x + 0.1, y + 0.11, GLASS, 0.0, 0.012)
    p.rect(-0.4, -0.11, 0.4, -0.09, lighter(tone, 0.6))


def bus(c: Canvas) -> Scene:
    """A bus or lorry in town."""
    horizon = c.h * 0.64
    above = sky(c, horizon=horizon)
    left = 0.0
    while left < c.w:
        right, roof = left + c.uniform(0.12, 0.24), horizon - c.uniform(0.15, 0.4)
        c.rect(left, roof, right, horizon, c.vary((176, 166, 156), 24), shade=0.15)
        left = right
    _road(c, horizon)
    truck, decks = c.chance(0.4), c.pick((1, 1, 2))
    paint, cab = c.paints(2, BODY)
    p = Pen(c, c.w * 0.5, horizon + 0.16, 1.0, c.pick((-1, 1)))
    p.veil(0, 0.03, 0.46, 0.06)
    if truck:
        kind, subject = "truck", f"{a(f'{paint.name} truck')} with {a(f'{cab.name} cab')}"
        if c.monochrome:
            subject = "a truck with a large box"
        _draw_truck(p, paint.rgb, cab.rgb)
    else:
        kind = "double-decker bus" if decks == 2 else "bus"
        subject = a(f"{paint.name} {kind}")
        _draw_bus(p, paint.rgb, decks)
    for x in (-0.26, 0.27):
        _wheel(p, x, 0, 0.07)
    where = c.pick(("on a city street", "in front of buildings", "in town"))
    return Scene(f"{subject} {where}", f"{paint.name} {kind}", above.phrase)


def _draw_engine(p: Pen, tone: RGB) -> None:
    """A steam locomotive from x = 0 to 0.7, standing on y = 0."""
    p.rect(0, -0.5, 0.7, 0, tone, 0.25, 0.1)
    p.rect(0, -0.9, 0.38, 0, darker(tone, 0.12), 0.2)
    p.rect(0.08, -0.77, 0.3, -0.43, GLASS)
    p.rect(0.52, -0.8, 0.62, -0.47, (44, 44, 50), 0.2)


def train(c: Canvas) -> Scene:
    """A locomotive with carriages."""
    horizon = c.h * 0.6
    above = sky(c, horizon=horizon)
    hills(c, horizon, c.vary((104, 140, 112)), 0.2)
    ground(c, horizon, c.vary((134, 156, 88)))
    y = horizon + 0.18
    c.line([(0, y + 0.05), (c.w, y + 0.05)], (96, 84, 78), 0.014)
    for k in range(18):
        c.line([(c.w * k / 18, y + 0.04), (c.w * k / 18, y + 0.075)], (98, 72, 52), 0.02)
    engine, carriage = c.paints(2, ("red", "blue", "green", "black", "yellow", "purple", "orange"))
    number = c.integer(1, 3)
    wide = (c.w - 0.12) / (number + 1)
    x = c.w - 0.06 - wide
    _draw_engine(Pen(c, x, y, min(wide, 0.32)), engine.rgb)
    for k in range(4):
        sx, sy = x + min(wide, 0.32) * 0.57 - 0.09 * k, y - 0.33 - 0.05 * k
        glow_at_last(c, sx, sy, 0.09 + 0.03 * k, 0.07 + 0.02 * k, WHITE, 0.8)
    for i in range(number):
        left, right = x - wide * (i + 1) + 0.015, x - wide * i - 0.015
        c.rect(left, y - 0.2, right, y, carriage.rgb, shade=0.2, radius=0.015)
        for k in range(3):
            wx = left + (right - left) * (k + 0.25) / 3.2
            c.rect(wx, y - 0.16, wx + wide * 0.18, y - 0.08, GLASS)
    wheels = 4 * (number + 1)
    for k in range(wheels):
        c.disc(0.09 + (c.w - 0.27) * k / (wheels - 1), y + 0.015, 0.03, TYRE, 0.15)
    pulled = count(number, f"{carriage.name} carriage")
    smoke = "smoke rises from the engine" if c.monochrome else "white smoke rises from the engine"
    subject = f"{a(f'{engine.name} steam train')} pulling {pulled}"
    return Scene(subject, f"{engine.name} train", above.phrase, (smoke,))


def _draw_bicycle(p: Pen, tone: RGB, *, basket: bool) -> None:
    rear, front, crank = (-0.23, -0.15), (0.23, -0.15), (-0.03, -0.15)
    seat, head = (-0.1, -0.38), (0.17, -0.4)
    for x, y in (rear, front):
        p.veil(x, y + 0.15, 0.15, 0.025)
        for k in range(6):
            dx, dy = 0.15 * math.cos(k * math.pi / 6), 0.15 * math.sin(k * math.pi / 6)
            p.line([(x - dx, y - dy), (x + dx, y + dy)], (150, 150, 156), 0.003)
        p.arc(x, y, 0.15, 0.15, (0, 360), TYRE, 0.018)
    for points in ([rear, crank, head, seat, rear], [crank, seat], [front, head]):
        p.line(points, tone, 0.02)
    p.line([(0.12, -0.46), (0.17, -0.46), head], (40, 40, 44), 0.016)
    p.ellipse(seat[0], seat[1] - 0.02, 0.06, 0.02, (40, 32, 30))
    if basket:
        p.rect(0.19, -0.44, 0.32, -0.34, (176, 130, 80), 0.2)


def bicycle(c: Canvas) -> Scene:
    """A bicycle on grass or pavement."""
    horizon = c.h * 0.66
    above = sky(c, ANY, horizon)
    lawn = c.chance(0.5)
    ground(c, horizon, c.vary((112, 162, 80) if lawn else (170, 160, 150)))
    paint, basket = c.paint(), c.chance(0.4)
    pen = Pen(c, c.w * 0.5, horizon + 0.08, c.uniform(0.85, 1.0), c.pick((-1, 1)))
    _draw_bicycle(pen, paint.rgb, basket=basket)
    subject = f"{a(f'{paint.name} bicycle')} {'with a basket' if basket else ''}"
    where = "on the grass" if lawn else "on the pavement"
    return Scene(f"{subject} {where}", f"{paint.name} bicycle", above.phrase)


SCENES = {"car": car, "bus": bus, "train": train, "bicycle": bicycle}
