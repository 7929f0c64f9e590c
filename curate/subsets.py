"""Subsets: the folders that decisions are written to, and what makes one count.

A subset folder holds `rules.yaml`, `uids.npy` in DataComp's format, a decision table per shard,
and `summary.json`, which is written last. Subsets of a sweep have no decision tables, and none
need be written before shards are filtered: see `materialise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import yaml

from curate import rules as rule_tests
from curate.config import Rules, digest
from curate.deciding import count_decisions, decide_all
from curate.errors import OutputError, RunDirError
from curate.external_sort import ExternalSorter
from curate.manifest import Counts, RunDir
from curate.numerics.selection import UID, Node
from curate.outputs import Store
from curate.scored_pool import ScoredPool, scored_pool, scored_shards, scores_identity
from curate.uids_file import write_uids

SUMMARY: Final = "summary.json"
SHARD_COUNTS: Final = "shards.parquet"
UIDS: Final = "uids.npy"
RULES: Final = "rules.yaml"

__all__ = [
    "RULES",
    "SHARD_COUNTS",
    "SUMMARY",
    "UIDS",
    "Subset",
    "count_decisions",
    "decide_all",
    "find",
    "folder_of",
    "identity_of",
    "kept_per_shard",
    "load",
    "materialise",
    "names",
    "read_decisions",
    "read_rules",
    "rules_yaml",
    "scored_shards",
    "scores_identity",
    "select",
    "subset_identity",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class Subset:
    """A selected subset: where it lies, and what its summary says."""

    folder: str
    identity: str
    summary: dict[str, Any]

    @property
    def counts(self) -> Counts:
        """Totals over all shards."""
        return Counts(**self.summary["counts"])


def folder_of(name: str) -> str:
    """The subset's folder in the run directory."""
    return f"subsets/{name}"


def select(
    run: RunDir,
    name: str,
    rules: Rules,
    reference_sample: pa.Table | None,
    observe: Callable[[str, Counts], None] = lambda shard, counts: None,
    pool: ScoredPool | None = None,
) -> Subset:
    """Apply rules to a scored pool and write the subset; nothing happens if it is already there.

    Args:
        run: a run directory whose shards are scored.
        name: of the subset; an older subset of that name with other rules is replaced.
        rules: what to keep.
        reference_sample: scores of the Reference's sample, for rules with `of: reference`.
        observe: called after each shard with its id and counts.
        pool: what is scored, if that was looked at just before.

    Raises:
        RunDirError: some shards are not scored yet.
        AccountingError: the counts of a shard do not balance.
    """
    pool = pool or scored_pool(run)
    shards, scores = pool.shards, pool.identity
    folder = folder_of(name)
    identity = subset_identity(scores, rules)
    found = load(run.store, name)
    if found is not None and found.identity == identity and found.summary["decisions"]:
        return found
    begin(run.store, name, rules)
    node, decided = decide_all(run, shards, rules, reference_sample, scores)
    rows, total = [], Counts()
    with ExternalSorter(UID) as kept:
        for shard, table, uids in decided:
            counts = count_decisions(table)
            counts.check(f"shard {shard}, subset {name}")
            run.store.write_table(f"{folder}/decisions/{shard}.parquet", table)
            kept.add(uids)
            rows.append({"shard": shard, "read": counts.read, "kept": counts.kept})
            total += counts
            observe(shard, counts)
        write_uids(run.store, f"{folder}/{UIDS}", kept.merged())
    run.store.write_table(f"{folder}/{SHARD_COUNTS}", pa.Table.from_pylist(rows, _SHARD_COUNTS))
    return summarise(run.store, name, identity, node, total, decisions=True, uids=True)


def begin(store: Store, name: str, rules: Rules) -> None:
    """Empty a subset's folder and write its rules there.

    The summary goes first: without it, what a crash leaves of the folder cannot pass for a subset.
    """
    folder = folder_of(name)
    store.remove(f"{folder}/{SUMMARY}")
    store.remove(folder)
    store.write_bytes(f"{folder}/{RULES}", rules_yaml(rules).encode())


