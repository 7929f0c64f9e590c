"""The Information Gain term by term: which candidates an embedding makes more probable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.numerics.information_gain import checked_prior
from curate.numerics.posterior import Posterior, embedding_matrix, log_posterior

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GainTerms:
    """What a few queries say of all candidates.

    Attributes:
        cosine: [n, m], inner products of normalised rows.
        posterior: [n, m], p(t | u); rows sum to one.
        prior: [m], p(t).
        terms: [n, m], p(t | u) log(p(t | u) / p(t)), nats; rows sum to the Information Gain. A
            term is negative where the posterior lies below the prior.
    """

    cosine: FloatArray
    posterior: FloatArray
    prior: FloatArray
    terms: FloatArray

    @property
    def gains(self) -> FloatArray:
        """The Information Gain of each query, [n], nats (Eq. 2)."""
        return np.asarray(self.terms.sum(axis=1))


def gain_terms(
    queries: npt.ArrayLike,
    candidates: npt.ArrayLike,
    prior: npt.ArrayLike,
    posterior: Posterior,
) -> GainTerms:
    """Take the Information Gain of a few queries apart, in float64.

    Args:
        queries: u, [n, d], L2-normalised; O(n m) numbers are held, so bound n.
        candidates: v of the other modality, [m, d], L2-normalised.
        prior: p(t), [m], > 0, summing to one.
        posterior: the link.

    Raises:
        NumericsError: wrong shape, NaN or infinity, or a prior out of its domain.
    """
    log_p = log_posterior(queries, candidates, posterior)
    p_t = np.asarray(checked_prior(prior, log_p.shape[1]).numpy())
    u, v = embedding_matrix(queries, "queries"), embedding_matrix(candidates, "candidates")
    p = np.exp(log_p)
    return GainTerms(np.asarray((u @ v.T).numpy()), p, p_t, p * (log_p - np.log(p_t)))


def largest(values: FloatArray, count: int) -> npt.NDArray[np.int64]:
    """Positions of the `count` largest of [m], largest first; ties in their order."""
    return np.argsort(-values, kind="stable")[:count].astype(np.int64)
