"""The scan that a report is made of: every sum and every choice of rows, in one pass.

Each row is decided as `curate select` would, from its cell. Memory does not depend on how many rows
there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.numerics.cells import CellCounts
from curate.numerics.selection import KEPT, reasons_of
from curate.report.distributions import HistogramCounts, JointCounts, Moments
from curate.report.explorer import Explorer, passing
from curate.report.extremes import Lowest, LowestValues, random_keys, rows_of
from curate.score_scan import Block

SEED: Final = 0
"""Of what is chosen at random: the same run gives the same report."""

DENSE_CELLS: Final = 1 << 24
"""Cells up to which each has a counter: 128 MiB."""

RANKED_ROWS: Final = 100_000
"""Rows that rank correlations are taken over: they are then known to 0.003."""


@dataclass(frozen=True)
class Wanted:
    """What to keep of a scan.

    Attributes:
        columns: all numeric ones.
        extremes: those whose lowest and highest values are kept.
        samples: rows shown in a gallery.
        near: rows kept at either end of every interval of the explorer.
        spare: how many times as many rows are kept as shown, since equal ones are put together.
    """

    columns: tuple[str, ...]
    extremes: tuple[str, ...]
    samples: int
    near: int
    spare: int = 3

    @property
    def candidates(self) -> int:
        """Rows kept for a gallery."""
        return self.samples * self.spare


class ReportScan:
    """The fold; its parts say what they hold."""

    def __init__(
        self,
        explorer: Explorer,
        wanted: Wanted,
        histograms: Mapping[str, HistogramCounts],
        joints: JointCounts,
        centres: Sequence[float],
        shards: int,
    ) -> None:
        self.explorer = explorer
        self.wanted = wanted
        self.histograms = histograms
        self.joints = joints
        self.moments = Moments(centres)
        self.cells = CellCounts(explorer.grid.size, DENSE_CELLS)
        self.reasons = reasons_of(explorer.node)
        self.tally = np.zeros(len(self.reasons), dtype=np.int64)
        self.kept_per_shard = np.zeros(shards, dtype=np.int64)
        self.extremes = {
            (name, end): LowestValues(wanted.candidates, examples=2)
            for name in wanted.extremes
            for end in ("lowest", "highest")
        }
        columns = explorer.columns
        self.near = [
            (Lowest(column.intervals, wanted.near), Lowest(column.intervals, wanted.near))
            for column in columns
        ]
        # Group 0 fails the slider, group 1 passes it.
        self.around = [
            (Lowest(2, wanted.candidates), Lowest(2, wanted.candidates)) for _ in explorer.sliders
        ]
        self.passed = np.zeros(len(explorer.sliders), dtype=np.int64)
        self.by_reason = Lowest(len(self.reasons), wanted.candidates)
        self.random = Lowest(1, wanted.candidates)
        self.ranked = RankedRows(wanted.columns, RANKED_ROWS)

    def add(self, block: Block) -> None:
        """Take a block."""
        eligible = np.flatnonzero(block.eligible)
        rows = rows_of(block.shards, block.starts)[eligible]
        values = {name: block.columns[name][eligible] for name in self.wanted.columns}
        digits = [
            column.digit(values[column.name], lambda at: block.uids(eligible[at]))
            for column in self.explorer.columns
        ]
        decision = self.explorer.decide(digits, len(rows))
        code = decision.code.astype(np.int64)
        self._count(block, eligible, digits, code)
        for name, counts in self.histograms.items():
            counts.add(values[name], decision.kept)
        self.joints.add(values, decision.kept)
        self.moments.add([values[name] for name in self.wanted.columns])
        keys = random_keys(rows, SEED)
        self._choose(rows, values, digits, code, keys)
        self.ranked.add(keys, values)

    def _count(
        self,
        block: Block,
        eligible: npt.NDArray[np.int64],
        digits: Sequence[npt.NDArray[np.int64]],
        code: npt.NDArray[np.int64],
    ) -> None:
        cell = np.zeros(len(code), dtype=np.int64)
        for column, digit in zip(self.explorer.columns, digits, strict=True):
            cell = cell * column.digits + digit
        self.cells.add(cell)
        self.tally += np.bincount(code, minlength=len(self.tally))
        kept = eligible[code == self.reasons.index(KEPT)]
        per_shard = np.diff(np.searchsorted(kept, block.starts))
        self.kept_per_shard[block.shards] += per_shard

    def _choose(
        self,
        rows: npt.NDArray[np.int64],
        values: Mapping[str, npt.NDArray[Any]],
        digits: Sequence[npt.NDArray[np.int64]],
        code: npt.NDArray[np.int64],
        keys: npt.NDArray[np.float64],
    ) -> None:
        for (name, end), held in self.extremes.items():
            held.add(values[name] if end == "lowest" else -values[name], rows)
        for column, digit, (low, high) in zip(
            self.explorer.columns, digits, self.near, strict=True
        ):
            interval = digit % column.intervals
            low.add(interval, values[column.name], rows)
            high.add(interval, -values[column.name], rows)
        for number, slider in enumerate(self.explorer.sliders):
            if slider.test is not None:
                (low, high), column = self.around[number], self.explorer.columns[slider.column]
                side = passing(column, slider, digits[slider.column]).astype(np.int64)
                self.passed[number] += side.sum()
                low.add(side, values[column.name], rows)
                high.add(side, -values[column.name], rows)
        self.by_reason.add(code, keys, rows)
        self.random.add(np.zeros(len(rows), dtype=np.int64), keys, rows)


class RankedRows:
    """Values of the rows with the lowest keys: a sample of the pool that is as good as random."""

    def __init__(self, columns: Sequence[str], most: int) -> None:
        self._columns = tuple(columns)
        self._most = most
        self._keys = np.zeros(0)
        self._values = {name: np.zeros(0) for name in columns}

    def add(self, keys: npt.NDArray[np.float64], values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take rows in."""
        full = len(self._keys) == self._most
        found = np.flatnonzero(keys < self._keys[-1]) if full else np.arange(len(keys))
        keys = np.concatenate([self._keys, keys[found]])
        order = np.argsort(keys, kind="stable")[: self._most]
        self._keys = keys[order]
        for name in self._columns:
            both = np.concatenate([self._values[name], values[name][found]])
            self._values[name] = both[order]

    def columns(self) -> list[npt.NDArray[np.float64]]:
        """The values, [m] of each column."""
        return [self._values[name] for name in self._columns]


class BelowCounts:
    """How many rows lie below each of some values, of each column: exact percentiles.

    Args:
        values: column -> real [m], ascending.
    """

    def __init__(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        self._values = values
        self._counts = {name: np.zeros(len(v) + 1, dtype=np.int64) for name, v in values.items()}

    def add(self, block: Block) -> None:
        """Count a block."""
        for name, sorted_values in self._values.items():
            found = block.columns[name][block.eligible]
            found = found[~np.isnan(found)]
            at = np.searchsorted(sorted_values, found, side="right")
            counts = self._counts[name]
            counts += np.bincount(at, minlength=len(counts))

    def shares(self, name: str) -> npt.NDArray[np.float64]:
        """Share of the rows with a value that lie below each of a column's values."""
        counts = self._counts[name]
        return np.asarray(np.cumsum(counts)[:-1] / max(int(counts.sum()), 1))
