"""The samples of a report: numbered in the order in which galleries show them, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.report import galleries
from curate.report.explorer import Explorer
from curate.report.extremes import split_rows
from curate.report.opened import Opened
from curate.report.payload import Gallery, SampleFacts, finite
from curate.report.rows import Shown, ShownRows
from curate.report.scan import BelowCounts, ReportScan
from curate.schema import DUPLICATE_UID, OK, SUMMARY_OF_REJECTED
from curate.uid_columns import uids_of

UNDECIDED: Final = "undecided"
"""The reason of a scored sample where nothing is selected."""

SHARDS_SAID: Final = 3
"""Shards of a warning that are named."""


class Samples:
    """What is shown, as it is asked for.

    Args:
        opened: the run.
        explorer: whose digits samples have.
        rows: reads them.
    """

    def __init__(self, opened: Opened, explorer: Explorer, rows: ShownRows) -> None:
        self._opened = opened
        self._explorer = explorer
        self._rows = rows
        self._numbers: dict[int, int] = {}

    def _number(self, row: int) -> int:
        return self._numbers.setdefault(row, len(self._numbers))

    def galleries(self, plans: Sequence[galleries.Plan]) -> list[Gallery]:
        """Fill the galleries. Raises OutputError if scores are missing or damaged."""

        def read(wanted: Any) -> dict[int, Shown]:
            self._rows.read(wanted)
            return self._rows.known

        entries = galleries.fill(plans, read)
        return [
            galleries.to_json(plan, found, self._number)
            for plan, found in zip(plans, entries, strict=True)
        ]

    def near(self, scan: ReportScan) -> dict[str, list[list[int]]]:
        """For each column of the explorer, the samples at the ends of each interval."""
        rows_of = {
            column.name: [
                list(dict.fromkeys([*low.rows(at), *reversed(high.rows(at))]))
                for at in range(column.intervals)
            ]
            for column, (low, high) in zip(self._explorer.columns, scan.near, strict=True)
        }
        self._rows.read(row for lists in rows_of.values() for rows in lists for row in rows)
        return {
            name: [[self._number(row) for row in rows] for rows in lists]
            for name, lists in rows_of.items()
        }

    def to_json(self) -> list[SampleFacts]:
        """All samples that were numbered, with exact percentiles: takes a scan."""
        rows = list(self._numbers)
        shown = [self._rows.known[row] for row in rows]
        percentiles = self._percentiles(shown)
        eligible = [at for at, one in enumerate(shown) if self._is_eligible(rows[at], one)]
        decided = [shown[at] for at in eligible]
        digits = self._digits(decided)
        labels = self._explorer.decide(digits, len(decided)).labels()
        places = {at: place for place, at in enumerate(eligible)}
        facts = []
        for at, one in enumerate(shown):
            place = places.get(at)
            own = None if place is None else [int(column[place]) for column in digits]
            reason = self._reason(one, None if place is None else labels[place])
            facts.append(_facts(at, one, reason, own, percentiles[at], self._opened.columns))
        return facts

    def _percentiles(self, shown: Sequence[Shown]) -> list[dict[str, float | None]]:
        found: list[dict[str, float | None]] = [{} for _ in shown]
        values = {}
        for name in self._opened.columns:
            column = _column(shown, name, self._opened.scan.precisions[name])
            values[name] = column
        below = BelowCounts({name: np.unique(v[~np.isnan(v)]) for name, v in values.items()})
        for block in self._opened.scan.blocks():
            below.add(block)
        for name, column in values.items():
            distinct = np.unique(column[~np.isnan(column)])
            shares = below.shares(name)
            places = np.searchsorted(distinct, column)
            for at, value in enumerate(column):
                found[at][name] = None if np.isnan(value) else round(float(shares[places[at]]), 6)
        return found

    def _digits(self, shown: Sequence[Shown]) -> list[npt.NDArray[np.int64]]:
        uids = [str(one.scores["uid"]) for one in shown]
        digits = []
        for column in self._explorer.columns:
            values = _column(shown, column.name, column.precision)
            digits.append(column.digit(values, lambda at: uids_of(pa.array([uids[i] for i in at]))))
        return digits

    def _is_eligible(self, row: int, shown: Shown) -> bool:
        if shown.scores["status"] != OK:
            return False
        repeated = self._opened.duplicates.get(shown.shard)
        _, position = split_rows(np.array([row]))
        return repeated is None or int(position[0]) not in repeated

    def _reason(self, shown: Shown, label: str | None) -> str:
        if label is not None:
            return label if self._opened.decided else UNDECIDED
        status = shown.scores["status"]
        return DUPLICATE_UID if status == OK else f"{SUMMARY_OF_REJECTED}{status}"

    def thumbnails(self) -> dict[str, bytes]:
        """Name -> WebP of the numbered samples that have one."""
        return {
            thumb_name(number): self._rows.known[row].content.thumbnail or b""
            for row, number in self._numbers.items()
            if self._rows.known[row].content.thumbnail is not None
        }

    def warnings(self) -> list[str]:
        """What could not be read of the samples."""
        told = {
            "could not be opened for the pictures and captions of their samples": (
                self._rows.unopened
            ),
            "do not give all of their samples, which are shown without pictures and captions": (
                self._rows.incomplete
            ),
        }
        return [
            f"{len(shards)} shards {what}: {_first(shards)}"
            for what, shards in told.items()
            if shards
        ]


def thumb_name(number: int) -> str:
    """Where the thumbnail of a sample lies, from the page."""
    return f"thumbs/{number}.webp"


def _first(problems: Mapping[str, str]) -> str:
    return "; ".join(f"{s}: {why}" for s, why in sorted(problems.items())[:SHARDS_SAID])


def _column(shown: Sequence[Shown], name: str, precision: Any) -> npt.NDArray[Any]:
    values = [one.scores.get(name) for one in shown]
    return np.array([np.nan if value is None else value for value in values], dtype=precision)


def _facts(
    number: int,
    shown: Shown,
    reason: str,
    digits: list[int] | None,
    percentiles: dict[str, float | None],
    columns: Sequence[str],
) -> SampleFacts:
    scores, content = shown.scores, shown.content
    values = {name: scores.get(name) for name in columns}
    return SampleFacts(
        id=number,
        shard=shown.shard,
        key=str(scores["key"]),
        uid=str(scores["uid"]),
        caption=content.caption,
        caption_cut=content.caption_cut,
        status=str(scores["status"]),
        reason=reason,
        error=scores.get("error"),
        values={name: None if v is None else finite(v) for name, v in values.items()},
        percentiles=percentiles,
        digits=digits,
        thumb=None if content.thumbnail is None else thumb_name(number),
        thumb_note=content.note,
        thumb_alt=None,
        look=content.look,
    )
