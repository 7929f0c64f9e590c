"""The exact Information Gain and what stands for it, of any queries, at any temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

import numpy as np
import numpy.typing as npt
import torch

from curate.clustering import kmeans_labels
from curate.numerics.correction import fit_quadratic
from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import Covariance, quadratic_form
from curate.numerics.landmarks import LandmarkGain, fit_landmarks
from curate.numerics.posterior import Posterior, estimate_priors
from curate.reference import LANDMARKS_PER_WIDTH

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

EXACT: Final = "exact"
LANDMARKS: Final = "landmarks"
QUADRATIC: Final[tuple[Covariance, ...]] = get_args(Covariance)
FORMS: Final = (*QUADRATIC, LANDMARKS)
"""What is compared with the exact value; the column `informativeness` is `corrected`."""


def score_forms(
    sample: tuple[Float32, Float32],
    queries: Mapping[str, tuple[Float32, Float32]],
    posterior: Posterior,
    seed: int,
) -> dict[tuple[str, str], dict[str, Float64]]:
    """Fit every form to a sample, as `curate fit` does, and score queries with each.

    Args:
        sample: images and texts, float32 [n, d] each, L2-normalised.
        queries: name -> images and texts to score.
        posterior: link and temperature.
        seed: of the clusters.

    Returns:
        (name of the queries, `image` or `text`) -> form (FORMS and `exact`) -> float64, nats.
    """
    image, text = sample
    p_image, p_text = estimate_priors(image, text, posterior)
    found: dict[tuple[str, str], dict[str, Float64]] = {}
    sides = {
        "image": ((image, p_image), (text, p_text)),
        "text": ((text, p_text), (image, p_image)),
    }
    for at, (modality, (own, other)) in enumerate(sides.items()):
        asked = {name: rows[at] for name, rows in queries.items()}
        scores = _score_side(own, other, asked, posterior, seed)
        found |= {(name, modality): values for name, values in scores.items()}
    return found


def _score_side(
    own: tuple[Float32, Float64],
    other: tuple[Float32, Float64],
    queries: Mapping[str, Float32],
    posterior: Posterior,
    seed: int,
) -> dict[str, dict[str, Float64]]:
    (u, p_u), (v, p_v) = own, other
    labels = kmeans_labels(v, p_v, LANDMARKS_PER_WIDTH * u.shape[1], seed)
    landmarks = LandmarkGain(fit_landmarks(u, v, p_v, labels, posterior), posterior)
    exact = InformationGain(v, p_v, posterior)
    forms = {form: fit_quadratic(u, v, p_u, p_v, posterior, form) for form in QUADRATIC}
    scores = {}
    for name, rows in queries.items():
        tensor = torch.from_numpy(rows)
        values: dict[str, Float64] = {
            form: quadratic_form(rows, q.mean, q.metric) for form, q in forms.items()
        }
        values[LANDMARKS] = landmarks(tensor).double().numpy()
        values[EXACT] = exact(tensor).double().numpy()
        scores[name] = values
    return scores
