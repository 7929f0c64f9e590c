"""Galleries: which samples are shown side by side, and under what title.

What looks the same is put together: pictures of equal bytes where a gallery is about pictures,
equal captions where it is about captions. The count says of how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from curate.numerics.selection import KEPT
from curate.report.describing import label_of, of_image, of_text
from curate.report.extremes import ValueGroup
from curate.report.payload import Entry, Gallery
from curate.report.rows import Shown
from curate.report.scan import ReportScan
from curate.schema import DUPLICATE_UID, REJECTIONS

Alike = Literal["picture", "caption", "pair"]
"""What must be the same for two samples to be put together."""


class Candidate(NamedTuple):
    """Rows of one value, `rows` the first of them, and how many there are."""

    rows: tuple[int, ...]
    number: int


@dataclass(frozen=True)
class Plan:
    """A gallery before its samples are read.

    Attributes:
        id, group, title, about, column, total: as of a `Gallery`.
        candidates: in the order in which they are shown.
        alike: what is put together.
        shown: entries at most.
    """

    id: str
    group: str
    title: str
    about: str
    column: str | None
    total: int
    candidates: Sequence[Candidate]
    alike: Alike
    shown: int


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


# --- which there are ----------------------------------------------------------------------------

RANDOM_ABOUT: Final = "Chosen at random, the same ones each time."


def plan_galleries(
    scan: ReportScan,
    rejected: Mapping[str, Sequence[int]],
    repeated: Sequence[int],
    totals: Mapping[str, int],
    *,
    decided: bool,
) -> list[Plan]:
    """All galleries that have something to show.

    Args:
        scan: of the pool.
        rejected: reason -> rows, chosen at random.
        repeated: rows of samples that repeat a uid, chosen at random.
        totals: samples of each reason of a rejection, and of `duplicate_uid`.
        decided: whether there are decisions.
    """
    plans = [*_extremes(scan), *_around(scan), *_random(scan, decided=decided)]
    if decided:
        plans += _dropped(scan)
    shown = scan.wanted.samples
    plans.append(
        Plan(
            id=f"dropped:{DUPLICATE_UID}",
            group="Dropped",
            title="Dropped: repeated uid",
            about="Samples whose uid occurred before; the first of each uid is decided by the"
            " rules.",
            column=None,
            total=totals.get(DUPLICATE_UID, 0),
            candidates=_singles(repeated),
            alike="pair",
            shown=shown,
        )
    )
    for reason, rows in rejected.items():
        plans.append(
            Plan(
                id=f"rejected:{reason}",
                group="Rejected",
                title=f"Rejected: {reason.replace('_', ' ')}",
                about=f"Not scored: {REJECTIONS.get(reason, 'for a reason of another version')}.",
                column=None,
                total=totals.get(reason, 0),
                candidates=_singles(rows),
                alike="pair",
                shown=shown,
            )
        )
    return [plan for plan in plans if plan.candidates]


def _extremes(scan: ReportScan) -> list[Plan]:
    total = int(scan.dropped.sum())
    plans = []
    for (name, end), held in scan.extremes.items():
        word = end.capitalize()
        plans.append(
            Plan(
                id=f"{end}:{name}",
                group=word,
                title=f"{word} {label_of(name)}",
                about=f"The {end} values of {name}. Samples of exactly the same value that look"
                " the same are shown once, with their number in the whole pool.",
                column=name,
                total=total,
                candidates=[_of_value(group) for group in held.groups()],
                alike=_alike(name),
                shown=scan.wanted.samples,
            )
        )
    return plans


def _around(scan: ReportScan) -> list[Plan]:
    plans = []
    half = max(1, scan.wanted.samples // 2)
    for number, (slider, (low, high)) in enumerate(
        zip(scan.explorer.sliders, scan.around, strict=True)
    ):
        if slider.test is None:
            continue
        name = slider.test.column
        at_least = slider.keep == "at_least"
        for side, word, lot, held in (
            ("below", "Just below", not at_least, high),
            ("above", "Just above", at_least, low),
        ):
            rows = held.rows(int(lot))
            plans.append(
                Plan(
                    id=f"around:{number}:{side}",
                    group="Around cuts",
                    title=f"{word} {slider.test.name}",
                    about=f"The samples nearest to the cut that {'pass' if lot else 'fail'} it,"
                    " the nearest first.",
                    column=name,
                    total=len(rows),
                    candidates=_singles(rows),
                    alike=_alike(name),
                    shown=half,
                )
            )
    return plans


def _random(scan: ReportScan, *, decided: bool) -> list[Plan]:
    shown, total = scan.wanted.samples, int(scan.dropped.sum())
    plans = [
        Plan(
            id="random",
            group="Random",
            title="Random samples",
            about=f"Of all that were scored. {RANDOM_ABOUT}",
            column=None,
            total=total,
            candidates=_singles(scan.random.rows(0)),
            alike="pair",
            shown=shown,
        )
    ]
    if decided:
        kept = scan.reasons.index(KEPT)
        plans.append(
            Plan(
                id="kept",
                group="Kept",
                title="Kept",
                about=f"Of all that is kept. {RANDOM_ABOUT}",
                column=None,
                total=int(scan.dropped[kept]),
                candidates=_singles(scan.by_reason.rows(kept)),
                alike="pair",
                shown=shown,
            )
        )
    return plans


def _dropped(scan: ReportScan) -> list[Plan]:
    columns = {s.test.name: s.test.column for s in scan.explorer.sliders if s.test is not None}
    plans = []
    for code, reason in enumerate(scan.reasons):
        if reason == KEPT:
            continue
        column = columns.get(reason)
        plans.append(
            Plan(
                id=f"dropped:{reason}",
                group="Dropped",
                title=f"Dropped: {reason}",
                about=f"Of all that this dropped. {RANDOM_ABOUT}",
                column=column,
                total=int(scan.dropped[code]),
                candidates=_singles(scan.by_reason.rows(code)),
                alike="pair" if column is None else _alike(column),
                shown=scan.wanted.samples,
            )
        )
    return plans


def _alike(column: str) -> Alike:
    if of_text(column):
        return "caption"
    return "picture" if of_image(column) else "pair"


def _of_value(group: ValueGroup) -> Candidate:
    return Candidate(group.rows, group.count)


def _singles(rows: Iterable[int]) -> list[Candidate]:
    return [Candidate((row,), 1) for row in rows]
