"""Which galleries a report has, and what each of them says it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from curate.numerics.selection import KEPT
from curate.report.describing import label_of, of_image, of_text
from curate.report.galleries import Alike, Candidate, Plan
from curate.report.scan import ReportScan
from curate.schema import DUPLICATE_UID, REJECTIONS

AT_RANDOM: Final = "Chosen at random, the same ones each time."

MOST_CUTS: Final = 10
"""Tests that have galleries around their cuts: a page holds a thousand samples or two."""

MOST_REASONS: Final = 20
"""Reasons of dropping that have a gallery, the most frequent ones: an `any` has many mixtures."""


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
    plans = [
        *_extremes(scan),
        *_around(scan),
        *_random(scan, decided=decided),
        *(_dropped(scan) if decided else ()),
        *_undecided(rejected, repeated, totals, scan.wanted.samples),
    ]
    return [plan for plan in plans if plan.candidates]


def _extremes(scan: ReportScan) -> Iterator[Plan]:
    for (name, end), held in scan.extremes.items():
        word = end.capitalize()
        yield Plan(
            id=f"{end}:{name}",
            group=word,
            title=f"{word} {label_of(name)}",
            about=f"The {end} values of {name}. Samples of exactly the same value that look the"
            " same are shown once, with their number in the whole pool.",
            total=int(scan.tally.sum()),
            candidates=[Candidate(group.rows, group.count) for group in held.groups()],
            shown=scan.wanted.samples,
            column=name,
            alike=_alike(name),
        )


def _around(scan: ReportScan) -> Iterator[Plan]:
    everything = int(scan.tally.sum())
    for number, slider in enumerate(scan.explorer.sliders[:MOST_CUTS]):
        if slider.test is None:
            continue
        (low, high), passed = scan.around[number], int(scan.passed[number])
        at_least = slider.keep == "at_least"
        for side, held, passes in (("below", high, not at_least), ("above", low, at_least)):
            yield Plan(
                id=f"around:{number}:{side}",
                group="Around cuts",
                title=f"Just {side} {slider.test.name}",
                about=f"The samples nearest to the cut that {'pass' if passes else 'fail'} it, the"
                " nearest first.",
                total=passed if passes else everything - passed,
                candidates=_singles(held.rows(int(passes))),
                shown=max(1, scan.wanted.samples // 2),
                column=slider.test.column,
                alike=_alike(slider.test.column),
            )


def _random(scan: ReportScan, *, decided: bool) -> Iterator[Plan]:
    yield Plan(
        id="random",
        group="Random",
        title="Random samples",
        about=f"Of all that were scored. {AT_RANDOM}",
        total=int(scan.tally.sum()),
        candidates=_singles(scan.random.rows(0)),
        shown=scan.wanted.samples,
    )
    if decided:
        kept = scan.reasons.index(KEPT)
        yield Plan(
            id="kept",
            group="Kept",
            title="Kept",
            about=f"Of all that is kept. {AT_RANDOM}",
            total=int(scan.tally[kept]),
            candidates=_singles(scan.by_reason.rows(kept)),
            shown=scan.wanted.samples,
        )


def _dropped(scan: ReportScan) -> Iterator[Plan]:
    columns = {s.test.name: s.test.column for s in scan.explorer.sliders if s.test is not None}
    codes = [code for code, reason in enumerate(scan.reasons) if reason != KEPT]
    frequent = sorted(codes, key=lambda code: -scan.tally[code])[:MOST_REASONS]
    for code in sorted(frequent):
        reason = scan.reasons[code]
        column = columns.get(reason)  # a reason of several tests is of no single one
        yield Plan(
            id=f"dropped:{reason}",
            group="Dropped",
            title=f"Dropped: {reason}",
            about=f"Of all that this dropped. {AT_RANDOM}",
            total=int(scan.tally[code]),
            candidates=_singles(scan.by_reason.rows(code)),
            shown=scan.wanted.samples,
            column=column,
            alike="pair" if column is None else _alike(column),
        )


def _undecided(
    rejected: Mapping[str, Sequence[int]],
    repeated: Sequence[int],
    totals: Mapping[str, int],
    shown: int,
) -> Iterator[Plan]:
    yield Plan(
        id=f"dropped:{DUPLICATE_UID}",
        group="Dropped",
        title="Dropped: repeated uid",
        about="Samples whose uid occurred before; the first of each uid is decided by the rules.",
        total=totals.get(DUPLICATE_UID, 0),
        candidates=_singles(repeated),
        shown=shown,
    )
    for reason, rows in rejected.items():
        yield Plan(
            id=f"rejected:{reason}",
            group="Rejected",
            title=f"Rejected: {reason.replace('_', ' ')}",
            about=f"Not scored: {REJECTIONS.get(reason, reason)}.",
            total=totals.get(reason, 0),
            candidates=_singles(rows),
            shown=shown,
        )


def _alike(column: str) -> Alike:
    if of_text(column):
        return "caption"
    return "picture" if of_image(column) else "pair"


def _singles(rows: Iterable[int]) -> list[Candidate]:
    return [Candidate((row,)) for row in rows]
