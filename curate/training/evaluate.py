"""What a model makes of placeholders and scrubbed captions: recalls, generalisation, retrieval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.numerics.correction import fit_quadratic
from curate.numerics.informativeness import quadratic_form
from curate.numerics.posterior import Posterior, estimate_priors

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fit:
    """The Reference's means and metrics (Eq. 5) at scale 1 with the model's link."""

    image_mean: FloatArray
    text_mean: FloatArray
    image_metric: FloatArray
    text_metric: FloatArray

    def score_images(self, images: npt.ArrayLike) -> FloatArray:
        """Image informativeness [n], nats, of normalised embeddings [n, d]."""
        return quadratic_form(images, self.image_mean, self.text_metric)

    def score_texts(self, texts: npt.ArrayLike) -> FloatArray:
        """Text informativeness [n], nats, of normalised embeddings [n, d]."""
        return quadratic_form(texts, self.text_mean, self.image_metric)


def fit(images: npt.ArrayLike, texts: npt.ArrayLike, posterior: Posterior) -> Fit:
    """Means and metrics of a sample of pairs, prior weights ``model``, covariance ``corrected``."""
    image_prior, text_prior = estimate_priors(images, texts, posterior)
    of_images = fit_quadratic(images, texts, image_prior, text_prior, posterior)
    of_texts = fit_quadratic(texts, images, text_prior, image_prior, posterior)
    return Fit(of_images.mean, of_texts.mean, of_texts.metric, of_images.metric)


def recall_among_lowest(scores: FloatArray, noise: BoolArray, share: float) -> float:
    """Share of the noise among the ``share`` of samples with the lowest scores."""
    lowest = np.argsort(scores, kind="stable")[: int(share * len(scores))]
    return float(noise[lowest].sum() / noise.sum())


def recall_when_mixed(
    clean: FloatArray, noise: FloatArray, share: float, prevalence: float
) -> float:
    """Recall among the lowest ``share`` if noise made up ``prevalence`` of the pool.

    Noise and clean samples are weighted to the prevalence, so that the figure does not depend on
    how many of each were drawn.
    """
    scores = np.concatenate([clean, noise])
    weights = np.concatenate(
        [
            np.full(len(clean), (1 - prevalence) / len(clean)),
            np.full(len(noise), prevalence / len(noise)),
        ]
    )
    order = np.argsort(scores, kind="stable")
    taken = order[np.cumsum(weights[order]) <= share]
    return float((taken >= len(clean)).sum() / len(noise))


def retrieval(images: FloatArray, texts: FloatArray, ranks: tuple[int, ...]) -> dict[str, float]:
    """Share of pairs whose partner is among the first of the other side, both directions.

    A partner with an equal similarity to another's counts as behind it only when smaller.
    """
    similarity = images @ texts.T
    own = np.diag(similarity)
    by_image = (similarity > own[:, None]).sum(axis=1)
    by_text = (similarity > own[None, :]).sum(axis=0)
    return {
        **{f"image_to_text_recall@{rank}": float((by_image < rank).mean()) for rank in ranks},
        **{f"text_to_image_recall@{rank}": float((by_text < rank).mean()) for rank in ranks},
    }
