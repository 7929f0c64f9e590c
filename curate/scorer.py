"""A Reference on a device: embeddings in, score columns out."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pyarrow as pa
import torch

from curate.errors import ReferenceFileError
from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import informativeness
from curate.numerics.landmarks import LandmarkGain
from curate.numerics.similarity import clip_score
from curate.reference import Reference, Sample, SampleEmbeddings, Side
from curate.schema import (
    CLIP_SCORE,
    EXACT_COLUMNS,
    IMAGE_INFORMATION_GAIN,
    IMAGE_INFORMATIVENESS,
    IMAGE_LANDMARK_GAIN,
    LANDMARK_COLUMNS,
    SCORE_COLUMNS,
    TEXT_INFORMATION_GAIN,
    TEXT_INFORMATIVENESS,
    TEXT_LANDMARK_GAIN,
    scores_schema,
)

Gain = Callable[[torch.Tensor], torch.Tensor]


class Scorer:
    """Scores of pairs: O(d r) each, and O(d K) or O(d n) for what costs extra.

    Args:
        reference: fitted.
        device: where scores are computed.
        costly: which of COSTLY_COLUMNS to compute as well.
        sample: the Reference's sample; the exact Information Gain is taken against it.

    Raises:
        ReferenceFileError: a column asks for landmarks or a sample that is not there.
    """

    def __init__(
        self,
        reference: Reference,
        device: torch.device | str = "cpu",
        costly: Collection[str] = (),
        sample: SampleEmbeddings | None = None,
    ) -> None:
        self._image = _quadratic(reference.image, device)
        self._text = _quadratic(reference.text, device)
        self._of_image: dict[str, Gain] = {}
        self._of_text: dict[str, Gain] = {}
        if set(costly) & set(LANDMARK_COLUMNS):
            self._of_image[IMAGE_LANDMARK_GAIN] = _landmarks(reference, reference.image, device)
            self._of_text[TEXT_LANDMARK_GAIN] = _landmarks(reference, reference.text, device)
        if set(costly) & set(EXACT_COLUMNS):
            held = _with_prior(reference, sample)
            posterior = reference.posterior
            self._of_image[IMAGE_INFORMATION_GAIN] = InformationGain(
                held.text, held.text_weights, posterior, device=device
            )
            self._of_text[TEXT_INFORMATION_GAIN] = InformationGain(
                held.image, held.image_weights, posterior, device=device
            )
        self._of_image = {name: gain for name, gain in self._of_image.items() if name in costly}
        self._of_text = {name: gain for name, gain in self._of_text.items() if name in costly}

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor, text: torch.Tensor) -> dict[str, torch.Tensor]:
        """Score pairs.

        Args:
            image, text: float32 [n, d], L2-normalised, on the scorer's device.

        Returns:
            Column name -> float32 [n]; informativeness (half the quadratic form) and Information
            Gain in nats.
        """
        scores = {
            IMAGE_INFORMATIVENESS: informativeness(image, *self._image),
            TEXT_INFORMATIVENESS: informativeness(text, *self._text),
            CLIP_SCORE: clip_score(image, text),
        }
        scores |= {name: gain(image) for name, gain in self._of_image.items()}
        return scores | {name: gain(text) for name, gain in self._of_text.items()}


def score_sample(
    reference: Reference, embeddings: SampleEmbeddings, table: pa.Table, costly: Collection[str]
) -> Sample:
    """Fill the score columns of a sample's table with what its Reference says.

    Args:
        reference: fitted on the embeddings.
        embeddings: of the pairs.
        table: their rows, with null scores.
        costly: which of COSTLY_COLUMNS to compute as well.
    """
    scorer = Scorer(reference, costly=costly, sample=embeddings)
    scores = scorer(torch.from_numpy(embeddings.image), torch.from_numpy(embeddings.text))
    columns = {name: table[name] for name in table.column_names}
    columns |= {name: pa.array(values.numpy()) for name, values in scores.items()}
    schema = scores_schema((*SCORE_COLUMNS, *costly))
    return Sample(embeddings, pa.table({n: columns[n] for n in schema.names}, schema=schema))


def _quadratic(side: Side, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(side.offset, device=device), torch.tensor(side.factor, device=device)


def _landmarks(reference: Reference, side: Side, device: torch.device | str) -> LandmarkGain:
    if side.landmarks is None:
        raise ReferenceFileError(
            f"the Reference holds no landmarks, which {IMAGE_LANDMARK_GAIN} and"
            f" {TEXT_LANDMARK_GAIN} need: fit one with such a score listed under `scores`"
        )
    return LandmarkGain(side.landmarks, reference.posterior, device=device)


def _with_prior(reference: Reference, sample: SampleEmbeddings | None) -> SampleEmbeddings:
    if sample is None or reference.description["prior"] != "model":
        raise ReferenceFileError(
            f"{IMAGE_INFORMATION_GAIN} and {TEXT_INFORMATION_GAIN} are taken against the"
            " Reference's sample and its priors: fit it with reference.prior: model, and keep"
            " sample.npz beside it"
        )
    return sample
