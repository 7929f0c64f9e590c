"""People: eyes, figures, and portraits with an expression."""

from __future__ import annotations

from dataclasses import dataclass

from curate.synthetic.backdrop import wall
from curate.synthetic.canvas import BLACK, RGB, WHITE, Canvas, darker
from curate.synthetic.describe import Scene, a
from curate.synthetic.pen import Pen

SKINS: tuple[RGB, ...] = (
    (246, 212, 184),
    (226, 180, 142),
    (188, 132, 92),
    (140, 92, 62),
    (96, 62, 44),
)
HAIR: dict[str, RGB] = {
    "black": (34, 28, 28),
    "brown": (96, 60, 34),
    "blond": (222, 184, 104),
    "red": (170, 74, 36),
}
IRISES: tuple[RGB, ...] = ((70, 110, 150), (90, 60, 40), (70, 120, 80))
LIP: RGB = (176, 62, 68)
FRAME: RGB = (40, 36, 40)


def eyes(c: Canvas, x: float, y: float, gap: float, r: float, iris: RGB | None = None) -> None:
    """Two eyes; plain dark ones without an iris colour."""
    for side in (-1, 1):
        p = Pen(c, x + side * gap, y, r)
        if iris is not None:
            p.disc(0, 0, 1.6, WHITE)
            p.disc(0, 0, 1, iris)
        p.disc(0, 0, 0.55 if iris is not None else 1.0, BLACK)
        p.disc(-0.3, -0.35, 0.28, WHITE)


def person(
    c: Canvas, x: float, y: float, size: float, top: RGB, legs: RGB, *, dress: bool = False
) -> None:
    """A standing figure of height ``size`` whose feet are at (x, y)."""
    skin, hair = c.vary(c.pick(SKINS), 6), c.pick(tuple(HAIR.values()))
    swing = c.uniform(0.02, 0.1)
    Pen(c, x, y, size).veil(0, 0, 0.22, 0.04)
    for side in (-1, 1):
        p = Pen(c, x, y, size, side)
        foot = 0.05 + swing * 0.5
        p.line([(0.05, -0.45), (foot, 0)], legs, 0.08)
        p.ellipse(foot + 0.02, 0, 0.055, 0.025, darker(legs, 0.6))
        hand = (0.17 + swing, -c.uniform(0.42, 0.62))
        p.line([(0.09, -0.76), hand], darker(top, 0.12), 0.06)
        p.disc(*hand, 0.03, skin)
    p = Pen(c, x, y, size)
    if dress:
        p.shape([(-0.09, -0.8), (0.09, -0.8), (0.2, -0.3), (-0.2, -0.3)], top, 0.18)
    else:
        p.rect(-0.12, -0.8, 0.12, -0.42, top, 0.18, 0.04)
    p.disc(0, -0.91, 0.092, hair)
    p.disc(0, -0.885, 0.08, skin, 0.12)
    eyes(c, x, y - size * 0.89, size * 0.03, size * 0.011)
    p.arc(0, -0.862, 0.03, 0.018, (20, 160), (150, 60, 60), 0.012)


@dataclass(frozen=True)
class Mood:
    """An expression: what it looks like, and how the brows and the eyes move (lengths)."""

    looks: str
    frown: float = 0.0
    raised: float = 0.0
    iris: float = 0.02


MOODS = {
    "happy": Mood("smiling"),
    "sad": Mood("frowning", frown=0.02),
    "surprised": Mood("open-mouthed", raised=0.03, iris=0.026),
    "sleepy": Mood("half asleep", iris=0.0),
    "angry": Mood("scowling", frown=-0.03),
    "calm": Mood("looking calm"),
}


def _mouth(p: Pen, mood: str) -> None:
    if mood == "happy":
        box = (*p.to((-0.085, 0.05)), *p.to((0.085, 0.18)))
        p.canvas.pie(box, 0, 180, LIP)
        p.rect(-0.06, 0.112, 0.06, 0.13, WHITE)
    elif mood == "surprised":
        p.ellipse(0, 0.13, 0.035, 0.05, (120, 36, 44))
    elif mood in ("sad", "angry"):
        p.arc(0, 0.155, 0.07, 0.045, (200, 340), LIP, 0.016)
    else:
        p.arc(0, 0.105, 0.06, 0.025, (20, 160), LIP, 0.014)


def _expression(p: Pen, mood: str, hair: RGB) -> None:
    move = MOODS[mood]
    for side in (-1, 1):
        half = Pen(p.canvas, p.x, p.y, p.size, side)
        inner, outer = -0.085 - move.raised - move.frown, -0.085 - move.raised + move.frown * 0.4
        half.line([(0.04, inner), (0.12, outer)], hair, 0.015)
        if not move.iris:
            half.arc(0.08, -0.035, 0.035, 0.025, (10, 170), BLACK, 0.01)
    if move.iris:
        eyes(p.canvas, p.x, p.y - 0.035, 0.08, move.iris, p.canvas.pick(IRISES))
    _mouth(p, mood)


def _glasses(p: Pen) -> None:
    for x in (-0.08, 0.08):
        p.arc(x, -0.03, 0.06, 0.06, (0, 360), FRAME, 0.011)
    p.line([(-0.022, -0.035), (0.022, -0.035)], FRAME, 0.011)


def face(c: Canvas) -> Scene:
    """A portrait with an expression."""
    back = c.paint(("light blue", "beige", "pink", "light green", "violet", "yellow", "grey"))
    wall(c, back.rgb)
    who, mood = c.pick(("man", "woman", "boy", "girl")), c.pick(tuple(MOODS))
    tint, glasses = c.pick(tuple(HAIR)), c.chance(0.3)
    skin, hair, top = c.vary(c.pick(SKINS), 6), c.vary(HAIR[tint], 8), c.paint()
    p = Pen(c, c.w / 2, c.h * 0.5)
    if who in ("woman", "girl"):
        p.ellipse(0, 0.06, 0.27, 0.34, hair, 0.18)
    c.ellipse(c.w / 2, c.h + 0.02, 0.36, c.h * 0.24, top.rgb, shade=0.2)
    p.rect(-0.07, 0.18, 0.07, 0.34, darker(skin, 0.12))
    p.ellipse(0, -0.06, 0.215, 0.24, hair)
    p.ellipse(0, 0, 0.2, 0.25, skin, 0.14)
    c.pie((p.x - 0.215, p.y - 0.31, p.x + 0.215, p.y + 0.1), 190, 350, hair)
    p.ellipse(0, -0.06, 0.16, 0.09, skin)
    _expression(p, mood, hair)
    p.line([(0, -0.02), (-0.016, 0.05), (0.01, 0.055)], darker(skin, 0.3), 0.01)
    if glasses:
        _glasses(p)
    shade = ("dark" if tint in ("black", "brown") else "fair") if c.monochrome else tint
    subject = f"the face of {a(f'{mood} {who}')} with {shade} hair"
    if glasses:
        subject += " and glasses"
    details = [f"the {who} is {MOODS[mood].looks}"]
    if back.name:
        details.append(f"the background is {back.name}")
    shirt = f"wearing {a(f'{top.name} top')}" if top.name else ""
    return Scene(subject, f"{mood} {who}", shirt, tuple(details))


SCENES = {"face": face}
