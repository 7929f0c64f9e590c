"""How well one score stands for another: R², and whether the unit is right too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError

FloatArray = npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
"""Coverage of the bootstrap intervals."""

_RESAMPLES_AT_ONCE: Final = 64
"""Bounds the matrix of resampling counts to 64 x n float64."""


@dataclass(frozen=True)
class Agreement:
    """A least-squares line y = slope x + intercept, with the share of variance it explains.

    Attributes:
        r2: squared Pearson correlation, in [0, 1]; NaN when x or y is constant.
        slope, intercept: of y on x; slope 1 means that x is in the unit of y.
        n: points.
        r2_low, r2_high, slope_low, slope_high: percentile bootstrap intervals of 95 %; NaN when
            none was asked for.
    """

    r2: float
    slope: float
    intercept: float
    n: int
    r2_low: float = float("nan")
    r2_high: float = float("nan")
    slope_low: float = float("nan")
    slope_high: float = float("nan")

    def as_dict(self) -> dict[str, float | int]:
        """Field -> value."""
        return asdict(self)


def agreement(x: npt.ArrayLike, y: npt.ArrayLike, resamples: int = 0, seed: int = 0) -> Agreement:
    """Regress y on x.

    Args:
        x: the score under test, [n], n >= 2.
        y: what it stands for, [n].
        resamples: bootstrap resamples of the points for the intervals; 0 for none.
        seed: of the resampling.

    Raises:
        NumericsError: wrong shape, NaN or infinity, fewer than two points.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise NumericsError(f"agreement: shapes {a.shape} and {b.shape}; expected [n], n >= 2")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NumericsError("agreement: x or y holds NaN or infinity; drop those points first")
    r2, slope = (float(v[0]) for v in _lines(a, b, np.ones((1, len(a)))))
    intercept = float(b.mean() - slope * a.mean())
    if resamples == 0:
        return Agreement(r2, slope, intercept, len(a))
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    r2s, slopes = _resampled(a, b, resamples, np.random.default_rng(seed))
    (r2_low, r2_high), (slope_low, slope_high) = (
        (float(low), float(high))
        for low, high in (np.nanquantile(r2s, tails), np.nanquantile(slopes, tails))
    )
    return Agreement(r2, slope, intercept, len(a), r2_low, r2_high, slope_low, slope_high)


def ranks(x: npt.ArrayLike) -> FloatArray:
    """Ranks from 0, ties sharing their mean rank: float64 [n]."""
    values = np.asarray(x, dtype=np.float64)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse], dtype=np.float64)


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Rank correlation in [-1, 1], ties sharing their mean rank; NaN when one is constant."""
    a, b = ranks(x), ranks(y)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def lowest_overlap(x: npt.ArrayLike, y: npt.ArrayLike, share: float) -> float:
    """Share of the lowest floor(n * share) by x that are among as many lowest by y.

    Ties go by position, so that equal arrays overlap wholly.

    Raises:
        NumericsError: the shapes differ, or no point is among the lowest.
    """
    a, b = np.asarray(x), np.asarray(y)
    count = int(len(a) * share)
    if a.ndim != 1 or a.shape != b.shape or not 1 <= count <= len(a):
        raise NumericsError(
            f"lowest_overlap: shapes {a.shape} and {b.shape}, share {share}: nothing to compare"
        )
    lowest = (set(np.argsort(values, kind="stable")[:count].tolist()) for values in (a, b))
    return len(set.intersection(*lowest)) / count


def _resampled(
    a: FloatArray, b: FloatArray, resamples: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    r2s, slopes = [], []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, resamples - start)
        drawn = [
            np.bincount(rng.integers(0, len(a), len(a)), minlength=len(a)) for _ in range(rows)
        ]
        r2, slope = _lines(a, b, np.array(drawn, dtype=np.float64))
        r2s.append(r2)
        slopes.append(slope)
    return np.concatenate(r2s), np.concatenate(slopes)


def _lines(a: FloatArray, b: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R² and slope of b on a for each row of weights [r, n]; NaN where a or b is constant."""
    # About the means of all points, sums of squares do not cancel.
    a, b = a - a.mean(), b - b.mean()
    total = counts.sum(axis=1)
    mean_a, mean_b = counts @ a / total, counts @ b / total
    aa = counts @ (a * a) / total - mean_a**2
    bb = counts @ (b * b) / total - mean_b**2
    ab = counts @ (a * b) / total - mean_a * mean_b
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(aa * bb > 0, ab**2 / (aa * bb), np.nan), np.where(aa > 0, ab / aa, np.nan)
