"""Boards, cards and dice."""

from __future__ import annotations

from curate.synthetic.backdrop import wall
from curate.synthetic.canvas import (
    COLOURS,
    RGB,
    WHITE,
    Canvas,
    darker,
)
from curate.synthetic.describe import NUMBERS, Scene, a, count, listing
from curate.synthetic.pen import Pen

BOARDS = (
    ("white", "black"),
    ("beige", "brown"),
    ("white", "green"),
    ("yellow", "dark red"),
    ("white", "blue"),
)
SIDE = 8  # squares


def _draw_board(p: Pen, pale: RGB, deep: RGB) -> None:
    """A board of unit squares whose upper left corner is the origin."""
    p.rect(-0.3, -0.3, SIDE + 0.3, SIDE + 0.3, darker(deep, 0.35), 0.15)
    for row in range(SIDE):
        for column in range(SIDE):
            tone = pale if (row + column) % 2 == 0 else deep
            p.rect(column, row, column + 1, row + 1, tone)


def _draw_pawn(p: Pen, tone: RGB) -> None:
    p.ellipse(0, 0.28, 0.3, 0.13, tone, 0.2)
    p.shape([(-0.2, 0.28), (0.2, 0.28), (0, -0.25)], tone)
    p.disc(0, -0.2, 0.17, tone, 0.3)


def chessboard(c: Canvas) -> Scene:
    """A board with some pawns."""
    wall(c, c.vary((120, 84, 58), 24))
    pale, deep = c.pick(BOARDS)
    size = 0.86 / SIDE
    left, top = c.w / 2 - 0.43, c.h / 2 - 0.43
    _draw_board(Pen(c, left, top, size), COLOURS[pale], COLOURS[deep])
    number = c.integer(0, 14)
    whites = 0
    for square in c.rng.permutation(SIDE * SIDE)[:number]:
        row, column = divmod(int(square), SIDE)
        white = c.chance(0.5)
        whites += white
        pen = Pen(c, left + (column + 0.5) * size, top + (row + 0.5) * size, size)
        _draw_pawn(pen, (246, 236, 214) if white else (40, 36, 40))
    board = "chessboard" if c.monochrome else f"{pale} and {deep} chessboard"
    subject = f"{a(board)} with {count(number, 'pawn')}" if number else f"an empty {board}"
    if number < 2:
        return Scene(subject, "chessboard")
    split = f"{whites} of the {number} pawns are white" if whites != 1 else "one pawn is white"
    return Scene(subject, "chessboard", "", (split,))


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


SCENES = {"chessboard": chessboard, "playing cards": playing_cards, "dice": dice}
