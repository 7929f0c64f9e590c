"""One run: every section, and what they must be to one another."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from curate.config.base import Frozen
from curate.config.paper import PaperConfig
from curate.config.rules import Rules, rule_columns
from curate.config.sections import (
    ComputeConfig,
    InputConfig,
    LimitsConfig,
    ModelConfig,
    OutputConfig,
    ReferenceConfig,
)
from curate.schema import ALL_SCORES, COSTLY_COLUMNS, LANDMARK_COLUMNS, SCORE_COLUMNS

ScoreColumn = Literal[ALL_SCORES]  # type: ignore[valid-type]  # as in rules


class Config(Frozen):
    """One run."""

    model: ModelConfig = ModelConfig()
    input: InputConfig
    reference: ReferenceConfig = ReferenceConfig()
    scores: tuple[ScoreColumn, ...] = SCORE_COLUMNS
    """Scores that must be in the output. Those of SCORE_COLUMNS cost next to nothing beside the
    embedding and are always written, those of COSTLY_COLUMNS only when listed."""
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

    @model_validator(mode="after")
    def _rules_have_their_scores(self) -> Config:
        if missing := sorted(rule_columns(self.rules) & set(COSTLY_COLUMNS) - set(self.scores)):
            raise ValueError(
                f"rules use {', '.join(missing)}, which costs extra and is computed only when"
                " listed under `scores`; add it there"
            )
        return self

    @model_validator(mode="after")
    def _exact_scores_have_a_prior(self) -> Config:
        if self.costly_scores and self.reference.prior != "model":
            raise ValueError(
                f"{self.costly_scores[0]} is defined against the mean posterior: set"
                " reference.prior to model"
            )
        return self

    @property
    def costly_scores(self) -> tuple[str, ...]:
        """The listed scores that cost extra, in the order of the columns."""
        return tuple(name for name in COSTLY_COLUMNS if name in self.scores)

    @property
    def needs_landmarks(self) -> bool:
        """Whether a landmark score is listed."""
        return bool(set(LANDMARK_COLUMNS) & set(self.scores))
