"""Informativeness: the Information Gain to second order, a covariance-weighted norm.

Theorem 4.1 (Eq. 5): 2 KL(u) ~ (u - mean)^T G (u - mean), with the mean of the query's own
modality and a covariance G of the other one. Everything here returns HALF the quadratic form, so
that the unit is nats and the number compares with the exact KL directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import NumericsError
from curate.numerics.moments import moments_of
from curate.numerics.posterior import Posterior, embedding_matrix
from curate.numerics.products import affine

FloatArray = npt.NDArray[np.float64]

Covariance = Literal["paper", "corrected"]

_NEGATIVE_TOLERANCE = 1e-10
"""Negative eigenvalues up to this share of the largest one are rounding: a float64 covariance of
d = 1024 shows about 1e-13, while a matrix that is not PSD at all shows orders more."""

_ROWS = 1024
"""Queries taken at once: bounds the [rows, m] array to 80 MB at m = 10,000."""

_PRIOR_TOLERANCE = 1e-6
"""How far the sum of a prior may be from one: float32 priors of 10^6 candidates still pass."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A metric G as L L^T.

    Attributes:
        matrix: float64 [d, r], L: eigenvectors by falling eigenvalue, times its square root.
        kept: share of the trace of G that L L^T holds, in [0, 1].
    """

    matrix: FloatArray
    kept: float


def sensitivity(
    candidates: npt.ArrayLike,
    at: npt.ArrayLike,
    posterior: Posterior,
    covariance: Covariance = "corrected",
) -> FloatArray:
    """How strongly each candidate's log-probability answers to the query around `at`: s w_t.

    The gradient of log p(t | u) at u = at is g_t - sum_t' p(t' | at) g_t' with

    - softmax: log p = s <v_t, u> - log Z(u), hence g_t = s v_t: an exponential family with
      natural parameter u and sufficient statistic s v_t.
    - sigmoid: log p = log sigmoid(x_t) - log Z(u) with x_t = s <v_t, u> + b, and
      (log sigmoid)'(x) = 1 - sigmoid(x), hence g_t = s w_t v_t with w_t = 1 - sigmoid(x_t).

    KL to second order is half the quadratic form of the covariance of g_t under p. The normalised
    sigmoid is no exponential family in u, so the paper's covariance of v_t (w_t = 1) has the
    right shape only where w_t is constant, and the right size only where it is 1.

    Args:
        candidates: v, [m, d].
        at: where the expansion is made: one query [d], such as the mean of the queries'
            modality, or a sample [n, d] of them, over which w_t is averaged.
        posterior: the link.
        covariance: `corrected` (ours) or `paper` (w_t = 1).

    Returns:
        float64 [m], s w_t, in [0, s].

    Raises:
        NumericsError: wrong shape, NaN or infinity, or an unknown covariance.
    """
    _check_covariance(covariance)
    v = np.asarray(embedding_matrix(candidates, "candidates").numpy())
    if posterior.link == "softmax" or covariance == "paper":
        return np.full(len(v), posterior.scale)
    points = np.asarray(at, dtype=np.float64)
    if points.ndim != 2:
        points = _vector(at, v.shape[1], "at")[None]
    queries = embedding_matrix(points, "at")
    if queries.shape[1] != v.shape[1]:
        raise NumericsError(f"at has width {queries.shape[1]}; expected {v.shape[1]}")
    total = torch.zeros(len(v), dtype=torch.float64)
    for start in range(0, len(queries), _ROWS):
        logits = (queries[start : start + _ROWS] @ torch.from_numpy(v.T)).mul_(-posterior.scale)
        # sigmoid(-x) is 1 - sigmoid(x) without the cancellation at large x.
        total += logits.sub_(posterior.bias).sigmoid_().sum(dim=0)
    return np.asarray(total.mul_(posterior.scale / len(queries)).numpy())


def metric_matrix(
    candidates: npt.ArrayLike,
    prior: npt.ArrayLike,
    at: npt.ArrayLike,
    posterior: Posterior,
    covariance: Covariance = "corrected",
) -> FloatArray:
    """G of Theorem 4.1: the prior-weighted covariance of g_t = s w_t v_t (see `sensitivity`).

    With softmax, or `paper`, and s = 1 it is Eq. 5 to the letter.

    How far it reaches: second order holds while s times the spread of <v_t, u> is small, as at
    s = 1, where the exact KL has slope 1 on the corrected form (0.25 on the paper's, with
    sigmoid: a constant factor that leaves the ranking alone). At a model's own temperature no
    quadratic form is safe: R² of 0.4 to 0.5 on the project's own models (docs/fidelity.md).

    Args:
        candidates: v of the other modality, [m, d].
        prior: p(t), [m], >= 0, summing to one; 1/m for a uniform prior.
        at: mean of the queries' modality, [d], or queries, [n, d]: see `sensitivity`.
        posterior: the link.
        covariance: `corrected` or `paper`.

    Returns:
        float64 [d, d], symmetric, PSD up to rounding.

    Raises:
        NumericsError: wrong shape, NaN or infinity, or a prior that is none.
    """
    return metric_of_gains(candidates, prior, sensitivity(candidates, at, posterior, covariance))


def metric_of_gains(
    candidates: npt.ArrayLike, prior: npt.ArrayLike, gains: npt.ArrayLike
) -> FloatArray:
    """Prior-weighted covariance of gains_t v_t.

    Args:
        candidates: v, [m, d].
        prior: p(t), [m], >= 0, summing to one.
        gains: s w_t, [m].

    Returns:
        float64 [d, d], symmetric, PSD up to rounding.

    Raises:
        NumericsError: as `metric_matrix`.
    """
    weights = np.asarray(prior, dtype=np.float64)
    if weights.ndim != 1 or not abs(weights.sum() - 1) <= _PRIOR_TOLERANCE:
        raise NumericsError(
            f"prior: shape {weights.shape}, sum {weights.sum()}; expected [m] summing to one"
        )
    v = np.asarray(embedding_matrix(candidates, "candidates").numpy())
    return moments_of(v * _vector(gains, len(v), "gains")[:, None], weights).covariance


def quadratic_form(u: npt.ArrayLike, mean: npt.ArrayLike, metric: npt.ArrayLike) -> FloatArray:
    """Half of (u - mean)^T G (u - mean), row by row: the plain form of Eq. 5, O(n d^2).

    Args:
        u: [n, d].
        mean: [d], of the same modality as u.
        metric: [d, d], G of the other modality.

    Returns:
        float64 [n], nats.

    Raises:
        NumericsError: wrong shape, NaN or infinity.
    """
    rows = np.asarray(embedding_matrix(u, "u").numpy())
    centred = rows - _vector(mean, rows.shape[1], "mean")
    matrix = _square(metric)
    if len(matrix) != rows.shape[1]:
        raise NumericsError(f"metric has shape {matrix.shape}; expected width {rows.shape[1]}")
    return np.asarray(0.5 * ((centred @ matrix) * centred).sum(axis=1))


def factorise(metric: npt.ArrayLike, share: float = 1.0) -> Factor:
    """Factor a metric as L L^T of the smallest rank that holds `share` of its trace.

    With share = 1 only eigenvalues below the rounding of the decomposition (d eps of the largest
    one) are left out. As scores are non-negative sums over eigenvectors, a truncated score is
    never above the full one, and short of it by (1 - kept) on average over an isotropic u.

    Args:
        metric: [d, d], symmetric, PSD up to rounding.
        share: share of the trace to reach, in (0, 1].

    Returns:
        The factor, float64; rank 0 for a zero metric. Order and signs are fixed: falling
        eigenvalues, largest component of each vector positive.

    Raises:
        NumericsError: wrong shape, NaN or infinity, not symmetric, not PSD, or a share outside
            of (0, 1].
    """
    if not 0 < share <= 1:
        raise NumericsError(f"factorise: share is {share}; expected a number in (0, 1]")
    matrix = _square(metric)
    size = float(np.abs(matrix).max())
    if float(np.abs(matrix - matrix.T).max()) > _NEGATIVE_TOLERANCE * size:
        raise NumericsError("factorise: the metric is not symmetric")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = max(float(values[0]), 0.0)
    if values[-1] < -_NEGATIVE_TOLERANCE * max(largest, size):
        raise NumericsError(
            f"factorise: the metric is not positive semi-definite: eigenvalues from {values[-1]} "
            f"to {values[0]}; pass a covariance"
        )
    rank = _rank(values, share)
    if rank == 0:
        return Factor(np.zeros((len(matrix), 0)), 1.0)
    values, vectors = values[:rank], vectors[:, :rank]
    peaks = vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)]
    factor = vectors * (np.sign(peaks) * np.sqrt(values))
    kept = float(values.sum() / np.trace(matrix))
    return Factor(np.ascontiguousarray(factor), min(kept, 1.0))


def informativeness(u: torch.Tensor, offset: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Half of ||L^T u - L^T mean||^2, row by row: `quadratic_form` with G = L L^T.

    One GEMM and a row-wise sum: 2 n d r + O(n r) floating-point operations and O(n r) memory,
    against O(n d m) for the exact KL over m candidates. It runs where the tensors live and in
    their dtype; a row's score depends on the other rows through GEMM rounding only. Use float32:
    TF32 or half precision would round the inner products to 3 digits.

    Args:
        u: [n, d], n >= 0.
        offset: [r], L^T mean.
        factor: [d, r], L.

    Returns:
        [n], nats, >= 0, dtype and device of the inputs.

    Raises:
        NumericsError: shapes, dtypes or devices do not fit.
    """
    if u.ndim != 2 or factor.ndim != 2 or u.shape[1] != factor.shape[0]:
        raise NumericsError(
            f"informativeness: u {tuple(u.shape)} and factor {tuple(factor.shape)} do not fit; "
            "expected [n, d] and [d, r]"
        )
    if offset.shape != factor.shape[1:]:
        raise NumericsError(
            f"informativeness: offset has shape {tuple(offset.shape)}; "
            f"expected ({factor.shape[1]},)"
        )
    if (
        not u.dtype == offset.dtype == factor.dtype
        or not u.device == offset.device == factor.device
    ):
        raise NumericsError(
            "informativeness: u, offset and factor differ in dtype or device: "
            f"{[(str(t.dtype), str(t.device)) for t in (u, offset, factor)]}"
        )
    return affine(u, factor, offset).square_().sum(dim=1).mul_(0.5)


