"""How well the scores of a Reference stand for the exact Information Gain, on its own sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from curate.numerics.agreement import agreement, lowest_overlap
from curate.numerics.informativeness import informativeness
from curate.reference import Reference, SampleEmbeddings, Side
from curate.schema import (
    EXACT_COLUMNS,
    GAIN_COLUMNS,
    IMAGE_INFORMATION_GAIN,
    IMAGE_INFORMATIVENESS,
    IMAGE_LANDMARK_GAIN,
    TEXT_INFORMATION_GAIN,
    TEXT_INFORMATIVENESS,
    TEXT_LANDMARK_GAIN,
)
from curate.scorer import Scorer

QUERIES: Final = 2_000
"""Pairs of the sample whose exact value is computed at most: R² is then known to about 0.01."""

HELD_OUT: Final = 5
"""One pair in so many at most is scored, against the others: a pair of the pool does not find its
own partner among the candidates, which a model that was trained on it knows by heart."""

LOWEST: Final = 0.05
"""Share of the scores whose overlap tells what a truncation does to a filter."""


def with_fidelity(reference: Reference, sample: SampleEmbeddings) -> Reference:
    """Add to the description what the scores are worth on the sample.

    `fidelity` holds, for each score column, R², slope and intercept of the exact value on the
    score, for one pair in five against the rest; it is left out with prior `uniform`, for which
    no exact value is defined, and for samples of fewer than six pairs.
    `truncation` holds the error of a truncated factor; it is left out when nothing was cut.
    """
    asked = np.arange(len(sample.image)) % max(HELD_OUT, -(-len(sample.image) // QUERIES)) == 0
    image, text = (torch.from_numpy(rows[asked]) for rows in (sample.image, sample.text))
    found: dict[str, Any] = {}
    if reference.description["prior"] == "model" and asked.sum() > 1:
        found["fidelity"] = _fidelity(reference, _without(sample, asked), image, text)
    if reference.description["trace_share"] < 1:
        found["truncation"] = {
            "image": _truncation(reference.image, image),
            "text": _truncation(reference.text, text),
        }
    return replace(reference, description=reference.description | found)


def _without(sample: SampleEmbeddings, asked: npt.NDArray[np.bool_]) -> SampleEmbeddings:
    """The other pairs, with the priors given that it is one of them."""
    weights = (w[~asked] / w[~asked].sum() for w in (sample.image_weights, sample.text_weights))
    return SampleEmbeddings(sample.image[~asked], sample.text[~asked], *weights)


def _fidelity(
    reference: Reference, sample: SampleEmbeddings, image: torch.Tensor, text: torch.Tensor
) -> dict[str, dict[str, float]]:
    landmarks = reference.image.landmarks is not None
    costly = GAIN_COLUMNS if landmarks else EXACT_COLUMNS
    scores = Scorer(reference, costly=costly, sample=sample)(image, text)
    exact = {
        IMAGE_INFORMATIVENESS: IMAGE_INFORMATION_GAIN,
        TEXT_INFORMATIVENESS: TEXT_INFORMATION_GAIN,
    }
    if landmarks:
        exact |= {
            IMAGE_LANDMARK_GAIN: IMAGE_INFORMATION_GAIN,
            TEXT_LANDMARK_GAIN: TEXT_INFORMATION_GAIN,
        }
    return {
        name: _line(agreement(scores[name].numpy(), scores[of].numpy()).as_dict())
        for name, of in exact.items()
    }


def _line(values: dict[str, float]) -> dict[str, float]:
    # JSON has no NaN; R² of a constant score is not known, and said so by its absence.
    return {
        name: values[name]
        for name in ("r2", "slope", "intercept", "n")
        if np.isfinite(values[name])
    }


def _truncation(side: Side, queries: torch.Tensor) -> dict[str, float]:
    """Rank, share of the trace kept, and what is lost of the scores of `queries`."""
    u = queries.double()
    mean, metric = torch.tensor(side.mean), torch.tensor(side.metric)
    factor, offset = (torch.tensor(x, dtype=torch.float64) for x in (side.factor, side.offset))
    centred = u - mean
    full = 0.5 * ((centred @ metric) * centred).sum(dim=1)
    cut = informativeness(u, offset, factor)
    positive = full > 0
    lost = ((full - cut)[positive] / full[positive]).numpy()
    result = {
        "rank": int(factor.shape[1]),
        "kept": float(factor.square().sum() / torch.trace(metric)),
        "mean_relative_error": float(lost.mean()) if len(lost) else 0.0,
        "largest_relative_error": float(lost.max()) if len(lost) else 0.0,
    }
    if int(len(full) * LOWEST) >= 1:
        result["lowest_5_percent_overlap"] = lowest_overlap(full.numpy(), cut.numpy(), LOWEST)
    return result
