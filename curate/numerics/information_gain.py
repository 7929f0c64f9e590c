"""The exact Information Gain: KL(p(. | u) || p(.)) over a finite set of candidates (Eq. 2).

What the informativeness of Eq. 5 approximates. O(n m d) operations for n queries and m
candidates, in chunks of queries, so that memory is O(chunk x m) whatever n is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import NumericsError
from curate.numerics.posterior import (
    Posterior,
    checked_weights,
    embedding_matrix,
    link_log_weights,
)

FloatArray = npt.NDArray[np.float64]

CHUNK_BYTES: Final = 64 * 2**20
"""Bytes of one [chunk, m] array; about four live at once. Larger ones leave the CPU's cache and
gain nothing on a GPU."""

_PRIOR_TOLERANCE: Final = 1e-6
"""How far the sum of a prior may be from one, as for the metric of Eq. 5."""


def information_gain(
    queries: npt.ArrayLike,
    candidates: npt.ArrayLike,
    prior: npt.ArrayLike,
    posterior: Posterior,
    weights: npt.ArrayLike | None = None,
) -> FloatArray:
    """Exact Information Gain of each query, in float64 (Eq. 2).

    KL(u) = sum_t p(t | u) log(p(t | u) / p(t)), nats, with p(t | u) of Eq. 1 (softmax) or the
    formula after it (sigmoid).

    Args:
        queries: u, [n, d].
        candidates: v of the other modality, [m, d].
        prior: p(t), [m], > 0, summing to one: see `estimate_priors`.
        posterior: the link.
        weights: how often each candidate occurs, [m], > 0; None for once each. A candidate of
            weight 2 counts as two equal ones that share its prior.

    Returns:
        float64 [n], >= 0 up to rounding of 1e-15.

    Raises:
        NumericsError: wrong shape, NaN or infinity, a prior or weights out of their domain.
    """
    gain = InformationGain(candidates, prior, posterior, weights, dtype=torch.float64)
    return np.asarray(gain(embedding_matrix(queries, "queries")).numpy())


class InformationGain:
    """Candidates on a device, ready for any number of queries.

    With y_t = log(p(t | u) / p(t)) up to a constant c(u), which normalises, KL is the mean of
    y - c under p(. | u). Two steps keep float32 within 1e-4 of the truth, even at s = 1, where
    KL may be 1e-5 and log p(t) about -9:

    - what does not depend on u is taken into one offset per candidate in float64 beforehand;
      with softmax the candidates are taken about their mean;
    - the sum is taken in the form of `divergence`, blind to first-order errors of c(u).

    Args:
        candidates, prior, posterior, weights: as for `information_gain`.
        dtype: of the arithmetic; sums over candidates are float64 in any case.
        device: where the candidates are held.
        chunk_bytes: bound of one [chunk, m] array; changes results by rounding only.

    Raises:
        NumericsError: as `information_gain`, or chunk_bytes < 1.
    """

    def __init__(
        self,
        candidates: npt.ArrayLike,
        prior: npt.ArrayLike,
        posterior: Posterior,
        weights: npt.ArrayLike | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        if chunk_bytes < 1:
            raise NumericsError(f"information gain: chunk_bytes is {chunk_bytes}; expected >= 1")
        v = embedding_matrix(candidates, "candidates")
        log_prior = torch.log(checked_prior(prior, len(v)))
        offset = torch.log(checked_weights(weights, len(v), "weights")) - log_prior
        # A softmax is blind to what all candidates share: the mean may go.
        centre = v.mean(dim=0) if posterior.link == "softmax" else torch.zeros_like(v[0])
        # Any constant may go: about the mean, float32 holds the offsets best.
        offset -= (log_prior.exp() * offset).sum()
        self._v = (v - centre).to(device, dtype)
        self._offset = offset.to(device, dtype)
        self._log_prior = log_prior.to(device, dtype)
        self._posterior = posterior
        self._rows = max(1, chunk_bytes // (len(v) * self._v.element_size()))

    def __call__(self, queries: torch.Tensor) -> torch.Tensor:
        """Information Gain of queries.

        Args:
            queries: [n, d], n >= 0, dtype and device of the candidates.

        Returns:
            [n], nats, same dtype and device.

        Raises:
            NumericsError: width, dtype or device do not fit.
        """
        return in_chunks(self._chunk, queries, self._v, self._rows)

    def _chunk(self, queries: torch.Tensor) -> torch.Tensor:
        ratio = link_log_weights(queries, self._v, self._posterior).add_(self._offset)
        ratio -= torch.logsumexp(ratio + self._log_prior, dim=1, keepdim=True)
        return divergence(ratio, self._log_prior)


def in_chunks(
    score: Callable[[torch.Tensor], torch.Tensor],
    queries: torch.Tensor,
    held: torch.Tensor,
    rows: int,
) -> torch.Tensor:
    """Score queries a few at a time.

    Args:
        score: [k, d] -> [k].
        queries: [n, d], n >= 0.
        held: what they are compared with, [m, d].
        rows: queries of one chunk.

    Returns:
        [n].

    Raises:
        NumericsError: width, dtype or device of the queries are not those of `held`.
    """
    if queries.ndim != 2 or queries.shape[1] != held.shape[1]:
        raise NumericsError(
            f"information gain: queries have shape {tuple(queries.shape)}; expected [n, "
            f"{held.shape[1]}]"
        )
    if queries.dtype != held.dtype or queries.device != held.device:
        raise NumericsError(
            f"information gain: queries are {queries.dtype} on {queries.device}, candidates"
            f" {held.dtype} on {held.device}"
        )
    starts = range(0, len(queries), rows)
    parts = [score(queries[start : start + rows]) for start in starts]
    return torch.cat(parts) if parts else queries.new_zeros(0)


def divergence(ratio: torch.Tensor, log_prior: torch.Tensor) -> torch.Tensor:
    """KL(p || prior) of log ratios log(p / prior), row by row.

    With r = log(p / prior), KL = sum p r = sum prior (r e^r - e^r + 1), as both sum to one. Each
    term of the second form is >= 0 and of second order in r: an error of the normaliser of p, the
    same in every r, changes the sum by KL times itself, where the first form is off by all of it.

    Args:
        ratio: [n, m].
        log_prior: [m].

    Returns:
        [n], nats, >= 0, dtype of the ratios; summed in float64.
    """
    small = ratio.clamp(max=1.0)
    excess = torch.expm1(small)
    light = (small * (excess + 1)).sub_(excess).mul_(log_prior.exp())
    # Where p is far above its prior, e^r alone would overflow; p = e^(r + log prior) does not.
    heavy = torch.exp(ratio + log_prior).mul_(ratio - 1).add_(log_prior.exp())
    terms = torch.where(ratio < 1, light, heavy)
    return terms.sum(dim=1, dtype=torch.float64).to(ratio.dtype)


def checked_prior(prior: npt.ArrayLike, size: int) -> torch.Tensor:
    """A prior as a float64 tensor [size]: positive, summing to one.

    Raises:
        NumericsError: it is no such thing.
    """
    checked = checked_weights(prior, size, "prior")
    if not abs(float(checked.sum()) - 1) <= _PRIOR_TOLERANCE:
        raise NumericsError(f"prior sums to {float(checked.sum())}; expected one")
    return checked
