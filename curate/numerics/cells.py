"""Many rule sets at once: samples that no test tells apart are counted together.

The cuts of all rule sets divide every column into intervals, and the pool into cells, one for each
combination of intervals. A sample is put into its cell once, whatever the number of rule sets;
these are then decided on the cells, of which there are thousands where there are billions of
samples. Sizes, reasons and overlaps are sums over cells, and exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import (
    BoolArray,
    Cut,
    UidArray,
    as_comparable,
    threshold_of,
    uid_below,
)
from curate.numerics.selection import Decision, Node, Test, decide_by, tests_of

Codes = npt.NDArray[np.int64]
LookUp = Callable[[npt.NDArray[np.int64]], UidArray]
"""Rows -> their uids; called only for rows that tie with a cut that tells uids apart."""

DENSE_CELLS: Final = 1 << 20
"""Cells up to which counts are kept in one array, 8 MiB; beyond, those that occur are listed."""

FEW: Final = 8
"""Cuts up to which comparing with each is faster than a binary search."""


@dataclass(frozen=True)
class Column:
    """The intervals that the tests divide one column into.

    Attributes:
        name: of the column.
        precision: float32 or float64, what it is compared in.
        edges: cuts, ascending by (value, uid); interval k holds what is not below k of them.
    """

    name: str
    precision: np.dtype[Any]
    edges: tuple[Cut, ...]

    @property
    def intervals(self) -> int:
        """How many there are."""
        return len(self.edges) + 1

    @property
    def digits(self) -> int:
        """How many digits there are: the intervals, and those again for missing values."""
        return 2 * self.intervals

    def digit(self, values: npt.ArrayLike, uids: LookUp) -> Codes:
        """Find the digit of each value, real [n].

        Args:
            values: of the column.
            uids: looks up the uids of rows that tie with a cut.
        """
        scores = as_comparable(values, f"column {self.name!r}")
        if scores.dtype != self.precision:
            raise NumericsError(
                f"column {self.name!r} is {scores.dtype}; expected {self.precision}, as elsewhere"
            )
        missing = np.isnan(scores)
        scores = np.where(missing, scores.dtype.type(-np.inf), scores)
        edges = np.array([edge.value for edge in self.edges], dtype=self.precision)
        digits: Codes
        if len(edges) <= FEW:
            digits = np.zeros(len(scores), dtype=np.int64)
            for value in edges:
                digits += scores >= value
        else:
            digits = np.searchsorted(edges, scores, side="right").astype(np.int64)
        for edge in self.edges:
            if edge.uid != (0, 0):
                ties = np.flatnonzero(scores == threshold_of(edge, self.precision))
                if len(ties):
                    digits[ties] -= uid_below(edge.uid, uids(ties))
        digits += self.intervals * missing
        return digits

    def passes(self, test: Test) -> BoolArray:
        """Which digits pass a test of this column, bool [digits]."""
        digit = np.arange(self.digits)
        interval, missing = digit % self.intervals, digit >= self.intervals
        reached: BoolArray = interval > self.edges.index(edge_of(test, self.precision))
        if test.keep == "at_least":
            return reached
        if threshold_of(test.cut, self.precision) == np.inf:  # no edge lies above infinity
            return ~missing
        return ~reached & ~missing


def edge_of(test: Test, precision: np.dtype[Any]) -> Cut:
    """The cut that has below it what fails `at_least`, or what passes `at_most`."""
    value = threshold_of(test.cut, precision)
    if test.keep == "at_least":
        return Cut(float(value) + 0.0, test.cut.uid)
    return Cut(float(np.nextafter(value, precision.type(np.inf))) + 0.0)


@dataclass(frozen=True)
class Grid:
    """Cells of the pool, numbered in mixed radix over the columns' digits."""

    columns: tuple[Column, ...]

    @property
    def size(self) -> int:
        """Number of cells, empty ones included."""
        size = 1
        for column in self.columns:
            size *= column.digits
        return size

    def code(self, columns: Mapping[str, npt.ArrayLike], n: int, uids: LookUp) -> Codes:
        """The cell of each of n rows.

        Args:
            columns: name -> real [n].
            n: number of rows.
            uids: looks up the uids of some rows.
        """
        code = np.zeros(n, dtype=np.int64)
        for column in self.columns:
            code *= column.digits
            code += column.digit(columns[column.name], uids)
        return code

    def digits(self, codes: Codes) -> dict[str, Codes]:
        """Column name -> digit of each cell."""
        found = {}
        for column in reversed(self.columns):
            codes, found[column.name] = np.divmod(codes, column.digits)
        return found

    def decide(self, node: Node, codes: Codes) -> Decision:
        """Apply rules to cells, int64 [m]; every test of the rules must be among the grid's."""
        digits = self.digits(codes)
        by_name = {column.name: column for column in self.columns}

        def passes(test: Test) -> BoolArray:
            return by_name[test.column].passes(test)[digits[test.column]]

        return decide_by(node, len(codes), passes)


