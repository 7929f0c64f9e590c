"""Check a subset file as DataComp takes it, `uids.npy`, against the pool that it was chosen from.

Both are put through one external sort, each uid with a mark of where it comes from, so that
neither has to be in order and memory is bounded whatever their sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.embedding_pools.layouts import METADATA_FIELD, list_parts
from curate.embedding_pools.parquet import opened_parquet
from curate.errors import ConfigError, NumericsError, OutputError, ShardError
from curate.external_sort import MEMORY_BYTES, ExternalSorter
from curate.manifest import MANIFEST, RunDir
from curate.numerics.keys import UID, UidArray, format_uids
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.score_tables import read_columns
from curate.uid_columns import uids_of
from curate.uids_file import read_uids

BLOCK_ROWS: Final = 1 << 20
"""Uids looked at at once: 16 MB."""

SHOWN: Final = 3
"""Unknown uids that are named; more are only counted."""

OPTION: Final = "--pool"

UID_PATTERN: Final = "^[0-9a-fA-F]{32}$"

POOL, SUBSET = 0, 1
MARKED: Final = np.dtype([("f0", "<u8"), ("f1", "<u8"), ("origin", "u1")])
"""A uid and whether the pool or the subset has it; the pool's sorts first."""

Marked = npt.NDArray[np.void]


@dataclass
class SubsetFindings:
    """What was checked and what was wrong.

    Attributes:
        uids: entries of the subset.
        pool: distinct uids of the pool.
        kept: of these, how many the subset holds.
        unknown: distinct uids of the subset that the pool lacks.
        files: of the pool.
        invalid: rows of the pool whose uid is none; they are passed over.
        problems: one line each.
    """

    uids: int = 0
    pool: int = 0
    kept: int = 0
    unknown: int = 0
    files: int = 0
    invalid: int = 0
    problems: list[str] = field(default_factory=list)


def check_subset(path: str, pool: str, memory_bytes: int = MEMORY_BYTES) -> SubsetFindings:
    """Check a subset's dtype, shape and order, and that the pool knows its uids.

    Args:
        path: of the .npy file, local or a URL.
        pool: a run directory, or Parquet files with a column `uid`: a folder, a glob or @FILE.
        memory_bytes: for sorting.

    Raises:
        ConfigError: the file does not exist, `pool` names no pool, or a file of it has no uids.
        ShardError, OutputError: a file of the pool cannot be read.
    """
    findings = SubsetFindings()
    folder, _, name = path.rpartition("/")
    store = Store(folder or ("/" if path.startswith("/") else "."))
    if not store.exists(name):
        raise ConfigError(f"{path} does not exist; give the .npy file of a subset")
    columns = _uid_columns(pool, findings)
    try:
        uids = read_uids(store, name, "write it as np.save does with dtype 'u8,u8'")
    except OutputError as exc:
        findings.problems.append(str(exc))
        return findings
    findings.uids = len(uids)
    findings.problems += _order_problems(path, uids)
    with ExternalSorter(MARKED, memory_bytes) as sorter:
        for column in columns:
            sorter.add(_marked(_valid_uids(column, findings), POOL))
        for block in _blocks(uids):
            sorter.add(_marked(block, SUBSET))
        named = _compare(sorter.merged(BLOCK_ROWS), findings)
    if findings.unknown:
        findings.problems.append(
            f"{path}: {findings.unknown} uids are not in {pool}, such as {', '.join(named)}"
        )
    return findings


# --- the subset -------------------------------------------------------------------------------


def _order_problems(path: str, uids: UidArray) -> Iterator[str]:
    """DataComp looks uids up by bisection: what is out of order is not found."""
    found = {"falls": (0, 0), "repeats": (0, 0)}
    for first in range(0, len(uids), BLOCK_ROWS):
        rows = np.array(uids[first : first + BLOCK_ROWS + 1])
        f0, f1 = rows["f0"], rows["f1"]
        same = f0[1:] == f0[:-1]
        kinds = {
            "falls": (f0[1:] < f0[:-1]) | (same & (f1[1:] < f1[:-1])),
            "repeats": same & (f1[1:] == f1[:-1]),
        }
        for kind, flags in kinds.items():
            count, place = found[kind]
            if flags.any():
                place = place if count else first + 1 + int(flags.argmax())
                found[kind] = (count + int(flags.sum()), place)
    told = {"falls": "not sorted: {} entries are below", "repeats": "{} entries repeat"}
    for kind, (count, place) in found.items():
        if count:
            which = told[kind].format(count)
            yield f"{path}: {which} the one before, first at {place}; write np.unique of it"


