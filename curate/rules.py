"""Rules of the configuration -> tests with exact cuts.

A fraction of the Reference is known before a pool is scored. A fraction of the pool is found by
scanning the score columns once the whole pool is scored: see `pool_quantiles`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.config import Criteria, Rules, rule_columns
from curate.errors import ConfigError
from curate.numerics.selection import (
    AllOf,
    AnyOf,
    Cut,
    Node,
    Rule,
    Test,
    quantile_cut,
)
from curate.pool_quantiles import PoolQuantile
from curate.score_scan import column_values

FRACTIONS: tuple[Rule, ...] = ("drop_lowest", "keep_highest")


def needs_reference(rules: Rules) -> bool:
    """Tell whether a rule takes a quantile of the Reference's sample."""
    return any(criteria.of == "reference" for _, criteria in leaves(rules))


def pool_quantiles(rules: Rules) -> tuple[PoolQuantile, ...]:
    """The quantiles that only a scan of the scored pool can tell, each once."""
    found: dict[PoolQuantile, None] = {}
    for column, criteria in leaves(rules):
        if criteria.of == "pool":
            for rule in FRACTIONS:
                fraction = getattr(criteria, rule)
                if fraction is not None:
                    found[PoolQuantile(column, fraction, rule, criteria.method)] = None
    return tuple(found)


def build(
    rules: Rules, pool_cuts: Mapping[PoolQuantile, Cut], reference: pa.Table | None
) -> AllOf | AnyOf:
    """Turn the configuration's rules into tests.

    Args:
        rules: the rule tree.
        pool_cuts: from `pool_quantiles.find_cuts`.
        reference: the scores of the Reference's sample, for `of: reference`.

    Raises:
        ConfigError: a rule needs the Reference's sample and there is none.
    """
    items = rules.all if rules.all is not None else (rules.any or ())
    nodes: list[Node] = []
    for item in items:
        if isinstance(item, Rules):
            nodes.append(build(item, pool_cuts, reference))
            continue
        tests = [t for c, r in item.items() for t in _tests(c, r, pool_cuts, reference)]
        nodes.append(tests[0] if len(tests) == 1 else AllOf(tuple(tests)))
    return AllOf(tuple(nodes)) if rules.all is not None else AnyOf(tuple(nodes))


def _tests(
    column: str,
    criteria: Criteria,
    pool_cuts: Mapping[PoolQuantile, Cut],
    reference: pa.Table | None,
) -> Iterator[Test]:
    if criteria.min is not None:
        yield Test(f"{column}.min={_text(criteria.min)}", column, "at_least", Cut(criteria.min))
    if criteria.max is not None:
        yield Test(f"{column}.max={_text(criteria.max)}", column, "at_most", Cut(criteria.max))
    for rule in FRACTIONS:
        fraction = getattr(criteria, rule)
        if fraction is None:
            continue
        if criteria.of == "pool":
            cut = pool_cuts[PoolQuantile(column, fraction, rule, criteria.method)]
        else:
            cut = quantile_cut(_reference_values(column, reference), fraction, rule)
        yield Test(quantile_name(column, criteria, rule), column, "at_least", cut)


def quantile_name(column: str, criteria: Criteria, rule: Rule) -> str:
    """The name of a fraction's test, which is the reason of what it drops."""
    suffix = " of reference" if criteria.of == "reference" else ""
    suffix += f" by {criteria.method}" if criteria.method != "exact" else ""
    return f"{column}.{rule}={_text(getattr(criteria, rule))}{suffix}"


def _text(number: float) -> str:
    # All digits that a decimal fraction keeps in float64: rules that differ have names that do.
    return f"{number:.15g}"


def _reference_values(column: str, reference: pa.Table | None) -> npt.NDArray[Any]:
    if reference is None:
        raise ConfigError(
            f"rules.{column}: `of: reference` needs the Reference's sample scores, and there is no"
            " Reference yet; run `curate fit`, or use `of: pool`"
        )
    if column not in reference.column_names:
        raise ConfigError(
            f"rules.{column}: `of: reference` needs this column in the scores of the Reference's"
            " sample, which was taken from another pool; use `of: pool`, or fit a Reference here"
        )
    values = column_values(reference.column(column))
    # What the metadata lacks ranks below all else, as it does in the pool.
    return np.where(np.isnan(values), -np.inf, values)


def leaves(rules: Rules) -> Iterator[tuple[str, Criteria]]:
    """The column rules of a tree, in the order written, repetitions included."""
    for item in (rules.all or ()) + (rules.any or ()):
        if isinstance(item, Rules):
            yield from leaves(item)
        else:
            yield from item.items()


def columns_of(rules: Rules) -> list[str]:
    """The columns that deciding reads, sorted."""
    return sorted(rule_columns(rules))


def describe(node: Node) -> list[dict[str, Any]]:
    """List every test with its resolved cut, for summaries; JSON-ready."""
    if isinstance(node, Test):
        return [
            {
                "name": node.name,
                "column": node.column,
                "keep": node.keep,
                "cut": node.cut.to_json(),
            }
        ]
    return [line for child in node.tests for line in describe(child)]
