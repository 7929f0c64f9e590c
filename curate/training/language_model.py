"""A small causal language model of captions: what -log p of a caption means in Table 2.

A GPT-2 of a few layers with a byte-level BPE vocabulary of its own. A caption is the sequence
``<bos> tokens <eos>``, and its probability the product of p(token | tokens before it) over all but
the first: defined for every string, the empty one included. The spelling in bytes keeps every
character, so that unlike captions never share a probability for being spelt alike.
"""

from __future__ import annotations

import logging
import math
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers.decoders import ByteLevel
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from curate.errors import ConfigError
from curate.training.config import FrozenConfig, load_as
from curate.training.export import RECIPE, write_recipe
from curate.training.loop import learning_rate
from curate.training.pairs import read_captions

log = logging.getLogger(__name__)

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
IGNORED = -100  # a target that cross_entropy leaves out
POOL = 16  # batches that are sorted by length together, so that a batch needs little padding
_BETAS = (0.9, 0.95)  # as GPT-3
_CLIP_NORM = 1.0  # of the gradient, as GPT-3


class LanguageModelConfig(FrozenConfig):
    """A training run of a language model.

    Attributes:
        vocabulary: entries of the BPE vocabulary at most, specials and bytes included.
        context_length: tokens of a caption at most; what follows is left out of training.
        hold_out: share of the distinct captions that are only measured on.
    """

    shards: tuple[Path, ...] = Field(min_length=1)
    seed: int = 0
    vocabulary: int = Field(default=4000, ge=300)
    context_length: int = Field(default=256, ge=4)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int = Field(default=160, ge=16)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    warmup_steps: int = Field(default=60, ge=0)
    hold_out: float = Field(default=0.05, gt=0, lt=1)


@dataclass(frozen=True)
class HeldOut:
    """How well captions are predicted that were not trained on.

    Attributes:
        captions: how many, all distinct from those trained on.
        tokens: predicted tokens: all of a caption, its end included.
        perplexity: exp of the mean of -log p per predicted token.
        nats_per_caption: mean of the summed -log p.
    """

    captions: int
    tokens: int
    perplexity: float
    nats_per_caption: float


def config_of_arguments(arguments: Namespace) -> LanguageModelConfig:
    """The run that the command line of ``jobs/train_language_model.py`` asks for.

    Raises:
        ConfigError: naming each wrong field.
    """
    given: dict[str, object] = {"shards": [str(shard) for shard in arguments.shards]}
    if arguments.seed is not None:
        given["seed"] = arguments.seed
    return load_as(LanguageModelConfig, arguments.config, **given)


def learn_byte_tokenizer(captions: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer that keeps every character and puts BOS and EOS around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, BOS_ID), (EOS, EOS_ID)]
    )
    # A caption that spells "<|eos|>" is text, as every other caption.
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode_captions(tokenizer: Tokenizer, captions: Sequence[str], length: int) -> list[list[int]]:
    """Token ids of each caption, at most ``length``; one that is cut has no end token."""
    return [encoding.ids[:length] for encoding in tokenizer.encode_batch(list(captions))]


