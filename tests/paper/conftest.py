"""Embedded samples, language models and annotations for the tests of `curate paper`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

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


@pytest.fixture
def sample() -> PaperSample:
    return make_sample()


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model with random weights over 40 words, in transformers' layout."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<s>", "<unk>", "so", "thing", "a", "red", "cat", *(f"w{n}" for n in range(33))]
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("models") / "words"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=12,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.5,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
