"""The training loop over cached image features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from open_clip.model import CLIP
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import normalize

from curate.training.config import OptimiserConfig, TrainConfig
from curate.training.features import Features
from curate.training.model import TextTower
from curate.training.noise import Epoch, epoch_size, mix_epoch, training_families
from curate.training.tokenizer import encode

_CLIP_NORM = 1.0  # of the gradient; single batches of odd captions would throw Adam off
_BETAS = (0.9, 0.98)  # as CLIP


@dataclass(frozen=True)
class TrainingData:
    """True pairs (real and drawn) and placeholders, as features."""

    pairs: Features
    placeholders: Features


def _optimiser(model: CLIP, settings: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices only, never gains, biases or the logit scale."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    rest = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS)


class Schedule(Protocol):
    """What the learning rate follows from."""

    @property
    def learning_rate(self) -> float:
        """At its height."""

    @property
    def warmup_steps(self) -> int:
        """Steps of the linear rise."""


def learning_rate(step: int, steps: int, settings: Schedule) -> float:
    """Linear warm-up times a cosine decay to zero."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def _loss(config: TrainConfig) -> Callable[[CLIP, torch.Tensor, torch.Tensor], torch.Tensor]:
    """open_clip's loss of embeddings [n, d] of any norm under the model's scale (and bias)."""
    limit = config.optimiser.max_scale
    clip, siglip = ClipLoss(), SigLipLoss()

    def loss(model: CLIP, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        scale = model.logit_scale.exp().clamp(max=limit)
        if config.loss == "siglip":
            value: torch.Tensor = siglip(images, texts, scale, model.logit_bias)
        else:
            value = clip(images, texts, scale)
        return value

    return loss


class Optimisation:
    """Trains the head of the image tower and the text tower, one batch of features at a time.

    Args:
        config: the run.
        model: as :func:`curate.training.model.build_model` makes it; trained in place, in training
            mode but for its frozen trunk until :meth:`finish`.
        steps: how many updates there will be, which the learning rate follows.
    """

    def __init__(self, config: TrainConfig, model: CLIP, steps: int) -> None:
        self._config, self._model, self._steps = config, model, steps
        self._optimiser = _optimiser(model, config.optimiser)
        self._loss = _loss(config)
        self._text = TextTower(model)
        self._step = 0
        model.train()
        model.visual.trunk.eval()

    def update(self, features: torch.Tensor, tokens: torch.Tensor) -> float:
        """The loss of a batch, before the weights follow it.

        Args:
            features: of pictures, float32 [batch, width of the trunk].
            tokens: of captions, int64 [batch, context_length].
        """
        rate = learning_rate(self._step, self._steps, self._config.optimiser)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            images, texts = self._model.visual.head(features), self._text(tokens)
        images, texts = images.float(), texts.float()
        if self._config.logits == "normalised":
            images, texts = normalize(images, dim=-1), normalize(texts, dim=-1)
        loss = self._loss(self._model, images, texts)
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._model.parameters(), _CLIP_NORM)
        self._optimiser.step()
        self._step += 1
        return float(loss.detach())

    def finish(self) -> None:
        """Put the model into evaluation mode."""
        self._model.eval()


class Trainer:
    """Trains the head of the image tower and the text tower of a model.

    Args:
        config: the run.
        model: as :func:`curate.training.model.build_model` makes it; trained in place.
        tokenizer: the model's vocabulary.
        data: features of the true pairs and of the placeholders.
    """

    def __init__(
        self, config: TrainConfig, model: CLIP, tokenizer: Tokenizer, data: TrainingData
    ) -> None:
        self._config, self._tokenizer, self._data = config, tokenizer, data
        self._rng = np.random.default_rng([config.seed, 3])
        self._families = training_families(config.noise.hold_out)
        noise = config.noise
        blank = noise.placeholders_per_epoch if len(data.placeholders) else 0
        self._counts = (blank, noise.captions_per_epoch)
        per_epoch = epoch_size(len(data.pairs), self._counts)
        self._batch = min(config.optimiser.batch_size, per_epoch)
        steps = config.optimiser.epochs * (per_epoch // self._batch)
        self._optimisation = Optimisation(config, model, steps)

    def run(self, report: Callable[[int, float], None]) -> list[float]:
        """Train; the mean loss of every epoch, given to ``report`` with the epoch's number too."""
        losses = []
        for epoch in range(self._config.optimiser.epochs):
            losses.append(self._epoch())
            report(epoch, losses[-1])
        self._optimisation.finish()
        return losses

    def _epoch(self) -> float:
        epoch = mix_epoch(
            self._rng,
            self._data.pairs.texts,
            len(self._data.placeholders),
            self._counts,
            self._families.captions,
        )
        dropout = self._config.optimiser.bpe_dropout
        tokens = torch.from_numpy(encode(self._tokenizer, epoch.captions, dropout))
        losses = [
            self._optimisation.update(self._features(epoch, rows), tokens[rows])
            for rows in self._batches(len(epoch.captions))
        ]
        return float(np.mean(losses))

    def _batches(self, pairs: int) -> Sequence[slice]:
        """Full batches only: a contrastive loss depends on the size of its batch."""
        return [
            slice(at, at + self._batch) for at in range(0, pairs - self._batch + 1, self._batch)
        ]

    def _features(self, epoch: Epoch, rows: slice) -> torch.Tensor:
        """Features [batch, width] in float32."""
        at, real = epoch.images[rows], len(self._data.pairs)
        noise = at >= real
        features = self._data.pairs.rows[np.where(noise, 0, at)].astype(np.float32)
        features[noise] = self._data.placeholders.rows[at[noise] - real]
        return torch.from_numpy(features)
