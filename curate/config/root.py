"""One run: every section, and what they must be to one another."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from curate.config.base import Frozen
from curate.config.paper import PaperConfig
from curate.config.rules import Rules
from curate.config.sections import (
    ComputeConfig,
    InputConfig,
    LimitsConfig,
    ModelConfig,
    OutputConfig,
    ReferenceConfig,
)
from curate.schema import SCORE_COLUMNS

ScoreColumn = Literal[SCORE_COLUMNS]  # type: ignore[valid-type]  # as above


class Config(Frozen):
    """One run."""

    model: ModelConfig = ModelConfig()
    input: InputConfig
    reference: ReferenceConfig = ReferenceConfig()
    scores: tuple[ScoreColumn, ...] = SCORE_COLUMNS
    """Scores that must be in the output. The ones known today cost next to nothing beside the
    embedding and are always written; a score that costs more will be computed only when listed."""
    rules: Rules = Rules(all=())
    sweep: None = None
    output: OutputConfig
    compute: ComputeConfig = ComputeConfig()
    limits: LimitsConfig = LimitsConfig()
    paper: PaperConfig = PaperConfig()

    @field_validator("scores")
    @classmethod
    def _scores_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("list at least one score, each once")
        return value
