"""Samples of random embeddings, as `curate fit` would leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curate.paper.sample import PaperSample


def unit(rng: np.random.Generator, n: int, d: int, about: Any = 0.6) -> np.ndarray:
    """Random unit vectors in a cone, float32 [n, d]."""
    rows = rng.normal(size=(n, d)) + about
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_sample(n: int = 40, d: int = 6, link: Any = "softmax", seed: int = 0) -> PaperSample:
    """A sample of n pairs that no shard holds."""
    rng = np.random.default_rng(seed)
    chars = rng.integers(3, 60, n)
    table = pa.table(
        {
            "shard": ["00000"] * n,
            "index": pa.array(range(n), pa.int32()),
            "key": [f"{at:09d}" for at in range(n)],
            "caption_chars": pa.array(chars, pa.int32()),
            "caption_words": pa.array(chars // 4 + 1, pa.int32()),
        }
    )
    return PaperSample(
        name="main",
        model={"name": "tiny", "fingerprint": "f" * 64, "dim": d},
        link=link,
        scale=9.5,
        bias=-3.0 if link == "sigmoid" else 0.0,
        image=unit(rng, n, d),
        text=unit(rng, n, d, -0.4),
        image_norm=rng.uniform(1, 3, n).astype(np.float32),
        text_norm=rng.uniform(1, 3, n).astype(np.float32),
        table=table,
    )
