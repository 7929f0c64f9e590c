"""Brace expansion, as in `shard-{00000..41455}.tar`: lazy, since pools have a million shards."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

_NUMBERS: Final = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")


def expand_braces(text: str) -> Iterator[str]:
    """Expand `{a,b}` and `{start..stop[..step]}` as bash does, nested and repeated.

    Numbers keep the padding of the wider end (`{08..10}` is 08, 09, 10). Braces that are neither
    a list nor a range stay as they are.
    """
    opening = text.find("{")
    while opening >= 0:
        commas, closing = _match_brace(text, opening)
        if closing >= 0:
            body = text[opening + 1 : closing]
            choices = _choices(text, opening, commas, closing) if commas else _range(body)
            if choices is not None:
                head, tails = text[:opening], text[closing + 1 :]
                # The tail is expanded again per choice: lazily, so that nothing is held.
                for choice in choices:
                    for tail in expand_braces(tails):
                        yield head + choice + tail
                return
        opening = text.find("{", opening + 1)
    yield text


def _match_brace(text: str, opening: int) -> tuple[list[int], int]:
    """Positions of the commas at this depth, and of the closing brace (-1 if there is none)."""
    depth = 0
    commas: list[int] = []
    for position in range(opening, len(text)):
        character = text[position]
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return commas, position
        elif character == "," and depth == 1:
            commas.append(position)
    return [], -1


def _choices(text: str, opening: int, commas: list[int], closing: int) -> Iterator[str]:
    edges = [opening, *commas, closing]
    for left, right in itertools.pairwise(edges):
        yield from expand_braces(text[left + 1 : right])


def _range(body: str) -> Iterator[str] | None:
    """The numbers of `start..stop[..step]`, or None if that is not what it is."""
    match = _NUMBERS.fullmatch(body)
    if match is None:
        return None
    first, last, step = match.group(1), match.group(2), abs(int(match.group(3) or 1)) or 1
    padded = any(re.match(r"-?0\d", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    start, stop = int(first), int(last)
    numbers = range(start, stop + 1, step) if start <= stop else range(start, stop - 1, -step)
    return (f"{number:0{width}d}" for number in numbers)
