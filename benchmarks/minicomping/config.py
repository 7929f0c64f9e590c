"""The protocol of the comparison: everything that is fixed before a filter is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, model_validator

from curate.training.config import (
    ArchitectureConfig,
    FrozenConfig,
    NoiseConfig,
    OptimiserConfig,
    TrainConfig,
)

OWN: Final = "own"
EMBEDDED: Final = "embedded"


class PoolNoise(FrozenConfig):
    """What is done to the clean pairs, as shares of all of them.

    Attributes:
        placeholders: pairs whose picture becomes a placeholder.
        captions: pairs whose caption is scrubbed; independent of the pictures, so that some pairs
            have both.
        mismatched: pairs, sound otherwise, that get the caption of another such pair.
        stock: distinct placeholder files; the r-th most frequent is drawn with weight 1 / r, so
            that the same file comes with many captions, as on the web.
    """

    placeholders: float = Field(default=0.15, ge=0, le=0.5)
    captions: float = Field(default=0.15, ge=0, le=0.5)
    mismatched: float = Field(default=0.10, ge=0, le=0.2)
    stock: int = Field(default=100, ge=1)


class Budget(FrozenConfig):
    """What every training gets, whatever it is trained on.

    Attributes:
        samples_seen: pairs, repetitions included; full batches only.
        learning_rate: at the end of the linear warm-up; then a cosine decay to zero.
    """

    samples_seen: int = Field(default=51_200, ge=2)
    batch_size: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    warmup_steps: int = Field(default=20, ge=0)

    @property
    def steps(self) -> int:
        """Updates of one training."""
        return self.samples_seen // self.batch_size


class MiniCompConfig(FrozenConfig):
    """One comparison.

    Attributes:
        pairs: shards of clean pairs that the noisy pool is made of, a glob.
        evaluation: shards of other pairs, a glob; those with a null `noise` are retrieved.
        seed: of the pool.
        seeds: of the trainings: initial weights, order of the pairs, dropout.
        scorers: models whose scores filter. `own` is trained on the noisy pool itself and sees no
            clean pair; `embedded` is the model that curate ships.
        scorer_seed: of the training of `own`; none of `seeds`.
        larger: a second size that the own model's filters keep, as a share of the pool; the first
            is the number of clean pairs.
    """

    pairs: str = Field(min_length=1)
    evaluation: str = Field(min_length=1)
    work_dir: Path = Path("runs/minicomp")
    seed: int = Field(default=11, ge=0)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=2)
    scorers: tuple[Literal["own", "embedded"], ...] = Field(default=(OWN, EMBEDDED), min_length=1)
    scorer_seed: int = Field(default=1000, ge=0)
    larger: float | None = Field(default=0.8, gt=0, lt=1)
    noise: PoolNoise = PoolNoise()
    architecture: ArchitectureConfig = ArchitectureConfig()
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _can_be_run(self) -> MiniCompConfig:
        if len(set(self.seeds)) < len(self.seeds) or self.scorer_seed in self.seeds:
            raise ValueError("seeds and scorer_seed must differ from each other; change one")
        if self.budget.steps < 1:
            raise ValueError("budget.samples_seen is less than one batch; raise it")
        return self

    def training(self, seed: int) -> TrainConfig:
        """The training of a model as curate's own trainer describes it: no noise is added."""
        return TrainConfig(
            shards=(Path(self.pairs),),
            seed=seed,
            noise=NoiseConfig(placeholders=0, drawings=0),
            architecture=self.architecture,
            optimiser=OptimiserConfig(
                batch_size=self.budget.batch_size,
                learning_rate=self.budget.learning_rate,
                weight_decay=self.budget.weight_decay,
                warmup_steps=self.budget.warmup_steps,
                bpe_dropout=0,
            ),
        )
