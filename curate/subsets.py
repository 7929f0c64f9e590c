"""Subsets: score columns and rules -> a decision and a reason for every sample.

Deciding reads Parquet and never an image. A subset folder holds `uids.npy` in DataComp's format,
one decision table per shard, and `summary.json`, which is written last and makes it count.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from curate import rules as rule_tests
from curate.config import Rules, digest
from curate.duplicates import Duplicates, find_duplicates
from curate.errors import OutputError, RunDirError
from curate.manifest import IDENTITY, Counts, RunDir
from curate.numerics.selection import KEPT, UID, Node, UidArray, decide, parse_uids
from curate.outputs import Store
from curate.schema import DECISIONS_SCHEMA, DUPLICATE_UID, OK, SUMMARY_OF_REJECTED
from curate.score_tables import read_scores

SUMMARY: Final = "summary.json"
SHARD_COUNTS: Final = "shards.parquet"
UIDS: Final = "uids.npy"
RULES: Final = "rules.yaml"


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
) -> Subset:
    """Apply rules to a scored pool and write the subset; nothing happens if it is already there.

    Args:
        run: a run directory whose shards are scored.
        name: of the subset; an older subset of that name with other rules is replaced.
        rules: what to keep.
        reference_sample: scores of the Reference's sample, for rules with `of: reference`.
        observe: called after each shard with its id and counts.

    Raises:
        RunDirError: some shards are not scored yet.
        AccountingError: the counts of a shard do not balance.
    """
    shards = scored_shards(run)
    folder = folder_of(name)
    identity = identity_of(run, shards, rules)
    found = load(run.store, name)
    if found is not None and found.identity == identity:
        return found
    # The summary first: without it, what a crash leaves of the folder cannot pass for a subset.
    run.store.remove(f"{folder}/{SUMMARY}")
    run.store.remove(folder)
    node, decided = decide_all(run, shards, rules, reference_sample)
    kept_uids, rows, total = [], [], Counts()
    for shard, table, uids in decided:
        counts = count_decisions(table)
        counts.check(f"shard {shard}, subset {name}")
        run.store.write_table(f"{folder}/decisions/{shard}.parquet", table)
        kept_uids.append(uids)
        rows.append({"shard": shard, "read": counts.read, "kept": counts.kept})
        total += counts
        observe(shard, counts)
    uids = np.unique(np.concatenate(kept_uids) if kept_uids else np.zeros(0, UID))
    run.store.write_bytes(f"{folder}/{UIDS}", npy_bytes(uids))
    run.store.write_table(f"{folder}/{SHARD_COUNTS}", pa.Table.from_pylist(rows, _SHARD_COUNTS))
    run.store.write_bytes(f"{folder}/{RULES}", _rules_yaml(rules).encode())
    summary = {
        "name": name,
        "identity": identity,
        "counts": _counts_json(total),
        "tests": rule_tests.describe(node),
        "unique_uids": len(uids),
    }
    run.store.write_json(f"{folder}/{SUMMARY}", summary)
    return Subset(folder, identity, summary)


def decide_all(
    run: RunDir, shards: Sequence[str], rules: Rules, reference_sample: pa.Table | None
) -> tuple[Node, Iterator[tuple[str, pa.Table, UidArray]]]:
    """Decide every sample of some shards: a pure function of scores and rules; writes nothing.

    Returns:
        The rules with their cuts, and (shard, DECISIONS_SCHEMA table, kept uids) one by one.

    Raises:
        OutputError: scores are missing or damaged.
    """
    duplicates = find_duplicates(run.store, shards)
    node = _resolve(run.store, shards, rules, duplicates, reference_sample)
    return node, (
        (shard, *_decide_shard(run.store, shard, node, rules, duplicates)) for shard in shards
    )


_SHARD_COUNTS: Final = pa.schema(
    [("shard", pa.string()), ("read", pa.int64()), ("kept", pa.int64())]
)


def names(store: Store) -> list[str]:
    """Names of the subsets in a run directory, sorted."""
    if not store.exists("subsets"):
        return []
    entries = store.fs.ls(store.path("subsets"), detail=False, refresh=True)
    return sorted(str(entry).rstrip("/").rpartition("/")[2] for entry in entries)


def load(store: Store, name: str) -> Subset | None:
    """Read a subset's summary; None if there is no complete subset of that name."""
    folder = folder_of(name)
    try:
        summary = store.read_json(f"{folder}/{SUMMARY}")
    except FileNotFoundError:
        return None
    return Subset(folder, summary["identity"], summary)


def find(run: RunDir, name: str, rules: Rules) -> Subset | None:
    """The subset, if it is what `select` would make now. Raises RunDirError as `select` does."""
    identity = identity_of(run, scored_shards(run), rules)
    found = load(run.store, name)
    return found if found is not None and found.identity == identity else None


