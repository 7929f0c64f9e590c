"""Things that appear in more than one scene: trees, houses, flowers, faces."""

from __future__ import annotations

import math

from curate.synthetic.canvas import BLACK, RGB, WHITE, Canvas, darker, lighter

SKINS: tuple[RGB, ...] = (
    (246, 212, 184),
    (226, 180, 142),
    (188, 132, 92),
    (140, 92, 62),
    (96, 62, 44),
)
HAIR = {
    "black": (34, 28, 28),
    "brown": (96, 60, 34),
    "blond": (222, 184, 104),
    "red": (170, 74, 36),
}


def round_tree(c: Canvas, x: float, y: float, size: float, leaf: RGB) -> None:
    """A leafy tree whose trunk stands at (x, y)."""
    trunk = c.vary((104, 72, 46))
    c.veil(x, y, size * 0.42, size * 0.08)
    c.rect(x - size * 0.05, y - size * 0.5, x + size * 0.05, y, trunk, shade=0.2)
    for _ in range(7):
        dx, dy = c.uniform(-0.22, 0.22) * size, c.uniform(-0.2, 0.2) * size
        c.disc(x + dx, y - size * 0.68 + dy, size * c.uniform(0.14, 0.24), c.vary(leaf, 12), 0.28)


def fir_tree(c: Canvas, x: float, y: float, size: float, leaf: RGB, *, snowy: bool = False) -> None:
    """A fir whose trunk stands at (x, y)."""
    c.veil(x, y, size * 0.3, size * 0.06)
    c.rect(x - size * 0.04, y - size * 0.15, x + size * 0.04, y, (92, 64, 42))
    for level in range(3):
        foot, half = y - size * (0.1 + 0.25 * level), size * (0.3 - 0.07 * level)
        top = foot - size * 0.42
        c.polygon([(x - half, foot), (x, top), (x + half, foot)], c.vary(leaf, 8), 0.25)
        if snowy:
            drop = top + size * 0.13
            c.polygon([(x - half * 0.34, drop), (x, top), (x + half * 0.34, drop)], WHITE)


def cottage(c: Canvas, x: float, y: float, size: float, walls: RGB, roof: RGB, lit: bool) -> None:
    """A house of width ``size`` standing at height ``y`` with its middle at ``x``."""
    half, tall = size / 2, size * 0.55
    window: RGB = (255, 220, 120) if lit else (168, 206, 228)
    c.veil(x, y, half * 1.3, size * 0.08)
    c.rect(x + half * 0.4, y - tall - size * 0.42, x + half * 0.6, y - tall, darker(walls, 0.35))
    c.rect(x - half, y - tall, x + half, y, walls, shade=0.12)
    peak = y - tall - size * c.uniform(0.3, 0.45)
    c.polygon([(x - half * 1.2, y - tall), (x, peak), (x + half * 1.2, y - tall)], roof, 0.2)
    door = x + half * c.pick((-0.45, 0.0, 0.45))
    c.rect(door - size * 0.08, y - size * 0.3, door + size * 0.08, y, darker(roof, 0.4))
    c.disc(door + size * 0.05, y - size * 0.14, size * 0.014, (240, 210, 110))
    for wx in (-0.6, 0.0, 0.6):
        mid = x + half * wx
        if abs(mid - door) < size * 0.19:
            continue
        top, low = y - tall * 0.78, y - tall * 0.42
        c.rect(mid - size * 0.08, top, mid + size * 0.08, low, window, outline=WHITE)
        c.line([(mid, top), (mid, low)], WHITE, 0.006)


def blossom(c: Canvas, x: float, y: float, r: float, colour: RGB, petals: int) -> None:
    """A flower head of radius ``r``."""
    start = c.uniform(0, 1)
    for i in range(petals):
        angle = start + i * math.tau / petals
        px, py = x + 0.58 * r * math.cos(angle), y + 0.58 * r * math.sin(angle)
        c.disc(px, py, r * 0.46, c.vary(colour, 8), 0.22)
    c.disc(x, y, r * 0.34, (238, 190, 62), 0.25)


def tulip(c: Canvas, x: float, y: float, r: float, colour: RGB) -> None:
    """A tulip head of radius ``r``."""
    c.ellipse(x, y + r * 0.2, r * 0.62, r * 0.8, colour, shade=0.25)
    for dx in (-0.42, 0.0, 0.42):
        tip = (x + dx * r * 1.3, y - r * 0.95)
        c.polygon(
            [(x + (dx - 0.3) * r, y + 0.1 * r), tip, (x + (dx + 0.3) * r, y + 0.1 * r)], colour
        )


def eyes(c: Canvas, x: float, y: float, gap: float, r: float, iris: RGB | None = None) -> None:
    """Two eyes; plain dark ones without an iris colour."""
    for side in (-1, 1):
        ex = x + side * gap
        if iris is not None:
            c.disc(ex, y, r * 1.6, WHITE)
            c.disc(ex, y, r, iris)
        c.disc(ex, y, r * (0.55 if iris is not None else 1.0), BLACK)
        c.disc(ex - r * 0.3, y - r * 0.35, r * 0.28, WHITE)


