"""How far a quantile of a sample may lie from the population's, whatever the distribution.

A sample of n independent draws is all that is known: order statistics and binomial counts give
the interval, and nothing is assumed of the scores' distribution (David and Nagaraja, "Order
Statistics", 3rd ed., 2003, sections 2.1 and 7.1). Draws that share a shard are less than
independent: a sample from few shards is worse than what is said here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import as_present
from curate.numerics.ranks import Rule, rank_of

FloatArray = npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
"""Least coverage of the intervals."""

_REACH_DEVIATIONS, _REACH_COUNTS = 12.0, 60
"""How far from the mode counts are summed: beyond, a binomial or Poisson tail holds < 1e-16."""

_NODES: Final = 16
"""Gauss-Legendre nodes for each 1/n of the unit interval: exact for degree 31, and a density
Beta(k + 1, n - k) that is no such polynomial there is smooth on that scale."""

_BISECTIONS: Final = 50
"""Halvings of [0, 1] that find a Beta quantile: to 1e-15."""


@dataclass(frozen=True)
class QuantileError:
    """A cut at a sample's quantile, and how well it is known.

    Attributes:
        n: size of the sample.
        value: the cut, in the unit of the values; -inf or inf where it drops none or all.
        standard_error: of the value (Maritz and Jarrett, see `order_statistic_error`); NaN where
            the cut is no value of the sample.
        low, high: interval of at least 95 % for the population's quantile; infinite where the
            sample is too small to bound it.
        dropped: share of the population below the population's quantile, in [0, 1].
        dropped_error: standard error of the share that the sample's cut drops in its place,
            sqrt(p (1 - p) / n).
        dropped_low, dropped_high: exact interval of 95 % of that share, for a continuous
            distribution: quantiles of Beta(k + 1, n - k), k values being below the cut.
    """

    n: int
    value: float
    standard_error: float
    low: float
    high: float
    dropped: float
    dropped_error: float
    dropped_low: float
    dropped_high: float

    @property
    def relative_error(self) -> float:
        """Standard error of the share, relative to the smaller part: see `relative_error`."""
        return relative_error(self.dropped, self.n)


def quantile_error(sample_values: npt.ArrayLike, fraction: float, rule: Rule) -> QuantileError:
    """Error of `quantile_cut(sample_values, fraction, rule)`.

    The interval runs from order statistic r to s (1-based), with r the largest and s the smallest
    for which P(B <= r - 1) and P(B >= s) are at most 2.5 %, B ~ Binomial(n, p): as many values
    fall below the population's p-quantile. Ties only make it wider than need be.

    Args:
        sample_values: real [n], in any order, n >= 1; compared as float32.
        fraction: in [0, 1].
        rule: `drop_lowest` or `keep_highest`.

    Raises:
        NumericsError: no values, NaN or infinity, or as `rank_of`.
    """
    values = np.sort(as_present(sample_values, "sample values")).astype(np.float64)
    n = len(values)
    if n == 0 or not np.isfinite(values[[0, -1]]).all():
        raise NumericsError(f"sample values: {n} of them; expected at least one, all finite")
    rank = rank_of(n, fraction, rule)
    share = Fraction(str(fraction))
    p = float(share if rule == "drop_lowest" else 1 - share)
    error = math.sqrt(p * (1 - p) / n)
    if rank in (0, n):
        value, reached = (-math.inf, 0.0) if rank == 0 else (math.inf, 1.0)
        return QuantileError(n, value, math.nan, value, value, p, error, reached, reached)
    low, high = _interval(values, p)
    return QuantileError(
        n=n,
        value=float(values[rank]) + 0.0,
        standard_error=order_statistic_error(values, rank),
        low=low,
        high=high,
        dropped=p,
        dropped_error=error,
        dropped_low=beta_quantile(rank + 1, n - rank, (1 - CONFIDENCE) / 2),
        dropped_high=beta_quantile(rank + 1, n - rank, (1 + CONFIDENCE) / 2),
    )


def relative_error(share: float, n: int) -> float:
    """Standard error of the share below a sample's quantile, relative to the smaller part.

    sqrt((1 - q) / (q n)) with q = min(share, 1 - share): a cut that drops 1 % and one that keeps
    1 % are equally hard to place. 0 for a share of 0 or 1, which needs no sample.
    """
    part = min(share, 1 - share)
    return math.sqrt((1 - part) / (part * n)) if part > 0 else 0.0


def sample_needed(share: float, relative: float) -> int:
    """Smallest n with `relative_error(share, n)` of at most `relative`; 0 for a share of 0 or 1."""
    part = min(share, 1 - share)
    # Rounded, lest 0.9 / (0.1 x 0.01) = 900.0000000000001 ask for one pair more.
    return math.ceil(round((1 - part) / (part * relative**2), 6)) if part > 0 else 0


def order_statistic_error(ascending: FloatArray, rank: int) -> float:
    """Standard error of an order statistic: Maritz and Jarrett, "A note on estimating the variance
    of the sample median", JASA 73 (1978), for any rank.

    The standard deviation of the order statistic in samples drawn from the sample itself: the
    bootstrap with infinitely many resamples. Value i (1-based) of the ascending ones is drawn with
    probability P((i - 1)/n < X <= i/n), X ~ Beta(rank + 1, n - rank).

    Args:
        ascending: float64 [n], sorted.
        rank: 0-based, in [0, n).
    """
    first, weights = order_statistic_weights(len(ascending), rank)
    values = ascending[first : first + len(weights)]
    mean = weights @ values
    return float(np.sqrt(weights @ (values - mean) ** 2))


def order_statistic_weights(n: int, rank: int) -> tuple[int, FloatArray]:
    """Where the bootstrap finds the order statistic of 0-based `rank`: first index, probabilities.

    Indices that are left out have a probability of 1e-16 together.
    """
    first, last = _window(n, (rank + 0.5) / n)
    last = min(last, n - 1)
    nodes, gauss = np.polynomial.legendre.leggauss(_NODES)
    x = (np.arange(first, last + 1)[:, None] + (nodes + 1) / 2) / n
    log_density = rank * np.log(x) + (n - rank - 1) * np.log1p(-x)
    weights = np.exp(log_density - log_density.max()) @ gauss
    return first, weights / weights.sum()


def beta_quantile(a: int, b: int, level: float) -> float:
    """Quantile of Beta(a, b), a, b >= 1, by bisection of its distribution function.

    P(X <= x) = P(Binomial(a + b - 1, x) >= a): `a` of n uniform draws lie below x iff the a-th
    smallest does.
    """
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        first, counts = binomial(a + b - 1, middle)
        reached = float(counts[max(a - first, 0) :].sum())
        low, high = (middle, high) if reached < level else (low, middle)
    return (low + high) / 2


def binomial(n: int, p: float) -> tuple[int, FloatArray]:
    """Probabilities of Binomial(n, p), 0 < p < 1: the first count and those from it on.

    Counts that are left out have a probability of 1e-16 together.
    """
    first, last = _window(n, p)
    count = np.arange(first, last, dtype=np.float64)
    # Logarithms of the ratios of neighbours: neither n! nor p^n is ever formed.
    ratios = np.log((n - count) / (count + 1)) + math.log(p) - math.log1p(-p)
    logs = np.concatenate([[0.0], np.cumsum(ratios)])
    probabilities = np.exp(logs - logs.max())
    return first, probabilities / probabilities.sum()


def _window(n: int, p: float) -> tuple[int, int]:
    """First and last count in reach of the mean n p."""
    reach = _REACH_DEVIATIONS * math.sqrt(n * p * (1 - p)) + _REACH_COUNTS
    return max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))


def _interval(ascending: FloatArray, p: float) -> tuple[float, float]:
    n, tail = len(ascending), (1 - CONFIDENCE) / 2
    first, counts = binomial(n, p)
    upto = np.cumsum(counts)
    onwards = np.cumsum(counts[::-1])[::-1]
    # Counts r - 1 with P(B <= r - 1) <= tail are a prefix, counts s with P(B >= s) a suffix. The
    # prefix ends where r may end; below the window every count belongs to it.
    r = first + int((upto <= tail).sum())
    s = first + int((onwards > tail).sum())
    low = float(ascending[r - 1]) if r >= 1 else -math.inf
    high = float(ascending[s - 1]) if s <= n else math.inf
    return low, high
