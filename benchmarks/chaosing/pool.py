"""The pool that all runs of the suite are over, and their configurations."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any, Final

from chaosing.faulty import PROTOCOL
from curate.synthetic.pool import PoolSpec, write_pool

SHARDS: Final = 8
PAIRS: Final = 160

NOISE_BYTES: Final = 64
"""Zeros over the beginning of a JPEG: nothing decodes it any more."""


def draw(folder: Path, seed: int, pairs: int = PAIRS) -> Path:
    """Draw a pool of good pairs, placeholders, scrubbed captions and undecodable pictures.

    Args:
        folder: receives it.
        seed: of the pairs.
        pairs: in all.

    Returns:
        The folder of its shards.
    """
    spec = PoolSpec(pairs=pairs, shards=SHARDS, seed=seed, sides=(64, 96))
    pool = write_pool(folder / "pool", spec, folder / "truth.parquet")
    for number, shard in enumerate(sorted(pool.glob("*.tar"))):
        with tarfile.open(shard) as archive:
            pictures = [m.offset_data for m in archive if m.name.endswith(".jpg")]
        with shard.open("r+b") as file:
            file.seek(pictures[number % len(pictures)])
            file.write(bytes(NOISE_BYTES))
    return pool


def configuration(
    pool: Path, remote: bool, model: str = "embedded", embedders: int = 2
) -> dict[str, Any]:
    """The configuration of a run in the folder `run` below the working directory.

    Args:
        pool: the folder of shards.
        remote: whether pool and run directory are on the faulty store instead.
        model: its name.
        embedders: actors that hold it.
    """
    drop = {"drop_lowest": 0.1}
    return {
        "model": {"name": model, "device": "cpu"},
        "input": {"shards": f"{PROTOCOL}://pool/*.tar" if remote else f"{pool}/*.tar"},
        "reference": {"samples": 50},
        "rules": {"all": [{"image_informativeness": drop}, {"text_informativeness": drop}]},
        "output": {
            "run_dir": f"{PROTOCOL}://run" if remote else "run",
            "save_embeddings": True,
        },
        # Stages without a model take as many workers as there are CPUs, wherever these are.
        "compute": {"embedders": embedders, "workers": "auto", "batch_size": 8},
    }
