"""Rules: what a sample must satisfy to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from curate.config.base import Float, Fraction, Frozen

RuleColumn = Annotated[str, Field(min_length=1)]
"""Of RULE_COLUMNS or `input.columns`: the root of the configuration knows both."""


class Criteria(Frozen):
    """What one column must satisfy; several criteria must all hold."""

    min: Annotated[Float, Field(allow_inf_nan=False)] | None = None
    """Keep values from here up."""
    max: Annotated[Float, Field(allow_inf_nan=False)] | None = None
    """Keep values up to here."""
    drop_lowest: Fraction | None = None
    """Drop this share of the pool, the lowest values; exactly, ties are broken by uid."""
    keep_highest: Fraction | None = None
    """Keep this share of the pool, the highest values."""
    of: Literal["pool", "reference"] = "pool"
    """With a fraction: of the pool, or the quantile of the Reference's sample."""
    method: Literal["exact", "datacomp"] = "exact"
    """How a fraction becomes a cut. `exact` keeps or drops floor(n x fraction) samples to the last,
    ties broken by uid; `datacomp` keeps what DataComp's own baselines keep, ties included."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Criteria:
        if all(v is None for v in (self.min, self.max, self.drop_lowest, self.keep_highest)):
            raise ValueError("a rule needs at least one of min, max, drop_lowest, keep_highest")
        if self.of == "reference" and self.drop_lowest is None and self.keep_highest is None:
            raise ValueError("`of` goes with drop_lowest or keep_highest only; remove it")
        if self.method == "datacomp" and (
            self.keep_highest is None or self.drop_lowest is not None or self.of == "reference"
        ):
            raise ValueError("`method: datacomp` goes with keep_highest of the pool; see DataComp")
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


class Rules(Frozen):
    """A conjunction (`all`) or disjunction (`any`) of column rules; groups may be nested."""

    all: tuple[RuleItem, ...] | None = None
    """Every rule must pass."""
    any: tuple[RuleItem, ...] | None = None
    """One rule must pass."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Rules:
        if (self.all is None) == (self.any is None):
            raise ValueError("a rule group has exactly one of the keys `all` and `any`")
        if self.any is not None and not self.any:
            raise ValueError("`any: []` would drop every sample; list at least one rule")
        return self


def rule_columns(rules: Rules) -> frozenset[str]:
    """Return the columns that a rule tree reads."""
    columns: set[str] = set()
    for item in (rules.all or ()) + (rules.any or ()):
        columns |= rule_columns(item) if isinstance(item, Rules) else set(item)
    return frozenset(columns)
