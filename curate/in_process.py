"""The model in this process: an EmbedClient whose batches are computed at once, without Ray."""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy.typing as npt
import torch

from curate.batch_size import CPU_BATCH, GPU_BATCH
from curate.encoder import Encoder, Pixels
from curate.halving import Compute, in_halves
from curate.loading import Tokens, load_tokenizer, tokenizing
from curate.schema import IMAGE_NORM, TEXT_NORM
from curate.scorer import Scorer
from curate.scoring import BatchPlan, ModelOutput
from curate.shared_tokenizer import thaw_tokenizer

LOGGER: Final = logging.getLogger(__name__)


class InProcess:
    """Embeds batches, and scores them where there is a scorer; out of memory, in halves.

    Args:
        encoder: the model.
        scorer: of a Reference, on the model's device; None for embeddings and norms alone.
    """

    def __init__(self, encoder: Encoder, scorer: Scorer | None = None) -> None:
        self._compute = embedding(encoder) if scorer is None else scoring(encoder, scorer)

    def submit(self, pixels: Pixels, tokens: Tokens) -> ModelOutput:
        """Compute a batch. Raises ResourceError if not even a single pair fits into memory."""
        return in_halves(self._compute, pixels, tokens, _warn)

    def collect(self, handle: ModelOutput) -> ModelOutput:
        """The batch, which is there already."""
        return handle


def _warn(pairs: int, said: str) -> None:
    LOGGER.warning("a batch of %d pairs is halved: %s", pairs, said)


def embedding(encoder: Encoder) -> Compute:
    """Embeddings of a batch, float32, and their norms; no scores."""

    def compute(pixels: Pixels, tokens: Tokens) -> ModelOutput:
        found = encoder.encode(pixels, tokens)
        norms = {IMAGE_NORM: found.image_norm, TEXT_NORM: found.text_norm}
        return ModelOutput(
            scores={name: _host(values) for name, values in norms.items()},
            image=_host(found.image),
            text=_host(found.text),
        )

    return compute


def scoring(encoder: Encoder, scorer: Scorer, *, keep_embeddings: bool = False) -> Compute:
    """Scores of a batch; embeddings return as float16, and only if asked for."""

    def compute(pixels: Pixels, tokens: Tokens) -> ModelOutput:
        found = encoder.encode(pixels, tokens)
        scores = scorer(found.image, found.text)
        scores |= {IMAGE_NORM: found.image_norm, TEXT_NORM: found.text_norm}
        return ModelOutput(
            scores={name: _host(values) for name, values in scores.items()},
            image=_host(found.image.half()) if keep_embeddings else None,
            text=_host(found.text.half()) if keep_embeddings else None,
        )

    return compute


def batch_plan(encoder: Encoder, max_pixels: int, **fields: Any) -> BatchPlan:
    """How pairs become batches of a model in this process; `fields` are those of BatchPlan."""
    info = encoder.info
    frozen = encoder.tokenizer()
    if frozen is None:
        tokenize = load_tokenizer(info.name, info.context_length)
    else:
        tokenize = tokenizing(thaw_tokenizer(frozen), info.context_length)
    size = CPU_BATCH if info.device == "cpu" else GPU_BATCH
    return BatchPlan(info.pixels, tokenize, max_pixels, **{"batch_size": size, "depth": 0} | fields)


def _host(values: torch.Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = values.cpu().numpy()
    return array
