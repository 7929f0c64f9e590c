"""The quadratic form of Theorem 4.1, fitted to a sample: mean, metric, and the link's correction.

With softmax, or with the paper's covariance, this is Eq. 5 as it stands. With sigmoid the
candidates' gradients are weighted by w_t (see `sensitivity`): averaged over the queries, which by
Stein's lemma is the slope of the best linear stand-in for log p(t | u) where queries are normal,
and as far from equal as the exact Information Gain of a few queries bears out. The same queries
fix the unit: orders beyond the second add a few percent at s = 1, and take away at larger scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from curate.numerics.agreement import agreement
from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import Covariance, metric_of_gains, quadratic_form, sensitivity
from curate.numerics.moments import moments_of
from curate.numerics.posterior import Posterior

FloatArray = npt.NDArray[np.float64]

BLENDS: Final = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Shares of the correction that are tried: 1 is theory's, 0 weighs every candidate the same, which
ranks as the paper's form does and differs from it in unit alone."""

QUERIES: Final = 500
"""Queries whose exact value decides: R² is then known to a few hundredths, and differs by tenths
where the choice matters."""

EXPLAINED: Final = 0.5
"""R² below which a line says nothing of the unit: at a model's own temperature its slope on the
sample, whose pairs find their partners there, is a third of that on other pairs."""

_FEWEST: Final = 3
"""Points that a line is drawn through: two fit any."""

INDIFFERENT: Final = 1e-3
"""R² within which theory is preferred."""


@dataclass(frozen=True, eq=False)
class Quadratic:
    """What (u - mean)^T G (u - mean) of Eq. 5 takes.

    Attributes:
        mean: float64 [d], prior-weighted mean of the queries.
        metric: float64 [d, d], G.
        blend: share of the correction in G, in [0, 1]; 1 where there is none to make.
        unit: factor in G that makes the slope of the exact value on the score one; 1 likewise, and
            where the score explains too little of it.
    """

    mean: FloatArray
    metric: FloatArray
    blend: float = 1.0
    unit: float = 1.0


def fit_quadratic(
    queries: npt.ArrayLike,
    candidates: npt.ArrayLike,
    query_prior: npt.ArrayLike,
    prior: npt.ArrayLike,
    posterior: Posterior,
    covariance: Covariance = "corrected",
    *,
    calibrate: bool = True,
) -> Quadratic:
    """Fit the quadratic form of one modality to a sample.

    Args:
        queries: u, [n, d].
        candidates: v of the other modality, [m, d].
        query_prior: weights of the queries, [n], summing to one.
        prior: p(t), [m], > 0, summing to one.
        posterior: the link.
        covariance: `corrected` or `paper`.
        calibrate: settle the correction's share and the unit by exact values. They are taken
            against `prior`, which must then be the mean posterior; without, theory decides.

    Returns:
        Mean and metric, with the share of the correction that was kept and the unit.

    Raises:
        NumericsError: wrong shape, NaN or infinity, or a prior that is none.
    """
    u, v = (np.asarray(x, dtype=np.float64) for x in (queries, candidates))
    mean = moments_of(u, query_prior).mean
    if posterior.link == "softmax" or covariance == "paper":
        gains = sensitivity(v, mean, posterior, covariance)
        return Quadratic(mean, metric_of_gains(v, prior, gains))
    gains = sensitivity(v, u, posterior)
    if not calibrate:
        return Quadratic(mean, metric_of_gains(v, prior, gains))
    level = float(np.asarray(prior) @ gains)
    metrics = {b: metric_of_gains(v, prior, level + b * (gains - level)) for b in BLENDS}
    chosen = _spread_out(u, quadratic_form(u, mean, metrics[BLENDS[0]]))
    exact = InformationGain(v, prior, posterior, dtype=torch.float64)(torch.from_numpy(chosen))
    lines = {b: _line(quadratic_form(chosen, mean, g), exact.numpy()) for b, g in metrics.items()}
    best = max(r2 for r2, _ in lines.values())
    blend = next(b for b in BLENDS if lines[b][0] >= best - INDIFFERENT)
    unit = lines[blend][1] if lines[blend][0] >= EXPLAINED else 1.0
    return Quadratic(mean, unit * metrics[blend], blend, unit)


def _spread_out(u: FloatArray, scores: FloatArray) -> FloatArray:
    """Up to QUERIES rows at even ranks of their scores, whatever the order of the rows."""
    order = np.argsort(scores, kind="stable")
    at = np.linspace(0, len(u) - 1, min(QUERIES, len(u))).round().astype(np.int64)
    return u[order[at]]


def _line(scores: FloatArray, exact: FloatArray) -> tuple[float, float]:
    """R² and slope; 0 and 1 where none rises: fewer than three points, or constant ones."""
    if len(scores) < _FEWEST:
        return 0.0, 1.0
    found = agreement(scores, exact)
    return (found.r2, found.slope) if found.slope > 0 else (0.0, 1.0)