def person(
    c: Canvas, x: float, y: float, size: float, top: RGB, legs: RGB, *, dress: bool = False
) -> None:
    """A standing figure of height ``size`` whose feet are at (x, y)."""
    skin, hair = c.vary(c.pick(SKINS), 6), c.pick(tuple(HAIR.values()))
    c.veil(x, y, size * 0.22, size * 0.04)
    swing = c.uniform(0.02, 0.1) * size
    for side in (-1, 1):
        foot = x + side * (size * 0.05 + swing * 0.5)
        c.line([(x + side * size * 0.05, y - size * 0.45), (foot, y)], legs, size * 0.08)
        c.ellipse(foot + side * size * 0.02, y, size * 0.055, size * 0.025, darker(legs, 0.6))
        hand = (x + side * (size * 0.17 + swing), y - size * c.uniform(0.42, 0.62))
        c.line([(x + side * size * 0.09, y - size * 0.76), hand], darker(top, 0.12), size * 0.06)
        c.disc(*hand, size * 0.03, skin)
    if dress:
        c.polygon(
            [
                (x - size * 0.09, y - size * 0.8),
                (x + size * 0.09, y - size * 0.8),
                (x + size * 0.2, y - size * 0.3),
                (x - size * 0.2, y - size * 0.3),
            ],
            top,
            0.18,
        )
    else:
        c.rect(
            x - size * 0.12,
            y - size * 0.8,
            x + size * 0.12,
            y - size * 0.42,
            top,
            shade=0.18,
            radius=size * 0.04,
        )
    c.disc(x, y - size * 0.91, size * 0.092, hair)
    c.disc(x, y - size * 0.885, size * 0.08, skin, 0.12)
    eyes(c, x, y - size * 0.89, size * 0.03, size * 0.011)
    c.arc(
        (x - size * 0.03, y - size * 0.88, x + size * 0.03, y - size * 0.845),
        20,
        160,
        (150, 60, 60),
        size * 0.012,
    )


def fruit(c: Canvas, kind: str, x: float, y: float, r: float) -> None:
    """One piece of fruit of about radius ``r``."""
    colours: dict[str, RGB] = {
        "apple": (204, 44, 46),
        "orange": (240, 140, 40),
        "lemon": (244, 214, 70),
        "pear": (176, 196, 78),
        "plum": (96, 52, 120),
        "peach": (246, 172, 122),
        "green apple": (136, 186, 66),
        "lime": (104, 168, 60),
    }
    colour = c.vary(colours.get(kind, (240, 208, 72)), 10)
    if kind == "banana":
        c.arc((x - r * 1.3, y - r * 1.6, x + r * 1.3, y + r), 20, 160, (238, 204, 70), r * 0.5)
        c.arc(
            (x - r * 1.3, y - r * 1.6, x + r * 1.3, y + r * 0.9), 24, 156, (214, 172, 48), r * 0.1
        )
    elif kind == "grapes":
        tone = c.vary((98, 54, 130))
        for row in range(4):
            for i in range(4 - row):
                gx = x + (i - (3 - row) / 2) * r * 0.55
                c.disc(gx, y - r * 0.7 + row * r * 0.48, r * 0.32, c.vary(tone, 8), 0.35)
    elif kind == "pear":
        c.disc(x, y - r * 0.7, r * 0.55, colour, 0.3)
        c.disc(x, y, r * 0.9, colour, 0.3)
        c.line([(x, y - r * 1.2), (x + r * 0.1, y - r * 1.6)], (92, 62, 40), r * 0.12)
    elif kind == "lemon":
        c.ellipse(x, y, r * 1.15, r * 0.8, colour, shade=0.3)
        c.disc(x + r * 1.1, y, r * 0.16, darker(colour, 0.12))
    elif kind == "cherry":
        c.disc(x, y, r * 0.6, (176, 20, 44), 0.4)
        c.line([(x, y - r * 0.5), (x + r * 0.4, y - r * 1.7)], (88, 112, 50), r * 0.1)
    elif kind == "strawberry":
        red = c.vary((214, 42, 56), 8)
        c.polygon([(x - r * 0.8, y - r * 0.4), (x + r * 0.8, y - r * 0.4), (x, y + r * 1.1)], red)
        c.ellipse(x, y - r * 0.4, r * 0.8, r * 0.5, red, shade=0.15)
        for px, py in c.rng.random((9, 2)):
            c.disc(x + (px - 0.5) * r, y + (py - 0.5) * r, r * 0.06, (250, 214, 130))
        c.polygon(
            [(x - r * 0.6, y - r * 0.9), (x, y - r * 0.5), (x + r * 0.6, y - r * 0.9)],
            (80, 140, 60),
        )
    else:
        c.disc(x, y, r, colour, 0.38)
        c.line([(x, y - r * 0.85), (x + r * 0.12, y - r * 1.25)], (92, 62, 40), r * 0.12)
        if "apple" in kind:
            c.ellipse(x + r * 0.35, y - r * 1.1, r * 0.28, r * 0.13, lighter((70, 130, 60), 0.1))
