"""Distributions: histograms with exact edges, pairs of columns together, correlations.

Bins are of equal width on a linear or a logarithmic axis, and their edges are numbers of the
column's own precision, so that a count is what one would get by comparing every value with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from curate.report.describing import describe, is_score
from curate.report.payload import Correlations, Histogram, Joint, finite
from curate.report.survey import ColumnSurvey

BINS: Final = 64
JOINT_BINS: Final = 48

TAIL: Final = 0.001
"""Share of the rows at either end that may be left out of an axis, in its outermost bin."""

WIDENED: Final = 0.5
"""A tail is left out where it would make the axis longer by more than this share of the rest."""

MOST: Final = 1e300
"""Beyond, an axis does not go: the difference of two numbers must be one."""

LOG_RATIO: Final = 10.0
"""Ratio of the largest to the smallest value, tails aside, from which an axis is logarithmic."""

Scale = Literal["linear", "log"]
Edges = npt.NDArray[Any]


def linear_edges(found: ColumnSurvey, precision: np.dtype[Any], bins: int, whole: bool) -> Edges:
    """Edges [bins + 1 or fewer] of equal width; between whole numbers where values are such."""
    low, high = _range(found, lambda value: value)
    if whole:
        width = max(1, math.ceil((high - low + 1) / bins))
        first = math.floor(low)
        count = max(1, math.ceil((high - first + 1) / width))
        edges = float(first) - 0.5 + float(width) * np.arange(count + 1, dtype=np.float64)
        return _distinct(edges, precision)
    return _distinct(np.linspace(low, high, bins + 1), precision)


def log_edges(found: ColumnSurvey, precision: np.dtype[Any], bins: int) -> Edges | None:
    """Edges [bins + 1 or fewer] of equal ratio; None where a value is zero or negative."""
    if not found.quantiles or not found.quantiles[0.0] > 0:
        return None
    low, high = _range(found, math.log)
    return _distinct(np.exp(np.linspace(low, high, bins + 1)), precision)


def _range(found: ColumnSurvey, scaled: Callable[[float], float]) -> tuple[float, float]:
    """The ends of an axis: those of the values, unless a thin tail would take a third of it."""
    shares = (0.0, TAIL, 1 - TAIL, 1.0)
    values = [found.quantiles[share] for share in shares if share in found.quantiles]
    ends = [scaled(max(-MOST, min(value, MOST))) for value in values if math.isfinite(value)]
    if not ends:
        return 0.0, 1.0
    low, high = ends[0], ends[-1]
    inner_low, inner_high = ends[min(1, len(ends) - 1)], ends[max(len(ends) - 2, 0)]
    room = WIDENED * (inner_high - inner_low)
    return (
        low if inner_low - low <= room else inner_low,
        high if high - inner_high <= room else inner_high,
    )


def _distinct(edges: Edges, precision: np.dtype[Any]) -> Edges:
    largest = np.finfo(precision).max
    rounded = np.unique(np.clip(edges, -largest, largest).astype(precision))
    if len(rounded) < 2:  # a column of one value
        towards = precision.type(-np.inf if rounded[0] > 0 else np.inf)  # never infinity itself
        return np.sort(np.append(rounded, np.nextafter(rounded[0], towards)))
    return np.asarray(rounded)


def is_logarithmic(found: ColumnSurvey) -> bool:
    """Whether the values spread over more than a power of ten."""
    low, high = found.quantiles.get(TAIL, 0.0), found.quantiles.get(1 - TAIL, 0.0)
    lowest = found.quantiles.get(0.0, 0.0)
    return lowest > 0 and math.isfinite(high) and high > LOG_RATIO * low


def bin_of(values: npt.NDArray[Any], edges: Edges) -> npt.NDArray[np.int64]:
    """The bin of each value, none of them NaN; what lies beyond is in the outermost ones."""
    found = np.searchsorted(edges[1:-1], values, side="right")
    return np.asarray(found, dtype=np.int64)


class HistogramCounts:
    """Counts of a column by bin, kept rows and all rows, on both axes in one search."""

    def __init__(self, linear: Edges, log: Edges | None) -> None:
        self.linear = linear
        self.log = log
        self._all = np.unique(np.concatenate([axis for axis in (linear, log) if axis is not None]))
        self._counts = np.zeros((2, len(self._all) + 1), dtype=np.int64)

    def add(self, values: npt.NDArray[Any], kept: npt.NDArray[np.bool_]) -> None:
        """Count values [n], NaN passed over, and which of them are kept."""
        present = ~np.isnan(values)
        if not present.all():
            values, kept = values[present], kept[present]
        at = np.searchsorted(self._all, values, side="right")
        self._counts[0] += np.bincount(at, minlength=self._counts.shape[1])
        self._counts[1] += np.bincount(at[kept], minlength=self._counts.shape[1])

    def on(self, edges: Edges) -> tuple[list[int], list[int]]:
        """All rows, and kept ones, by bin of one of the axes."""
        inner = np.searchsorted(self._all, edges[1:-1], side="left") + 1
        parts = [np.add.reduceat(counts, [0, *inner]) for counts in self._counts]
        return parts[0].tolist(), parts[1].tolist()

    def to_json(self, edges: Edges | None, reference: npt.NDArray[Any] | None) -> Histogram | None:
        """The histogram on one of the axes; None without it."""
        if edges is None:
            return None
        pool, kept = self.on(edges)
        counted = None
        if reference is not None:
            at = bin_of(reference[~np.isnan(reference)], edges)
            counted = np.bincount(at, minlength=len(edges) - 1).tolist()
        return Histogram(
            edges=[float(edge) for edge in edges], pool=pool, kept=kept, reference=counted
        )


@dataclass(frozen=True)
class Axis:
    """A column of a joint histogram."""

    column: str
    scale: Scale
    edges: Edges


def axis_of(column: str, found: ColumnSurvey, precision: np.dtype[Any], whole: bool) -> Axis:
    """A column's axis: logarithmic where its values spread over more than a power of ten.

    Never that of a similarity, whose ratios mean nothing even where all are positive.
    """
    similarity = is_score(column) and describe(column).unit != "nats"
    if is_logarithmic(found) and not similarity:
        edges = log_edges(found, precision, JOINT_BINS)
        if edges is not None:
            return Axis(column, "log", edges)
    return Axis(column, "linear", linear_edges(found, precision, JOINT_BINS, whole))


class JointCounts:
    """Counts of every two of some columns together."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._axes = axes
        self._pairs = [(i, j) for i in range(len(axes)) for j in range(i + 1, len(axes))]
        self._counts = [
            np.zeros((2, len(axes[i].edges) - 1, len(axes[j].edges) - 1), dtype=np.int64)
            for i, j in self._pairs
        ]

    def add(self, values: Mapping[str, npt.NDArray[Any]], kept: npt.NDArray[np.bool_]) -> None:
        """Count rows that have a value in both columns."""
        bins = [bin_of(values[axis.column], axis.edges) for axis in self._axes]
        there = [~np.isnan(values[axis.column]) for axis in self._axes]
        for (i, j), counts in zip(self._pairs, self._counts, strict=True):
            cell = bins[i] * counts.shape[2] + bins[j]
            both = there[i] & there[j]
            for at, rows in enumerate((both, both & kept)):
                counts[at] += np.bincount(cell[rows], minlength=counts[at].size).reshape(
                    counts[at].shape
                )

    def to_json(self) -> list[Joint]:
        """One joint histogram for each pair."""
        found: list[Joint] = []
        for (i, j), counts in zip(self._pairs, self._counts, strict=True):
            x, y = self._axes[i], self._axes[j]
            found.append(
                Joint(
                    x=x.column,
                    y=y.column,
                    x_scale=x.scale,
                    y_scale=y.scale,
                    x_edges=[float(edge) for edge in x.edges],
                    y_edges=[float(edge) for edge in y.edges],
                    pool=counts[0].tolist(),
                    kept=counts[1].tolist(),
                )
            )
        return found


