"""The configuration: one YAML file, frozen and validated before any work starts.

Every key has a default except `input` and `output.run_dir`. An unknown key, a value out of range
or a combination that cannot work raises `ConfigError`, which names the field, the value that was
found and what is allowed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from curate.errors import ConfigError
from curate.schema import RULE_COLUMNS, SCORE_COLUMNS


def _no_boolean(value: Any) -> Any:
    # To Python `true` is 1: `drop_lowest: yes` would drop the whole pool.
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


Int = Annotated[int, BeforeValidator(_no_boolean)]
Float = Annotated[float, BeforeValidator(_no_boolean)]
Fraction = Annotated[Float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[Int, Field(gt=0)]
Auto = Literal["auto"]
RuleColumn = Literal[RULE_COLUMNS]  # type: ignore[valid-type]  # mypy cannot read the tuple; pydantic does
ScoreColumn = Literal[SCORE_COLUMNS]  # type: ignore[valid-type]  # as above


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelConfig(_Frozen):
    """Which contrastive model embeds the pairs, and how."""

    name: str = "embedded"
    pretrained: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    link: Literal["auto", "softmax", "sigmoid"] = "auto"

    @model_validator(mode="after")
    def _weights_are_named_once(self) -> ModelConfig:
        carries_weights = self.name == "embedded" or self.name.startswith(("hf-hub:", "local-dir:"))
        if carries_weights and self.pretrained is not None:
            raise ValueError(
                f"model.pretrained={self.pretrained!r} has no effect with name={self.name!r}, which"
                " carries its own weights; remove it"
            )
        return self


class InputConfig(_Frozen):
    """Where the pairs are."""

    shards: str | tuple[str, ...]
    embeddings: None = None
    embedding_keys: None = None
    verify_sha256: bool = False
    """Reject images whose sha256 differs from the json's. Off by default, since img2dataset stores
    the hash of the original download, which resizing changes."""


class ReferenceConfig(_Frozen):
    """The sample that means and covariances are fitted on."""

    path: str | None = None
    shards: str | tuple[str, ...] | None = None
    samples: Annotated[Int, Field(ge=2)] = 10_000
    prior: Literal["model", "uniform"] = "model"
    covariance: Literal["corrected", "paper"] = "corrected"
    temperature: Literal["model"] | Annotated[Float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    seed: Annotated[Int, Field(ge=0)] = 0


class Criteria(_Frozen):
    """What one column must satisfy; several criteria must all hold."""

    min: Annotated[Float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[Float, Field(allow_inf_nan=False)] | None = None
    drop_lowest: Fraction | None = None
    keep_highest: Fraction | None = None
    of: Literal["pool", "reference"] = "pool"

    @model_validator(mode="after")
    def _asks_for_something(self) -> Criteria:
        if all(v is None for v in (self.min, self.max, self.drop_lowest, self.keep_highest)):
            raise ValueError("a rule needs at least one of min, max, drop_lowest, keep_highest")
        if self.of == "reference" and self.drop_lowest is None and self.keep_highest is None:
            raise ValueError("`of` goes with drop_lowest or keep_highest only; remove it")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min={self.min} is above max={self.max}: nothing could be kept")
        return self


def _rule_kind(value: Any) -> str:
    if isinstance(value, Rules):
        return "group"
    return "group" if isinstance(value, Mapping) and {"all", "any"} & set(value) else "columns"


RuleItem = Annotated[
    Annotated["Rules", Tag("group")]
    | Annotated[dict[RuleColumn, Criteria], Field(min_length=1), Tag("columns")],
    Discriminator(_rule_kind),
]


class Rules(_Frozen):
    """A conjunction (`all`) or disjunction (`any`) of column rules; groups may be nested."""

    all: tuple[RuleItem, ...] | None = None
    any: tuple[RuleItem, ...] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Rules:
        if (self.all is None) == (self.any is None):
            raise ValueError("a rule group has exactly one of the keys `all` and `any`")
        if self.any is not None and not self.any:
            raise ValueError("`any: []` would drop every sample; list at least one rule")
        return self


class OutputConfig(_Frozen):
    """Where results go."""

    run_dir: Annotated[str, Field(min_length=1)]
    subset: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = (
        "default"
    )
    samples_per_shard: PositiveInt | None = None
    save_embeddings: bool = False


class ComputeConfig(_Frozen):
    """How much of the machine or cluster is used."""

    embedders: Auto | PositiveInt = "auto"
    workers: Auto | PositiveInt = "auto"
    batch_size: Auto | PositiveInt = "auto"
    ray_address: str = "auto"


class LimitsConfig(_Frozen):
    """What a single sample may ask of us, and what is tolerated."""

    image_pixels: PositiveInt = 50_000_000
    caption_bytes: PositiveInt = 65_536
    member_bytes: PositiveInt = 134_217_728
    tolerate_unreadable_shards: bool = False


class Config(_Frozen):
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

    @field_validator("scores")
    @classmethod
    def _scores_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("list at least one score, each once")
        return value


def rule_columns(rules: Rules) -> frozenset[str]:
    """Return the columns that a rule tree reads."""
    columns: set[str] = set()
    for item in (rules.all or ()) + (rules.any or ()):
        columns |= rule_columns(item) if isinstance(item, Rules) else set(item)
    return frozenset(columns)


# --- reading ----------------------------------------------------------------------------------


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply `dotted.key=value` overrides, validate.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, a value is out of range.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc}); give the path of a YAML file") from exc
    try:
        tree = yaml.safe_load(text)
    except _YAML_ERRORS as exc:
        raise ConfigError(f"{path}: not valid YAML: {exc}") from exc
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of sections such as `input:` and `output:`")
    return parse_config(_plain(apply_overrides(tree, overrides), path), source=str(path))


# PyYAML lets the errors of dates that do not exist and of bottomless nesting through.
_YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


def _plain(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What JSON can hold: YAML's dates become text, loops and odd keys are refused."""
    try:
        return dict(json.loads(json.dumps(tree, default=str)))
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: {exc}; keys are words, and nothing contains itself") from exc


