"""The landmark form: Information Gain against K clusters in place of N candidates.

Where the temperature is sharp, the log-partition function is far from quadratic over the whole
cloud of candidates, and no covariance can stand for them all. It is close to quadratic over a
small part of it: so the exact KL is taken between clusters and the quadratic form within them,

    KL(u) ~ sum_k P_k(u) [log(P_k(u) / P_k) + W_k(u)],

the chain rule of KL with the inner divergence W_k to second order. O(d K) per query, whatever the
size of the sample, like the quadratic form with K in place of d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import NumericsError
from curate.numerics.information_gain import CHUNK_BYTES, checked_prior, divergence, in_chunks
from curate.numerics.posterior import Posterior, embedding_matrix, link_log_weights
from curate.numerics.products import product

FloatArray = npt.NDArray[np.float64]

SCALING_ROUNDS: Final = 20
"""Rounds of iterative scaling at most; see the tolerance."""

SCALING_TOLERANCE: Final = 1e-3
"""Largest |log| between a cluster's prior and its mean posterior when scaling may stop: a
hundredth of the error of the form itself."""

_SMALLEST_CAP: Final = 1e-12
"""Nats; keeps 0 / 0 out of clusters of one candidate, whose inner divergence is 0."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What K clusters of one modality say of the other.

    Attributes:
        centroids: float64 [K, d], c_k, the prior-weighted means of the clusters' candidates.
        prior: float64 [K], P_k, the sum of their priors.
        bias: float64 [K], beta_k of P_k(u) ~ exp(f(s <c_k, u> + b) + beta_k).
        spread: float64 [K], variance of each cluster over their prior-weighted mean.
        cap: float64 [K], nats, entropy of the prior within each cluster: its inner divergence
            comes no higher when one of equally likely candidates takes all.
        factor: float64 [d, r], s L with L L^T the pooled covariance within clusters.
        offset: float64 [K, r], (s L)^T times the mean of w u under each cluster's posterior.
    """

    centroids: FloatArray
    prior: FloatArray
    bias: FloatArray
    spread: FloatArray
    cap: FloatArray
    factor: FloatArray
    offset: FloatArray


def fit_landmarks(
    queries: npt.ArrayLike,
    candidates: npt.ArrayLike,
    prior: npt.ArrayLike,
    labels: npt.ArrayLike,
    posterior: Posterior,
) -> Landmarks:
    """Summarise candidates by the clusters that `labels` assign them to.

    In cluster k, with v = c_k + e and x = s <v, u> + b, log p(v | u) is f(s <c_k, u> + b) +
    s w <e, u> to first order, where f is the link's logarithm and w = f'(x) (1 with softmax,
    1 - sigmoid(x) with sigmoid: see `sensitivity`). Hence

    - P_k(u) ~ exp(f(s <c_k, u> + b) + beta_k), with beta_k such that the mean over the queries
      is P_k (iterative scaling): it takes up the cluster's size and spread;
    - W_k(u) = half of s^2 (w u - m_k)^T S_k (w u - m_k), with m_k the mean of w u where cluster
      k is likely, and S_k its covariance: the pooled one, scaled to the cluster's own variance.

    Args:
        queries: u of the other modality, [n, d]: a sample.
        candidates: v, [m, d].
        prior: p(t), [m], > 0, summing to one.
        labels: the cluster of each candidate, [m] integers; any numbering.
        posterior: the link.

    Returns:
        As many landmarks as there are distinct labels.

    Raises:
        NumericsError: wrong shape, NaN or infinity, or a prior that is none.
    """
    u, v = embedding_matrix(queries, "queries"), embedding_matrix(candidates, "candidates")
    if u.shape[1] != v.shape[1]:
        raise NumericsError(f"landmarks: widths differ: {u.shape[1]} and {v.shape[1]}")
    p = checked_prior(prior, len(v))
    clusters = _consecutive(labels, len(v))
    mass, centroids = _means(v, p, clusters)
    centred = v - centroids[clusters]
    factor = posterior.scale * _root((centred * p[:, None]).T @ centred)
    variance = _sums((p * (centred**2).sum(dim=1))[:, None], clusters, len(mass))[:, 0] / mass
    pooled = float(mass @ variance)
    inside = p / mass[clusters]
    cap = _sums(-(inside * inside.log())[:, None], clusters, len(mass))[:, 0]
    start = _start(u.mean(dim=0), v, centroids, clusters, posterior)
    bias, tilt = _scaled(u, centroids, mass, start, posterior)
    return Landmarks(
        centroids=centroids.numpy(),
        prior=mass.numpy(),
        bias=bias.numpy(),
        spread=(variance / pooled if pooled > 0 else torch.zeros_like(variance)).numpy(),
        cap=cap.clamp_min(0).numpy(),
        factor=factor.numpy(),
        offset=(tilt @ factor).numpy(),
    )


class LandmarkGain:
    """Landmarks on a device, ready for any number of queries.

    Args:
        landmarks: of the other modality.
        posterior: the one they were fitted with.
        dtype: of the arithmetic; sums over landmarks are float64 in any case.
        device: where they are held.
        chunk_bytes: bound of one [chunk, K] array; changes results by rounding only.
    """

    def __init__(
        self,
        landmarks: Landmarks,
        posterior: Posterior,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        def place(array: FloatArray) -> torch.Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        log_prior, centroids = np.log(landmarks.prior), landmarks.centroids
        # As in the exact form: constants go in float64, so that float32 holds what is left.
        centre = centroids.mean(axis=0) if posterior.link == "softmax" else 0.0
        offset = landmarks.bias - log_prior
        self._centroids = place(centroids - centre)
        self._offset = place(offset - landmarks.prior @ offset)
        self._log_prior = place(log_prior)
        self._spread = place(0.5 * landmarks.spread)
        self._cap = place(np.maximum(landmarks.cap, _SMALLEST_CAP))
        # The factor transposed in memory, as products take it without a copy.
        self._factor = place(np.ascontiguousarray(landmarks.factor.T)).T
        self._tilt = place(landmarks.offset)
        self._tilt_square = self._tilt.square().sum(dim=1)
        self._posterior = posterior
        self._rows = max(1, chunk_bytes // (len(offset) * self._offset.element_size()))

    def __call__(self, queries: torch.Tensor) -> torch.Tensor:
        """Approximate Information Gain of queries.

        Args:
            queries: [n, d], n >= 0, dtype and device of the landmarks.

        Returns:
            [n], nats, same dtype and device.

        Raises:
            NumericsError: width, dtype or device do not fit.
        """
        return in_chunks(self._chunk, queries, self._centroids, self._rows)

    def _chunk(self, u: torch.Tensor) -> torch.Tensor:
        x = product(u, self._centroids.T).mul_(self._posterior.scale)
        weight = None
        if self._posterior.link == "sigmoid":
            x.add_(self._posterior.bias)
            weight = torch.sigmoid(-x)
            x = torch.nn.functional.logsigmoid(x)
        ratio = x.add_(self._offset)
        ratio -= torch.logsumexp(ratio + self._log_prior, dim=1, keepdim=True)
        between = divergence(ratio, self._log_prior)
        within = self._within(u, weight).mul_(ratio.add_(self._log_prior).exp_())
        return between + within.sum(dim=1, dtype=torch.float64).to(u.dtype)

    def _within(self, u: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        """W_k(u), [n, K]: half the squared distance, bent so that it stays below the cap."""
        a = product(u, self._factor)
        cross, square = product(a, self._tilt.T), a.square().sum(dim=1, keepdim=True)
        if weight is None:
            distance = cross.mul_(-2).add_(square)
        else:
            distance = cross.mul_(-2).add_(square * weight).mul_(weight)
        distance.add_(self._tilt_square).clamp_(min=0).mul_(self._spread)
        return torch.expm1(distance.div_(-self._cap)).mul_(-self._cap)


def _consecutive(labels: npt.ArrayLike, size: int) -> torch.Tensor:
    given = np.asarray(labels)
    if given.shape != (size,) or given.dtype.kind not in "iu":
        raise NumericsError(
            f"landmarks: labels have shape {given.shape} and dtype {given.dtype}; expected "
            f"({size},) integers"
        )
    return torch.from_numpy(np.unique(given, return_inverse=True)[1].astype(np.int64))


def _sums(rows: torch.Tensor, clusters: torch.Tensor, count: int) -> torch.Tensor:
    """Sums of rows [m, w] by cluster: [count, w]."""
    return rows.new_zeros(count, rows.shape[1]).index_add_(0, clusters, rows)


def _means(
    v: torch.Tensor, p: torch.Tensor, clusters: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    count = int(clusters.max()) + 1
    mass = _sums(p[:, None], clusters, count)[:, 0]
    return mass, _sums(p[:, None] * v, clusters, count) / mass[:, None]


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """L with L L^T = covariance, [d, r], without the directions that are rounding."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * torch.finfo(torch.float64).eps * values[-1].clamp_min(0)
    root: torch.Tensor = vectors[:, kept] * values[kept].sqrt()
    return root


