"""Many rule sets over one scored pool: a list, a grid, and the baselines they are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from curate.config.base import Float, Frozen, PositiveInt
from curate.config.rules import Criteria, Rules

SubsetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
GridValue = Annotated[Float, Field(allow_inf_nan=False)] | None
GRID_CRITERIA = ("min", "max", "drop_lowest", "keep_highest")


def _names_are_rule_sets(schema: dict[str, Any]) -> None:
    (of_a_name,) = schema["properties"]["baselines"]["patternProperties"].values()
    schema["additionalProperties"] = dict(of_a_name)


class SweepConfig(Frozen):
    """Rule sets by name, a grid of them, or both; every one becomes a subset.

    A name that is no key of this section and holds rules is a rule set: `strict: {all: [...]}` is
    short for `rules: {strict: {all: [...]}}`.
    """

    model_config = ConfigDict(json_schema_extra=_names_are_rule_sets)

    rules: dict[SubsetName, Rules] = Field(default_factory=dict)
    """Name -> rules. `strict: {all: [...]}` directly under sweep is the same."""
    grid: dict[str, Annotated[tuple[GridValue, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """`column.criterion` -> values; every combination is added to the configuration's `rules`,
    where it replaces a criterion of the same column. Null leaves the criterion out."""
    baselines: dict[SubsetName, Rules] = Field(default_factory=dict)
    """Subsets like the others, marked as what they are compared with."""
    max_subsets: PositiveInt = 200
    """More are refused, since grids grow fast."""
    write_uids: bool = True
    """Write uids.npy for every subset: 16 bytes a kept sample. Without, `curate filter --subset`
    writes those of the chosen one."""

    @model_validator(mode="before")
    @classmethod
    def _named_rules(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        named = {
            name: rules
            for name, rules in value.items()
            if name not in cls.model_fields
            and isinstance(rules, Mapping)
            and set(rules) & {"all", "any"}
        }
        rest = {name: found for name, found in value.items() if name not in named}
        return rest | {"rules": {**(rest.get("rules") or {}), **named}} if named else value

    @model_validator(mode="after")
    def _asks_for_something(self) -> SweepConfig:
        if not self.rules and not self.grid:
            raise ValueError("a sweep needs rule sets: give names with rules, or a grid")
        for key in self.grid:
            column, _, criterion = key.rpartition(".")
            if not column or criterion not in GRID_CRITERIA:
                raise ValueError(
                    f"sweep.grid: {key!r}: write column.criterion with one of"
                    f" {', '.join(GRID_CRITERIA)}, e.g. clip_score.min"
                )
        self.rule_sets(Rules(all=()))
        return self

    @property
    def size(self) -> int:
        """How many subsets there are."""
        combinations = 1 if self.grid else 0
        for values in self.grid.values():
            combinations *= len(values)
        return len(self.rules) + len(self.baselines) + combinations

    def rule_sets(self, base: Rules) -> dict[str, Rules]:
        """Every rule set by name: baselines, then named ones, then the grid's in its order.

        Args:
            base: what the grid's combinations are added to.

        Raises:
            ValueError: more than max_subsets, or a name occurs twice.
        """
        if self.size > self.max_subsets:
            raise ValueError(
                f"sweep: {self.size} subsets, more than max_subsets={self.max_subsets}; list fewer"
                " values, or raise it"
            )
        named = [*self.baselines.items(), *self.rules.items(), *self._grid_sets(base).items()]
        found: dict[str, Rules] = {}
        for name, rules in named:
            if name in found:
                raise ValueError(f"sweep: the name {name!r} is used twice; choose another")
            found[name] = rules
        return found

    def _grid_sets(self, base: Rules) -> dict[str, Rules]:
        if not self.grid:
            return {}
        sets: dict[str, Rules] = {}
        for values in itertools.product(*self.grid.values()):
            name = "grid-" + "-".join("none" if v is None else f"{v:.15g}" for v in values)
            if name in sets:
                raise ValueError("sweep.grid: a value is listed twice; list each once")
            sets[name] = combined(base, dict(zip(self.grid, values, strict=True)))
        return sets


def combined(base: Rules, point: Mapping[str, float | None]) -> Rules:
    """Rules that hold the criteria of a grid's point, and of `base` what these do not replace.

    Args:
        base: rules to add to.
        point: `column.criterion` -> value, or None for no such criterion.

    Raises:
        ValueError: a value that the criterion does not allow.
    """
    items: list[Any] = []
    for item in base.all if base.all is not None else (base,):
        if isinstance(item, Rules):
            items.append(item)
            continue
        kept = {c: _without(criteria, c, point) for c, criteria in item.items()}
        if kept := {column: found for column, found in kept.items() if found is not None}:
            items.append(kept)
    for key, value in point.items():
        column, _, criterion = key.rpartition(".")
        if value is not None:
            try:
                items.append({column: Criteria.model_validate({criterion: value})})
            except ValidationError as exc:
                raise ValueError(f"sweep.grid.{key}: {value}: {exc.errors()[0]['msg']}") from exc
    return Rules(all=tuple(items))


def _without(criteria: Criteria, column: str, point: Mapping[str, float | None]) -> Criteria | None:
    """What is left of a column's criteria beside those that the point sets."""
    given = criteria.model_dump(exclude_none=True)
    left = {name: value for name, value in given.items() if f"{column}.{name}" not in point}
    return Criteria.model_validate(left) if set(left) & set(GRID_CRITERIA) else None
