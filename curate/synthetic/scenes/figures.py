"""Diagrams, games and signs: charts, maps, flags, boards, cards, shapes."""

from __future__ import annotations

import math

import numpy as np

from curate.synthetic.backdrop import sky, wall
from curate.synthetic.canvas import BRIGHT, COLOURS, INK, WHITE, Canvas, darker, lighter
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing, plural

PAPERS = ((252, 252, 250), (246, 242, 230), (238, 244, 250), (250, 246, 240))
TOPICS = (
    ("Rainfall", "month", ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul")),
    ("Sales", "quarter", ("Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7")),
    ("Visitors", "day", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
    ("Temperature", "hour", ("0", "4", "8", "12", "16", "20", "24")),
    ("Population", "city", ("Rome", "Oslo", "Lima", "Cairo", "Paris", "Delhi", "Tokyo")),
    ("Fruit sold", "fruit", ("apple", "pear", "plum", "fig", "lime", "kiwi", "date")),
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


def chessboard(c: Canvas) -> Scene:
    """A board with some pieces."""
    wall(c, c.vary((120, 84, 58), 24))
    pale, deep = c.pick(
        (
            ("white", "black"),
            ("beige", "brown"),
            ("white", "green"),
            ("yellow", "dark red"),
            ("white", "blue"),
        )
    )
    n = 8
    side, left, top = 0.86 / n, c.w / 2 - 0.43, c.h / 2 - 0.43
    c.rect(
        left - 0.03, top - 0.03, left + 0.89, top + 0.89, darker(COLOURS[deep], 0.35), shade=0.15
    )
    for r in range(n):
        for k in range(n):
            tone = COLOURS[pale] if (r + k) % 2 == 0 else COLOURS[deep]
            c.rect(
                left + k * side, top + r * side, left + (k + 1) * side, top + (r + 1) * side, tone
            )
    number = c.integer(0, 14)
    whites = 0
    for square in c.rng.permutation(n * n)[:number]:
        r, k = divmod(int(square), n)
        x, y, white = left + (k + 0.5) * side, top + (r + 0.5) * side, c.chance(0.5)
        whites += white
        tone = (246, 236, 214) if white else (40, 36, 40)
        c.ellipse(x, y + side * 0.28, side * 0.3, side * 0.13, tone, shade=0.2)
        c.polygon(
            [
                (x - side * 0.2, y + side * 0.28),
                (x + side * 0.2, y + side * 0.28),
                (x, y - side * 0.25),
            ],
            tone,
        )
        c.disc(x, y - side * 0.2, side * 0.17, tone, 0.3)
    board = "chessboard" if c.monochrome else f"{pale} and {deep} chessboard"
    subject = f"{a(board)} with {count(number, 'pawn')}" if number else f"an empty {board}"
    details = (
        (f"{whites} of the pawns are white, {number - whites} are black",) if number > 1 else ()
    )
    return Scene(subject, "chessboard", "", details)


RANKS = {
    "A": "ace",
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
    "10": "ten",
    "J": "jack",
    "Q": "queen",
    "K": "king",
}


def _suit(c: Canvas, suit: str, x: float, y: float, r: float) -> None:
    tone = (200, 30, 40) if suit in ("hearts", "diamonds") else (28, 28, 34)
    if suit == "diamonds":
        c.polygon([(x, y - r), (x + r * 0.75, y), (x, y + r), (x - r * 0.75, y)], tone)
        return
    if suit == "clubs":
        for dx, dy in ((-0.45, 0.15), (0.45, 0.15), (0, -0.5)):
            c.disc(x + dx * r, y + dy * r, r * 0.45, tone)
    else:
        up = 1 if suit == "hearts" else -1
        for dx in (-0.45, 0.45):
            c.disc(x + dx * r, y - up * 0.3 * r, r * 0.5, tone)
        c.polygon(
            [(x - 0.92 * r, y - up * 0.12 * r), (x + 0.92 * r, y - up * 0.12 * r), (x, y + up * r)],
            tone,
        )
    if suit != "hearts":
        c.polygon([(x, y), (x + r * 0.3, y + r), (x - r * 0.3, y + r)], tone)


def playing_cards(c: Canvas) -> Scene:
    """One to four playing cards on felt."""
    cloth = c.paint(("green", "dark green", "blue", "dark red", "navy"))
    wall(c, cloth.rgb)
    number = c.integer(1, 4)
    wide = min(0.34, 0.84 * c.w / number)
    told = []
    for i in range(number):
        rank, suit = c.pick(tuple(RANKS)), c.pick(("hearts", "diamonds", "clubs", "spades"))
        x, y = c.w * (i + 0.5) / number, c.h / 2 + c.uniform(-0.05, 0.05)
        c.veil(x + 0.02, y + 0.03, wide * 0.75, wide)
        c.rect(
            x - wide / 2,
            y - wide * 0.72,
            x + wide / 2,
            y + wide * 0.72,
            (252, 250, 246),
            radius=0.025,
            outline=(150, 150, 150),
        )
        ink = (200, 30, 40) if suit in ("hearts", "diamonds") else (28, 28, 34)
        for cx, cy in ((-0.34, -0.54), (0.34, 0.54)):
            c.text(x + cx * wide, y + cy * wide, rank, wide * 0.22, ink)
        _suit(c, suit, x, y, wide * 0.22)
        told.append(f"the {RANKS[rank]} of {suit}")
    table = f"on {a(f'{cloth.name} table')}" if cloth.name else "on a table"
    return Scene(
        f"{listing(told)}{', playing cards' if c.chance(0.4) else ''}",
        "playing cards" if number > 1 else told[0][4:],
        table,
    )


def dice(c: Canvas) -> Scene:
    """Dice showing numbers."""
    cloth, die = c.paints(2, ("green", "blue", "red", "white", "beige", "purple", "black"))
    wall(c, cloth.rgb)
    number = c.integer(1, 4)
    spots = {
        1: (4,),
        2: (0, 8),
        3: (0, 4, 8),
        4: (0, 2, 6, 8),
        5: (0, 2, 4, 6, 8),
        6: (0, 2, 3, 5, 6, 8),
    }
    shown = []
    r = min(0.19, 0.38 * c.w / number)
    for i in range(number):
        value = c.integer(1, 6)
        x, y = c.w * (i + 0.5) / number, c.h * c.uniform(0.38, 0.62)
        c.veil(x + r * 0.3, y + r * 0.5, r * 1.6, r * 1.3)
        c.rect(x - r, y - r, x + r, y + r, die.rgb, shade=0.2, radius=r * 0.3)
        dot = WHITE if sum(die.rgb) < 420 else (30, 30, 34)
        for k in spots[value]:
            c.disc(x + (k % 3 - 1) * r * 0.55, y + (k // 3 - 1) * r * 0.55, r * 0.16, dot)
        shown.append(NUMBERS[value])
    noun = f"{die.name} {'die' if number == 1 else 'dice'}"
    subject = a(noun) if number == 1 else f"{NUMBERS[number]} {noun}"
    return Scene(
        f"{subject} showing {listing(shown)}",
        "die" if number == 1 else "dice",
        f"on {a(f'{cloth.name} cloth')}" if cloth.name else "",
    )


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


def shapes(c: Canvas) -> Scene:
    """Geometric figures on a plain ground."""
    back = c.paint(("white", "beige", "black", "light blue", "grey", "navy"))
    wall(c, back.rgb)
    number = c.integer(1, 4)
    told = []
    for i in range(number):
        kind, paint = c.pick(SHAPES), c.paint()
        x, y, r = (
            c.w * (i + 0.5) / number,
            c.h * c.uniform(0.32, 0.68),
            min(0.26, 0.4 * c.w / number) * c.uniform(0.7, 1),
        )
        if kind == "circle":
            c.disc(x, y, r, paint.rgb, 0.12)
        elif kind == "square":
            c.rect(x - r * 0.85, y - r * 0.85, x + r * 0.85, y + r * 0.85, paint.rgb, shade=0.12)
        else:
            corners = {"triangle": 3, "star": 10, "hexagon": 6, "diamond": 4}[kind]
            points = []
            for k in range(corners):
                q = r * (0.42 if kind == "star" and k % 2 else 1.0)
                points.append(
                    (
                        x + q * math.sin(math.tau * k / corners),
                        y - q * math.cos(math.tau * k / corners),
                    )
                )
            c.polygon(points, paint.rgb, 0.12)
        told.append(a(f"{paint.name} {kind}"))
    ground = f"on {a(f'{back.name} background')}" if back.name else ""
    return Scene(
        f"{listing(told)}{c.pick((' side by side', ' in a row')) if number > 1 else ''}",
        f"{told[0].split(' ', 1)[1]}" if number == 1 else "geometric shapes",
        ground,
    )


def pattern(c: Canvas) -> Scene:
    """A repeated pattern, as on cloth or paper."""
    first, second = c.paints(2, (*BRIGHT, "white", "black", "navy", "beige"))
    kind = c.pick(("stripes", "dots", "checks", "waves", "zigzags"))
    c.gradient(first.rgb, first.rgb)
    n = c.integer(4, 10)
    step = max(c.w, c.h) / n
    for i in range(n + 1):
        for k in range(n + 1) if kind in ("dots", "checks") else ():
            if kind == "dots":
                c.disc((k + 0.5 * (i % 2)) * step, i * step, step * 0.27, second.rgb, 0.12)
            elif (i + k) % 2 == 0:
                c.rect(k * step, i * step, (k + 1) * step, (i + 1) * step, second.rgb)
        if kind == "stripes":
            c.rect(i * step, 0, (i + 0.5) * step, c.h, second.rgb)
        elif kind in ("waves", "zigzags"):
            xs = np.linspace(0, c.w, 40 if kind == "waves" else 2 * n)
            bend = np.sin(xs * 22) if kind == "waves" else np.arange(len(xs)) % 2 * 2.0 - 1
            points = [
                (float(x), i * step + float(b) * step * 0.25) for x, b in zip(xs, bend, strict=True)
            ]
            c.line(points, second.rgb, step * 0.24)
    colours = (
        f"{second.name} {kind} on {a(f'{first.name} ground')}"
        if first.name
        else f"light and dark {kind}"
    )
    return Scene(
        f"a pattern of {colours}",
        f"{second.name} {kind}",
        "",
        (f"the {kind} repeat across the whole picture",),
    )


COLOUR_ONLY = frozenset({"pie chart", "flag", "traffic light", "playing cards"})
SCENES = {
    "bar chart": bar_chart,
    "line plot": line_plot,
    "pie chart": pie_chart,
    "scatter plot": scatter_plot,
    "map": island_map,
    "flag": flag,
    "chessboard": chessboard,
    "playing cards": playing_cards,
    "dice": dice,
    "traffic light": traffic_light,
    "shapes": shapes,
    "pattern": pattern,
}
