"""People: eyes, figures, and portraits with an expression."""

from __future__ import annotations

from curate.synthetic.backdrop import wall
from curate.synthetic.canvas import (
    BLACK,
    RGB,
    WHITE,
    Canvas,
    Point,
    darker,
)
from curate.synthetic.describe import Scene, a

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


MOODS = {
    "happy": "smiling",
    "sad": "frowning",
    "surprised": "open-mouthed",
    "sleepy": "half asleep",
    "angry": "scowling",
    "calm": "looking calm",
}


def face(c: Canvas) -> Scene:
    """A portrait with an expression."""
    back = c.paint(("light blue", "beige", "pink", "light green", "violet", "yellow", "grey"))
    wall(c, back.rgb)
    who, mood = c.pick(("man", "woman", "boy", "girl")), c.pick(tuple(MOODS))
    tint = c.pick(tuple(HAIR))
    skin, hair, top = c.vary(c.pick(SKINS), 6), c.vary(HAIR[tint], 8), c.paint()
    x, y = c.w / 2, c.h * 0.5
    long = who in ("woman", "girl")
    if long:
        c.ellipse(x, y + 0.06, 0.27, 0.34, hair, shade=0.18)
    c.ellipse(x, c.h + 0.02, 0.36, c.h * 0.24, top.rgb, shade=0.2)
    c.rect(x - 0.07, y + 0.18, x + 0.07, y + 0.34, darker(skin, 0.12))
    c.ellipse(x, y - 0.06, 0.215, 0.24, hair)
    c.ellipse(x, y, 0.2, 0.25, skin, shade=0.14)
    c.pie((x - 0.215, y - 0.31, x + 0.215, y + 0.1), 190, 350, hair)
    c.ellipse(x, y - 0.06, 0.16, 0.09, skin)
    _expression(c, x, y, mood, hair)
    c.line([(x, y - 0.02), (x - 0.016, y + 0.05), (x + 0.01, y + 0.055)], darker(skin, 0.3), 0.01)
    glasses = c.chance(0.3)
    if glasses:
        for side in (-1, 1):
            c.arc(
                (x + side * 0.08 - 0.06, y - 0.09, x + side * 0.08 + 0.06, y + 0.03),
                0,
                360,
                (40, 36, 40),
                0.011,
            )
        c.line([(x - 0.022, y - 0.035), (x + 0.022, y - 0.035)], (40, 36, 40), 0.011)
    shade = (
        "dark"
        if c.monochrome and tint in ("black", "brown")
        else ("fair" if c.monochrome else tint)
    )
    looks = f"{shade} hair" + (" and glasses" if glasses else "")
    shirt = f"wearing {a(f'{top.name} top')}" if top.name else ""
    return Scene(
        f"the face of {a(f'{mood} {who}')} with {looks}",
        f"{mood} {who}",
        shirt,
        (
            f"the {who} is {MOODS[mood]}",
            *((f"the background is {back.name}",) if back.name else ()),
        ),
    )


def _expression(c: Canvas, x: float, y: float, mood: str, hair: tuple[int, int, int]) -> None:
    brow = {"sad": 0.02, "angry": -0.03, "surprised": 0.0}.get(mood, 0.0)
    lift = 0.03 if mood == "surprised" else 0.0
    for side in (-1, 1):
        ex = x + side * 0.08
        inner: Point = (ex - side * 0.04, y - 0.085 - lift - brow)
        c.line([inner, (ex + side * 0.04, y - 0.085 - lift + brow * 0.4)], hair, 0.015)
        if mood == "sleepy":
            c.arc((ex - 0.035, y - 0.06, ex + 0.035, y - 0.01), 10, 170, BLACK, 0.01)
    if mood != "sleepy":
        eyes(
            c,
            x,
            y - 0.035,
            0.08,
            0.026 if mood == "surprised" else 0.02,
            c.pick(((70, 110, 150), (90, 60, 40), (70, 120, 80))),
        )
    lip = (176, 62, 68)
    if mood == "happy":
        c.pie((x - 0.085, y + 0.05, x + 0.085, y + 0.18), 0, 180, lip)
        c.rect(x - 0.06, y + 0.112, x + 0.06, y + 0.13, WHITE)
    elif mood == "surprised":
        c.ellipse(x, y + 0.13, 0.035, 0.05, (120, 36, 44))
    elif mood in ("sad", "angry"):
        c.arc((x - 0.07, y + 0.11, x + 0.07, y + 0.2), 200, 340, lip, 0.016)
    else:
        c.arc((x - 0.06, y + 0.08, x + 0.06, y + 0.13), 20, 160, lip, 0.014)


SCENES = {"face": face}