def split_captions(
    captions: Sequence[str], share: float, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Captions to train on, repeats included, and distinct captions that are held out.

    A caption is held out with all its repeats: a text seen in training measures memory.

    Raises:
        ConfigError: when a side would be empty.
    """
    distinct = sorted(set(captions))
    count = round(share * len(distinct))
    if not 0 < count < len(distinct):
        raise ConfigError(
            f"hold_out: {share} of {len(distinct)} distinct captions leaves a side empty;"
            " give more shards or another share"
        )
    held = {distinct[i] for i in rng.permutation(len(distinct))[:count]}
    return [caption for caption in captions if caption not in held], sorted(held)


def build_language_model(config: LanguageModelConfig, vocabulary: int) -> GPT2LMHeadModel:
    """A GPT-2 with seeded random weights."""
    torch.manual_seed(config.seed)
    sizes = GPT2Config(
        vocab_size=vocabulary,
        n_positions=config.context_length,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.dropout,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    return GPT2LMHeadModel(sizes)


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, int64 [n, longest - 1]: the token and its successor, padded behind."""
    length = max(len(row) for row in rows) - 1
    inputs = torch.full((len(rows), length), PAD_ID)
    targets = torch.full((len(rows), length), IGNORED)
    for at, row in enumerate(rows):
        inputs[at, : len(row) - 1] = torch.tensor(row[:-1])
        targets[at, : len(row) - 1] = torch.tensor(row[1:])
    return inputs, targets


def surprisal(model: nn.Module, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """-log p of each row of token ids given its first, summed over tokens, nats, float32 [n]."""
    inputs, targets = padded(rows)
    logits: torch.Tensor = model(input_ids=inputs, attention_mask=targets != IGNORED).logits.float()
    values = cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    return values.sum(dim=1)


def epoch_batches(
    rows: Sequence[Sequence[int]], size: int, rng: np.random.Generator
) -> Iterator[list[Sequence[int]]]:
    """Every row once, in batches of rows of similar length; drawn anew from ``rng``."""
    order = rng.permutation(len(rows))
    batches: list[list[Sequence[int]]] = []
    for at in range(0, len(order), POOL * size):
        pool = sorted((rows[i] for i in order[at : at + POOL * size]), key=len)
        batches += [pool[start : start + size] for start in range(0, len(pool), size)]
    for i in rng.permutation(len(batches)):
        yield batches[i]


def _optimiser(model: nn.Module, config: LanguageModelConfig) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=_BETAS)


def fit_language_model(
    model: nn.Module, rows: Sequence[Sequence[int]], config: LanguageModelConfig
) -> Iterator[float]:
    """Train in place; yields the mean loss per token, nats, after every epoch."""
    optimiser = _optimiser(model, config)
    rng = np.random.default_rng([config.seed, 5])
    steps = config.epochs * sum(1 for _ in epoch_batches(rows, config.batch_size, rng))
    step = 0
    for _ in range(config.epochs):
        model.train()
        total, tokens = 0.0, 0
        for batch in epoch_batches(rows, config.batch_size, rng):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, config)
            count = sum(len(row) - 1 for row in batch)
            with torch.autocast("cpu", torch.bfloat16):
                loss = surprisal(model, batch).sum() / count
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
            optimiser.step()
            step, total, tokens = step + 1, total + float(loss.detach()) * count, tokens + count
        model.eval()
        yield total / tokens


@torch.inference_mode()
def hold_out_figures(model: nn.Module, rows: Sequence[Sequence[int]], batch: int = 64) -> HeldOut:
    """Perplexity and mean surprisal of rows of token ids, in float32 and evaluation mode."""
    model.eval()
    ordered = sorted(rows, key=len)
    total = sum(
        float(surprisal(model, ordered[at : at + batch]).double().sum())
        for at in range(0, len(ordered), batch)
    )
    tokens = sum(len(row) - 1 for row in rows)
    return HeldOut(len(rows), tokens, math.exp(total / tokens), total / len(rows))


def export_language_model(
    model: GPT2LMHeadModel, tokenizer: Tokenizer, config: LanguageModelConfig, folder: Path
) -> None:
    """Write a folder that ``AutoModelForCausalLM`` and ``AutoTokenizer`` load offline."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    fast: Any = PreTrainedTokenizerFast  # untyped
    described = fast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=config.context_length,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )
    described.save_pretrained(folder)
    write_recipe(config, folder / RECIPE)


def train_language_model(config: LanguageModelConfig, out: Path) -> HeldOut:
    """Train on the captions of the shards, write the model to ``out``, and measure it.

    Raises:
        ConfigError: when there are too few captions to hold some out.
        ShardError: when a shard cannot be read.
    """
    started = time.monotonic()
    captions, held = split_captions(
        list(read_captions(config.shards)), config.hold_out, np.random.default_rng([config.seed, 6])
    )
    tokenizer = learn_byte_tokenizer(captions, config.vocabulary)
    rows, held_rows = (
        encode_captions(tokenizer, texts, config.context_length) for texts in (captions, held)
    )
    model = build_language_model(config, tokenizer.get_vocab_size())
    log.info("%d captions to train on, %d distinct ones held out", len(rows), len(held_rows))
    for epoch, loss in enumerate(fit_language_model(model, rows, config)):
        log.info(
            "epoch %d/%d: perplexity %.1f trained on, %.1f held out, %.0f s",
            epoch + 1,
            config.epochs,
            math.exp(loss),
            hold_out_figures(model, held_rows).perplexity,
            time.monotonic() - started,
        )
    export_language_model(model, tokenizer, config, out)
    figures = hold_out_figures(model, held_rows)
    log.info("held out: %s", figures)
    return figures
