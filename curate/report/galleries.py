"""Galleries: samples side by side, those that look the same once, with their number.

The same are pictures of equal bytes where a gallery is about pictures, equal captions where it is
about captions, and both for all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from curate.report.payload import Entry, Gallery
from curate.report.rows import Shown

Alike = Literal["picture", "caption", "pair"]
"""What must be the same for two samples to be put together."""


class Candidate(NamedTuple):
    """Rows of one value, `rows` the first of them, and how many there are."""

    rows: tuple[int, ...]
    number: int = 1


@dataclass(frozen=True)
class Plan:
    """A gallery before its samples are read.

    Attributes:
        id, group, title, about, total, column: as of a `Gallery`.
        candidates: in the order in which they are shown.
        shown: entries at most.
        alike: what is put together.
    """

    id: str
    group: str
    title: str
    about: str
    total: int
    candidates: Sequence[Candidate]
    shown: int
    column: str | None = None
    alike: Alike = "pair"


def collapse(plan: Plan, known: Mapping[int, Shown], depth: int) -> list[tuple[int, int]]:
    """Row and copies of the entries that the first candidates of a plan make.

    A candidate of several rows counts as one sample only if those of them that were read are alike;
    otherwise each kind of them counts what was read.
    """
    found: dict[object, tuple[int, int]] = {}

    def put(key: object, row: int, count: int) -> None:
        first, copies = found.get(key, (row, 0))
        found[key] = first, copies + count

    for candidate in plan.candidates[:depth]:
        keys = [_key(plan.alike, row, known[row]) for row in candidate.rows]
        if len(set(keys)) == 1:
            put(keys[0], candidate.rows[0], candidate.number)
        else:
            for key, row in zip(keys, candidate.rows, strict=True):
                put(key, row, 1)
    return list(found.values())[: plan.shown]


def _key(alike: Alike, row: int, shown: Shown) -> object:
    look, caption = shown.content.look, shown.content.caption
    if shown.content.caption_cut:  # what is cut off may differ
        caption = None
    if alike == "picture":
        return look if look is not None else row
    if alike == "caption":
        return caption if caption is not None else row
    return (look, caption) if look is not None and caption is not None else row


def fill(
    plans: Sequence[Plan], read: Callable[[Iterable[int]], Mapping[int, Shown]]
) -> list[list[tuple[int, int]]]:
    """Row and copies of the entries of every plan; reads no more candidates than it takes.

    Args:
        plans: of the galleries.
        read: reads rows, and returns all that are known.
    """
    depths = [plan.shown for plan in plans]
    while True:
        wanted = {
            row
            for plan, depth in zip(plans, depths, strict=True)
            for candidate in plan.candidates[:depth]
            for row in candidate.rows
        }
        known = read(wanted)
        entries = [collapse(plan, known, depth) for plan, depth in zip(plans, depths, strict=True)]
        short = [
            at
            for at, plan in enumerate(plans)
            if len(entries[at]) < plan.shown and depths[at] < len(plan.candidates)
        ]
        if not short:
            return entries
        for at in short:
            depths[at] += plans[at].shown


def to_json(
    plan: Plan, entries: Sequence[tuple[int, int]], number: Callable[[int], int]
) -> Gallery:
    """A filled gallery; `number` gives each row the id of its sample."""
    return Gallery(
        id=plan.id,
        group=plan.group,
        title=plan.title,
        about=plan.about,
        column=plan.column,
        total=plan.total,
        entries=[Entry(sample=number(row), copies=copies) for row, copies in entries],
    )
