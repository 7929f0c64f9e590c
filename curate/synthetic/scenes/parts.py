"""Things that appear in more than one scene: trees, houses, flowers."""

from __future__ import annotations

import math

from curate.synthetic.canvas import (
    RGB,
    WHITE,
    Canvas,
    darker,
)

WALLS: tuple[RGB, ...] = (
    (226, 212, 188),
    (196, 212, 220),
    (220, 196, 196),
    (206, 216, 190),
    (120, 110, 124),
    (236, 232, 222),
)
WOOD: tuple[RGB, ...] = ((150, 106, 70), (190, 148, 104), (104, 70, 48), (214, 200, 184))


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
