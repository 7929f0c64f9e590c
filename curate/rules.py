"""Rules of the configuration -> tests with exact cuts.

A fraction of the Reference is known before a pool is scored. A fraction of the pool is found by
scanning the score columns once the whole pool is scored: see `pool_quantiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.config import Criteria, Rules, rule_columns
from curate.errors import ConfigError, OutputError
from curate.numerics.selection import (
    AllOf,
    AnyOf,
    Cut,
    Keep,
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
    return _tree(rules, lambda column, one: _tests(column, one, pool_cuts, reference))


def rebuild(rules: Rules, described: Sequence[Mapping[str, Any]]) -> AllOf | AnyOf:
    """The tests of a subset, from its rules and what `describe` told of them when it was selected.

    Raises:
        OutputError: the two do not belong together.
    """
    left = iter(described)

    def told(column: str, criteria: Criteria) -> Iterator[Test]:
        for name, keep in _names(column, criteria):
            one = next(left, None)
            if one is None or one["name"] != name:
                raise OutputError(f"no cut of {name} is told, but {one and one['name']!r}")
            yield Test(name, column, keep, Cut.from_json(one["cut"]))

    node = _tree(rules, told)
    if (more := next(left, None)) is not None:
        raise OutputError(f"no rule is called {more['name']!r}")
    return node


def _tree(rules: Rules, tests_of: Callable[[str, Criteria], Iterable[Test]]) -> AllOf | AnyOf:
    items = rules.all if rules.all is not None else (rules.any or ())
    nodes: list[Node] = []
    for item in items:
        if isinstance(item, Rules):
            nodes.append(_tree(item, tests_of))
            continue
        tests = [test for column, one in item.items() for test in tests_of(column, one)]
        nodes.append(tests[0] if len(tests) == 1 else AllOf(tuple(tests)))
    return AllOf(tuple(nodes)) if rules.all is not None else AnyOf(tuple(nodes))


def _tests(
    column: str,
    criteria: Criteria,
    pool_cuts: Mapping[PoolQuantile, Cut],
    reference: pa.Table | None,
) -> Iterator[Test]:
    cuts = [Cut(value) for value in (criteria.min, criteria.max) if value is not None]
    for rule in FRACTIONS:
        fraction = getattr(criteria, rule)
        if fraction is None:
            continue
        if criteria.of == "pool":
            cuts.append(pool_cuts[PoolQuantile(column, fraction, rule, criteria.method)])
        else:
            cuts.append(quantile_cut(_reference_values(column, reference), fraction, rule))
    for (name, keep), cut in zip(_names(column, criteria), cuts, strict=True):
        yield Test(name, column, keep, cut)


def _names(column: str, criteria: Criteria) -> Iterator[tuple[str, Keep]]:
    """Name of every test of a column, which is the reason of what it drops, and what it keeps."""
    if criteria.min is not None:
        yield f"{column}.min={_text(criteria.min)}", "at_least"
    if criteria.max is not None:
        yield f"{column}.max={_text(criteria.max)}", "at_most"
    for rule in FRACTIONS:
        if getattr(criteria, rule) is not None:
            yield quantile_name(column, criteria, rule), "at_least"


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
