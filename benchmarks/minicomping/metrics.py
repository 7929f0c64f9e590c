"""What a trained model is judged by, on pairs that it has not seen."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.training.evaluate import retrieval

Rows = npt.NDArray[Any]

RANKS: Final = (1, 5, 10)
DIRECTIONS: Final = ("image_to_text", "text_to_image")
PRIMARY: Final = "recall@10"
"""The figure that was settled on before any arm was trained: the mean of both directions."""


def measure(images: Rows, texts: Rows, scale: float) -> dict[str, float]:
    """Retrieval in both directions, its means over them, and the contrastive loss.

    Args:
        images, texts: L2-normalised embeddings of n pairs, [n, d] each, in one order.
        scale: of the logits, the model's own.

    Returns:
        `image_to_text_recall@K`, `image_to_text_mrr`, the same with `text_to_image`, `recall@K` and
        `mrr` as their means, and `loss`: the cross-entropy of choosing a pair's partner among all
        n, in nats, the mean of both directions (log n when nothing is known).
    """
    similarity = images.astype(np.float64) @ texts.astype(np.float64).T
    found = retrieval(images, texts, RANKS)
    for name, matrix in zip(DIRECTIONS, (similarity, similarity.T), strict=True):
        found[f"{name}_mrr"] = mean_reciprocal_rank(matrix)
    for figure in (*(f"recall@{rank}" for rank in RANKS), "mrr"):
        found[figure] = float(np.mean([found[f"{name}_{figure}"] for name in DIRECTIONS]))
    found["loss"] = (cross_entropy(similarity * scale) + cross_entropy(similarity.T * scale)) / 2
    return found


def mean_reciprocal_rank(similarity: Rows) -> float:
    """Mean of 1 / rank of the partner, which is on the diagonal of [n, n].

    As in `retrieval`, an equal similarity does not push the partner back: where two pairs have the
    same caption, either counts as found.
    """
    ranks = 1 + (similarity > np.diag(similarity)[:, None]).sum(axis=1)
    return float((1 / ranks).mean())


def cross_entropy(logits: Rows) -> float:
    """Mean of -log softmax of the diagonal within its row of [n, n], in nats."""
    shift = logits.max(axis=1)
    totals = shift + np.log(np.exp(logits - shift[:, None]).sum(axis=1))
    return float((totals - np.diag(logits)).mean())
