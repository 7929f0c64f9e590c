"""What a sweep tells: a row per subset, a row per pair of subsets, as Parquet and CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import csv_cells
from curate import rules as rule_tests
from curate.config import Rules
from curate.manifest import Counts
from curate.numerics.selection import Node
from curate.outputs import Store

FOLDER: Final = "sweep"
SWEEP: Final = f"{FOLDER}/sweep.json"
SUBSETS: Final = f"{FOLDER}/subsets"
OVERLAPS: Final = f"{FOLDER}/overlaps"

SUBSETS_SCHEMA: Final = pa.schema(
    [
        ("subset", pa.string()),
        ("baseline", pa.bool_()),
        ("read", pa.int64()),
        ("kept", pa.int64()),
        ("kept_share", pa.float64()),
        ("dropped", pa.int64()),
        ("rejected", pa.int64()),
        ("thresholds", pa.map_(pa.string(), pa.string())),
        ("reasons", pa.map_(pa.string(), pa.int64())),
        ("rules", pa.string()),
    ]
)
"""`kept_share` is of the samples read; `thresholds` hold the value of each test's cut, and the uid
that splits its ties; `reasons` count what was dropped and rejected; `rules` is JSON."""

OVERLAPS_SCHEMA: Final = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("kept_a", pa.int64()),
        ("kept_b", pa.int64()),
        ("kept_both", pa.int64()),
        ("a_not_b", pa.int64()),
        ("b_not_a", pa.int64()),
        ("jaccard", pa.float64()),
    ]
)
"""Every pair once, in the order of the sweep. `jaccard` is |a and b| / |a or b|; two empty subsets
are alike."""


@dataclass(frozen=True)
class RuleSet:
    """A named rule set.

    Attributes:
        name: of its subset.
        rules: what to keep.
        baseline: whether others are compared with it.
    """

    name: str
    rules: Rules
    baseline: bool = False


@dataclass(frozen=True)
class SweepTables:
    """What a sweep found.

    Attributes:
        identity: of the rule sets and the scores.
        subsets: SUBSETS_SCHEMA, in the order of the sweep.
        overlaps: OVERLAPS_SCHEMA.
    """

    identity: str
    subsets: pa.Table
    overlaps: pa.Table


def make_tables(
    identity: str,
    rule_sets: Sequence[RuleSet],
    nodes: Sequence[Node],
    counts: Sequence[Counts],
    shared: npt.NDArray[np.int64],
) -> SweepTables:
    """Put together what a sweep found.

    Args:
        identity: of the sweep.
        rule_sets, nodes, counts: of each subset: its rules, those with their cuts, what was kept.
        shared: int64 [k, k], samples that every two subsets share.
    """
    rows = [_row(*one) for one in zip(rule_sets, nodes, counts, strict=True)]
    names = [one.name for one in rule_sets]
    pairs = [
        _pair(names[i], names[j], int(shared[i, i]), int(shared[j, j]), int(shared[i, j]))
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    return SweepTables(
        identity,
        pa.Table.from_pylist(rows, SUBSETS_SCHEMA),
        pa.Table.from_pylist(pairs, OVERLAPS_SCHEMA),
    )


def _row(one: RuleSet, node: Node, counts: Counts) -> dict[str, Any]:
    kept = counts.kept or 0
    rejected = {f"rejected:{reason}": n for reason, n in counts.rejected.items()}
    return {
        "subset": one.name,
        "baseline": one.baseline,
        "read": counts.read,
        "kept": kept,
        "kept_share": kept / counts.read if counts.read else 0.0,
        "dropped": sum(counts.dropped.values()),
        "rejected": sum(counts.rejected.values()),
        "thresholds": {test["name"]: cut_text(test["cut"]) for test in rule_tests.describe(node)},
        "reasons": dict(counts.dropped) | rejected,
        "rules": json.dumps(one.rules.model_dump(mode="json", exclude_none=True)),
    }


def cut_text(cut: Mapping[str, Any]) -> str:
    """A cut as JSON has it, in words: its value, and the uid that splits its ties."""
    value = f"{cut['value']:.9g}" if isinstance(cut["value"], float) else str(cut["value"])
    return value if int(cut["uid"], 16) == 0 else f"{value}, uid {cut['uid']}"


def _pair(a: str, b: str, kept_a: int, kept_b: int, both: int) -> dict[str, Any]:
    either = kept_a + kept_b - both
    return {
        "a": a,
        "b": b,
        "kept_a": kept_a,
        "kept_b": kept_b,
        "kept_both": both,
        "a_not_b": kept_a - both,
        "b_not_a": kept_b - both,
        "jaccard": both / either if either else 1.0,
    }


def write_tables(store: Store, tables: SweepTables) -> None:
    """Write the tables as Parquet and CSV; sweep.json last, which makes them count."""
    for place, table in ((SUBSETS, tables.subsets), (OVERLAPS, tables.overlaps)):
        store.write_table(f"{place}.parquet", table)
        store.write_bytes(f"{place}.csv", csv_bytes(table))
    names = tables.subsets["subset"].to_pylist()
    store.write_json(SWEEP, {"identity": tables.identity, "subsets": names})


def read_tables(store: Store, identity: str) -> SweepTables | None:
    """The tables of a sweep with this identity; None if there are none. Raises OutputError."""
    if not store.exists(SWEEP) or store.read_json(SWEEP).get("identity") != identity:
        return None
    tables = [store.read_table(f"{place}.parquet") for place in (SUBSETS, OVERLAPS)]
    return SweepTables(identity, *tables)


def csv_bytes(table: pa.Table) -> bytes:
    """A table as CSV with a header; maps become `name: value` lists."""
    columns = {name: _flat(table[name]) for name in table.column_names}
    return csv_cells.csv_bytes(pa.table(columns))


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if not pa.types.is_map(column.type):
        return column
    texts = ["; ".join(f"{key}: {value}" for key, value in row) for row in column.to_pylist()]
    return pa.array(texts, pa.string())
