"""Flags, traffic lights, shapes and patterns."""

from __future__ import annotations

import math

from curate.synthetic.backdrop import sky, wall
from curate.synthetic.canvas import (
    BRIGHT,
    RGB,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import Scene, a, listing
from curate.synthetic.pen import Pen


def flag(c: Canvas) -> Scene:
    """A striped or crossed flag on a pole."""
    above = sky(c, ("clear", "cloudy", "overcast", "sunset"))
    design = c.pick(("horizontal stripes", "vertical stripes", "cross", "disc", "triangle"))
    first, second, third = c.paints(
        3, ("red", "white", "blue", "green", "yellow", "black", "orange", "navy")
    )
    left, top, wide, high = c.w / 2 - 0.3, c.h * 0.18, 0.62, 0.42
    c.line([(left - 0.02, c.h), (left - 0.02, top - 0.05)], (150, 146, 140), 0.024)
    c.disc(left - 0.02, top - 0.06, 0.024, (222, 180, 70), 0.3)
    right, bottom, mid = left + wide, top + high, top + high / 2
    c.rect(left, top, right, bottom, first.rgb, shade=0.08)
    if design == "horizontal stripes":
        c.rect(left, top + high / 3, right, top + 2 * high / 3, second.rgb, shade=0.05)
        c.rect(left, top + 2 * high / 3, right, bottom, third.rgb, shade=0.05)
    elif design == "vertical stripes":
        c.rect(left + wide / 3, top, left + 2 * wide / 3, bottom, second.rgb, shade=0.08)
        c.rect(left + 2 * wide / 3, top, right, bottom, third.rgb, shade=0.08)
    elif design == "cross":
        c.rect(left, mid - 0.045, right, mid + 0.045, second.rgb)
        c.rect(left + wide * 0.32, top, left + wide * 0.32 + 0.09, bottom, second.rgb)
    elif design == "disc":
        c.disc(left + wide / 2, mid, high * 0.3, second.rgb)
    else:
        c.rect(left, mid, right, bottom, second.rgb, shade=0.05)
        c.polygon([(left, top), (left + wide * 0.42, mid), (left, bottom)], third.rgb)
    told = {
        "horizontal stripes": f"horizontal stripes in {first.name}, {second.name} and {third.name}",
        "vertical stripes": f"vertical stripes in {first.name}, {second.name} and {third.name}",
        "cross": f"{a(f'{second.name} cross')} on {first.name}",
        "disc": f"{a(f'{second.name} circle')} on {a(f'{first.name} field')}",
        "triangle": f"{first.name} over {second.name} and {a(f'{third.name} triangle')}",
    }[design]
    return Scene(f"a flag with {told}", f"{first.name} and {second.name} flag", above.phrase)


def traffic_light(c: Canvas) -> Scene:
    """A traffic light with one lamp on."""
    above = sky(c)
    c.finishing.clear()
    on = c.pick(("red", "yellow", "green"))
    lamps = {"red": (226, 40, 40), "yellow": (250, 204, 50), "green": (50, 200, 90)}
    x, y = c.w * c.uniform(0.38, 0.62), c.h * 0.08
    c.rect(x - 0.025, y + 0.6, x + 0.025, c.h, (70, 72, 78), shade=0.2)
    c.rect(x - 0.13, y, x + 0.13, y + 0.66, (44, 46, 52), shade=0.25, radius=0.04)
    for i, (name, tone) in enumerate(lamps.items()):
        ly = y + 0.13 + 0.2 * i
        c.disc(x, ly, 0.085, tone if name == on else darker(tone, 0.75), 0.2)
        if name == on:
            c.veil(x, ly, 0.2, 0.2, lighter(tone, 0.4), 0.6)
    meaning = {"red": "it says stop", "yellow": "it is about to change", "green": "it says go"}[on]
    return Scene(f"a traffic light showing {on}", f"{on} traffic light", above.phrase, (meaning,))


SHAPES = ("circle", "square", "triangle", "star", "hexagon", "diamond")


def _draw_shape(p: Pen, kind: str, tone: RGB) -> None:
    if kind == "circle":
        p.disc(0, 0, 1, tone, 0.12)
    elif kind == "square":
        p.rect(-0.85, -0.85, 0.85, 0.85, tone, 0.12)
    else:
        corners = {"triangle": 3, "star": 10, "hexagon": 6, "diamond": 4}[kind]
        points = []
        for k in range(corners):
            r, angle = 0.42 if kind == "star" and k % 2 else 1.0, math.tau * k / corners
            points.append((r * math.sin(angle), -r * math.cos(angle)))
        p.shape(points, tone, 0.12)


def shapes(c: Canvas) -> Scene:
    """Geometric figures on a plain ground."""
    back = c.paint(("white", "beige", "black", "light blue", "grey", "navy"))
    wall(c, back.rgb)
    number = c.integer(2, 4)
    told = []
    for i in range(number):
        kind, paint = c.pick(SHAPES), c.paint()
        r = min(0.26, 0.4 * c.w / number) * c.uniform(0.7, 1)
        pen = Pen(c, c.w * (i + 0.5) / number, c.h * c.uniform(0.32, 0.68), r)
        _draw_shape(pen, kind, paint.rgb)
        told.append(a(f"{paint.name} {kind}"))
    order = c.pick(("side by side", "in a row"))
    where = f"on {a(f'{back.name} background')}"
    return Scene(f"{listing(told)} {order}", "geometric shapes", where)


def _checks(c: Canvas, step: float, tone: RGB) -> None:
    for row in range(int(c.h / step) + 1):
        for column in range(row % 2, int(c.w / step) + 1, 2):
            x, y = column * step, row * step
            c.rect(x, y, x + step, y + step, tone)


def _dots(c: Canvas, step: float, tone: RGB) -> None:
    for row in range(int(c.h / step) + 2):
        for column in range(int(c.w / step) + 2):
            c.disc((column + 0.5 * (row % 2)) * step, row * step, step * 0.27, tone, 0.12)


def _stripes(c: Canvas, step: float, tone: RGB) -> None:
    for k in range(int(c.w / step) + 1):
        c.rect(k * step, 0, (k + 0.5) * step, c.h, tone)


def _wavy(c: Canvas, step: float, tone: RGB, bends: list[float]) -> None:
    """Lines across the picture that rise and fall by ``bends``."""
    for row in range(int(c.h / step) + 2):
        points = [
            (c.w * k / (len(bends) - 1), (row + 0.25 * bend) * step) for k, bend in enumerate(bends)
        ]
        c.line(points, tone, step * 0.24)


def pattern(c: Canvas) -> Scene:
    """A repeated pattern, as on cloth or paper."""
    first, second = c.paints(2, (*BRIGHT, "white", "black", "navy", "beige"))
    kind = c.pick(("stripes", "dots", "checks", "waves", "zigzags"))
    c.gradient(first.rgb, first.rgb)
    n = c.integer(4, 10)
    step = max(c.w, c.h) / n
    if kind in ("waves", "zigzags"):
        waves = [math.sin(k * math.tau * n / 64) for k in range(65)]
        _wavy(c, step, second.rgb, waves if kind == "waves" else [-1.0, 1.0] * n)
    else:
        {"stripes": _stripes, "dots": _dots, "checks": _checks}[kind](c, step, second.rgb)
    subject = f"a pattern of {second.name} {kind} on {a(f'{first.name} ground')}"
    detail = f"the {kind} repeat across the whole picture"
    return Scene(subject, f"{second.name} {kind}", "", (detail,))


SCENES = {"flag": flag, "traffic light": traffic_light, "shapes": shapes, "pattern": pattern}
