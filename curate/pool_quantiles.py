"""Fractions of the pool -> exact cuts: two scans of the score columns, whatever the pool's size.

`exact` keeps or drops floor(n x fraction) of the n samples that rules decide, ties broken by uid.
`datacomp` is the threshold of DataComp's own baselines: over every row of the pool that the column
has a value for or not, with all ties of the threshold kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.external_sort import ExternalSorter
from curate.numerics.keys import DROP_ALL, KEEP_ALL, UID, Cut, UidArray
from curate.numerics.quantiles import LeadCounts, Place, Refinement
from curate.numerics.ranks import Rule, datacomp_rank, rank_of
from curate.score_scan import Block, Runner

Method = Literal["exact", "datacomp"]

TIE_BYTES: Final = 128 << 20
"""Memory for the uids that tie with one cut; more are sorted on disk."""


class PoolQuantile(NamedTuple):
    """A column, a fraction of the pool, the end of the distribution it names, and how."""

    column: str
    fraction: float
    rule: Rule
    method: Method


class Population(NamedTuple):
    """A column, and whether all rows count or those that rules decide."""

    column: str
    every_row: bool


Ranks = Mapping[Population, Mapping[PoolQuantile, int]]


def find_cuts(quantiles: Sequence[PoolQuantile], runner: Runner) -> dict[PoolQuantile, Cut]:
    """Find the cut of every quantile: exact, in two scans, and a look at the uids of ties.

    Args:
        quantiles: each once.
        runner: runs folds over the pool's score columns.

    Raises:
        OutputError: scores are missing or damaged.
    """
    if not quantiles:
        return {}
    populations = dict.fromkeys(population_of(quantile) for quantile in quantiles)
    counts = runner.run(CountFold(populations, runner.precisions)).counts
    cuts, ranks = _known_cuts(quantiles, counts)
    if not ranks:
        return cuts
    held = runner.run(RefineFold(counts, ranks)).held
    ties: dict[tuple[str, float], set[int]] = {}
    places: dict[PoolQuantile, Place] = {}
    for population, wanted in ranks.items():
        for quantile, rank in wanted.items():
            place = held[population].place(rank)
            if quantile.method == "datacomp" or place.within == 0:
                cuts[quantile] = Cut(place.value)
                continue
            places[quantile] = place
            ties.setdefault((quantile.column, place.value), set()).add(place.within)
    if places:
        uids = _tied_uids(ties, places, runner)
        for quantile, place in places.items():
            cuts[quantile] = Cut(place.value, uids[quantile.column, place.value][place.within])
    return {quantile: cuts[quantile] for quantile in quantiles}


def population_of(quantile: PoolQuantile) -> Population:
    """The rows that a quantile is taken of."""
    return Population(quantile.column, quantile.method == "datacomp")


def _known_cuts(
    quantiles: Iterable[PoolQuantile], counts: Mapping[Population, LeadCounts]
) -> tuple[dict[PoolQuantile, Cut], dict[Population, dict[PoolQuantile, int]]]:
    """Cuts that keep or drop everything, and the ranks of the others."""
    cuts: dict[PoolQuantile, Cut] = {}
    ranks: dict[Population, dict[PoolQuantile, int]] = {}
    for quantile in quantiles:
        found = counts[population_of(quantile)]
        n = found.total
        if quantile.method == "datacomp":
            rank = datacomp_rank(n, quantile.fraction)
            none, everything = rank == -1, 0 <= rank < found.missing
        else:
            rank = rank_of(n, quantile.fraction, quantile.rule)
            none, everything = rank == 0, rank == n
        if none:
            cuts[quantile] = KEEP_ALL
        elif everything:
            cuts[quantile] = DROP_ALL
        else:
            ranks.setdefault(population_of(quantile), {})[quantile] = rank
    return cuts, ranks


def _tied_uids(
    ties: Mapping[tuple[str, float], set[int]],
    places: Mapping[PoolQuantile, Place],
    runner: Runner,
) -> dict[tuple[str, float], dict[int, tuple[int, int]]]:
    """Uids of some ranks among the eligible rows that tie with a value."""
    known = [place.sources for place in places.values()]
    shards: list[int] | None = None
    if all(sources is not None for sources in known):
        shards = sorted({number for sources in known for number in sources or ()})
    found = runner.run(TieFold(tuple(ties)), shards)
    try:
        return {tie: found.uids_at(tie, ranks) for tie, ranks in ties.items()}
    finally:
        found.close()


class CountFold:
    """The first scan: values by their leading bits."""

    def __init__(
        self, populations: Iterable[Population], precisions: Mapping[str, np.dtype[Any]]
    ) -> None:
        self.counts = {one: LeadCounts(precisions[one.column]) for one in populations}

    def add(self, block: Block) -> None:
        """Count a block."""
        for population, counts in self.counts.items():
            counts.add(_values(block, population))

    def merge(self, other: CountFold) -> None:
        """Add other counts."""
        for population, counts in self.counts.items():
            counts.merge(other.counts[population])


class RefineFold:
    """The second scan: what the bins in question hold."""

    def __init__(self, counts: Mapping[Population, LeadCounts], ranks: Ranks) -> None:
        self.held = {
            population: Refinement(counts[population], sorted(set(wanted.values())))
            for population, wanted in ranks.items()
        }

    def add(self, block: Block) -> None:
        """Take a block."""
        sources = block.sources()
        for population, held in self.held.items():
            every = population.every_row
            held.add(_values(block, population), sources if every else sources[block.eligible])

    def merge(self, other: RefineFold) -> None:
        """Take what other blocks hold."""
        for population, held in self.held.items():
            held.merge(other.held[population])


class TieFold:
    """Uids of the eligible rows that tie with some values."""

    def __init__(self, ties: Sequence[tuple[str, float]]) -> None:
        self._open = ExitStack()
        self._sorters = {tie: self._sorter() for tie in ties}

    def _sorter(self) -> ExternalSorter:
        return self._open.enter_context(ExternalSorter(UID, TIE_BYTES))

    def add(self, block: Block) -> None:
        """Collect the ties of a block."""
        for (column, value), sorter in self._sorters.items():
            values = block.columns[column]
            equal = values == values.dtype.type(value)
            if value == -np.inf:
                equal |= np.isnan(values)
            rows = np.flatnonzero(equal & block.eligible)
            if len(rows):
                sorter.add(block.uids(rows))

    def merge(self, other: TieFold) -> None:
        """Take other uids."""
        for tie, sorter in self._sorters.items():
            for uids in other._sorters[tie].merged():
                sorter.add(uids)

    def uids_at(self, tie: tuple[str, float], ranks: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Uids of some ranks (0-based) among the ties of one value."""
        found: dict[int, tuple[int, int]] = {}
        first = 0
        for uids in self._sorters[tie].merged():
            for rank in ranks:
                if first <= rank < first + len(uids):
                    uid = uids[rank - first]
                    found[rank] = int(uid["f0"]), int(uid["f1"])
            first += len(uids)
        return found

    def close(self) -> None:
        """Remove what was sorted on disk."""
        self._open.close()

    def __getstate__(self) -> dict[tuple[str, float], UidArray]:
        return {
            tie: np.concatenate([np.zeros(0, UID), *sorter.merged()])
            for tie, sorter in self._sorters.items()
        }

    def __setstate__(self, state: dict[tuple[str, float], UidArray]) -> None:
        self._open = ExitStack()
        self._sorters = {tie: self._sorter() for tie in state}
        for tie, uids in state.items():
            self._sorters[tie].add(uids)


def _values(block: Block, population: Population) -> npt.NDArray[Any]:
    values = block.columns[population.column]
    return values if population.every_row else values[block.eligible]
