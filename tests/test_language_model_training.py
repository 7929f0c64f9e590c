"""The language model of captions: every string has a probability, and the export is it."""

from __future__ import annotations

import argparse
import io
import json
import math
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.errors import ConfigError, ShardError
from curate.training.config import load_as
from curate.training.language_model import (
    BOS_ID,
    EOS_ID,
    HeldOut,
    LanguageModelConfig,
    build_language_model,
    config_of_arguments,
    encode_captions,
    epoch_batches,
    fit_language_model,
    hold_out_figures,
    learn_byte_tokenizer,
    split_captions,
    surprisal,
    train_language_model,
)
from curate.training.pairs import read_captions

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
THINGS = ("house", "dog", "apple", "boat", "hat")
CAPTIONS = [f"a {colour} {thing}" for colour in COLOURS for thing in THINGS] * 4
AWKWARD = [
    "",
    "x",
    "<|eos|>",
    "Árvíztűrő  \t\n tükörfúrógép",
    "日本語",
    "\U0001f600" * 3,
    "a" * 900,
]


def write_shard(path: Path, captions: list[str]) -> Path:
    """A tar whose pictures are never to be decoded."""
    with tarfile.open(path, "w") as archive:
        for number, caption in enumerate(captions):
            for suffix, content in (("jpg", b"no picture"), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def tiny_config(shard: Path, **changes: object) -> LanguageModelConfig:
    document = {
        "shards": [shard],
        "vocabulary": 320,
        "context_length": 24,
        "layers": 1,
        "heads": 2,
        "width": 32,
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "warmup_steps": 4,
        "hold_out": 0.1,
    }
    return LanguageModelConfig.model_validate({**document, **changes})


def naive_surprisal(model: torch.nn.Module, ids: list[int]) -> float:
    """-log p, one prefix at a time, unpadded, float64."""
    total = 0.0
    for at in range(1, len(ids)):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids[:at]])).logits[0, -1].double().numpy()
        total -= logits[ids[at]] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    return total


@dataclass(frozen=True)
class Trained:
    """A tiny model, exported, and what was measured."""

    folder: Path
    figures: HeldOut
    config: LanguageModelConfig


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("lm")
    config = tiny_config(write_shard(folder / "captions.tar", CAPTIONS))
    return Trained(folder / "model", train_language_model(config, folder / "model"), config)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn_byte_tokenizer(CAPTIONS, 320)


