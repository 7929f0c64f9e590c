"""The threshold explorer: where sliders stop, what their tests are, and the cells they count.

The edges of a column are values of the pool at fixed shares, and the cuts of the rules. Cells are
those of `numerics.cells`, so that at every position of every slider the counts are those that
`curate select` would give, to the sample.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate import rules as rule_tests
from curate.config import Criteria, Rules
from curate.numerics.cells import Column, Grid, edge_of
from curate.numerics.keys import BoolArray, Cut, threshold_of
from curate.numerics.selection import Decision, Node, Test, decide_by, tests_of
from curate.report.survey import ColumnSurvey
from curate.schema import CLIP_SCORE, IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS

ALWAYS: Final = (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS, CLIP_SCORE)
"""Columns that have a slider even where no rule tests them."""

MOST_COLUMNS: Final = 4
"""Columns up to which one without a test gets a slider: every one coarsens all others."""

MOST_CELLS: Final = 1 << 20
"""Cells, missing values aside, where there are more rows than that: a file of 4 MB."""

MOST_CODES: Final = 1 << 53
"""Numbers of cells that JavaScript tells apart."""

COARSEST: Final = 4
"""Intervals of a column at least."""


@dataclass(frozen=True)
class Slider:
    """A test as an edge of a column.

    Attributes:
        column: position among the explorer's columns.
        keep: as of a `Test`.
        edge: position among the column's edges; -1 lies below all of them.
        test: that it stands for; None for a slider that no rule asked for.
        criteria: as the rules have it.
    """

    column: int
    keep: str
    edge: int
    test: Test | None
    criteria: Mapping[str, Any]


@dataclass(frozen=True)
class Explorer:
    """Columns with their edges, sliders, and the rules over them."""

    grid: Grid
    sliders: tuple[Slider, ...]
    node: Node

    @property
    def columns(self) -> tuple[Column, ...]:
        """In the order of the cells' numbers."""
        return self.grid.columns

    def decide(self, digits: Sequence[npt.NDArray[np.int64]], n: int) -> Decision:
        """Decide n rows, or cells, by their digits in each column, int64 [n] each."""
        slider_of = {slider.test: slider for slider in self.sliders if slider.test is not None}

        def passes(test: Test) -> BoolArray:
            slider = slider_of[test]
            return passing(self.columns[slider.column], slider, digits[slider.column])

        return decide_by(self.node, n, passes)


def passing(column: Column, slider: Slider, digits: npt.NDArray[np.int64]) -> BoolArray:
    """Which digits of its column pass a slider, bool [n]; the page does the same."""
    interval = digits % column.intervals
    if slider.keep == "at_least":
        return np.asarray(interval > slider.edge)
    return np.asarray((interval <= slider.edge) & (digits < column.intervals))


def slider_columns(node: Node, columns: Collection[str]) -> list[str]:
    """The columns that have a slider: those of the rules, in their order, then the usual ones."""
    names = list(dict.fromkeys(test.column for test in tests_of(node)))
    for name in ALWAYS:
        if name in columns and name not in names and len(names) < MOST_COLUMNS:
            names.append(name)
    return names


def plan_explorer(
    rules: Rules,
    node: Node,
    surveys: Mapping[str, ColumnSurvey],
    precisions: Mapping[str, np.dtype[Any]],
) -> Explorer:
    """Choose columns and edges.

    Args:
        rules, node: the same rules, without and with their cuts.
        surveys: of all columns.
        precisions: of all columns.
    """
    tests = list(tests_of(node))
    names = slider_columns(node, surveys)
    cuts: dict[str, set[Cut]] = {name: set() for name in names}
    for test in tests:
        cuts[test.column].add(edge_of(test, np.dtype(precisions[test.column])))
    stops = {name: _stops(surveys[name]) for name in names}
    rows = max((surveys[name].rows for name in names), default=0)
    grid = _grid(stops, cuts, precisions, MOST_CELLS if rows > MOST_CELLS else MOST_CODES)
    sliders = [
        _slider(test, criteria, names, grid)
        for test, criteria in zip(tests, written(rules), strict=True)
    ]
    untested = set(names) - {test.column for test in tests}
    sliders += [
        Slider(at, "at_least", -1, None, {}) for at, name in enumerate(names) if name in untested
    ]
    return Explorer(grid, tuple(sliders), node)


def _stops(found: ColumnSurvey) -> list[float]:
    """Distinct values at the shares where sliders stop, ascending, above the lowest value."""
    lowest = found.quantiles.get(0.0, -math.inf)
    present = {value for value in found.stops.values() if lowest < value < math.inf}
    # With missing values, which rank lowest, the first edge parts them from all others.
    return sorted(present | ({lowest} if found.missing and math.isfinite(lowest) else set()))


def _grid(
    stops: Mapping[str, Sequence[float]],
    cuts: Mapping[str, set[Cut]],
    precisions: Mapping[str, np.dtype[Any]],
    cells: int,
) -> Grid:
    """The finest grid of so many cells, missing values and the rules' own cuts aside."""
    while True:
        most = _share_out({name: len(values) + 1 for name, values in stops.items()}, cells)
        columns = []
        for name, values in stops.items():
            edges = {Cut(value) for value in _thinned(values, most[name] - 1)} | cuts[name]
            ordered = sorted(edges - {Cut(-math.inf)}, key=lambda cut: (cut.value, cut.uid))
            columns.append(Column(name, np.dtype(precisions[name]), tuple(ordered)))
        grid = Grid(tuple(columns))
        if grid.size < MOST_CODES or cells <= 1:
            return grid
        cells //= 2


def _share_out(wanted: Mapping[str, int], cells: int) -> dict[str, int]:
    """Intervals of each column: as many as wanted, as long as their product allows for it."""
    given, left = {}, cells
    for position, name in enumerate(sorted(wanted, key=lambda name: wanted[name])):
        fair = math.floor(left ** (1 / (len(wanted) - position)) + 1e-9)
        given[name] = min(wanted[name], max(fair, COARSEST))
        left = max(left // given[name], 1)
    return given


def _thinned(values: Sequence[float], most: int) -> list[float]:
    """At most so many of the values, evenly by position."""
    if len(values) <= most:
        return list(values)
    at = np.unique(np.linspace(0, len(values) - 1, most).round().astype(np.int64))
    return [values[i] for i in at]


def _slider(test: Test, criteria: Mapping[str, Any], names: Sequence[str], grid: Grid) -> Slider:
    at = names.index(test.column)
    column = grid.columns[at]
    edge = edge_of(test, column.precision)
    if edge == Cut(-math.inf):
        return Slider(at, test.keep, -1, test, criteria)
    position = column.edges.index(edge)
    if test.keep == "at_most" and threshold_of(test.cut, column.precision) == math.inf:
        position += 1  # not even infinity lies above it
    return Slider(at, test.keep, position, test, criteria)


def written(rules: Rules) -> Iterator[dict[str, Any]]:
    """The criteria of every test of a rule tree, one by one, in the order of `tests_of`."""
    for _, criteria in rule_tests.leaves(rules):
        yield from _single(criteria)


def _single(criteria: Criteria) -> Iterator[dict[str, Any]]:
    for name in ("min", "max", *rule_tests.FRACTIONS):
        value = getattr(criteria, name)
        if value is None:
            continue
        alone = {name: value}
        if name in rule_tests.FRACTIONS:
            alone |= {"of": "reference"} if criteria.of == "reference" else {}
            alone |= {"method": criteria.method} if criteria.method != "exact" else {}
        yield alone
