"""One training: some pairs of the pool, a seed, and the fixed budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from open_clip.model import CLIP
from tokenizers import Tokenizer
from torch.nn.functional import normalize

from curate.training.features import Features
from curate.training.loop import Optimisation
from curate.training.model import TextTower, build_model
from curate.training.tokenizer import encode
from minicomping.config import MiniCompConfig
from minicomping.metrics import Rows, measure

Indices = npt.NDArray[np.int64]
TEXTS_AT_ONCE = 256  # captions per forward pass when measuring; bounds memory


@dataclass(frozen=True, eq=False)
class Data:
    """What all trainings share, as frozen features and token ids.

    Attributes:
        features: of the pool's pictures, float16 [n, width].
        tokens: of its captions, int64 [n, context_length].
        evaluation_features, evaluation_tokens: of the clean pairs that are retrieved.
        vocabulary: entries of the tokenizer.
    """

    features: npt.NDArray[np.float16]
    tokens: Indices
    evaluation_features: npt.NDArray[np.float16]
    evaluation_tokens: Indices
    vocabulary: int


def make_data(pool: Features, evaluation: Features, tokenizer: Tokenizer) -> Data:
    """Tokenise both sides once: every arm spells every caption alike."""
    return Data(
        pool.rows,
        encode(tokenizer, pool.texts),
        evaluation.rows,
        encode(tokenizer, evaluation.texts),
        tokenizer.get_vocab_size(),
    )


def batches(rng: np.random.Generator, pairs: int, size: int, steps: int) -> Iterator[Indices]:
    """So many full batches: passes over all pairs, each in a new order, its remainder left out.

    Args:
        rng: decides the orders.
        pairs: how many there are to choose from.
        size: of a batch; all pairs where there are fewer.
        steps: number of batches.
    """
    size, left = min(size, pairs), steps
    while left:
        order = rng.permutation(pairs)
        for at in range(0, (pairs // size) * size, size)[:left]:
            yield order[at : at + size]
            left -= 1


def train(config: MiniCompConfig, data: Data, rows: Indices, seed: int) -> CLIP:
    """Train on some pairs of the pool.

    Args:
        config: the protocol.
        data: the pool.
        rows: the pairs that were kept, int64 [k].
        seed: of initial weights, order and dropout: the same start for every `rows`.
    """
    settings, budget = config.training(seed), config.budget
    model = build_model(settings, data.vocabulary)
    optimisation = Optimisation(settings, model, budget.steps)
    rng = np.random.default_rng([seed, 1])
    for batch in batches(rng, len(rows), budget.batch_size, budget.steps):
        at = rows[batch]
        features = torch.from_numpy(data.features[at].astype(np.float32))
        optimisation.update(features, torch.from_numpy(data.tokens[at]))
    optimisation.finish()
    return model


@torch.inference_mode()
def embed(model: CLIP, features: npt.NDArray[np.float16], tokens: Indices) -> tuple[Rows, Rows]:
    """L2-normalised embeddings of both sides, float32 [n, d] each."""
    tower = TextTower(model)
    images: Any = model.visual.head(torch.from_numpy(features.astype(np.float32)))
    texts = torch.cat(
        [tower(part) for part in torch.split(torch.from_numpy(tokens), TEXTS_AT_ONCE)]
    )
    return normalize(images, dim=-1).numpy(), normalize(texts, dim=-1).numpy()


def evaluate(model: CLIP, data: Data) -> dict[str, float]:
    """Retrieval among the clean pairs that no training has seen, and the loss on them."""
    images, texts = embed(model, data.evaluation_features, data.evaluation_tokens)
    return measure(images, texts, float(model.logit_scale.detach().exp()))