def parse_config(tree: Mapping[str, Any], source: str = "configuration") -> Config:
    """Validate a plain mapping. Raises ConfigError with one line per wrong field."""
    try:
        return Config.model_validate(tree)
    except ValidationError as exc:
        raise ConfigError(f"{source} is refused:\n" + "\n".join(_explain(exc))) from exc


_NOT_A_FIELD = re.compile(r"^(columns|group|\[key\]|str|tuple\[.*|literal\[.*|constrained-.*)$")
"""Parts of a pydantic error location that name a branch of a union, not a key of the YAML."""


def _explain(exc: ValidationError) -> list[str]:
    lines = []
    for error in exc.errors(include_url=False):
        place = ".".join(str(p) for p in error["loc"] if not _NOT_A_FIELD.match(str(p)))
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = f"unknown key; known here are {', '.join(_known_keys(error['loc']))}"
        found = ""
        if error["type"] not in ("missing", "value_error"):
            found = f" (found {json.dumps(error['input'], default=str)[:200]})"
        lines.append(f"  {place or 'top level'}: {message}{found}")
    return lines


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """The keys of the section that a location lies in."""
    section: type[BaseModel] = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        if field is not None and isinstance(field.annotation, type):
            section = field.annotation
        elif part in RULE_COLUMNS:
            section = Criteria
    return sorted(section.model_fields)


def apply_overrides(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `tree` with each `dotted.key=value` set; values are parsed as YAML.

    Raises:
        ConfigError: an override has no `=`, or its path runs through something not a mapping.
    """
    result: dict[str, Any] = copy.deepcopy(dict(tree))
    for override in overrides:
        path, equals, raw = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {override!r}: write dotted.key=value, e.g. reference.seed=1")
        try:
            value = yaml.safe_load(raw)
        except _YAML_ERRORS as exc:
            raise ConfigError(f"--set {override!r}: the value is not valid YAML: {exc}") from exc
        node = result
        for key in keys[:-1]:
            if node.get(key) is None:  # an empty section of the file reads as null
                node[key] = {}
            node = node[key]
            if not isinstance(node, dict):
                raise ConfigError(f"--set {override!r}: {key!r} holds a value, not a section")
        node[keys[-1]] = value
    return result


def to_yaml(config: BaseModel) -> str:
    """Write the configuration as YAML that `load_config` reads back to an equal object."""
    tree = config.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    # PyYAML reads a raw U+0085 as a space: what does not come back is written in escapes.
    return text if yaml.safe_load(text) == tree else yaml.safe_dump(tree, sort_keys=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of a plain value: the identity of a configuration."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