def _rank(values: FloatArray, share: float) -> int:
    """Smallest rank whose eigenvalues (falling) reach `share` of their positive sum."""
    numerical = int((values > len(values) * np.finfo(np.float64).eps * values[0]).sum())
    if share == 1 or numerical == 0:
        return numerical
    reached = np.cumsum(values[:numerical])
    # The last partial sum may round below the target; it is all there is, so it counts.
    return min(int(np.searchsorted(reached, share * reached[-1])) + 1, numerical)


def _check_covariance(covariance: Covariance) -> None:
    if covariance not in get_args(Covariance):
        raise NumericsError(f"covariance is {covariance!r}; expected one of {get_args(Covariance)}")


def _vector(x: npt.ArrayLike, width: int, name: str) -> FloatArray:
    vector = np.asarray(x, dtype=np.float64)
    if vector.shape != (width,) or not np.isfinite(vector).all():
        raise NumericsError(f"{name} has shape {vector.shape}; expected ({width},), all finite")
    return vector


def _square(x: npt.ArrayLike) -> FloatArray:
    matrix = np.asarray(x, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise NumericsError(f"metric has shape {matrix.shape}; expected [d, d]")
    if not np.isfinite(matrix).all():
        raise NumericsError("metric holds NaN or infinity")
    return matrix