def _blocks(uids: UidArray) -> Iterator[UidArray]:
    for first in range(0, len(uids), BLOCK_ROWS):
        yield np.array(uids[first : first + BLOCK_ROWS])


# --- the pool ---------------------------------------------------------------------------------


def _uid_columns(pool: str, findings: SubsetFindings) -> Iterator[pa.ChunkedArray]:
    """The uids of every file of a pool, some at a time; what is no pool is refused at once."""
    store = Store(pool) if "*" not in pool and not pool.startswith("@") else None
    if store is not None and store.exists(MANIFEST):
        run = RunDir(store)
        done = run.committed()
        return _of_run(store, [s.id for s in run.read_manifest() if s.id in done], findings)
    try:
        parts = list_parts(pool, METADATA_FIELD)
    except ConfigError as exc:
        raise ConfigError(
            f"{str(exc).replace(METADATA_FIELD, OPTION)}; it takes a run directory, or Parquet"
            " files with a column `uid`"
        ) from exc
    return _of_files([part.url for part in parts], findings)


def _of_run(store: Store, shards: list[str], findings: SubsetFindings) -> Iterator[pa.ChunkedArray]:
    for table in prefetched(lambda shard: read_columns(store, shard, ["uid"]), shards):
        findings.files += 1
        yield table["uid"]


def _of_files(urls: list[str], findings: SubsetFindings) -> Iterator[pa.ChunkedArray]:
    for url in urls:
        findings.files += 1
        with opened_parquet(url) as file:
            yield from _batches(file, url)


def _batches(file: pq.ParquetFile, url: str) -> Iterator[pa.ChunkedArray]:
    if "uid" not in file.schema_arrow.names:
        raise ConfigError(f"{OPTION}: {url} has no column `uid`; give the metadata of the pool")
    try:
        for batch in file.iter_batches(BLOCK_ROWS, columns=["uid"]):
            yield pa.chunked_array([batch.column(0)])
    except (pa.ArrowException, OSError) as exc:
        raise ShardError(f"{url}: cannot be read as Parquet: {exc}; download it again") from exc


def _valid_uids(column: pa.ChunkedArray, findings: SubsetFindings) -> UidArray:
    try:
        return uids_of(column)
    except NumericsError:  # a pool may have such rows: they can be in no subset
        texts = column.cast(pa.large_string())
        valid = pc.fill_null(pc.match_substring_regex(texts, UID_PATTERN), False)
        kept = texts.filter(valid)
        findings.invalid += len(texts) - len(kept)
        return uids_of(kept)


# --- both -------------------------------------------------------------------------------------


def _marked(uids: UidArray, origin: int) -> Marked:
    rows = np.empty(len(uids), MARKED)
    rows["f0"], rows["f1"], rows["origin"] = uids["f0"], uids["f1"], origin
    return rows


def _compare(blocks: Iterable[Marked], findings: SubsetFindings) -> list[str]:
    """Count what is in the pool, in both, and in the subset alone; names a few of the latter."""
    named: list[str] = []
    held = np.zeros(0, MARKED)
    for block in blocks:
        rows = _distinct(np.concatenate([held, block]))
        # The last uid's other mark may be the first of the next block.
        whole = len(rows) - (2 if _ends_in_both(rows) else 1)
        _count(rows[:whole], findings, named)
        held = rows[whole:].copy()
    _count(held, findings, named)
    return named


def _same_as_before(rows: Marked) -> npt.NDArray[np.bool_]:
    same = (rows["f0"][1:] == rows["f0"][:-1]) & (rows["f1"][1:] == rows["f1"][:-1])
    return np.asarray(same, dtype=bool)


def _distinct(rows: Marked) -> Marked:
    again = _same_as_before(rows) & (rows["origin"][1:] == rows["origin"][:-1])
    fresh = np.concatenate([np.ones(min(1, len(rows)), bool), ~again])
    return np.take(rows, np.flatnonzero(fresh))


def _ends_in_both(rows: Marked) -> bool:
    return len(rows) > 1 and bool(_same_as_before(rows[-2:])[0])


def _count(rows: Marked, findings: SubsetFindings, named: list[str]) -> None:
    chosen = rows["origin"] == SUBSET
    in_both = np.zeros(len(rows), bool)
    in_both[1:] = _same_as_before(rows)
    lone = np.flatnonzero(chosen & ~in_both)
    findings.pool += int((~chosen).sum())
    findings.kept += int(in_both.sum())
    findings.unknown += len(lone)
    shown = np.zeros(min(len(lone), SHOWN - len(named)), UID)
    for name in ("f0", "f1"):
        shown[name] = rows[name][lone[: len(shown)]]
    named += format_uids(shown)