def _start(
    mean: torch.Tensor,
    v: torch.Tensor,
    centroids: torch.Tensor,
    clusters: torch.Tensor,
    posterior: Posterior,
) -> torch.Tensor:
    """beta_k with which the clusters' weights are right for the mean query; [K].

    Exact for every query where clusters have one candidate each.
    """
    own = link_log_weights(mean[None], v, posterior)[0]
    centre = link_log_weights(mean[None], centroids, posterior)[0]
    excess = own - centre[clusters]
    top = torch.full_like(centre, -torch.inf).scatter_reduce_(0, clusters, excess, "amax")
    return top + _sums((excess - top[clusters]).exp()[:, None], clusters, len(top))[:, 0].log()


def _scaled(
    u: torch.Tensor,
    centroids: torch.Tensor,
    mass: torch.Tensor,
    bias: torch.Tensor,
    posterior: Posterior,
) -> tuple[torch.Tensor, torch.Tensor]:
    """beta_k by iterative scaling, and m_k, the mean of w u under P_k(u) over the queries."""
    for _ in range(SCALING_ROUNDS):
        mean, _ = _responsibilities(u, centroids, bias, posterior, tilted=False)
        step = mass.log() - mean.log()
        if float(step.abs().max()) < SCALING_TOLERANCE:
            break
        bias = bias + step
    mean, tilt = _responsibilities(u, centroids, bias, posterior, tilted=True)
    return bias, tilt / mean[:, None]


def _responsibilities(
    u: torch.Tensor,
    centroids: torch.Tensor,
    bias: torch.Tensor,
    posterior: Posterior,
    *,
    tilted: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means over the queries of P_k(u), [K], and of P_k(u) w_k(u) u, [K, d]."""
    total, tilt = torch.zeros_like(bias), torch.zeros_like(centroids)
    rows = max(1, CHUNK_BYTES // (len(bias) * bias.element_size()))
    for start in range(0, len(u), rows):
        chunk = u[start : start + rows]
        x = (chunk @ centroids.T).mul_(posterior.scale)
        weight: torch.Tensor | float = 1.0
        if posterior.link == "sigmoid":
            x.add_(posterior.bias)
            weight = torch.sigmoid(-x)
            x = torch.nn.functional.logsigmoid(x)
        share = torch.softmax(x.add_(bias), dim=1)
        total += share.sum(dim=0)
        if tilted:
            tilt += (share * weight).T @ chunk
    return total / len(u), tilt / len(u)
