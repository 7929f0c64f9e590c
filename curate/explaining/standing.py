"""Where values stand in the pool, exactly: one scan of their columns, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.duplicates import Duplicates
from curate.explaining.findings import Standing
from curate.outputs import Store
from curate.score_scan import Block, ScoreScan, column_values

Values = npt.NDArray[Any]
Standings = dict[str, list[Standing | None]]
"""Column -> for each value its standing; None where the value is missing."""


class RankFold:
    """How many of the rows that rules decide lie below some values, and how many equal them.

    Args:
        values: column -> [k], float32 or float64 as the column is; missing values are NaN.
    """

    def __init__(self, values: Mapping[str, Values]) -> None:
        self._sorted = {name: np.sort(column) for name, column in values.items()}
        # Position i counts the rows between the values i - 1 and i, ties on either side.
        self._below = {name: np.zeros(len(v) + 1, np.int64) for name, v in values.items()}
        self._up_to = {name: np.zeros(len(v) + 1, np.int64) for name, v in values.items()}
        self.rows = 0

    def add(self, block: Block) -> None:
        """Count a block."""
        self.rows += int(np.count_nonzero(block.eligible))
        for name, places in self._sorted.items():
            self.count(name, block.columns[name][block.eligible], places)

    def count(self, name: str, rows: Values, places: Values) -> None:
        """Count the rows [n] of a column; a missing value ranks below all others."""
        ranked = np.where(np.isnan(rows), rows.dtype.type(-np.inf), rows)
        for side, counts in (("right", self._below), ("left", self._up_to)):
            at = np.searchsorted(places, ranked, side=side)  # type: ignore[call-overload]
            counts[name] += np.bincount(at, minlength=len(places) + 1)

    def merge(self, other: RankFold) -> None:
        """Add other counts."""
        self.rows += other.rows
        for mine, theirs in ((self._below, other._below), (self._up_to, other._up_to)):
            for name, counts in mine.items():
                counts += theirs[name]

    def standing(self, name: str, value: float) -> Standing | None:
        """The standing of one of the values."""
        if np.isnan(value):
            return None
        at = int(np.searchsorted(self._sorted[name], value))
        below = int(self._below[name][: at + 1].sum())
        return Standing(below, int(self._up_to[name][: at + 1].sum()) - below, self.rows)


def pool_standings(
    store: Store, shards: Sequence[str], duplicates: Duplicates, values: Mapping[str, Values]
) -> Standings:
    """Standings among the rows that rules decide: scored, and the first of their uid.

    Args:
        store: the run directory.
        shards: ids.
        duplicates: rows that are not the first of their uid.
        values: column -> [k].

    Raises:
        OutputError: scores are missing or damaged.
    """
    # Read once, so that nothing need be kept on the disk for another fold.
    scan = ScoreScan(store, shards, list(values), duplicates, cache_bytes=0)
    return _standings(scan.run(RankFold(values)), values)


def sample_standings(table: pa.Table, values: Mapping[str, Values]) -> Standings:
    """Standings among the rows of a Reference's sample, as far as it has the columns."""
    known = {name: column for name, column in values.items() if name in table.column_names}
    fold = RankFold(known)
    fold.rows = table.num_rows
    for name, column in known.items():
        fold.count(name, column_values(table[name]), np.sort(column))
    return _standings(fold, known)


def _standings(fold: RankFold, values: Mapping[str, Values]) -> Standings:
    return {
        name: [fold.standing(name, value) for value in column] for name, column in values.items()
    }