def test_the_exported_folder_is_the_model_that_was_measured(trained: Trained) -> None:
    figures, config = trained.figures, trained.config
    # 27 equally likely captions of a pattern: far below the 300 of the untrained model.
    assert 1 < figures.perplexity < 30
    assert figures.captions == 3
    assert figures.nats_per_caption == pytest.approx(
        math.log(figures.perplexity) * figures.tokens / figures.captions
    )

    model = AutoModelForCausalLM.from_pretrained(trained.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    assert (trained.folder / "model.safetensors").is_file()
    _, held = split_captions(CAPTIONS, config.hold_out, np.random.default_rng([config.seed, 6]))
    total = sum(naive_surprisal(model, tokenizer(caption)["input_ids"]) for caption in held)
    assert total / len(held) == pytest.approx(figures.nats_per_caption, rel=1e-5)
    recipe = json.loads((trained.folder / "training.json").read_text())
    assert recipe["shards"] == ["captions.tar"]


def test_every_string_has_a_probability(trained: Trained) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    assert tokenizer.model_max_length == model.config.n_positions == 24
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (BOS_ID, EOS_ID)
    assert tokenizer("")["input_ids"] == [BOS_ID, EOS_ID]
    for caption in (*AWKWARD, "a red dog"):
        ids = tokenizer(caption)["input_ids"]
        assert (ids[0], ids[-1]) == (BOS_ID, EOS_ID)
        assert EOS_ID not in ids[1:-1]
        assert tokenizer.decode(ids[1:-1]) == caption
        value = naive_surprisal(model, ids[:24])
        assert math.isfinite(value)
        assert value > 0
    likely, unlikely = (
        naive_surprisal(model, tokenizer(caption)["input_ids"])
        for caption in ("a red dog", "dog red a")
    )
    assert likely < unlikely


@given(st.text(max_size=40))
@example("<|bos|> <|pad|>")
@settings(deadline=None, max_examples=60)
def test_the_spelling_loses_nothing(tokenizer: Tokenizer, caption: str) -> None:
    ids = tokenizer.encode(caption).ids
    assert (ids[0], ids[-1]) == (BOS_ID, EOS_ID)
    assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == caption


def test_surprisal_is_the_naive_sum_whatever_the_batch(tokenizer: Tokenizer) -> None:
    config = tiny_config(Path("absent.tar"))
    model = build_language_model(config, tokenizer.get_vocab_size()).eval()
    rows = encode_captions(tokenizer, [*AWKWARD, *CAPTIONS[:6]], 24)
    assert max(map(len, rows)) == 24
    expected = [naive_surprisal(model, row) for row in rows]
    with torch.inference_mode():
        together = surprisal(model, rows).numpy()
        alone = [surprisal(model, [row]).item() for row in rows]
    np.testing.assert_allclose(together, expected, rtol=1e-5)
    np.testing.assert_allclose(alone, expected, rtol=1e-5)
    figures = hold_out_figures(model, rows, batch=3)
    tokens = sum(len(row) - 1 for row in rows)
    assert figures.tokens == tokens
    assert figures.perplexity == pytest.approx(math.exp(sum(expected) / tokens), rel=1e-5)


def test_a_seed_decides_the_weights(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "captions.tar", CAPTIONS[:30])
    weights = []
    for out, seed in (("first", 0), ("second", 0), ("third", 1)):
        train_language_model(tiny_config(shard, epochs=1, seed=seed), tmp_path / out)
        weights.append((tmp_path / out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_training_lowers_the_loss(tokenizer: Tokenizer) -> None:
    config = tiny_config(Path("absent.tar"))
    model = build_language_model(config, tokenizer.get_vocab_size())
    losses = list(fit_language_model(model, encode_captions(tokenizer, CAPTIONS, 24), config))
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 1
    assert not model.training


@given(st.lists(st.integers(2, 30), min_size=1, max_size=90), st.integers(1, 7))
@settings(deadline=None, max_examples=40)
def test_an_epoch_has_every_row_once(lengths: list[int], size: int) -> None:
    rows = [[number] * length for number, length in enumerate(lengths)]
    batches = list(epoch_batches(rows, size, np.random.default_rng(0)))
    assert sorted(row[0] for batch in batches for row in batch) == list(range(len(rows)))
    assert max(len(batch) for batch in batches) <= size


def test_a_held_out_caption_is_held_out_with_its_repeats() -> None:
    kept, held = split_captions(CAPTIONS, 0.1, np.random.default_rng(0))
    assert len(held) == 3 == len(set(held))
    assert not set(held) & set(kept)
    assert len(kept) == len(CAPTIONS) - 4 * len(held)
    with pytest.raises(ConfigError, match="hold_out"):
        split_captions(["one", "one"], 0.05, np.random.default_rng(0))


def test_captions_are_read_without_pictures_and_damage_is_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "captions.tar", ["one", "", "three"])
    assert list(read_captions([shard])) == ["one", "", "three"]
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(ShardError, match=r"captions\.tar"):
        list(read_captions([shard]))


def test_the_command_line_becomes_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "lm.yaml"
    path.write_text("epochs: 2\nseed: 5\n", encoding="utf-8")
    given_ = argparse.Namespace(shards=[tmp_path / "a.tar"], config=path, seed=None)
    assert (config_of_arguments(given_).epochs, config_of_arguments(given_).seed) == (2, 5)
    given_.seed = 7
    assert config_of_arguments(given_).seed == 7
    with pytest.raises(ConfigError, match="context_length"):
        load_as(LanguageModelConfig, None, shards=["a.tar"], context_length=1)
