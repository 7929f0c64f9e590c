"""What `curate paper` compares and measures, beside the model and the pool of the run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from curate.config.base import Float, Frozen, Int, PositiveInt
from curate.config.sections import ModelConfig

RESERVED_NAMES = frozenset({"main", "unnormalised", "normalised"})
"""Names that the report gives to the other models."""

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
Temperature = Annotated[Float, Field(gt=0.0, allow_inf_nan=False)]
Size = Annotated[Int, Field(ge=16)]


class VisualGenomeConfig(Frozen):
    """Images with annotated attributes: Visual Genome's json, and its images as shards."""

    attributes: Annotated[str, Field(min_length=1)]
    """Path of attributes.json."""
    shards: str | tuple[str, ...]
    """Its images, as shards."""


class LabelledConfig(Frozen):
    """Pairs whose noise is known, for measuring what a score catches; never read by a filter."""

    shards: str | tuple[str, ...]
    """The pairs."""
    field: Annotated[str, Field(min_length=1)] = "noise"
    """Of each json, which says what is wrong with the pair."""
    image: str = "placeholder"
    """Its value for a noisy image."""
    text: str = "caption"
    """Its value for a noisy caption."""


class PaperConfig(Frozen):
    """The analyses of the paper; a part whose input is missing is reported as not run."""

    compare: dict[ModelName, ModelConfig] = Field(default_factory=dict)
    """Name -> further models for the table of open models."""
    unnormalised: ModelConfig | None = None
    """A SigLIP model trained by jobs/train.py on raw embeddings."""
    normalised: ModelConfig | None = None
    """The same, trained on normalised ones."""
    language_model: Annotated[str, Field(min_length=1)] | None = None
    """Folder or hub name of a causal language model, for -log p of the captions."""
    visual_genome: VisualGenomeConfig | None = None
    """Visual Genome's annotations, and its images as shards."""
    labelled: LabelledConfig | None = None
    """Pairs whose noise is known."""
    temperatures: tuple[Temperature, ...] = (1.0, 3.0, 10.0, 30.0)
    """Scales (with bias 0) beside each model's own."""
    sizes: tuple[Size, ...] = (1_000, 3_162, 10_000, 31_623, 100_000)
    """Sample sizes whose cost is measured."""
    sample_sizes: tuple[Size, ...] = (500, 1_000, 2_000, 4_000, 8_000)
    """Sample sizes whose error is measured."""
    extremes: PositiveInt = 5
    """Highest and lowest images and texts shown."""
    bootstrap: Annotated[Int, Field(ge=0)] = 1_000
    """Resamples of the intervals."""
    seed: Annotated[Int, Field(ge=0)] = 0
    """Of the resamples."""

    @model_validator(mode="after")
    def _names_are_free(self) -> PaperConfig:
        taken = sorted(RESERVED_NAMES & self.compare.keys())
        if taken:
            raise ValueError(f"paper.compare: {taken} are names of the report; choose others")
        return self

    @model_validator(mode="after")
    def _sizes_grow(self) -> PaperConfig:
        for name in ("sizes", "sample_sizes"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise ValueError(f"paper.{name}={list(values)}: list growing sizes, each once")
        return self