def read_decisions(store: Store, subset: Subset, shard: str) -> pa.Table:
    """Read one shard's decisions. Raises OutputError if they are missing or damaged."""
    relative = f"{subset.folder}/decisions/{shard}.parquet"
    try:
        return store.read_table(relative)
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


def scored_shards(run: RunDir) -> list[str]:
    """Ids of the shards that take part in selection: scored ones, without the unreadable.

    Raises:
        RunDirError: a shard was neither scored nor found unreadable.
    """
    manifest = [shard.id for shard in run.read_manifest()]
    done, failed = run.committed(), run.failures()
    missing = [shard for shard in manifest if shard not in done and shard not in failed]
    if missing:
        raise RunDirError(
            f"{run.store}: {len(missing)} of {len(manifest)} shards are not scored yet (the first"
            f" is {missing[0]!r}); run `curate score` until it ends, then select"
        )
    return [shard for shard in manifest if shard in done]


def identity_of(run: RunDir, shards: Sequence[str], rules: Rules) -> str:
    """What a subset is a function of: scores, their order, and rules. Raises RunDirError."""
    # With the checksums, since a shard may have been scored again, from another file.
    outputs = [[[w.path, w.sha256] for w in run.require_marker(s).outputs] for s in shards]
    scored_as = run.read_identity()
    if scored_as is None:
        raise RunDirError(f"{run.store}: {IDENTITY} is missing; run `curate score` again")
    return digest([scored_as[0], list(shards), outputs, _rules_yaml(rules)])


def _rules_yaml(rules: Rules) -> str:
    return str(yaml.safe_dump(rules.model_dump(mode="json", exclude_none=True), sort_keys=False))


# --- the parts of deciding --------------------------------------------------------------------


def _resolve(
    store: Store,
    shards: Sequence[str],
    rules: Rules,
    duplicates: Duplicates,
    reference_sample: pa.Table | None,
) -> Node:
    columns = rule_tests.columns_of(rules)

    def scan() -> Iterator[tuple[dict[str, npt.NDArray[Any]], UidArray]]:
        for shard in shards:
            table = read_scores(store, shard, columns)
            usable = _eligible(table, duplicates.get(shard))
            if usable.any():
                yield _columns(table, columns, usable), _uids(table, usable)

    total = 0
    if rule_tests.pool_quantiles(rules):
        total = sum(len(uids) for _, uids in scan())
    return rule_tests.build(rules, rule_tests.find_pool_cuts(rules, total, scan), reference_sample)


def _eligible(table: pa.Table, duplicates: npt.NDArray[np.int64] | None) -> npt.NDArray[np.bool_]:
    usable = np.asarray(pc.equal(table["status"], OK).to_numpy(zero_copy_only=False), dtype=bool)
    if duplicates is not None:
        usable &= ~np.isin(table["index"].to_numpy(), duplicates)
    return usable


def _columns(
    table: pa.Table, columns: Sequence[str], rows: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[Any]]:
    return {name: table[name].to_numpy()[rows].astype(np.float32) for name in columns}


def _uids(table: pa.Table, rows: npt.NDArray[np.bool_]) -> UidArray:
    return parse_uids(table["uid"].filter(pa.array(rows)).to_pylist())


def _decide_shard(
    store: Store, shard: str, node: Node, rules: Rules, duplicates: Duplicates
) -> tuple[pa.Table, UidArray]:
    columns = rule_tests.columns_of(rules)
    table = read_scores(store, shard, columns)
    scored = _eligible(table, None)
    usable = _eligible(table, duplicates.get(shard))
    uids = _uids(table, usable)
    decision = decide(node, _columns(table, columns, usable), uids)
    reasons = np.array(
        [f"{SUMMARY_OF_REJECTED}{status}" for status in table["status"].to_pylist()], dtype=object
    )
    reasons[scored & ~usable] = DUPLICATE_UID
    reasons[usable] = np.array(decision.labels(), dtype=object)
    arrays = [
        table["index"],
        table["key"],
        table["uid"],
        pa.array(reasons == KEPT, pa.bool_()),
        pa.array(reasons, pa.string()),
    ]
    return pa.table(arrays, schema=DECISIONS_SCHEMA), uids[decision.kept]


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


def _counts_json(counts: Counts) -> dict[str, Any]:
    return {
        "read": counts.read,
        "kept": counts.kept,
        "dropped": dict(counts.dropped),
        "rejected": dict(counts.rejected),
    }


def npy_bytes(uids: UidArray) -> bytes:
    """Serialise uids as DataComp reads them: 1-D, dtype u8,u8, sorted, without duplicates."""
    buffer = io.BytesIO()
    np.save(buffer, uids, allow_pickle=False)
    return buffer.getvalue()
