"""The exact Information Gain of a sample, the norms that stand for it, and how well they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import torch

from curate.config import PaperConfig
from curate.numerics.agreement import Agreement, agreement
from curate.numerics.correction import fit_quadratic
from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import Covariance, quadratic_form
from curate.numerics.posterior import Posterior, estimate_priors

Float64 = npt.NDArray[np.float64]

FORMS: Final[tuple[Covariance, ...]] = get_args(Covariance)
MODALITIES: Final = ("image", "text")


@dataclass(frozen=True, eq=False)
class Gains:
    """What one modality of a sample yields.

    Attributes:
        kl: float64 [n], exact Information Gain, nats (Eq. 2).
        norms: covariance -> float64 [n], (u - mean)^T G (u - mean) (Eq. 5), which 2 KL is
            compared with.
        squared_norm: float64 [n], ||u||^2.
    """

    kl: Float64
    norms: Mapping[Covariance, Float64]
    squared_norm: Float64


@dataclass(frozen=True, eq=False)
class Measured:
    """A sample at one posterior, with the priors p(i), p(t), float64 [n]."""

    image: Gains
    text: Gains
    image_prior: Float64
    text_prior: Float64

    def of(self, modality: str) -> Gains:
        """The gains of `image` or `text`."""
        return self.image if modality == "image" else self.text


def measure(image: npt.ArrayLike, text: npt.ArrayLike, posterior: Posterior) -> Measured:
    """Exact Information Gain and norms of every pair, priors being the mean posteriors.

    Args:
        image, text: [n, d], as the posterior takes them: normalised or not.
        posterior: link, scale and bias.

    Raises:
        NumericsError: wrong shape, NaN or infinity.
    """
    images, texts = np.asarray(image, dtype=np.float64), np.asarray(text, dtype=np.float64)
    image_prior, text_prior = estimate_priors(images, texts, posterior)
    image_side, text_side = (images, image_prior), (texts, text_prior)
    return Measured(
        _gains(image_side, text_side, posterior),
        _gains(text_side, image_side, posterior),
        image_prior,
        text_prior,
    )


def exact(
    queries: npt.ArrayLike, candidates: npt.ArrayLike, prior: npt.ArrayLike, posterior: Posterior
) -> Float64:
    """Exact Information Gain of queries, in float32 arithmetic: float64 [n], nats (Eq. 2)."""
    gain = InformationGain(candidates, prior, posterior)
    return np.asarray(gain(torch.from_numpy(np.asarray(queries, dtype=np.float32))).double())


def _gains(
    own: tuple[Float64, Float64], other: tuple[Float64, Float64], posterior: Posterior
) -> Gains:
    queries, candidates = own[0], other[0]
    norms: dict[Covariance, Float64] = {}
    for form in FORMS:
        found = fit_quadratic(queries, candidates, own[1], other[1], posterior, form)
        norms[form] = 2 * quadratic_form(queries, found.mean, found.metric)
    kl = exact(queries, candidates, other[1], posterior)
    return Gains(kl, norms, np.asarray((queries**2).sum(axis=1)))


def line(x: npt.ArrayLike, y: npt.ArrayLike, settings: PaperConfig) -> Agreement:
    """Regress y on x with bootstrap intervals; without them where x or y does not vary."""
    varies = np.ptp(np.asarray(x)) > 0 and np.ptp(np.asarray(y)) > 0
    return agreement(x, y, settings.bootstrap if varies else 0, settings.seed)


ROW_FIELDS: Final = (
    "r2", "r2_low", "r2_high", "slope", "slope_low", "slope_high", "intercept", "n",
)  # fmt: skip


def row(found: Agreement, **names: Any) -> dict[str, Any]:
    """A row of a table: what was compared, then R², slope and intercept with their intervals."""
    values = found.as_dict()
    return {**names, **{key: values[key] for key in ROW_FIELDS}}


INTERVAL_NOTE: Final = (
    "In brackets: 95 % percentile bootstrap interval over the points. R² is the squared Pearson"
    " correlation; slope and intercept are of the least-squares line."
)