def summarise(
    store: Store,
    name: str,
    identity: str,
    node: Node,
    counts: Counts,
    *,
    decisions: bool,
    uids: bool,
) -> Subset:
    """Write the summary, which makes a subset count.

    Args:
        store: the run directory.
        name: of the subset.
        identity: from `identity_of`.
        node: the rules with their cuts.
        counts: totals, which must balance.
        decisions: whether there are decision tables.
        uids: whether there is uids.npy.
    """
    counts.check(f"subset {name}")
    summary = {
        "name": name,
        "identity": identity,
        "counts": _counts_json(counts),
        "tests": rule_tests.describe(node),
        "decisions": decisions,
        "uids": uids,
        # A uid is decided once: repetitions are dropped, with a reason of their own.
        "unique_uids": counts.kept,
    }
    folder = folder_of(name)
    store.write_json(f"{folder}/{SUMMARY}", summary)
    return Subset(folder, identity, summary)


def materialise(run: RunDir, subset: Subset, reference_sample: pa.Table | None) -> Subset:
    """Write what a subset of a sweep lacks: its decision tables, and its uids.

    Raises:
        RunDirError: it is of other scores than those in the run directory.
        OutputError: its rules, or scores, are missing or damaged.
    """
    name = str(subset.summary["name"])
    rules = read_rules(run.store, f"{subset.folder}/{RULES}")
    pool = scored_pool(run)
    if subset.identity != subset_identity(pool.identity, rules):
        raise RunDirError(
            f"{run.store}: subset {name!r} is of other scores or rules; sweep or select it again"
        )
    return select(run, name, rules, reference_sample, pool=pool)


def read_rules(store: Store, relative: str) -> Rules:
    """Read the rules of a subset. Raises OutputError if they are missing or no rules."""
    try:
        return Rules.model_validate(yaml.safe_load(store.read_bytes(relative)))
    except (FileNotFoundError, ValueError, RecursionError, yaml.YAMLError) as exc:
        raise OutputError(
            f"{store.path(relative)} holds no rules ({exc}); run `curate select` again"
        ) from exc


_SHARD_COUNTS: Final = pa.schema(
    [("shard", pa.string()), ("read", pa.int64()), ("kept", pa.int64())]
)


def names(store: Store) -> list[str]:
    """Names of the subsets in a run directory, sorted."""
    return store.names("subsets", "")


def load(store: Store, name: str) -> Subset | None:
    """Read a subset's summary; None if there is no complete subset of that name."""
    folder = folder_of(name)
    try:
        summary = store.read_json(f"{folder}/{SUMMARY}")
    except FileNotFoundError:
        return None
    return Subset(folder, summary["identity"], summary)


def find(run: RunDir, name: str, rules: Rules, pool: ScoredPool | None = None) -> Subset | None:
    """The subset, if it is what `select` would make now. Raises RunDirError as `select` does."""
    identity = subset_identity((pool or scored_pool(run)).identity, rules)
    found = load(run.store, name)
    if found is None or found.identity != identity or not found.summary["decisions"]:
        return None
    return found


def read_decisions(
    store: Store, subset: Subset, shard: str, columns: list[str] | None = None
) -> pa.Table:
    """Read one shard's decisions, or some columns of them.

    Raises:
        OutputError: they are missing or damaged.
    """
    relative = f"{subset.folder}/decisions/{shard}.parquet"
    try:
        return store.read_table(relative, columns)
    except FileNotFoundError as exc:
        raise OutputError(
            f"{store.path(relative)} is missing; delete {subset.folder} and run `curate select`"
        ) from exc


def kept_per_shard(store: Store, subset: Subset) -> list[tuple[str, int]]:
    """Shard id and number of kept samples, in the order of the run. Raises OutputError."""
    relative = f"{subset.folder}/{SHARD_COUNTS}"
    try:
        table = store.read_table(relative)
    except FileNotFoundError as exc:
        raise OutputError(
            f"{store.path(relative)} is missing; delete {subset.folder} and run `curate select`"
        ) from exc
    return list(zip(table["shard"].to_pylist(), table["kept"].to_pylist(), strict=True))


def identity_of(run: RunDir, shards: Sequence[str], rules: Rules) -> str:
    """What a subset is a function of: scores, their order, and rules. Raises RunDirError."""
    return subset_identity(scores_identity(run, shards), rules)


def subset_identity(scores: str, rules: Rules) -> str:
    """The identity of a subset of scores with an identity."""
    return digest([scores, rules_yaml(rules)])


def rules_yaml(rules: Rules) -> str:
    """Rules as `rules.yaml` holds them."""
    return str(yaml.safe_dump(rules.model_dump(mode="json", exclude_none=True), sort_keys=False))


def _counts_json(counts: Counts) -> Mapping[str, Any]:
    return {
        "read": counts.read,
        "kept": counts.kept,
        "dropped": dict(counts.dropped),
        "rejected": dict(counts.rejected),
    }
