"""One training run, from shards to an exported model."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from curate.synthetic.placeholders import PLACEHOLDER_DESIGNS
from curate.training.config import TrainConfig
from curate.training.export import export_model
from curate.training.features import Features, extract, join, select
from curate.training.loop import Trainer, TrainingData
from curate.training.model import build_model, equalise_norms
from curate.training.noise import training_families
from curate.training.sources import Chunk, DrawingChunk, PlaceholderChunk, ShardChunk
from curate.training.tokenizer import encode, learn_tokenizer

log = logging.getLogger(__name__)

CALIBRATION = 512  # pairs that the norms at the start are measured on: within 1 %
CHUNK = 500  # drawn pictures per unit of work: about ten seconds on one core


def _spans(total: int) -> list[tuple[int, int]]:
    return [(start, min(CHUNK, total - start)) for start in range(0, total, CHUNK)]


def training_data(config: TrainConfig, cache: Path, processes: int | None = None) -> TrainingData:
    """Features of the shards' pairs, of drawings and of placeholders, cached in ``cache``."""
    sizes, noise = config.architecture, config.noise
    pairs: list[Chunk] = [ShardChunk(shard) for shard in config.shards]
    pairs += [DrawingChunk(config.seed, *span) for span in _spans(noise.drawings)]
    blanks = [
        PlaceholderChunk(config.seed, *span, PLACEHOLDER_DESIGNS)
        for span in _spans(noise.placeholders)
    ]
    features = extract([*pairs, *blanks], sizes, cache, processes=processes)
    true = join(features[: len(pairs)])
    allowed = training_families(noise.hold_out).designs
    drawn = join(features[len(pairs) :]) if blanks else Features(true.rows[:0], ())
    return TrainingData(true, select(drawn, [design in allowed for design in drawn.texts]))


def _calibration_pairs(pairs: Features, tokenizer: Tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and tokens of some pairs, spread over all."""
    rows = np.linspace(0, len(pairs) - 1, min(len(pairs), CALIBRATION)).astype(np.int64)
    tokens = encode(tokenizer, [pairs.texts[row] for row in rows])
    return torch.from_numpy(pairs.rows[rows].astype(np.float32)), torch.from_numpy(tokens)


def train(config: TrainConfig, out: Path, cache: Path, processes: int | None = None) -> list[float]:
    """Train a model, write it to ``out`` and give the mean loss of every epoch.

    Args:
        config: the run.
        out: folder of the model, loadable as ``local-dir:OUT``.
        cache: folder for features; a second run over the same pictures starts at once.
        processes: how many extract features at once; all cores when omitted.
    """
    started = time.monotonic()
    data = training_data(config, cache, processes)
    log.info("features of %d pairs: %.0f s", len(data.pairs), time.monotonic() - started)
    sizes = config.architecture
    tokenizer = learn_tokenizer(data.pairs.texts, sizes.vocabulary, sizes.context_length)
    model = build_model(config, tokenizer.get_vocab_size())
    if config.logits == "unnormalised":
        equalise_norms(model, *_calibration_pairs(data.pairs, tokenizer))
    trainer = Trainer(config, model, tokenizer, data)

    def report(epoch: int, loss: float) -> None:
        log.info(
            "epoch %d/%d: loss %.3f, %.0f s",
            epoch + 1,
            config.optimiser.epochs,
            loss,
            time.monotonic() - started,
        )

    losses = trainer.run(report)
    export_model(model, tokenizer, config, out)
    return losses