class Moments:
    """Sums that means, deviations and Pearson's correlations take, of rows with both values.

    Args:
        centres: [c], values near the means, so that sums of squares lose nothing.
    """

    def __init__(self, centres: Sequence[float]) -> None:
        c = len(centres)
        self._centres = np.array(centres)
        self._n = np.zeros((c, c))
        self._sums = np.zeros((c, c))
        self._squares = np.zeros((c, c))
        self._products = np.zeros((c, c))

    def add(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        """Take rows in: [n] of each column, in the order of the centres."""
        values = np.stack([np.asarray(one, dtype=np.float64) for one in columns])
        values -= self._centres[:, None]
        there = np.isfinite(values)
        values[~there] = 0.0
        weights = there.astype(np.float64)
        self._n += weights @ weights.T
        with np.errstate(over="ignore", invalid="ignore"):  # sums beyond float64 are not told
            self._sums += values @ weights.T
            self._squares += (values * values) @ weights.T
            self._products += values @ values.T

    def mean(self, column: int) -> float | None:
        """Of one column; None without values."""
        n = self._n[column, column]
        return finite(self._centres[column] + self._sums[column, column] / n) if n else None

    def deviation(self, column: int) -> float | None:
        """The standard deviation of one column; None without values."""
        n = self._n[column, column]
        if not n:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._sums[column, column] / n
            variance = self._squares[column, column] / n - mean * mean
            return finite(float(np.sqrt(np.maximum(variance, 0.0))))

    def pearson(self) -> list[list[float | None]]:
        """[c, c]; null where a column has one value only."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mean_x, mean_y = self._sums / self._n, self._sums.T / self._n.T
            covariance = self._products / self._n - mean_x * mean_y
            variance = np.maximum(self._squares / self._n - mean_x * mean_x, 0.0)
            found = covariance / np.sqrt(variance * variance.T)
        return _correlations(found)


def spearman(columns: Sequence[npt.NDArray[Any]]) -> list[list[float | None]]:
    """Rank correlations of rows that have both values, ties at their mean rank; [c, c].

    Args:
        columns: real [n] each; NaN is missing.
    """
    c = len(columns)
    found = np.full((c, c), np.nan)
    there = [~np.isnan(column) for column in columns]
    for i in range(c):
        for j in range(i, c):
            both = there[i] & there[j]
            x, y = mean_ranks(columns[i][both]), mean_ranks(columns[j][both])
            if len(x) and x.std() > 0 and y.std() > 0:
                found[i, j] = found[j, i] = np.mean((x - x.mean()) * (y - y.mean())) / (
                    x.std() * y.std()
                )
    return _correlations(found)


def mean_ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Rank of each value, from 0; equal ones share the mean of theirs."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[at], dtype=np.float64)


def _correlations(found: npt.NDArray[np.float64]) -> list[list[float | None]]:
    return [
        [finite(round(float(np.clip(value, -1, 1)), 4)) if np.isfinite(value) else None
         for value in row]
        for row in found
    ]  # fmt: skip


def correlations_json(
    names: Sequence[str], moments: Moments, ranked: Sequence[npt.NDArray[Any]], of: int
) -> Correlations:
    """Both correlations of some columns.

    Args:
        names: of the columns.
        moments: over all rows.
        ranked: the columns, [n] each, of rows that ranks are taken over.
        of: how many rows there are in all.
    """
    return Correlations(
        names=list(names),
        spearman=spearman(ranked),
        pearson=moments.pearson(),
        rows=len(ranked[0]) if ranked else 0,
        of=of,
    )
