"""Deciding samples one by one: a reason for every row of every shard.

A pure function of scores and rules. What is written, and under which name, is in `subsets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import rules as rule_tests
from curate.config import Rules
from curate.duplicates import Duplicates, find_duplicates
from curate.errors import AccountingError
from curate.manifest import Counts, RunDir
from curate.numerics.selection import KEPT, Node, UidArray, decide
from curate.outputs import Store
from curate.pool_quantiles import find_cuts
from curate.prefetch import prefetched
from curate.schema import ALL_SCORES, DECISIONS_SCHEMA, DUPLICATE_UID, SUMMARY_OF_REJECTED
from curate.score_scan import ScoreScan, check_columns, column_values, is_eligible
from curate.score_tables import SCORES, read_scores
from curate.uid_columns import uids_of

Decided = tuple[str, pa.Table, UidArray]
"""A shard, its DECISIONS_SCHEMA table, and the uids that are kept."""


def decide_all(
    run: RunDir,
    shards: Sequence[str],
    rules: Rules,
    reference_sample: pa.Table | None,
    identity: str | None = None,
) -> tuple[Node, Iterator[Decided]]:
    """Decide every sample of some shards; writes nothing but what `find_duplicates` remembers.

    Args:
        run: a scored run directory.
        shards: ids, in the order of the run.
        rules: what to keep.
        reference_sample: scores of the Reference's sample, for rules with `of: reference`.
        identity: of these scores, under which the duplicates are remembered; None looks anew.

    Returns:
        The rules with their cuts, and the decided shards one by one.

    Raises:
        OutputError: scores are missing or damaged.
        RunDirError: the rules use columns that were not computed.
    """
    columns = rule_tests.columns_of(rules)
    check_columns(run.store, shards, columns)
    duplicates = find_duplicates(run.store, shards, identity)
    node = resolve(run.store, shards, rules, duplicates, reference_sample)

    def decide_one(shard: str) -> Decided:
        return decide_shard(run.store, shard, node, columns, duplicates)

    return node, prefetched(decide_one, shards)


def resolve(
    store: Store,
    shards: Sequence[str],
    rules: Rules,
    duplicates: Duplicates,
    reference_sample: pa.Table | None,
) -> Node:
    """The rules with their cuts; those of pool fractions take two scans."""
    quantiles = rule_tests.pool_quantiles(rules)
    columns = sorted({quantile.column for quantile in quantiles})
    scan = ScoreScan(store, shards, columns, duplicates)
    return rule_tests.build(rules, find_cuts(quantiles, scan), reference_sample)


def decide_shard(
    store: Store, shard: str, node: Node, columns: Sequence[str], duplicates: Duplicates
) -> Decided:
    """Decide the samples of one shard. Raises OutputError."""
    table = read_scores(store, shard, list(columns))
    scored = is_eligible(table["status"], None)
    usable = is_eligible(table["status"], duplicates.get(shard))
    rows = pa.array(usable)
    uids = uids_of(table["uid"].filter(rows))
    values = {name: column_values(table[name])[usable] for name in columns}
    _check_scored(store, shard, values)
    decision = decide(node, values, uids)
    status = table["status"].combine_chunks().dictionary_encode()
    rejections = [f"{SUMMARY_OF_REJECTED}{name}" for name in status.dictionary.to_pylist()]
    reasons = [*decision.reasons, DUPLICATE_UID, *rejections]
    code = status.indices.to_numpy().astype(np.int32) + len(decision.reasons) + 1
    code[scored] = len(decision.reasons)
    code[usable] = decision.code
    reason = pa.DictionaryArray.from_arrays(pa.array(code), pa.array(reasons, pa.string()))
    arrays = [
        table["index"],
        table["key"],
        table["uid"],
        pa.array(code == reasons.index(KEPT)),
        reason.dictionary_decode(),
    ]
    return shard, pa.table(arrays, schema=DECISIONS_SCHEMA), uids[decision.kept]


def _check_scored(store: Store, shard: str, values: dict[str, npt.NDArray[np.float32]]) -> None:
    for name, column in values.items():
        if name in ALL_SCORES and np.isnan(column).any():
            raise AccountingError(
                f"{store.path(SCORES)}/{shard}.parquet: {name} is missing on scored rows; delete"
                f" state/{shard}.json and run `curate score` again"
            )


def count_decisions(table: pa.Table) -> Counts:
    """Counts of one decision table."""
    tally = {row["values"]: row["counts"] for row in pc.value_counts(table["reason"]).to_pylist()}
    kept = tally.pop(KEPT, 0)
    rejected = {
        reason.removeprefix(SUMMARY_OF_REJECTED): n
        for reason, n in sorted(tally.items())
        if reason.startswith(SUMMARY_OF_REJECTED)
    }
    dropped = {
        reason: n
        for reason, n in sorted(tally.items())
        if not reason.startswith(SUMMARY_OF_REJECTED)
    }
    return Counts(read=table.num_rows, rejected=rejected, kept=kept, dropped=dropped)
