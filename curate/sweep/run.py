"""Deciding many rule sets together.

The cuts of all rule sets are found first, in two scans for all fractions. One more scan puts every
sample into its cell (`numerics.cells`), on which all rule sets are decided, so that a hundred of
them cost no more to scan than one. Only uids.npy takes another look, at the uids of what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import rules as rule_tests
from curate import subsets
from curate.config import digest
from curate.duplicates import Duplicates, find_duplicates
from curate.errors import AccountingError, OutputError
from curate.manifest import Counts, RunDir
from curate.numerics.cells import CellCounts, Grid, grid_of, overlaps
from curate.numerics.keys import Cut
from curate.numerics.selection import KEPT, Decision, Node
from curate.outputs import Store
from curate.pool_quantiles import PoolQuantile, find_cuts
from curate.schema import DUPLICATE_UID
from curate.score_scan import Block, Runner, ScoreScan, cells_of, check_columns
from curate.scored_pool import scored_pool
from curate.sweep.tables import (
    FOLDER,
    SWEEP,
    RuleSet,
    SweepTables,
    make_tables,
    read_tables,
    write_tables,
)
from curate.sweep.uids import write_swept_uids

CUTS: Final = f"{FOLDER}/cuts.json"


class MakeRunner(Protocol):
    """Opens a pool for folds, here or on a cluster."""

    def __call__(
        self, store: Store, shards: Sequence[str], columns: Sequence[str], duplicates: Duplicates, /
    ) -> Runner:
        """Open the columns of some shards."""
        ...


class CellFold:
    """The scan that decides: samples by cell."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.counts = CellCounts(grid.size)

    def add(self, block: Block) -> None:
        """Count the eligible rows of a block."""
        _, codes = cells_of(block, self.grid)
        self.counts.add(codes)

    def merge(self, other: CellFold) -> None:
        """Add the counts of other blocks."""
        self.counts.merge(other.counts)


@dataclass(frozen=True)
class _Pool:
    """A scored pool, opened for folds."""

    run: RunDir
    shards: Sequence[str]
    identity: str
    counts: Counts
    duplicates: Duplicates
    runner: Runner


@dataclass(frozen=True)
class _Decided:
    """All rule sets, decided on the cells that are not empty."""

    grid: Grid
    codes: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    nodes: Sequence[Node]
    decisions: Sequence[Decision]
    counts: Sequence[Counts]


def sweep(
    run: RunDir,
    rule_sets: Sequence[RuleSet],
    reference_sample: pa.Table | None,
    *,
    write_uids: bool = True,
    make_runner: MakeRunner = ScoreScan,
    observe: Callable[[str], None] = lambda phase: None,
) -> SweepTables:
    """Make a subset of every rule set, and tables that compare them.

    What is there already stays: a sweep that was stopped goes on where it was, and one that is
    complete is read back.

    Args:
        run: a run directory whose shards are scored.
        rule_sets: with distinct names.
        reference_sample: scores of the Reference's sample, for rules with `of: reference`.
        write_uids: write uids.npy of every subset.
        make_runner: opens the pool for folds.
        observe: called as each phase begins, with what it does.

    Raises:
        RunDirError: some shards are not scored yet, or rules use columns that were not computed.
        OutputError: scores are missing or damaged.
        AccountingError: the counts do not balance.
    """
    scored = scored_pool(run)
    shards, scores = scored.shards, scored.identity
    identities = {one.name: subsets.subset_identity(scores, one.rules) for one in rule_sets}
    marks = [[one.name, identities[one.name], one.baseline] for one in rule_sets]
    identity = digest([scores, write_uids, marks])
    missing = [one for one in rule_sets if not _is_there(run, one, identities, write_uids)]
    found = read_tables(run.store, identity)
    if found is not None and not missing:
        return found
    run.store.remove(SWEEP)
    columns = sorted({c for one in rule_sets for c in rule_tests.columns_of(one.rules)})
    check_columns(run.store, shards, columns)
    observe("looking for repeated uids")
    duplicates = find_duplicates(run.store, shards, scores)
    runner = make_runner(run.store, shards, columns, duplicates)
    pool = _Pool(run, shards, scores, scored.counts, duplicates, runner)
    observe("finding cuts")
    nodes = _resolve(pool, rule_sets, reference_sample)
    observe("deciding")
    decided = _decide(pool, nodes)
    observe("writing subsets")
    _write_subsets(pool, rule_sets, missing, decided, identities, write_uids)
    shared = overlaps([one.kept for one in decided.decisions], decided.numbers)
    tables = make_tables(identity, rule_sets, nodes, decided.counts, shared)
    write_tables(run.store, tables)
    return tables


