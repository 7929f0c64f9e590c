"""Every choice of a training run: frozen, validated, written beside the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from curate.errors import ConfigError


class FrozenConfig(BaseModel):
    """Base of all choices: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoiseConfig(FrozenConfig):
    """How much is drawn, and how much of it each epoch pairs at random.

    Attributes:
        placeholders: distinct placeholders drawn for the run.
        placeholders_per_epoch: placeholders per epoch, each with a real caption drawn at random.
        captions_per_epoch: fresh scrubbed captions per epoch, each with a real image at random.
        drawings: captioned drawings that join the real pairs.
        hold_out: leave the families of ``curate.training.noise`` out, to measure on them.
    """

    placeholders: int = Field(default=4000, ge=0)
    placeholders_per_epoch: int = Field(default=2500, ge=0)
    captions_per_epoch: int = Field(default=3000, ge=0)
    drawings: int = Field(default=1500, ge=0)
    hold_out: bool = False


class ArchitectureConfig(FrozenConfig):
    """Sizes of the two towers.

    Attributes:
        image_size: side in pixels that pictures are squashed to.
        width: width of the text transformer.
        vocabulary: entries of the BPE vocabulary at most.
        context_length: tokens per caption, start and end included.
        embed_dim: width of the common embedding space.
        dropout: share of hidden units of the image head that training switches off.
    """

    image_size: int = Field(default=224, ge=32)
    width: int = Field(default=128, ge=16)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    vocabulary: int = Field(default=4000, ge=300)
    context_length: int = Field(default=32, ge=4)
    embed_dim: int = Field(default=128, ge=8)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class OptimiserConfig(FrozenConfig):
    """AdamW with a linear warm-up and a cosine decay to zero.

    Attributes:
        bpe_dropout: share of BPE merges skipped while training. The tokenizers library cannot
            be seeded: runs repeat to the bit with 0 only.
        max_scale: upper bound of the learnt logit scale.
    """

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    warmup_steps: int = Field(default=60, ge=0)
    bpe_dropout: float = Field(default=0.1, ge=0, lt=1)
    max_scale: float = Field(default=100.0, gt=0)


class TrainConfig(FrozenConfig):
    """A training run.

    Attributes:
        loss: objective of open_clip.
        logits: of L2-normalised embeddings under a learnt scale, or of raw embeddings under the
            scale 1 (Eq. 3 and 4), where the norms are the temperature. The bias is learnt in both.
    """

    shards: tuple[Path, ...] = Field(min_length=1)
    loss: Literal["clip", "siglip"] = "clip"
    logits: Literal["normalised", "unnormalised"] = "normalised"
    seed: int = 0
    noise: NoiseConfig = NoiseConfig()
    architecture: ArchitectureConfig = ArchitectureConfig()
    optimiser: OptimiserConfig = OptimiserConfig()

    @field_validator("logits")
    @classmethod
    def _raw_logits_need_a_bias(cls, logits: str, info: ValidationInfo) -> str:
        if logits == "unnormalised" and info.data.get("loss") == "clip":
            raise ValueError("raw embeddings are trained with loss: siglip (--loss siglip) only")
        return logits


Run = TypeVar("Run", bound=FrozenConfig)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The choices that :func:`config_of_arguments` reads."""
    parser.add_argument("--shards", nargs="+", type=Path, required=True, help="tars of clean pairs")
    parser.add_argument("--config", type=Path, help="YAML with further choices")
    parser.add_argument("--loss", choices=("clip", "siglip"), help="objective; clip when omitted")
    parser.add_argument(
        "--logits",
        choices=("normalised", "unnormalised"),
        help="of which embeddings the logits are; unnormalised needs --loss siglip",
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--hold-out", action="store_true", help="leave noise families out")


def config_of_arguments(arguments: argparse.Namespace) -> TrainConfig:
    """The run that the command line of ``jobs/train.py`` asks for.

    Raises:
        ConfigError: as :func:`load_config`.
    """
    given = {
        "shards": [str(shard) for shard in arguments.shards],
        "loss": arguments.loss,
        "logits": arguments.logits,
        "seed": arguments.seed,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    config = load_config(arguments.config, **overrides)
    if arguments.hold_out:
        noise = config.noise.model_copy(update={"hold_out": True})
        config = config.model_copy(update={"noise": noise})
    return config


def load_config(path: Path | None, **overrides: object) -> TrainConfig:
    """The run described by a YAML file, with fields replaced by ``overrides``.

    Raises:
        ConfigError: as :func:`load_as`.
    """
    return load_as(TrainConfig, path, **overrides)


def load_as(kind: type[Run], path: Path | None, **overrides: object) -> Run:
    """A YAML file's choices, validated as ``kind``, with fields replaced by ``overrides``.

    Raises:
        ConfigError: naming each wrong field, its value and what is allowed.
    """
    try:
        document = {} if path is None else yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as exc:
        raise ConfigError(f"{path}: cannot be read as YAML ({exc}); check the file") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: a mapping is expected, found {type(document).__name__}")
    try:
        return kind.model_validate({**document, **overrides})
    except ValidationError as exc:
        lines = [
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            f" (found {error.get('input')!r})"
            for error in exc.errors()
        ]
        raise ConfigError("training configuration is wrong: " + "; ".join(lines)) from exc
