"""The models whose scores filter, and what they make of the pool."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

import curate
from curate.training.export import export_model
from curate.training.features import Features
from curate.training.measure import ExportedModel
from minicomping.config import MiniCompConfig
from minicomping.filters import write_metadata
from minicomping.pool import NoisyPool
from minicomping.train import Data, train

SHIPPED: Final = Path(curate.__file__).parent / "models" / "embedded"


def own_model(config: MiniCompConfig, data: Data, tokenizer: Tokenizer, folder: Path) -> Path:
    """Train the scoring model on the whole noisy pool, unless it is there, and export it.

    It gets the budget of every other training, and a seed of its own.

    Returns:
        `folder`, which curate and open_clip load as `local-dir:FOLDER`.
    """
    if not folder.exists():
        model = train(config, data, np.arange(len(data.tokens)), config.scorer_seed)
        partial = _empty(folder)
        export_model(model, tokenizer, config.training(config.scorer_seed), partial)
        partial.rename(folder)
    return folder


def embed_pool(model: Path, pool: NoisyPool, pictures: Features, folder: Path) -> Path:
    """Write a model's embeddings beside the pool's metadata, unless they are there.

    Args:
        model: its folder.
        pool: the noisy pool.
        pictures: features of its pictures, and its captions.
        folder: as `filters.write_metadata` takes it.

    Returns:
        `folder`.
    """
    if not folder.exists():
        embedded = ExportedModel(model).pairs(pictures)
        partial = _empty(folder)
        write_metadata(pool, embedded.images, embedded.texts, partial)
        partial.rename(folder)
    return folder


def _empty(folder: Path) -> Path:
    """A fresh folder beside one that is to appear whole."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial
