"""Scenes of cars, buses, trains and bicycles."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import ANY, ground, hills, sky
from curate.synthetic.canvas import (
    WHITE,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import Scene, a, count, listing
from curate.synthetic.scenes.parts import round_tree

BODY = ("red", "blue", "yellow", "green", "white", "black", "orange", "turquoise", "grey")


GLASS = (190, 220, 236)


def _wheel(c: Canvas, x: float, y: float, r: float) -> None:
    c.disc(x, y, r, (30, 30, 34), 0.12)
    c.disc(x, y, r * 0.55, (176, 178, 184), 0.25)


def _road(c: Canvas, y: float) -> None:
    c.gradient((104, 104, 110), (70, 70, 76), y, c.h)
    middle = y + (c.h - y) * 0.6
    for k in range(8):
        x = c.w * k / 8
        c.line([(x, middle), (x + c.w * 0.06, middle)], (236, 226, 178), 0.014)


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
    for i, paint in enumerate(paints):
        x, y = c.w * (i + 0.5) / number, horizon + c.uniform(0.12, 0.2)
        s = 0.66 / (0.6 + 0.55 * number)
        tone = paint.rgb
        c.veil(x, y + 0.02, s * 0.75, 0.05)
        c.polygon(
            [
                (x - s * 0.36, y - s * 0.22),
                (x - s * 0.22, y - s * 0.46),
                (x + s * 0.18, y - s * 0.46),
                (x + s * 0.38, y - s * 0.22),
            ],
            darker(tone, 0.1),
            0.1,
        )
        c.polygon(
            [
                (x - s * 0.3, y - s * 0.22),
                (x - s * 0.19, y - s * 0.42),
                (x - s * 0.03, y - s * 0.42),
                (x - s * 0.03, y - s * 0.22),
            ],
            GLASS,
            0.2,
        )
        c.polygon(
            [
                (x + s * 0.01, y - s * 0.22),
                (x + s * 0.01, y - s * 0.42),
                (x + s * 0.16, y - s * 0.42),
                (x + s * 0.3, y - s * 0.22),
            ],
            GLASS,
            0.2,
        )
        c.rect(x - s * 0.6, y - s * 0.24, x + s * 0.6, y, tone, shade=0.25, radius=s * 0.08)
        c.ellipse(x + s * 0.57, y - s * 0.15, s * 0.03, s * 0.045, (255, 244, 190))
        c.ellipse(x - s * 0.58, y - s * 0.15, s * 0.02, s * 0.04, (200, 40, 40))
        _wheel(c, x - s * 0.34, y, s * 0.12)
        _wheel(c, x + s * 0.34, y, s * 0.12)
    names = [a(f"{p.name} car") for p in paints]
    if c.monochrome:
        names = [count(number, "car")]
    verb = c.pick(("on a road", "driving along a country road", "parked at the roadside"))
    return Scene(
        f"{listing(names)} {verb}",
        f"{paints[0].name} car",
        above.phrase,
        ("trees and hills are seen behind the road",),
    )


def bus(c: Canvas) -> Scene:
    """A bus or lorry in town."""
    horizon = c.h * 0.64
    above = sky(c, horizon=horizon)
    x0 = 0.0
    while x0 < c.w:
        wide = c.uniform(0.12, 0.24)
        c.rect(
            x0,
            horizon - c.uniform(0.15, 0.4),
            x0 + wide,
            horizon,
            c.vary((176, 166, 156), 24),
            shade=0.15,
        )
        x0 += wide
    _road(c, horizon)
    truck = c.chance(0.4)
    paint, cab = c.paints(2, BODY)
    x, y = c.w * 0.5, horizon + 0.16
    c.veil(x, y + 0.03, 0.46, 0.06)
    if truck:
        c.rect(x - 0.4, y - 0.34, x + 0.16, y - 0.03, paint.rgb, shade=0.2, radius=0.01)
        c.rect(x + 0.17, y - 0.25, x + 0.38, y - 0.03, cab.rgb, shade=0.2, radius=0.03)
        c.rect(x + 0.25, y - 0.22, x + 0.36, y - 0.12, GLASS, radius=0.01)
        subject = f"{a(f'{paint.name} truck')} with {a(f'{cab.name} cab')}"
        if c.monochrome:
            subject = "a truck with a large box"
    else:
        double = c.chance(0.4)
        top = 0.5 if double else 0.34
        c.rect(x - 0.4, y - top, x + 0.4, y, paint.rgb, shade=0.2, radius=0.04)
        for row in range(2 if double else 1):
            for k in range(6):
                wx, wy = x - 0.36 + 0.122 * k, y - top + 0.05 + 0.19 * row
                c.rect(wx, wy, wx + 0.1, wy + 0.11, GLASS, radius=0.012)
        c.rect(x - 0.4, y - 0.11, x + 0.4, y - 0.09, lighter(paint.rgb, 0.6))
        subject = a(f"{paint.name} {'double-decker bus' if double else 'bus'}")
    for wx in (-0.26, 0.27):
        _wheel(c, x + wx, y, 0.07)
    title = f"{paint.name} {'truck' if truck else 'bus'}"
    return Scene(
        f"{subject} {c.pick(('on a city street', 'in front of buildings', 'in town'))}",
        title,
        above.phrase,
    )


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
    c.rect(x, y - 0.15, x + wide * 0.7, y, engine.rgb, shade=0.25, radius=0.03)
    c.rect(x, y - 0.27, x + wide * 0.38, y, darker(engine.rgb, 0.12), shade=0.2)
    c.rect(x + wide * 0.08, y - 0.23, x + wide * 0.3, y - 0.13, GLASS)
    c.rect(x + wide * 0.52, y - 0.24, x + wide * 0.62, y - 0.14, (44, 44, 50), shade=0.2)
    for k in range(4):
        c.finishing.append(
            lambda d, k=k: d.veil(
                x + wide * 0.55 - 0.09 * k,
                y - 0.31 - 0.05 * k,
                0.09 + 0.03 * k,
                0.07 + 0.02 * k,
                WHITE,
                0.8,
            )
        )
    for i in range(number):
        left = x - wide * (i + 1) + 0.015
        c.rect(left, y - 0.2, left + wide - 0.03, y, carriage.rgb, shade=0.2, radius=0.015)
        for k in range(3):
            wx = left + (wide - 0.03) * (k + 0.25) / 3.2
            c.rect(wx, y - 0.16, wx + wide * 0.18, y - 0.08, GLASS)
    for k in range(4 * (number + 1)):
        c.disc(0.08 + (c.w - 0.2) * k / (4 * (number + 1) - 1), y + 0.015, 0.03, (40, 40, 46), 0.15)
    pulled = count(number, f"{carriage.name} carriage")
    subject = f"{a(f'{engine.name} steam train')} pulling {pulled}"
    return Scene(
        subject,
        f"{engine.name} train",
        above.phrase,
        ("white smoke rises from the engine" if engine.name else "smoke rises",),
    )


def bicycle(c: Canvas) -> Scene:
    """A bicycle on grass or pavement."""
    horizon = c.h * 0.66
    above = sky(c, ANY, horizon)
    ground(c, horizon, c.vary(c.pick(((112, 162, 80), (170, 160, 150)))))
    paint = c.paint()
    basket = c.chance(0.4)
    x, y, s = c.w * 0.5, horizon + 0.08, c.uniform(0.85, 1.0)
    rear, front = (x - 0.23 * s, y - 0.15 * s), (x + 0.23 * s, y - 0.15 * s)
    for wx, wy in (rear, front):
        r = 0.15 * s
        c.veil(wx, wy + r, r, 0.025)
        for k in range(6):
            dx, dy = r * math.cos(k * math.pi / 6), r * math.sin(k * math.pi / 6)
            c.line([(wx - dx, wy - dy), (wx + dx, wy + dy)], (150, 150, 156), 0.003)
        c.arc((wx - r, wy - r, wx + r, wy + r), 0, 360, (34, 34, 38), 0.018)
    crank, seat, head = (
        (x - 0.03 * s, rear[1]),
        (x - 0.1 * s, y - 0.38 * s),
        (x + 0.17 * s, y - 0.4 * s),
    )
    for points in ([rear, crank, head, seat, rear], [crank, seat], [front, head]):
        c.line(points, paint.rgb, 0.02)
    c.line([(head[0] - 0.05, head[1] - 0.06), (head[0], head[1] - 0.06), head], (40, 40, 44), 0.016)
    c.ellipse(seat[0], seat[1] - 0.02, 0.06, 0.02, (40, 32, 30))
    if basket:
        c.rect(
            head[0] + 0.02,
            head[1] - 0.04,
            head[0] + 0.15,
            head[1] + 0.06,
            (176, 130, 80),
            shade=0.2,
        )
    subject = f"{a(f'{paint.name} bicycle')} {'with a basket' if basket else ''}"
    return Scene(subject, f"{paint.name} bicycle", above.phrase)


SCENES = {"car": car, "bus": bus, "train": train, "bicycle": bicycle}
