"""Measures an exported model on labelled shards, and on noise that it was not trained with.

The field ``noise`` of the shards is read here, after training, and nowhere else.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from torch.nn.functional import normalize

from curate.numerics.posterior import Posterior
from curate.synthetic.scrubbed import SCRUBBED_FAMILIES
from curate.training.config import TrainConfig
from curate.training.evaluate import (
    Fit,
    FloatArray,
    fit,
    recall_among_lowest,
    recall_when_mixed,
    retrieval,
)
from curate.training.features import Features, extract, join
from curate.training.noise import HELD_OUT_DESIGNS, HELD_OUT_FAMILIES, scrubbed_captions
from curate.training.sources import DrawingChunk, PlaceholderChunk, ShardChunk

SHARES = (0.05, 0.1)
PREVALENCE = 60 / 1900  # of noise in the mixtures: as in the development set
UNSEEN = 10**6  # added to the training seed: noise and drawings of other draws than training's
SAMPLES = 420  # placeholders, captions and drawings drawn for the mixtures


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings as the model's logits take them, float64 [n, d] each."""

    images: FloatArray
    texts: FloatArray


class ExportedModel:
    """A model folder, fed with cached features of its frozen image tower.

    Args:
        folder: as :func:`curate.training.export.export_model` writes it.
        logits: whether embeddings are L2-normalised.
    """

    def __init__(self, folder: Path, logits: str = "normalised") -> None:
        name = f"local-dir:{folder}"
        self._is_normalised = logits == "normalised"
        self._model = open_clip.create_model(name).eval()
        self._tokenizer = open_clip.get_tokenizer(name)

    def images(self, features: npt.NDArray[np.float16]) -> FloatArray:
        """Image embeddings of features [n, width]."""
        with torch.inference_mode():
            rows = self._model.visual.head(torch.from_numpy(features.astype(np.float32)))
        return self._finish(rows)

    def texts(self, captions: Sequence[str], batch: int = 256) -> FloatArray:
        """Text embeddings of captions."""
        with torch.inference_mode():
            rows = [
                self._model.encode_text(self._tokenizer(list(captions[at : at + batch])))
                for at in range(0, len(captions), batch)
            ]
        return self._finish(torch.cat(rows))

    def _finish(self, rows: torch.Tensor) -> FloatArray:
        rows = normalize(rows, dim=-1) if self._is_normalised else rows
        return np.asarray(rows.double().numpy())

    @property
    def bias(self) -> float:
        """The learnt bias of the logits; 0 where there is none."""
        bias = self._model.logit_bias
        return 0.0 if bias is None else float(bias.detach())

    def pairs(self, features: Features) -> Embedded:
        """Both sides of pairs."""
        return Embedded(self.images(features.rows), self.texts(features.texts))


def noise_labels(shards: Sequence[Path]) -> list[str]:
    """Ground truth per sample in shard order: ``placeholder``, ``caption`` or empty."""
    labels = []
    for shard in shards:
        with tarfile.open(shard) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None and member.name.endswith(".json"):
                    labels.append(str(json.load(stream).get("noise") or ""))
    return labels


def _recalls(scores: FloatArray, noise: npt.NDArray[np.bool_]) -> dict[str, float]:
    return {f"at {share:.0%}": recall_among_lowest(scores, noise, share) for share in SHARES}


def _labelled(found: Fit, pairs: Embedded, labels: npt.NDArray[np.str_]) -> dict[str, object]:
    images, texts = found.score_images(pairs.images), found.score_texts(pairs.texts)
    return {
        "placeholders by image informativeness": _recalls(images, labels == "placeholder"),
        "captions by text informativeness": _recalls(texts, labels == "caption"),
    }


def _mixed(clean: FloatArray, noise: FloatArray) -> float:
    return round(recall_when_mixed(clean, noise, SHARES[0], PREVALENCE), 3)


def _unseen(
    model: ExportedModel, config: TrainConfig, cache: Path, found: Fit, clean: Embedded
) -> dict[str, object]:
    """Recall at 5 % of fresh noise mixed into clean pairs, by family; and of drawings, to keep."""
    images, texts = found.score_images(clean.images), found.score_texts(clean.texts)
    seed, sizes = config.seed + UNSEEN, config.architecture
    held = PlaceholderChunk(seed, 0, SAMPLES, HELD_OUT_DESIGNS)
    held_features, drawings = extract([held, DrawingChunk(seed, 0, SAMPLES)], sizes, cache)
    scores = found.score_images(model.images(held_features.rows))
    designs = np.array(held_features.texts)
    rng = np.random.default_rng([seed, 4])
    written = {
        family: found.score_texts(model.texts(scrubbed_captions(rng, SAMPLES // 4, [family])))
        for family in SCRUBBED_FAMILIES
    }
    drawn = model.pairs(drawings)
    return {
        "held-out designs": _mixed(images, scores),
        "by design": {d: _mixed(images, scores[designs == d]) for d in HELD_OUT_DESIGNS},
        "held-out caption families": _mixed(
            texts, np.concatenate([written[family] for family in HELD_OUT_FAMILIES])
        ),
        "by caption family": {family: _mixed(texts, written[family]) for family in written},
        "drawings lost by image informativeness": _mixed(images, found.score_images(drawn.images)),
        "drawings lost by text informativeness": _mixed(texts, found.score_texts(drawn.texts)),
    }


def _posterior(config: TrainConfig, model: ExportedModel) -> Posterior:
    """The link at scale 1; of raw embeddings with the model's bias, since theirs is scale 1.

    Without their bias most sigmoids of raw logits are saturated and the prior means nothing.
    """
    if config.logits == "unnormalised":
        return Posterior("sigmoid", 1.0, model.bias)
    return Posterior("softmax" if config.loss == "clip" else "sigmoid")


def measure(
    config: TrainConfig, folder: Path, labelled: Sequence[Path], cache: Path
) -> dict[str, object]:
    """All figures of the model card.

    Args:
        config: the run; its shards fit the Reference.
        folder: the exported model.
        labelled: shards with ground truth.
        cache: folder for image features.
    """
    model = ExportedModel(folder, config.logits)
    posterior = _posterior(config, model)
    sizes = config.architecture
    shards = [ShardChunk(shard) for shard in (*config.shards, *labelled)]
    features = extract(shards, sizes, cache)
    train = model.pairs(join(features[: len(config.shards)]))
    pairs = model.pairs(join(features[len(config.shards) :]))
    labels = np.array(noise_labels(labelled))
    clean = Embedded(pairs.images[labels == ""], pairs.texts[labels == ""])
    found = fit(train.images, train.texts, posterior)
    clip_score = (pairs.images * pairs.texts).sum(axis=1)
    return {
        "fitted on train": _labelled(found, pairs, labels),
        "fitted on the labelled pool itself": _labelled(
            fit(pairs.images, pairs.texts, posterior), pairs, labels
        ),
        "by CLIP score": {
            "placeholders": _recalls(clip_score, labels == "placeholder"),
            "captions": _recalls(clip_score, labels == "caption"),
        },
        "unseen noise in clean pairs, at 5%": _unseen(model, config, cache, found, clean),
        "retrieval on clean pairs": retrieval(clean.images, clean.texts, (1, 10)),
    }
