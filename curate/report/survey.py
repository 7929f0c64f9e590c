"""The first look at a pool: exact order statistics of every column, in two scans."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curate.numerics.quantiles import LeadCounts, Place, Refinement
from curate.pool_quantiles import CountFold, Population
from curate.score_scan import Block, Runner

SHOWN_SHARES: Final = (
    0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0
)  # fmt: skip
"""Shares of the rows whose quantiles are told."""


def _edge_shares() -> tuple[float, ...]:
    thousandths = [1, 2, 5, *range(10, 100, 5), *range(100, 200, 10), *range(200, 500, 25)]
    low = [n / 1000 for n in thousandths]
    return (*low, 0.5, *((1000 - n) / 1000 for n in reversed(thousandths)))


EDGE_SHARES: Final = _edge_shares()
"""Shares of the pool at which a slider stops: close together at both ends, where cuts are."""


@dataclass(frozen=True)
class ColumnSurvey:
    """Order statistics of a column over the rows that rules decide.

    Attributes:
        rows: how many there are.
        missing: of them, without a value.
        quantiles: share of SHOWN_SHARES -> value; empty without any value.
        stops: shares of EDGE_SHARES, of all rows -> value, -inf among the missing ones; empty for
            columns without a slider.
    """

    rows: int
    missing: int
    quantiles: Mapping[float, float]
    stops: Mapping[float, float]

    @property
    def count(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing


def survey(
    columns: Sequence[str], sliders: Collection[str], runner: Runner
) -> dict[str, ColumnSurvey]:
    """Look at some columns of a pool.

    Args:
        columns: all of them.
        sliders: those whose stops are wanted.
        runner: runs folds over the pool.

    Raises:
        OutputError: scores are missing or damaged.
    """
    if not columns:
        return {}
    populations = [Population(name, every_row=False) for name in columns]
    counted = runner.run(CountFold(populations, runner.precisions)).counts
    counts = {population.column: found for population, found in counted.items()}
    ranks = {
        name: _ranks(found, slides=name in sliders) for name, found in counts.items() if found.total
    }
    wanted = {name: sorted({*a.values(), *b.values()}) for name, (a, b) in ranks.items()}
    held = runner.run(PlaceFold(counts, wanted)).held
    found = {}
    for name, lead in counts.items():
        shown, stops = ranks.get(name, ({}, {}))

        def value_at(rank: int, column: str = name) -> float:
            place: Place = held[column].place(rank)
            return place.value

        found[name] = ColumnSurvey(
            rows=lead.total,
            missing=lead.missing,
            quantiles={share: value_at(rank) for share, rank in shown.items()},
            stops={share: value_at(rank) for share, rank in stops.items()},
        )
    return found


def _ranks(counts: LeadCounts, *, slides: bool) -> tuple[dict[float, int], dict[float, int]]:
    """Ranks of the shown quantiles among the values, and of a slider's stops among all rows."""
    n, missing = counts.total, counts.missing
    values = n - missing
    shown = {share: missing + min(int(share * values), values - 1) for share in SHOWN_SHARES}
    stops = {share: min(int(share * n), n - 1) for share in EDGE_SHARES}
    return (shown if values else {}), (stops if slides else {})


class PlaceFold:
    """The second scan: the values of some ranks."""

    def __init__(
        self, counts: Mapping[str, LeadCounts], ranks: Mapping[str, Sequence[int]]
    ) -> None:
        self.held = {name: Refinement(counts[name], wanted) for name, wanted in ranks.items()}

    def add(self, block: Block) -> None:
        """Take a block."""
        nowhere = np.zeros(int(block.eligible.sum()), dtype=np.int64)
        for name, held in self.held.items():
            held.add(block.columns[name][block.eligible], nowhere)

    def merge(self, other: PlaceFold) -> None:
        """Take what other blocks hold."""
        for name, held in self.held.items():
            held.merge(other.held[name])
