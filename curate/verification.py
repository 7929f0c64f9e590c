"""Check a run directory against itself: files against markers, decisions against scores, counts.

Verification recomputes; it trusts no summary. With `deep` it also reads the input shards. What
cannot be read is a problem like any other: it is listed, and the rest is checked all the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import yaml

from curate import output_shards, rules, subsets
from curate.config import Rules
from curate.errors import CurateError, OutputError
from curate.kept_samples import ScoredSamples
from curate.manifest import IDENTITY, Counts, RunDir, counts_of_statuses
from curate.numerics.selection import UID, UidArray
from curate.outputs import TEMPORARY_SUFFIX, Store, Written
from curate.schema import CLIP_SCORE, IMAGE_INFORMATIVENESS, OK, TEXT_INFORMATIVENESS
from curate.score_tables import SCORES
from curate.shards import Shard, open_shard, read_range
from curate.subsets import Subset
from curate.workspace import SAMPLE_SCORES

DESCRIPTION: Final = "reference/reference.json"
REFERENCE: Final = {"reference/reference.npz": "sha256", "reference/sample.npz": "sample_sha256"}
"""File -> the key of its checksum, which a Reference that came without its sample lacks."""

HASH_BYTES = 8 << 20


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
        deep: also hash the input shards and compare filtered shards with them, byte for byte.
        observe: called after each shard with the number of shards checked.

    Raises:
        RunDirError: there is no run here.
    """
    findings = Findings()
    manifest = run.read_manifest()
    found = findings.problems
    found += _listed(f"{run.store}", _verify_identity(run, manifest))
    found += _listed("reference", _verify_reference(run.store, findings))
    failures = run.failures()
    for shard in manifest:
        if shard.id in failures:
            continue
        found += _listed(f"shard {shard.id}", _verify_scored(run, shard, findings))
        if deep:
            found += _listed(f"shard {shard.id}", _verify_input(run, shard))
        findings.shards += 1
        observe(findings.shards)
    for name in subsets.names(run.store):
        found += _listed(f"subset {name}", _verify_subset(run, name, findings))
        found += _listed(f"shards/{name}", _verify_filtered(run, name, findings, deep))
    return findings


def _listed(place: str, problems: Iterator[str]) -> Iterator[str]:
    """The problems of a check; an error that ends it is the last of them."""
    try:
        yield from problems
    except CurateError as exc:
        yield f"{place}: {exc}"
    except (OSError, LookupError, TypeError, ValueError) as exc:
        told = str(exc) if isinstance(exc, OSError) else repr(exc)  # the file is named in those
        yield f"{place}: cannot be read: {told}"


# --- scores -----------------------------------------------------------------------------------


def _verify_identity(run: RunDir, manifest: Iterable[Shard]) -> Iterator[str]:
    if run.read_identity() is None:
        yield f"{IDENTITY} is missing; run `curate score` again"
    for shard in sorted(run.committed() - {shard.id for shard in manifest}):
        yield f"state/{shard}.json is of no shard in the manifest; run `curate score` again"


def _verify_reference(store: Store, findings: Findings) -> Iterator[str]:
    if not any(map(store.exists, (DESCRIPTION, *REFERENCE))):
        return
    described = store.read_json(DESCRIPTION)
    for name, key in REFERENCE.items():
        if key == "sample_sha256" and key not in described:
            continue
        findings.files += 1
        if not store.exists(name):
            yield f"{name} is missing; fit the Reference again"
        elif described[key] != _hash(store, name)[1]:
            yield f"{name} does not match the checksum in {DESCRIPTION}; fit the Reference again"


def _verify_scored(run: RunDir, shard: Shard, findings: Findings) -> Iterator[str]:
    marker = run.marker(shard.id)
    if marker is None:
        yield f"shard {shard.id} is not scored; run `curate score`"
        return
    if (marker.shard, marker.url) != (shard.id, shard.url):
        yield f"state/{shard.id}.json is of {marker.url}; delete it and run `curate score` again"
    claimed = run.read_identity()
    if claimed is None or marker.identity != claimed[0]:
        yield f"state/{shard.id}.json is of other scores; delete it and run `curate score` again"
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
    scored = np.array(table["status"].to_pylist(), dtype=object) == OK
    for name in (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS, CLIP_SCORE):
        values = table[name].to_numpy(zero_copy_only=False)
        if not np.array_equal(np.isfinite(values.astype(float)), scored):
            yield f"shard {shard.id}: {name} is missing on scored rows, or set on rejected ones"


