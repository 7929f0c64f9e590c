"""A Reference on a device: embeddings in, score columns out."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch

from curate.config import BaselinesConfig
from curate.errors import ReferenceFileError, TargetError
from curate.numerics.alignment import (
    norm_similarity_2,
    norm_similarity_inf,
    variance_alignment,
)
from curate.numerics.clip_loss import NegClipLoss
from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import informativeness
from curate.numerics.landmarks import LandmarkGain
from curate.numerics.similarity import clip_score
from curate.reference import Reference, SampleEmbeddings, Side
from curate.schema import (
    CLIP_SCORE,
    CROSS_VAS,
    EXACT_COLUMNS,
    IMAGE_INFORMATION_GAIN,
    IMAGE_INFORMATIVENESS,
    IMAGE_LANDMARK_GAIN,
    LANDMARK_COLUMNS,
    NEG_CLIP_LOSS,
    NORMSIM_2,
    NORMSIM_INF,
    TARGET_COLUMNS,
    TEXT_INFORMATION_GAIN,
    TEXT_INFORMATIVENESS,
    TEXT_LANDMARK_GAIN,
    TEXT_VAS,
    VAS,
)
from curate.targets import Float64, Target

Gain = Callable[[torch.Tensor], torch.Tensor]
PairScore = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Scorer:
    """Scores of pairs: O(d r) each, and what the listed costly scores take besides.

    That is O(d K) for K landmarks, O(d n) for the n pairs of the sample, O(d^2) for the moments
    of a target, and O(d m) for its m members.

    Args:
        reference: fitted.
        device: where scores are computed.
        costly: which of COSTLY_COLUMNS to compute as well; those that no embedding tells, as the
            language of a caption, are left to others.
        sample: the Reference's sample; the exact Information Gain and negCLIPLoss are taken
            against it.
        target: what VAS and NormSim are taken against.
        baselines: settings of negCLIPLoss.

    Raises:
        ReferenceFileError: a column asks for landmarks or a sample that is not there.
        TargetError: a column asks for a target, or for its texts, that is not there, or it is of
            another width.
    """

    def __init__(
        self,
        reference: Reference,
        device: torch.device | str = "cpu",
        costly: Collection[str] = (),
        sample: SampleEmbeddings | None = None,
        target: Target | None = None,
        baselines: BaselinesConfig | None = None,
    ) -> None:
        self._image = _quadratic(reference.image, device)
        self._text = _quadratic(reference.text, device)
        self._of_image: dict[str, Gain] = {}
        self._of_text: dict[str, Gain] = {}
        self._of_pair: dict[str, PairScore] = {}
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
        if NEG_CLIP_LOSS in costly:
            settings = baselines or BaselinesConfig()
            self._of_pair[NEG_CLIP_LOSS] = _clip_loss(sample, settings, device)
        if asked := set(costly) & set(TARGET_COLUMNS):
            found = _checked(target, len(reference.image.mean))
            self._of_pair |= _against_target(found, asked, device)

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor, text: torch.Tensor) -> dict[str, torch.Tensor]:
        """Score pairs.

        Args:
            image, text: float32 [n, d], L2-normalised, on the scorer's device.

        Returns:
            Column name -> float32 [n]; informativeness (half the quadratic form) and Information
            Gain in nats, the others without a unit.
        """
        scores = {
            IMAGE_INFORMATIVENESS: informativeness(image, *self._image),
            TEXT_INFORMATIVENESS: informativeness(text, *self._text),
            CLIP_SCORE: clip_score(image, text),
        }
        scores |= {name: gain(image) for name, gain in self._of_image.items()}
        scores |= {name: gain(text) for name, gain in self._of_text.items()}
        return scores | {name: score(image, text) for name, score in self._of_pair.items()}


def _quadratic(side: Side, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    # Transposed in memory, as products take it without a copy.
    factor = torch.tensor(np.ascontiguousarray(side.factor.T), device=device).T
    return torch.tensor(side.offset, device=device), factor


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


def _clip_loss(
    sample: SampleEmbeddings | None, settings: BaselinesConfig, device: torch.device | str
) -> NegClipLoss:
    if sample is None:
        raise ReferenceFileError(
            f"{NEG_CLIP_LOSS} is taken against batches of the Reference's sample: keep sample.npz"
            " beside it, or fit the Reference again"
        )
    if settings.batches > len(sample.image):
        raise ReferenceFileError(
            f"baselines.batches is {settings.batches}, but the Reference's sample holds"
            f" {len(sample.image)} pairs: lower it, or raise reference.samples"
        )
    return NegClipLoss(
        sample.image,
        sample.text,
        batches=settings.batches,
        temperature=settings.temperature,
        seed=settings.seed,
        device=device,
    )


def _checked(target: Target | None, dim: int) -> Target:
    if target is None:
        raise TargetError(f"{', '.join(TARGET_COLUMNS)} are taken against a target: give one")
    if len(target.image_moment) != dim:
        raise TargetError(
            f"baselines.target holds embeddings of {len(target.image_moment)} dimensions, the"
            f" Reference of {dim}: embed the target with the model of this run"
        )
    return target


def _against_target(
    target: Target, asked: Collection[str], device: torch.device | str
) -> dict[str, PairScore]:
    image_moment = _on(target.image_moment, device)

    def of_images(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return variance_alignment(u, image_moment, u)

    scores: dict[str, PairScore] = {
        VAS: of_images,
        NORMSIM_2: lambda u, v: norm_similarity_2(of_images(u, v), target.size),
    }
    if {TEXT_VAS, CROSS_VAS} & set(asked):
        if target.text_moment is None or target.cross_moment is None:
            raise TargetError(
                f"baselines.target holds no texts, which {TEXT_VAS} and {CROSS_VAS} compare with:"
                " give an .npz with target_keys, or leave these scores out"
            )
        text_moment, cross_moment = (
            _on(moment, device) for moment in (target.text_moment, target.cross_moment)
        )
        scores[TEXT_VAS] = lambda u, v: variance_alignment(v, text_moment, v)
        scores[CROSS_VAS] = lambda u, v: variance_alignment(u, cross_moment, v)
    if NORMSIM_INF in asked:
        if target.image is None:
            raise TargetError(f"{NORMSIM_INF} takes the members of the target; read them as well")
        members = torch.from_numpy(target.image).to(device)
        scores[NORMSIM_INF] = lambda u, v: norm_similarity_inf(u, members)
    return {name: score for name, score in scores.items() if name in asked}


def _on(moment: Float64, device: torch.device | str) -> torch.Tensor:
    return torch.from_numpy(moment).to(device, torch.float32)
