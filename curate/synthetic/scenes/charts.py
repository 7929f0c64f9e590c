"""Charts with axes and labels, and maps."""

from __future__ import annotations

import math

import numpy as np

from curate.synthetic.canvas import (
    INK,
    Canvas,
    darker,
    lighter,
)
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing, plural

PAPERS = ((252, 252, 250), (246, 242, 230), (238, 244, 250), (250, 246, 240))


TOPICS = (
    ("Rainfall", "month", ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul")),
    ("Sales", "quarter", ("Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7")),
    ("Visitors", "day", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
    ("Temperature", "hour", ("0", "4", "8", "12", "16", "20", "24")),
    ("Population", "city", ("Rome", "Oslo", "Lima", "Cairo", "Paris", "Delhi", "Tokyo")),
    ("Fruit sold", "kind", ("apple", "pear", "plum", "fig", "lime", "kiwi", "date")),
    ("Test scores", "class", ("A", "B", "C", "D", "E", "F", "G")),
    ("Energy use", "year", ("2014", "2015", "2016", "2017", "2018", "2019", "2020")),
)


def _paper(c: Canvas) -> None:
    tone = c.vary(c.pick(PAPERS), 3)
    c.gradient(tone, darker(tone, 0.03))


def _axes(c: Canvas, title: str) -> tuple[float, float, float, float]:
    """Title, grid and axes; the plot's left, top, right and bottom."""
    left, top, right, bottom = 0.13, 0.16, c.w - 0.06, c.h - 0.13
    c.text(c.w / 2, 0.075, title, 0.062, INK)
    for k in range(1, 5):
        y = bottom - (bottom - top) * k / 4
        c.line([(left, y), (right, y)], (208, 210, 214), 0.003)
        c.text(left - 0.015, y, str(25 * k), 0.036, INK, "rm")
    c.line([(left, top), (left, bottom), (right, bottom)], INK, 0.007)
    return left, top, right, bottom


def bar_chart(c: Canvas) -> Scene:
    """Bars with labels."""
    _paper(c)
    topic, unit, labels = c.pick(TOPICS)
    number = c.integer(3, 7)
    left, top, right, bottom = _axes(c, f"{topic} by {unit}")
    values = c.rng.permutation(np.linspace(15, 98, 12))[:number]
    paint, varied = c.paint(), c.chance(0.35)
    step = (right - left) / number
    for i, value in enumerate(values):
        x = left + step * (i + 0.5)
        tone = c.paint().rgb if varied else paint.rgb
        c.rect(
            x - step * 0.32,
            bottom - (bottom - top) * value / 100,
            x + step * 0.32,
            bottom,
            tone,
            shade=0.12,
        )
        c.text(x, bottom + 0.04, labels[i], min(0.042, step * 0.3), INK)
    most, least = labels[int(values.argmax())], labels[int(values.argmin())]
    hue = "" if varied else paint.name
    return Scene(
        f"a bar chart of {topic.lower()} by {unit} with {count(number, f'{hue} bar')}",
        f"{topic} by {unit}, bar chart",
        "",
        (f"the highest bar is {most}", f"the lowest bar is {least}"),
    )


def line_plot(c: Canvas) -> Scene:
    """One to three curves."""
    _paper(c)
    topic, unit, labels = c.pick(TOPICS[:4] + TOPICS[-1:])
    left, top, right, bottom = _axes(c, f"{topic} by {unit}")
    number = c.integer(1, 3)
    paints = c.paints(number)
    trend = c.pick(("rising", "falling", "wavy"))
    x = np.linspace(0, 1, 7)
    for paint in paints:
        slope = {"rising": 1.0, "falling": -1.0, "wavy": 0.0}[trend] * c.uniform(0.45, 0.8)
        wave = 0.25 * np.sin(x * c.uniform(6, 11) + c.uniform(0, 6)) if trend == "wavy" else 0.0
        y = np.clip(0.5 + slope * (x - 0.5) + wave + c.rng.normal(0, 0.03, 7), 0.03, 0.97)
        points = [
            (left + (right - left) * float(p), bottom - (bottom - top) * float(q))
            for p, q in zip(x, y, strict=True)
        ]
        c.line(points, paint.rgb, 0.013)
        for px, py in points:
            c.disc(px, py, 0.013, paint.rgb)
    for k in range(7):
        c.text(left + (right - left) * k / 6, bottom + 0.04, labels[k], 0.036, INK)
    named = f"{listing([p.name for p in paints])} line" if paints[0].name else "line"
    lines = a(named) if number == 1 else plural(named) if paints[0].name else count(number, "line")
    return Scene(
        f"a line graph of {topic.lower()} by {unit} with {lines}",
        f"{topic} graph",
        "",
        (f"the {'line is' if number == 1 else 'lines are'} {trend}",),
    )


def pie_chart(c: Canvas) -> Scene:
    """A pie with a legend."""
    _paper(c)
    topic, unit, labels = c.pick(TOPICS)
    number = c.integer(2, 5)
    paints = c.paints(number)
    shares = np.sort(c.rng.dirichlet(np.full(number, 3.0)))[::-1]
    c.text(c.w / 2, 0.08, f"{topic} by {unit}", 0.062, INK)
    x, y, r = c.w * 0.38, c.h * 0.56, min(0.32, c.w * 0.3)
    start = c.uniform(0, 360)
    c.veil(x + 0.01, y + 0.02, r * 1.15, r * 1.15)
    for share, paint in zip(shares, paints, strict=True):
        c.pie((x - r, y - r, x + r, y + r), start, start + 360 * float(share), paint.rgb)
        start += 360 * float(share)
    for i, (share, paint) in enumerate(zip(shares, paints, strict=True)):
        ly = c.h * 0.3 + 0.085 * i
        c.rect(c.w * 0.74, ly - 0.02, c.w * 0.74 + 0.04, ly + 0.02, paint.rgb)
        c.text(c.w * 0.74 + 0.055, ly, f"{labels[i]} {share:.0%}", 0.042, INK, "lm")
    return Scene(
        f"a pie chart of {topic.lower()} by {unit} in {NUMBERS[number]} parts",
        f"{topic} pie chart",
        "",
        (
            f"the largest slice is {labels[0]} in {paints[0].name} with {shares[0]:.0%}",
            f"{labels[-1]} has the smallest share",
        ),
    )


def scatter_plot(c: Canvas) -> Scene:
    """Points with a trend."""
    _paper(c)
    first, second = c.sample(("Height", "Weight", "Age", "Speed", "Price", "Distance", "Dose"), 2)
    left, top, right, bottom = _axes(c, f"{second} against {first.lower()}")
    paint, number, slope = c.paint(), c.integer(20, 60), c.pick((-0.7, 0.0, 0.7))
    for px, noise in zip(c.rng.random(number), c.rng.normal(0, 0.09, number), strict=True):
        py = min(
            max(0.5 + slope * (float(px) - 0.5) + float(noise) * (2.2 if slope == 0 else 1), 0.03),
            0.97,
        )
        c.disc(
            left + (right - left) * float(px), bottom - (bottom - top) * py, 0.012, paint.rgb, 0.2
        )
    c.text((left + right) / 2, bottom + 0.06, first, 0.045, INK)
    trend = {-0.7: "falls with", 0.0: "does not depend on", 0.7: "grows with"}[slope]
    return Scene(
        f"a scatter plot of {second.lower()} against {first.lower()} with {paint.name} points",
        f"{second} against {first.lower()}",
        "",
        (f"{second.lower()} {trend} {first.lower()}",),
    )


def island_map(c: Canvas) -> Scene:
    """An island or continent with places."""
    sea = c.paint(("light blue", "blue", "turquoise"))
    c.gradient(lighter(sea.rgb, 0.3), sea.rgb)
    for y in np.linspace(0.1, c.h - 0.1, 6):
        c.line([(0, float(y)), (c.w, float(y))], lighter(sea.rgb, 0.45), 0.003)
    land = c.paint(("green", "beige", "yellow", "light green"))
    islands = c.integer(1, 3)
    for i in range(islands):
        x, y = c.w * (i + 0.5) / islands, c.h * c.uniform(0.42, 0.6)
        angles = np.linspace(0, math.tau, 22)[:-1]
        r = (0.36 if islands == 1 else 0.4 / islands) * (1 + 0.2 * c.rng.standard_normal(21)).clip(
            0.6, 1.3
        )
        points = [
            (x + float(q * np.cos(t)), y + float(q * np.sin(t)) * 0.85)
            for q, t in zip(r, angles, strict=True)
        ]
        c.polygon(points, land.rgb, 0.14)
        c.line([*points, points[0]], darker(land.rgb, 0.4), 0.007)
    places = c.integer(1, 4)
    named = c.sample(
        ("Alba", "Torin", "Mira", "Westport", "Calder", "Osten", "Lorne", "Vale"), places
    )
    x, y = c.w * 0.5 / islands, c.h * 0.5
    for i, name in enumerate(named):
        py = y + 0.09 * (i - (places - 1) / 2)
        c.disc(x - 0.07, py, 0.014, (190, 40, 40))
        c.text(x - 0.045, py, name, 0.04, INK, "lm")
    c.line([(c.w - 0.1, 0.2), (c.w - 0.1, 0.08)], INK, 0.01)
    c.text(c.w - 0.1, 0.055, "N", 0.05, INK)
    tint = f"{land.name} " if land.name else ""
    towns = ("town " + named[0]) if places == 1 else "towns " + listing(named)
    return Scene(
        f"a map of {count(islands, f'{tint}island')} with the {towns}",
        "map of an island" if islands == 1 else "map of islands",
        "",
        ("an arrow points north",),
    )


SCENES = {
    "bar chart": bar_chart,
    "line plot": line_plot,
    "pie chart": pie_chart,
    "scatter plot": scatter_plot,
    "map": island_map,
}
