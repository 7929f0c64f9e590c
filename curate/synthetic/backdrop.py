"""Skies, weather and ground: what stands behind and falls in front of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.synthetic.canvas import RGB, WHITE, Canvas, darker, lighter, mix


@dataclass(frozen=True)
class Sky:
    """The sky of a scene: what to call it, whether it is dark."""

    phrase: str
    night: bool = False
    wet: bool = False


_SKIES: dict[str, tuple[RGB, RGB, tuple[str, ...]]] = {
    "clear": ((74, 142, 222), (196, 224, 244), ("under a clear blue sky", "on a sunny day")),
    "cloudy": ((108, 162, 220), (214, 230, 240), ("under a cloudy sky", "beneath white clouds")),
    "overcast": ((136, 146, 158), (206, 208, 206), ("under a grey sky", "on an overcast day")),
    "sunset": ((84, 62, 128), (250, 158, 82), ("at sunset", "under an orange evening sky")),
    "dawn": ((130, 150, 208), (252, 208, 196), ("at dawn", "in the pink light of early morning")),
    "stars": ((10, 14, 44), (40, 56, 104), ("at night under the stars", "under a starry sky")),
    "moon": ((16, 22, 58), (66, 84, 132), ("by moonlight", "under a bright moon")),
    "rain": ((96, 106, 122), (160, 170, 178), ("in the rain", "on a rainy day")),
    "snow": ((164, 176, 192), (222, 228, 236), ("in falling snow", "on a snowy winter day")),
    "fog": ((178, 184, 186), (220, 220, 216), ("in the fog", "on a misty morning")),
}
# In a picture without colours a blue sky or an orange evening cannot be told.
_GREY_PHRASES = {
    "clear": "under a clear sky",
    "sunset": "at dusk",
    "dawn": "in the early morning",
    "overcast": "on an overcast day",
}
DAY = ("clear", "clear", "cloudy", "cloudy", "overcast", "sunset", "dawn")
ANY = (*DAY, "stars", "moon", "rain", "snow", "fog")


def sky(c: Canvas, kinds: tuple[str, ...] = ANY, horizon: float | None = None) -> Sky:
    """Paint a sky down to ``horizon`` (default: the whole canvas) and plan its weather."""
    kind = c.pick(kinds)
    top, bottom, phrases = _SKIES[kind]
    foot = c.h if horizon is None else horizon
    c.gradient(c.vary(top, 18), c.vary(bottom, 12), 0, foot)
    if kind in ("clear", "cloudy") and c.chance(0.5):
        _sun(c, (255, 232, 120), foot * c.uniform(0.15, 0.4))
    if kind in ("sunset", "dawn"):
        _sun(c, (255, 196, 110), foot * c.uniform(0.6, 0.95))
    if kind in ("stars", "moon"):
        _stars(c, foot, c.integer(25, 70) if kind == "stars" else 14)
    if kind == "moon":
        _moon(c, foot)
    if kind in ("cloudy", "overcast", "sunset", "rain"):
        for _ in range(c.integer(2, 5)):
            tone = mix(bottom, WHITE, 0.75 if kind == "cloudy" else 0.2)
            cloud(c, c.uniform(0, c.w), foot * c.uniform(0.05, 0.5), c.uniform(0.08, 0.2), tone)
    weather = {"rain": _rain, "snow": _snow, "fog": _fog}.get(kind)
    if weather is not None:
        c.finishing.append(weather)
    if kind in ("stars", "moon"):
        c.finishing.append(_darken)
    phrase = c.pick(phrases)
    if c.monochrome:
        phrase = _GREY_PHRASES.get(kind, phrase)
    return Sky(phrase, night=kind in ("stars", "moon"), wet=kind == "rain")


def _sun(c: Canvas, colour: RGB, y: float) -> None:
    x = c.uniform(0.12, 0.88) * c.w
    r = c.uniform(0.04, 0.085)
    c.veil(x, y, r * 4, r * 4, (255, 246, 214), 0.65)
    c.disc(x, y, r, colour)


def _stars(c: Canvas, foot: float, number: int) -> None:
    for x, y, size in c.rng.random((number, 3)):
        r = 0.0025 + 0.0045 * size**3
        c.disc(x * c.w, y * foot * 0.92, r, (255, 250, 228))


def _moon(c: Canvas, foot: float) -> None:
    x, y, r = c.uniform(0.15, 0.85) * c.w, foot * c.uniform(0.15, 0.35), c.uniform(0.05, 0.1)
    c.veil(x, y, r * 3, r * 3, (220, 226, 255), 0.5)
    c.disc(x, y, r, (246, 240, 214), 0.12)
    for _ in range(3):
        angle, far = c.uniform(0, 6.28), c.uniform(0, 0.6) * r
        c.disc(x + far * np.cos(angle), y + far * np.sin(angle), r * 0.16, (222, 214, 186))


def cloud(c: Canvas, x: float, y: float, size: float, colour: RGB) -> None:
    """A cloud of overlapping balls about ``size`` wide, flat below."""
    for _ in range(c.integer(4, 7)):
        dx, r = c.uniform(-size, size), size * c.uniform(0.28, 0.5)
        c.ellipse(x + dx, y - r * 0.4, r * 1.3, r * 0.8, c.vary(colour, 5), shade=0.08)
    c.ellipse(x, y, size * 1.2, size * 0.22, colour)


def _rain(c: Canvas) -> None:
    lean = c.uniform(-0.02, 0.02)
    for x, y, length in c.rng.random((c.integer(70, 150), 3)):
        x, y, length = x * c.w, y * c.h, 0.02 + 0.04 * length
        c.line([(x, y), (x + lean, y + length)], (206, 216, 228), 0.003)


def _snow(c: Canvas) -> None:
    for x, y, size in c.rng.random((c.integer(60, 130), 3)):
        c.disc(x * c.w, y * c.h, 0.003 + 0.008 * size**2, (250, 250, 252))


def _fog(c: Canvas) -> None:
    mist = c.image.copy()
    mist.paste((214, 216, 214), (0, 0, *mist.size))
    c.image.paste(mist, (0, 0), mist.convert("L").point([round(c.uniform(70, 120))] * 256))


def _darken(c: Canvas) -> None:
    c.image.paste((12, 16, 48), (0, 0, *c.image.size), c.image.convert("L").point([74] * 256))


def ground(c: Canvas, y: float, colour: RGB, speckles: int = 90) -> None:
    """Ground from ``y`` down to the lower edge, darker in front, with a sprinkle of texture."""
    c.gradient(lighter(colour, 0.16), darker(colour, 0.22), y, c.h)
    for px, py, t in c.rng.random((speckles, 3)):
        gx, gy = px * c.w, y + py * (c.h - y)
        tone = darker(colour, 0.3) if t < 0.5 else lighter(colour, 0.2)
        c.line([(gx, gy), (gx + 0.006, gy - 0.006 - 0.016 * py)], tone, 0.004)


def hills(c: Canvas, y: float, colour: RGB, height: float = 0.12) -> None:
    """A rolling ridge whose foot is at ``y``."""
    phase, waves = c.uniform(0, 6.28), c.uniform(1, 2.4)
    xs = np.linspace(0, c.w, 24)
    tops = y - height * (
        0.55 + 0.3 * np.sin(xs * waves * 3 + phase) + 0.15 * np.sin(xs * 9 + phase)
    )
    points = [(float(x), float(t)) for x, t in zip(xs, tops, strict=True)]
    c.polygon([(0, y + 0.01), *points, (c.w, y + 0.01)], colour, 0.12)


def water(c: Canvas, y0: float, y1: float, colour: RGB, glints: int = 40) -> None:
    """Water between two heights, with short bright and dark waves."""
    c.gradient(lighter(colour, 0.35), darker(colour, 0.25), y0, y1)
    for px, py, t in c.rng.random((glints, 3)):
        depth = py * py
        x, y = px * c.w, y0 + depth * (y1 - y0)
        half = 0.01 + 0.05 * depth
        tone = lighter(colour, 0.5) if t < 0.6 else darker(colour, 0.25)
        c.line([(x - half, y), (x + half, y)], tone, 0.003 + 0.004 * depth)


def wall(c: Canvas, colour: RGB, table: RGB | None = None, edge: float | None = None) -> None:
    """An indoor background lit from one side; with ``table``, a table top from ``edge`` down."""
    c.gradient(lighter(colour, 0.18), darker(colour, 0.12))
    c.veil(c.w * c.uniform(0, 1), c.h * 0.2, c.w * 0.7, c.h * 0.6, (255, 250, 236), 0.35)
    if table is None:
        return
    edge = c.h * 0.7 if edge is None else edge
    c.gradient(lighter(table, 0.15), darker(table, 0.25), edge, c.h)
    for py in c.rng.random(5):
        y = edge + float(py) * (c.h - edge)
        c.line([(0, y), (c.w, y + c.uniform(-0.01, 0.01))], darker(table, 0.22), 0.003)
