"""Checks of committed shards: their markers, files and rows, and with `deep` their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from curate.image_index import INDEX
from curate.inputs import input_sha256
from curate.manifest import IDENTITY, Marker, RunDir, counts_of_statuses
from curate.schema import CLIP_SCORE, IMAGE_INFORMATIVENESS, OK, TEXT_INFORMATIVENESS
from curate.score_tables import SCORES
from curate.shards import Shard
from curate.verification.findings import Findings, Place, verify_files

REQUIRED_SCORES = (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS, CLIP_SCORE)
"""Set on every scored row and on no other, wherever there are embeddings."""

POOL = Place()
IMAGES = Place("images/", "curate filter", "indexed")


def verify_identity(run: RunDir, manifest: Iterable[Shard], place: Place = POOL) -> Iterator[str]:
    """Check that it is known how the shards were read, and that no marker is of another shard."""
    if run.read_identity() is None:
        yield f"{place.prefix}{IDENTITY} is missing; run `{place.command}` again"
    for shard in sorted(run.committed() - {shard.id for shard in manifest}):
        yield (
            f"{place.prefix}state/{shard}.json is of no shard in the manifest; run"
            f" `{place.command}` again"
        )


def verify_scored(run: RunDir, shard: Shard, findings: Findings, deep: bool) -> Iterator[str]:
    """Check a scored shard."""
    marker = run.marker(shard.id)
    if marker is None:
        yield f"shard {shard.id} is not scored; run `curate score`"
        return
    problems = list(_verify_marker(run, shard, marker, findings, POOL))
    yield from problems
    if not problems:
        table = run.store.read_table(f"{SCORES}/{shard.id}.parquet")
        counts = counts_of_statuses(table["status"].to_pylist())
        findings.samples += table.num_rows
        findings.counts += counts
        yield from _verify_rows(table, shard, marker)
        yield from _verify_scores(table, shard)
    if deep:
        yield from _verify_input(run, shard, POOL)


def verify_indexed(images: RunDir, shard: Shard, findings: Findings, deep: bool) -> Iterator[str]:
    """Check an indexed shard of images."""
    marker = images.marker(shard.id)
    if marker is None:
        yield f"image shard {shard.id} is not indexed; run `curate filter`"
        return
    problems = list(_verify_marker(images, shard, marker, findings, IMAGES))
    yield from problems
    if not problems:
        table = images.store.read_table(f"{INDEX}/{shard.id}.parquet")
        yield from _verify_rows(table, shard, marker)
    if deep:
        yield from _verify_input(images, shard, IMAGES)


def _verify_marker(
    run: RunDir, shard: Shard, marker: Marker, findings: Findings, place: Place
) -> Iterator[str]:
    path = f"{place.prefix}state/{shard.id}.json"
    if (marker.shard, marker.url) != (shard.id, shard.url):
        yield f"{path} is of {marker.url}; delete it and run `{place.command}` again"
    claimed = run.read_identity()
    if claimed is None or marker.identity != claimed[0]:
        yield f"{path} is of other scores; delete it and run `{place.command}` again"
    yield from verify_files(run.store, marker.outputs, findings, place.prefix)


def _verify_rows(table: pa.Table, shard: Shard, marker: Marker) -> Iterator[str]:
    counts = counts_of_statuses(table["status"].to_pylist())
    if counts != marker.counts:
        yield f"shard {shard.id}: the marker says {marker.counts}, the scores say {counts}"
    if table["index"].to_pylist() != list(range(table.num_rows)):
        yield f"shard {shard.id}: positions are not 0..{table.num_rows - 1} in order"


def _verify_scores(table: pa.Table, shard: Shard) -> Iterator[str]:
    there = [name for name in REQUIRED_SCORES if name in table.column_names]
    if there and len(there) < len(REQUIRED_SCORES):
        yield f"shard {shard.id}: of {', '.join(REQUIRED_SCORES)} it has only {', '.join(there)}"
    scored = np.array(table["status"].to_pylist(), dtype=object) == OK
    for name in there:
        values = table[name].to_numpy(zero_copy_only=False)
        if not np.array_equal(np.isfinite(values.astype(float)), scored):
            yield f"shard {shard.id}: {name} is missing on scored rows, or set on rejected ones"


def _verify_input(run: RunDir, shard: Shard, place: Place) -> Iterator[str]:
    if input_sha256(run, shard) != run.require_marker(shard.id).sha256:
        advice = f"restore it, or delete {place.prefix}state/{shard.id}.json and run again"
        yield f"{shard.url} is not what was {place.done}; {advice}"
