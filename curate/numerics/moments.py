"""Weighted moments that merge: count, mean and scatter in float64.

One pass over rows in any partition and order gives the same moments up to float64 rounding
(Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979). Scatter is kept about the mean, never as a raw sum of squares: that difference
cancels, and in float32 it was seen to lose percents of the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError

FloatArray = npt.NDArray[np.float64]

_BLOCK_ROWS = 8192
"""Rows centred at once: bounds the float64 temporaries to about 64 MB at d = 512."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of a weighted sample.

    Attributes:
        weight: sum of the weights; 0 for the empty sample.
        mean: float64 [d], weighted mean.
        scatter: float64 [d, d], sum_i w_i (x_i - mean)(x_i - mean)^T.

    Raises:
        NumericsError: a shape does not fit, a number is not finite, or the weight is negative.
    """

    weight: float
    mean: FloatArray
    scatter: FloatArray

    def __post_init__(self) -> None:
        mean = np.array(self.mean, dtype=np.float64)
        scatter = np.array(self.scatter, dtype=np.float64)
        if mean.ndim != 1 or scatter.shape != (mean.size, mean.size):
            raise NumericsError(
                f"moments: mean {mean.shape} and scatter {scatter.shape} do not fit; "
                "expected [d] and [d, d]"
            )
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise NumericsError(f"moments: weight is {self.weight}; expected a finite number >= 0")
        if not (np.isfinite(mean).all() and np.isfinite(scatter).all()):
            raise NumericsError("moments: mean or scatter holds NaN or infinity")
        mean.flags.writeable = False
        scatter.flags.writeable = False
        object.__setattr__(self, "weight", float(self.weight))
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "scatter", scatter)

    @classmethod
    def empty(cls, dim: int) -> Moments:
        """Return the identity of `merge` for width `dim`: nothing seen yet."""
        if dim < 1:
            raise NumericsError(f"moments: width is {dim}; expected at least 1")
        return cls(0.0, np.zeros(dim), np.zeros((dim, dim)))

    @property
    def dim(self) -> int:
        """Embedding width d."""
        return int(self.mean.size)

    @property
    def covariance(self) -> FloatArray:
        """float64 [d, d]: scatter / weight (the population form, as G in Eq. 5).

        Raises:
            NumericsError: the sample is empty.
        """
        if self.weight == 0:
            raise NumericsError("moments: an empty sample has no covariance; add rows first")
        return self.scatter / self.weight


def moments_of(x: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Moments:
    """Moments of the rows of `x`.

    Args:
        x: any real dtype [n, d], n >= 1; accumulated in float64, block by block.
        weights: [n], >= 0 with a positive sum; None weighs every row 1.

    Raises:
        NumericsError: wrong shape, NaN or infinity, a negative weight or no positive one.
    """
    rows = np.asarray(x)
    if rows.ndim != 2 or 0 in rows.shape:
        raise NumericsError(f"moments: x has shape {rows.shape}; expected [n, d] with n, d >= 1")
    checked = np.ones(len(rows)) if weights is None else _checked_weights(weights, len(rows))
    return merge_all(_block_moments(rows, checked))


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union of two disjoint samples (Chan et al.), O(d^2).

    Raises:
        NumericsError: the widths differ.
    """
    if a.dim != b.dim:
        raise NumericsError(f"moments: cannot merge widths {a.dim} and {b.dim}")
    if a.weight == 0:
        return b
    if b.weight == 0:
        return a
    weight = a.weight + b.weight
    delta = b.mean - a.mean
    # Ratios before products: a.weight * b.weight would overflow or underflow first.
    share = b.weight / weight
    mean = a.mean + delta * share
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.weight * share)
    return Moments(weight, mean, scatter)


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Merge any number of moments, at least one, holding only two at a time.

    Raises:
        NumericsError: there is none, or the widths differ.
    """
    total: Moments | None = None
    for part in parts:
        total = part if total is None else merge(total, part)
    if total is None:
        raise NumericsError("moments: nothing to merge; start from Moments.empty(d)")
    return total


def _checked_weights(weights: npt.ArrayLike, rows: int) -> FloatArray:
    checked = np.asarray(weights, dtype=np.float64)
    if checked.shape != (rows,):
        raise NumericsError(f"moments: weights have shape {checked.shape}; expected ({rows},)")
    if not np.isfinite(checked).all() or (checked < 0).any():
        raise NumericsError("moments: weights must be finite and >= 0")
    if not checked.sum() > 0:
        raise NumericsError("moments: the weights sum to 0; at least one must be positive")
    return checked


def _block_moments(rows: npt.NDArray[Any], weights: FloatArray) -> Iterator[Moments]:
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS].astype(np.float64)
        if not np.isfinite(block).all():
            raise NumericsError(
                f"moments: x holds NaN or infinity in rows {start} to {start + len(block) - 1}"
            )
        weight = weights[start : start + _BLOCK_ROWS]
        total = float(weight.sum())
        if total == 0:
            yield Moments.empty(rows.shape[1])
            continue
        mean = (weight / total) @ block
        # sqrt(w) on both sides makes the product A^T A: symmetric to the bit and PSD by form.
        block -= mean
        block *= np.sqrt(weight)[:, None]
        yield Moments(total, mean, block.T @ block)