def _is_there(run: RunDir, one: RuleSet, identities: Mapping[str, str], write_uids: bool) -> bool:
    found = subsets.load(run.store, one.name)
    if found is None or found.identity != identities[one.name]:
        return False
    return bool(found.summary["uids"]) or not write_uids


def _resolve(
    pool: _Pool, rule_sets: Iterable[RuleSet], reference_sample: pa.Table | None
) -> list[Node]:
    """All rule sets with their cuts; those of pool fractions are remembered."""
    wanted = list(
        dict.fromkeys(q for one in rule_sets for q in rule_tests.pool_quantiles(one.rules))
    )
    known = _remembered(pool.run.store, pool.identity)
    missing = [quantile for quantile in wanted if quantile not in known]
    cuts = known | find_cuts(missing, pool.runner)
    if missing:
        lines = [[*quantile, cut.to_json()] for quantile, cut in cuts.items()]
        pool.run.store.write_json(CUTS, {"identity": pool.identity, "cuts": lines})
    return [rule_tests.build(one.rules, cuts, reference_sample) for one in rule_sets]


def _remembered(store: Store, identity: str) -> dict[PoolQuantile, Cut]:
    try:
        held = store.read_json(CUTS)
        if held["identity"] != identity:
            return {}
        return {PoolQuantile(*line[:-1]): Cut.from_json(line[-1]) for line in held["cuts"]}
    except FileNotFoundError:
        return {}
    except (LookupError, TypeError, ValueError) as exc:
        raise OutputError(f"{store.path(CUTS)} is damaged ({exc!r}); delete it") from exc


def _decide(pool: _Pool, nodes: Sequence[Node]) -> _Decided:
    grid = grid_of(nodes, pool.runner.precisions)
    codes, numbers = pool.runner.run(CellFold(grid)).counts.cells()
    decisions = [grid.decide(node, codes) for node in nodes]
    read = pool.counts
    repeated = pool.duplicates.total
    if int(numbers.sum()) + repeated != read.scored:
        raise AccountingError(
            f"{pool.run.store}: the markers tell of {read.scored} scored samples, the scores of"
            f" {int(numbers.sum())} and {repeated} repeated uids; run `curate verify`"
        )
    counts = [_counts(read, one, numbers, repeated) for one in decisions]
    return _Decided(grid, codes, numbers, nodes, decisions, counts)


def _counts(
    read: Counts, decision: Decision, numbers: npt.NDArray[np.int64], repeated: int
) -> Counts:
    tally = np.zeros(len(decision.reasons), dtype=np.int64)
    np.add.at(tally, decision.code, numbers)
    dropped: dict[str, Any] = dict(zip(decision.reasons, tally.tolist(), strict=True))
    kept = dropped.pop(KEPT)
    dropped[DUPLICATE_UID] = repeated
    dropped = {reason: n for reason, n in sorted(dropped.items()) if n}
    return Counts(read=read.read, rejected=read.rejected, kept=kept, dropped=dropped)


def _write_subsets(
    pool: _Pool,
    rule_sets: Sequence[RuleSet],
    missing: Sequence[RuleSet],
    decided: _Decided,
    identities: Mapping[str, str],
    write_uids: bool,
) -> None:
    store = pool.run.store
    at = {one.name: number for number, one in enumerate(rule_sets)}
    for one in missing:
        subsets.begin(store, one.name, one.rules)
    if write_uids:
        runner = pool.runner
        if not isinstance(runner, ScoreScan):
            names = [column.name for column in decided.grid.columns]
            runner = ScoreScan(store, pool.shards, names, pool.duplicates, runner.precisions)
        paths = [f"{subsets.folder_of(one.name)}/{subsets.UIDS}" for one in missing]
        kept = [decided.decisions[at[one.name]].kept for one in missing]
        write_swept_uids(store, paths, runner, decided.grid, decided.codes, decided.numbers, kept)
    for one in missing:
        number = at[one.name]
        subsets.summarise(
            store,
            one.name,
            identities[one.name],
            decided.nodes[number],
            decided.counts[number],
            decisions=False,
            uids=write_uids,
        )
