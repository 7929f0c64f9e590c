"""Check a run directory against itself: files against markers, decisions against scores, counts.

Verification recomputes; it trusts no summary. With `deep` it also reads the input shards and
compares the members of every filtered sample byte for byte.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import numpy as np

from curate import filtering, subsets
from curate.errors import AccountingError, OutputError, ShardError
from curate.manifest import Counts, RunDir, counts_of_statuses
from curate.numerics.selection import UID, parse_uids
from curate.outputs import Store, Written
from curate.score_tables import SCORES
from curate.shards import Shard, open_shard, read_range
from curate.subsets import Subset

HASH_BYTES = 8 * 1024 * 1024


@dataclass
class Findings:
    """What was checked and what was wrong.

    Attributes:
        files, shards, samples: checked.
        problems: one line each, naming the file and what to do.
        counts: totals recomputed from the score columns.
    """

    files: int = 0
    shards: int = 0
    samples: int = 0
    problems: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


def verify(
    run: RunDir, deep: bool = False, observe: Callable[[int], None] = lambda shards: None
) -> Findings:
    """Verify everything in a run directory.

    Args:
        run: the run directory.
        deep: also compare filtered shards with the input shards, which must be reachable.
        observe: called after each shard with the number of shards checked.

    Raises:
        RunDirError: there is no run here.
    """
    findings = Findings()
    manifest = run.read_manifest()
    failures = run.failures()
    for shard in manifest:
        if shard.id in failures:
            continue
        findings.problems += _verify_scored(run, shard, findings)
        findings.shards += 1
        observe(findings.shards)
    for name in subset_names(run.store):
        subset = subsets.load(run.store, name)
        if subset is None:
            findings.problems.append(
                f"subsets/{name} is incomplete (no {subsets.SUMMARY}); run `curate select` again"
            )
            continue
        findings.problems += _verify_subset(run, subset, findings)
        findings.problems += _verify_filtered(run, subset, findings, deep)
    return findings


def subset_names(store: Store) -> list[str]:
    """Names of the subsets in a run directory, sorted."""
    if not store.exists("subsets"):
        return []
    entries = store.fs.ls(store.path("subsets"), detail=False, refresh=True)
    return sorted(str(entry).rstrip("/").rpartition("/")[2] for entry in entries)


# --- scores -----------------------------------------------------------------------------------


def _verify_scored(run: RunDir, shard: Shard, findings: Findings) -> Iterator[str]:
    marker = run.marker(shard.id)
    if marker is None:
        yield f"shard {shard.id} is not scored; run `curate score`"
        return
    problems = list(_verify_files(run.store, marker.outputs, findings))
    yield from problems
    if problems:
        return
    table = run.store.read_table(f"{SCORES}/{shard.id}.parquet")
    counts = counts_of_statuses(table["status"].to_pylist())
    findings.samples += table.num_rows
    findings.counts += counts
    if counts != marker.counts:
        yield f"shard {shard.id}: the marker says {marker.counts}, the scores say {counts}"
    if table["index"].to_pylist() != list(range(table.num_rows)):
        yield f"shard {shard.id}: positions are not 0..{table.num_rows - 1} in order"
    scored = np.array(table["status"].to_pylist()) == "ok"
    for name in ("image_informativeness", "text_informativeness", "clip_score"):
        values = table[name].to_numpy(zero_copy_only=False)
        if not np.array_equal(np.isfinite(values.astype(float)), scored):
            yield f"shard {shard.id}: {name} is missing on scored rows, or set on rejected ones"


def _verify_files(store: Store, files: Iterable[Written], findings: Findings) -> Iterator[str]:
    for written in files:
        findings.files += 1
        try:
            size, sha256 = _hash(store, written.path)
        except FileNotFoundError:
            yield f"{written.path} is missing; delete its marker under state/ and run again"
            continue
        if (size, sha256) != (written.size, written.sha256):
            yield (
                f"{written.path} is not what was written ({size} bytes, expected {written.size});"
                " delete it and its marker under state/, and run again"
            )


def _hash(store: Store, relative: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with store.fs.open(store.path(relative), "rb") as file:
        while data := file.read(HASH_BYTES):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


# --- subsets ----------------------------------------------------------------------------------


def _verify_subset(run: RunDir, subset: Subset, findings: Findings) -> Iterator[str]:
    name = subset.summary["name"]
    total, kept_uids = Counts(), [np.zeros(0, UID)]
    for shard, kept in subsets.kept_per_shard(run.store, subset):
        try:
            table = run.store.read_table(f"{subset.folder}/decisions/{shard}.parquet")
            scores = run.store.read_table(f"{SCORES}/{shard}.parquet", ["key", "status"])
        except (FileNotFoundError, OutputError) as exc:
            yield f"subset {name}, shard {shard}: {exc}; run `curate select` again"
            continue
        counts = subsets.count_decisions(table)
        try:
            counts.check(f"subset {name}, shard {shard}")
        except AccountingError as exc:
            yield str(exc)
        scored = counts_of_statuses(scores["status"].to_pylist())
        if counts.rejected != scored.rejected or not scores["key"].equals(table["key"]):
            yield f"subset {name}, shard {shard}: decisions and scores are of different samples"
        if counts.kept != kept:
            yield f"subset {name}, shard {shard}: {counts.kept} kept, its table says {kept}"
        total += counts
        kept_uids.append(parse_uids(table["uid"].filter(table["kept"]).to_pylist()))
    if total != subset.counts:
        yield f"subset {name}: the summary says {subset.counts}, the decisions say {total}"
    yield from _verify_uids(run.store, subset, np.concatenate(kept_uids))
    findings.files += 1


def _verify_uids(store: Store, subset: Subset, kept: np.ndarray) -> Iterator[str]:
    relative = f"{subset.folder}/{subsets.UIDS}"
    try:
        uids = np.load(io.BytesIO(store.read_bytes(relative)), allow_pickle=False)
    except (FileNotFoundError, ValueError) as exc:
        yield f"{relative} cannot be read ({exc}); run `curate select` again"
        return
    if uids.dtype != UID or uids.ndim != 1:
        yield f"{relative} is {uids.dtype} [{uids.ndim}-d], expected {UID} [1-d]"
        return
    if not np.array_equal(uids, np.unique(kept)):
        yield f"{relative} is not the sorted set of the kept uids; run `curate select` again"


# --- filtered shards --------------------------------------------------------------------------


def _verify_filtered(run: RunDir, subset: Subset, findings: Findings, deep: bool) -> Iterator[str]:
    name = subset.summary["name"]
    names = run.store.names(f"state/shards/{name}", ".json")
    stems = [n.removesuffix(".json") for n in names if n != "identity.json"]
    if not stems:
        return
    if stems != [f"{i:05d}" for i in range(len(stems))]:
        yield f"shards/{name}: output shards are not numbered contiguously; run `curate filter`"
    samples = 0
    for stem in stems:
        marker = filtering.read_marker(run.store, name, stem)
        if marker is None or marker.identity != subset.identity:
            yield f"shards/{name}/{stem} belongs to an older subset; run `curate filter` again"
            continue
        yield from _verify_files(run.store, marker.outputs, findings)
        samples += marker.samples
        if deep:
            yield from _compare_members(run, subset, marker)
    if samples != subset.counts.kept:
        yield f"shards/{name}: {samples} samples, the subset keeps {subset.counts.kept}"


def _compare_members(run: RunDir, subset: Subset, marker: filtering.FilterMarker) -> Iterator[str]:
    path = f"{filtering.filtered_folder(subset.summary['name'])}/{marker.name}.tar"
    with run.store.fs.open(run.store.path(path), "rb") as output:
        for piece in marker.pieces:
            rows = filtering.kept_rows(run.store, subset, piece)
            scored = run.require_marker(piece.shard)
            try:
                with open_shard(Shard(piece.shard, scored.url, scored.size)) as source:
                    spans = zip(
                        rows["key"].to_pylist(),
                        rows["tar_offset"].to_pylist(),
                        rows["tar_size"].to_pylist(),
                        strict=True,
                    )
                    for key, offset, size in spans:
                        if output.read(size) != read_range(source, offset, size):
                            yield f"{path}: members of {key!r} differ from {scored.url}"
            except ShardError as exc:
                yield str(exc)
        rest = cast(BinaryIO, output).read()
        if rest.strip(b"\0"):
            yield f"{path}: {len(rest)} bytes follow the last sample"
