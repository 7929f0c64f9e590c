"""One run: every section, and what they must be to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, field_validator, model_validator

from curate.config.base import Frozen
from curate.config.download import DownloadConfig, default_folder, downloaded_shards
from curate.config.paper import PaperConfig
from curate.config.rules import Rules, rule_columns
from curate.config.sections import (
    BaselinesConfig,
    ComputeConfig,
    InputConfig,
    LimitsConfig,
    ModelConfig,
    OutputConfig,
    ReferenceConfig,
)
from curate.config.sweep import SweepConfig
from curate.schema import (
    ALL_SCORES,
    CAPTION_ENGLISH,
    COSTLY_COLUMNS,
    GAIN_COLUMNS,
    LANDMARK_COLUMNS,
    METADATA_COLUMNS,
    POOL_COLUMNS,
    RULE_COLUMNS,
    SCORE_COLUMNS,
)

ScoreColumn = Literal[ALL_SCORES]  # type: ignore[valid-type]  # as in rules


def _download_gives_input(schema: dict[str, Any]) -> None:
    schema["required"].remove("input")
    schema["anyOf"] = [{"required": ["input"]}, {"required": ["download"]}]


class Config(Frozen):
    """One run."""

    model_config = ConfigDict(json_schema_extra=_download_gives_input)

    download: DownloadConfig | None = None
    """Tables of URLs that are fetched first; null downloads nothing."""
    model: ModelConfig = ModelConfig()
    """Which contrastive model embeds the pairs, and how."""
    input: InputConfig
    """Where the pairs are; may be left out beside download."""
    reference: ReferenceConfig = ReferenceConfig()
    """The sample that means and covariances are fitted on."""
    scores: tuple[ScoreColumn, ...] = SCORE_COLUMNS
    """Scores that must be in the output. Those of SCORE_COLUMNS cost next to nothing beside the
    embedding and are always written, those of COSTLY_COLUMNS only when listed."""
    baselines: BaselinesConfig = BaselinesConfig()
    """What the scores of other methods, where listed under scores, compare with."""
    rules: Rules = Rules(all=())
    """What a sample must satisfy to be kept."""
    sweep: SweepConfig | None = None
    """Many rule sets that `curate sweep` decides together."""
    output: OutputConfig
    """Where results go."""
    compute: ComputeConfig = ComputeConfig()
    """How much of the machine or cluster is used."""
    limits: LimitsConfig = LimitsConfig()
    """What a single sample may ask of us, and what is tolerated."""
    paper: PaperConfig = PaperConfig()
    """What `curate paper` compares and measures; the other commands do not read it."""

    @model_validator(mode="before")
    @classmethod
    def _downloaded_shards_are_the_input(cls, value: Any) -> Any:
        # What is not as it should be here is named by the validation that follows.
        if not isinstance(value, Mapping) or not isinstance(value.get("download"), Mapping):
            return value
        given, output = value.get("input") or {}, value.get("output")
        if not isinstance(given, Mapping) or given.get("shards") is not None:
            return value
        folder = value["download"].get("folder")
        if folder is None and isinstance(output, Mapping) and output.get("run_dir"):
            folder = default_folder(str(output["run_dir"]))
        if not isinstance(folder, str):
            return value
        return {**value, "input": {**given, "shards": downloaded_shards(folder)}}

    @field_validator("scores")
    @classmethod
    def _scores_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("list at least one score, each once")
        return value

    @model_validator(mode="after")
    def _rules_have_their_columns(self) -> Config:
        swept = self.sweep.rule_sets(self.rules) if self.sweep is not None else {}
        for place, rules in {
            "rules.all" if self.rules.all is not None else "rules.any": self.rules,
            **{f"sweep, {name}": found for name, found in swept.items()},
        }.items():
            self._check_columns(place, rule_columns(rules))
        return self

    def _check_columns(self, place: str, used: frozenset[str]) -> None:
        known = {*RULE_COLUMNS, *self.input.columns}
        if unknown := sorted(used - known):
            raise ValueError(
                f"{place}: no column {', '.join(map(repr, unknown))}; known are"
                f" {', '.join(map(repr, sorted(known)))}, and what input.columns names of metadata"
            )
        if missing := sorted(used & set(COSTLY_COLUMNS) - set(self.scores)):
            raise ValueError(
                f"{place}: {', '.join(missing)} costs extra and is computed only when listed"
                " under `scores`; add it there"
            )
        if self.input.over_images and (theirs := sorted(used & set(POOL_COLUMNS))):
            raise ValueError(
                f"{place}: {', '.join(theirs)} is a column of the pool's metadata; give"
                " input.metadata or input.embeddings"
            )
        if self.input.metadata is not None:
            free = {*METADATA_COLUMNS, *POOL_COLUMNS, CAPTION_ENGLISH, *self.input.columns}
            if lost := sorted(used - free):
                raise ValueError(
                    f"{place}: {', '.join(lost)} takes embeddings; give"
                    " input.embeddings in place of input.metadata"
                )

    @model_validator(mode="after")
    def _gains_have_a_prior(self) -> Config:
        gains = [name for name in GAIN_COLUMNS if name in self.scores]
        if gains and self.reference.prior != "model":
            raise ValueError(
                f"{gains[0]} is defined against the mean posterior: set reference.prior to model"
            )
        return self

    @property
    def download_folder(self) -> str:
        """Where `curate download` writes."""
        named = self.download.folder if self.download is not None else None
        return default_folder(self.output.run_dir) if named is None else named.rstrip("/")

    @property
    def reads_download(self) -> bool:
        """Whether the shards of the input are those that `curate download` writes."""
        return self.download is not None and self.input.shards == downloaded_shards(
            self.download_folder
        )

    @property
    def costly_scores(self) -> tuple[str, ...]:
        """The listed scores that cost extra, in the order of the columns."""
        return tuple(name for name in COSTLY_COLUMNS if name in self.scores)

    @property
    def needs_landmarks(self) -> bool:
        """Whether a landmark score is listed."""
        return bool(set(LANDMARK_COLUMNS) & set(self.scores))