def _verify_input(run: RunDir, shard: Shard) -> Iterator[str]:
    with open_shard(shard) as source:
        _, sha256 = _digest(source)
    if sha256 != run.require_marker(shard.id).sha256:
        advice = f"restore it, or delete state/{shard.id}.json and run again"
        yield f"{shard.url} is not what was scored; {advice}"


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
    with store.fs.open(store.path(relative), "rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while data := file.read(HASH_BYTES):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


# --- subsets ----------------------------------------------------------------------------------


def _load(store: Store, name: str) -> Subset | None:
    subset = subsets.load(store, name)
    if subset is not None and subset.summary["name"] != name:
        raise ValueError(f"{subsets.SUMMARY} is of subset {subset.summary['name']!r}")
    return subset


def _read_rules(store: Store, relative: str) -> Rules:
    try:
        return Rules.model_validate(yaml.safe_load(store.read_bytes(relative)))
    except (ValueError, RecursionError, yaml.YAMLError) as exc:
        raise OutputError(f"{relative} holds no rules ({exc}); run `curate select` again") from exc


def _verify_subset(run: RunDir, name: str, findings: Findings) -> Iterator[str]:
    subset = _load(run.store, name)
    if subset is None:
        yield f"subset {name} is incomplete (no {subsets.SUMMARY}); run `curate select` again"
        return
    chosen = _read_rules(run.store, f"{subset.folder}/{subsets.RULES}")
    shards = subsets.scored_shards(run)
    if subset.identity != subsets.identity_of(run, shards, chosen):
        yield f"subset {name} is of other scores or rules; run `curate select` again"
        return
    sample = run.store.read_table(SAMPLE_SCORES) if rules.needs_reference(chosen) else None
    node, decided = subsets.decide_all(run, shards, chosen, sample)
    if rules.describe(node) != subset.summary["tests"]:
        yield f"subset {name}: the cuts in {subsets.SUMMARY} are not those of the scores"
    total, kept, uids = Counts(), [], [np.zeros(0, UID)]
    for shard, expected, found in decided:
        yield from _listed(f"subset {name}", _compare_decisions(run.store, subset, shard, expected))
        counts = subsets.count_decisions(expected)
        counts.check(f"subset {name}, shard {shard}")
        total += counts
        kept.append((shard, counts.kept))
        uids.append(found)
    findings.files += len(kept) + 2
    if total != subset.counts:
        yield f"subset {name}: the summary says {subset.counts}, the scores say {total}"
    if subsets.kept_per_shard(run.store, subset) != kept:
        yield f"{subset.folder}/{subsets.SHARD_COUNTS} is not what the scores say"
    yield from _verify_uids(run.store, subset, np.concatenate(uids))


def _compare_decisions(
    store: Store, subset: Subset, shard: str, expected: pa.Table
) -> Iterator[str]:
    place = f"{subset.folder}/decisions/{shard}.parquet"
    table = subsets.read_decisions(store, subset, shard)
    if table.equals(expected):
        return
    rows = zip(table.to_pylist(), expected.to_pylist(), strict=False)
    found, wanted = next((pair for pair in rows if pair[0] != pair[1]), (None, None))
    if found is None or wanted is None:
        yield f"{place} has {table.num_rows} rows of {expected.num_rows}, or other columns"
    else:
        yield f"{place} says {found}, the scores say {wanted}; run `curate select` again"


def _verify_uids(store: Store, subset: Subset, kept: UidArray) -> Iterator[str]:
    relative = f"{subset.folder}/{subsets.UIDS}"
    try:
        uids = np.load(io.BytesIO(store.read_bytes(relative)), allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError) as exc:
        yield f"{relative} cannot be read ({exc}); run `curate select` again"
        return
    if uids.dtype != UID or uids.ndim != 1:
        yield f"{relative} is {uids.dtype} [{uids.ndim}-d], expected {UID} [1-d]"
    elif not np.array_equal(uids, np.unique(kept)):
        yield f"{relative} is not the sorted set of the kept uids; run `curate select` again"


# --- filtered shards --------------------------------------------------------------------------


def _verify_filtered(run: RunDir, name: str, findings: Findings, deep: bool) -> Iterator[str]:
    names = run.store.names(f"state/shards/{name}", ".json")
    stems = [n.removesuffix(".json") for n in names if n != "identity.json"]
    subset = _load(run.store, name)
    if subset is None or not names:
        return
    if stems != [f"{i:05d}" for i in range(len(stems))]:
        yield f"shards/{name}: output shards are not numbered contiguously; run `curate filter`"
    sizes, files = dict[str, int](), {output_shards.SIZES, output_shards.META}
    for stem in stems:
        marker = output_shards.read_marker(run.store, name, stem)
        if marker is None or marker.identity != subset.identity or marker.name != stem:
            yield f"state/shards/{name}/{stem}.json is of another subset; run `curate filter` again"
            continue
        problems = list(_verify_files(run.store, marker.outputs, findings))
        yield from problems
        sizes[f"{stem}.tar"] = marker.samples
        files |= {written.path.rpartition("/")[2] for written in marker.outputs}
        if deep and not problems:
            place = f"shards/{name}/{stem}.tar"
            yield from _listed(place, _compare_members(run, subset, marker, place))
    if sum(sizes.values()) != subset.counts.kept:
        yield (
            f"shards/{name}: {sum(sizes.values())} samples, the subset keeps {subset.counts.kept};"
            " run `curate filter`"
        )
    folder = output_shards.filtered_folder(name)
    if run.store.read_json(f"{folder}/{output_shards.SIZES}") != sizes:
        yield f"{folder}/{output_shards.SIZES} does not say what the shards hold; run `curate filter`"
    there = {n for n in run.store.names(folder, "") if not n.endswith(TEMPORARY_SUFFIX)}
    for stray in sorted(there - files):
        yield f"{folder}/{stray} belongs to no committed shard; remove it"


def _compare_members(
    run: RunDir, subset: Subset, marker: output_shards.FilterMarker, path: str
) -> Iterator[str]:
    with run.store.fs.open(run.store.path(path), "rb") as output:
        for piece in marker.pieces:
            rows = ScoredSamples(subset).rows(run.store, piece)
            scored = run.require_marker(piece.shard)
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
        rest = cast(BinaryIO, output).read()
        if rest.strip(b"\0"):
            yield f"{path}: {len(rest)} bytes follow the last sample"
