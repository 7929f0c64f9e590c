"""Checks of filtered shards: against their markers, and with `deep` against the input shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curate import image_subsets
from curate.deciding import count_decisions
from curate.image_index import images_of
from curate.image_subsets import ImageSubset, decide_images, decisions_path, indexed_shards
from curate.kept_samples import KeptSamples, ScoredSamples
from curate.manifest import MANIFEST, Counts, RunDir
from curate.output_shards import (
    META,
    SIZES,
    FilterMarker,
    committed_outputs,
    digits_for,
    filtered_folder,
    meta_of,
    read_marker,
)
from curate.outputs import TEMPORARY_SUFFIX, Store
from curate.shards import open_shard, read_range
from curate.subsets import UIDS, Subset
from curate.uids_file import read_uids
from curate.verification.chosen import compare_tables, load_subset
from curate.verification.findings import Findings, listed, verify_files


def verify_filtered(run: RunDir, name: str, findings: Findings, deep: bool) -> Iterator[str]:
    """Check the filtered shards of a subset, if there are any."""
    subset, stems = load_subset(run.store, name), committed_outputs(run.store, name)
    if subset is None or not run.store.names(f"state/shards/{name}", ".json"):
        return
    kept: KeptSamples = ScoredSamples(subset)
    expected = subset.counts.kept
    if images_of(run).store.exists(MANIFEST):
        images = image_subsets.load(run.store, name)
        if images is None:
            path = image_subsets.summary_path(name)
            yield f"{path} is missing; run `curate filter` again"
            return
        yield from _verify_images(run, subset, images, findings)
        kept, expected = images, images.counts.kept
    digits = digits_for(len(stems))
    if stems != [f"{i:0{digits}d}" for i in range(len(stems))]:
        yield f"shards/{name}: output shards are not numbered contiguously; run `curate filter`"
    sizes, files = dict[str, int](), {SIZES, META}
    for stem in stems:
        marker = read_marker(run.store, name, stem)
        if marker is None or marker.identity != kept.identity or marker.name != stem:
            yield f"state/shards/{name}/{stem}.json is of another subset; run `curate filter` again"
            continue
        problems = list(verify_files(run.store, marker.outputs, findings))
        yield from problems
        sizes[f"{stem}.tar"] = marker.samples
        files |= {written.path.rpartition("/")[2] for written in marker.outputs}
        compared = deep and not problems
        if compared:
            place = f"shards/{name}/{stem}.tar"
            unchecked = f"{place}: not compared with its input"
            problems = list(listed(unchecked, _compare_members(run, kept, marker, place)))
            yield from problems
        if not compared or problems:
            findings.unhashed += sum(written.sha256 is None for written in marker.outputs)
    if sum(sizes.values()) != expected:
        yield (
            f"shards/{name}: {sum(sizes.values())} samples, the subset keeps {expected};"
            " run `curate filter`"
        )
    yield from _verify_folder(run.store, filtered_folder(name), sizes, files)


def _verify_folder(
    store: Store, folder: str, sizes: dict[str, int], files: set[str]
) -> Iterator[str]:
    """What trainers read beside the shards, and that nothing else is there."""
    for name, expected in ((SIZES, sizes), (META, meta_of(sizes))):
        yield from listed(folder, _verify_json(store, f"{folder}/{name}", expected))
    there = {n for n in store.names(folder, "") if not n.endswith(TEMPORARY_SUFFIX)}
    for stray in sorted(there - files):
        yield f"{folder}/{stray} belongs to no committed shard; remove it"


def _verify_json(store: Store, path: str, expected: dict[str, Any]) -> Iterator[str]:
    if not store.exists(path):
        yield f"{path} is missing; run `curate filter`"
    elif store.read_json(path) != expected:
        yield f"{path} does not say what the shards hold; run `curate filter`"


def _verify_images(
    run: RunDir, subset: Subset, images: ImageSubset, findings: Findings
) -> Iterator[str]:
    """Decide again which images of a subset are kept."""
    shards, indexed = indexed_shards(run)
    if images.identity != image_subsets.identity_of(subset, indexed):
        yield f"{image_subsets.summary_path(images.name)} is of other images; run `curate filter`"
        return
    uids = read_uids(run.store, f"{subset.folder}/{UIDS}")
    total, kept = Counts(kept=0), []
    for shard, expected in decide_images(run, shards, uids):
        findings.files += 1
        place = decisions_path(images.name, shard)
        yield from listed(place, compare_tables(place, run.store.read_table(place), expected))
        counts = count_decisions(expected)
        kept.append((shard, counts.kept))
        total += counts
    missing = len(uids) - (total.kept or 0)
    if (total, missing) != (images.counts, images.missing_images):
        yield f"{image_subsets.summary_path(images.name)} is not what index and uids say"
    if images.per_shard(run.store) != kept:
        yield f"{subset.folder}/image_shards.parquet is not what index and uids say"


def _compare_members(
    run: RunDir, kept: KeptSamples, marker: FilterMarker, path: str
) -> Iterator[str]:
    with run.store.open_file(path) as output:
        for piece in marker.pieces:
            rows = kept.rows(run.store, piece)
            shard = kept.source(run.store, piece.shard)
            with open_shard(shard) as source:
                spans = zip(
                    rows["key"].to_pylist(),
                    rows["tar_offset"].to_pylist(),
                    rows["tar_size"].to_pylist(),
                    strict=True,
                )
                for key, offset, size in spans:
                    if output.read(size) != read_range(source, offset, size):
                        yield f"{path}: members of {key!r} differ from {shard.url}"
        rest = output.read()
        if rest.strip(b"\0"):
            yield f"{path}: {len(rest)} bytes follow the last sample"
