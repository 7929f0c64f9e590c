"""One training run, from shards to an exported model."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from curate.synthetic.placeholders import PLACEHOLDER_DESIGNS
from curate.training.config import TrainConfig
from curate.training.export import export_model
from curate.training.features import Features, extract, join, select
from curate.training.loop import Trainer, TrainingData
from curate.training.model import build_model
from curate.training.noise import training_families
from curate.training.sources import Chunk, DrawingChunk, PlaceholderChunk, ShardChunk
from curate.training.tokenizer import learn_tokenizer

log = logging.getLogger(__name__)

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