def grid_of(nodes: Iterable[Node], precisions: Mapping[str, npt.DTypeLike]) -> Grid:
    """The grid that all tests of some rule sets divide the pool into.

    Args:
        nodes: rule sets with their cuts.
        precisions: column -> float32 or float64, what it is compared in.

    Raises:
        NumericsError: more cells than an int64 numbers.
    """
    edges: dict[str, set[Cut]] = {}
    for node in nodes:
        for test in tests_of(node):
            precision = np.dtype(precisions[test.column])
            edges.setdefault(test.column, set()).add(edge_of(test, precision))
    columns = tuple(
        Column(name, np.dtype(precisions[name]), tuple(sorted(cuts, key=_order)))
        for name, cuts in sorted(edges.items())
    )
    grid = Grid(columns)
    if grid.size >= 1 << 62:
        raise NumericsError("the rule sets divide the pool into too many cells; sweep fewer")
    return grid


def _order(cut: Cut) -> tuple[float, tuple[int, int]]:
    return cut.value, cut.uid


class CellCounts:
    """How many samples lie in each cell; mergeable.

    Args:
        size: cells, empty ones included.
        dense: cells up to which each has a counter of its own.
    """

    def __init__(self, size: int, dense: int = DENSE_CELLS) -> None:
        self._dense = np.zeros(size, dtype=np.int64) if size <= dense else None
        self._codes: Codes = np.zeros(0, dtype=np.int64)
        self._counts: Codes = np.zeros(0, dtype=np.int64)

    def add(self, codes: Codes) -> None:
        """Count a chunk of cells, int64 [n]."""
        if self._dense is None:
            self._put(*np.unique(codes, return_counts=True))
        elif 8 * len(codes) > len(self._dense):
            self._dense += np.bincount(codes, minlength=len(self._dense))
        else:
            np.add.at(self._dense, codes, 1)

    def merge(self, other: CellCounts) -> None:
        """Add the counts of another part of the pool."""
        codes, counts = other.cells()
        if self._dense is None:
            self._put(codes, counts)
        else:
            self._dense[codes] += counts

    def cells(self) -> tuple[Codes, Codes]:
        """Cells that are not empty, ascending, and the samples in each."""
        if self._dense is None:
            return self._codes, self._counts
        codes = np.flatnonzero(self._dense)
        return codes, self._dense[codes]

    def _put(self, codes: Codes, counts: Codes) -> None:
        merged, at = np.unique(np.concatenate([self._codes, codes]), return_inverse=True)
        total = np.zeros(len(merged), dtype=np.int64)
        np.add.at(total, at, np.concatenate([self._counts, counts]))
        self._codes, self._counts = merged, total


def overlaps(kept: Sequence[BoolArray], counts: Codes) -> Codes:
    """Samples that every two of some subsets share.

    Args:
        kept: for each subset, which cells it keeps, bool [m].
        counts: samples of each cell, int64 [m]; fewer than 2^53 in all.

    Returns:
        int64 [k, k], symmetric; the diagonal holds the sizes.
    """
    members = np.stack([*kept]).astype(np.float64)
    return np.rint((members * counts) @ members.T).astype(np.int64)
