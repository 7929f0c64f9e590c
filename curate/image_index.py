"""The index of image shards that were downloaded after their pool was scored from its metadata.

`images/` in the run directory is a run directory of its own: a manifest of the shards, a marker
for each, and index/SHARD.parquet, which lists its samples without having decoded them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa

from curate.config import Config
from curate.errors import OutputError
from curate.manifest import IDENTITY, Counts, RunDir, counts_of_statuses
from curate.outputs import Store
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader
from curate.schema import OK, SCHEMA_VERSION, SCORES_SCHEMA
from curate.shard_markers import marker_of
from curate.shards import Shard, open_shard

IMAGES: Final = "images"
INDEX: Final = "index"

INDEX_SCHEMA: Final = pa.schema(
    [
        SCORES_SCHEMA.field(name)
        for name in (
            "shard",
            "index",
            "key",
            "uid",
            "uid_derived",
            "status",
            "error",
            "tar_offset",
            "tar_size",
        )
    ],
    metadata=SCORES_SCHEMA.metadata,
)
"""One row per sample, rejected ones included, in shard order: what needs no model to be known."""

OBSERVED_EVERY: Final = 1000
"""Samples between two reports of progress."""


def images_of(run: RunDir) -> RunDir:
    """The run directory of the images in that of a pool."""
    return RunDir(Store(f"{run.store.url.rstrip('/')}/{IMAGES}"))


def claim_images(images: RunDir, shards: Sequence[Shard], config: Config) -> str:
    """Write down which shards hold the images; returns the identity of how they are read.

    Raises:
        RunDirError: shards that are indexed changed, or were read with other limits.
    """
    limits = config.limits.model_dump(exclude={"tolerate_unreadable_shards", "image_pixels"})
    parts = {
        "schema": SCHEMA_VERSION,
        "limits": limits,
        "verify_sha256": config.input.verify_sha256,
    }
    identity = images.claim(IDENTITY, parts)
    images.write_manifest(shards)
    return identity


def index_shard(
    images: RunDir,
    shard: Shard,
    policy: SamplePolicy,
    identity: str,
    observe: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """List the samples of one shard and commit that; a committed shard is left alone.

    Args:
        images: from `images_of`.
        shard: what to read.
        policy: limits on samples.
        identity: from `claim_images`.
        observe: called now and then with what was read since.

    Raises:
        ShardError: the shard cannot be read at all.
    """
    found = images.marker(shard.id)
    if found is not None and found.identity == identity:
        observe(found.counts)
        return found.counts
    columns: dict[str, list[Any]] = {name: [] for name in INDEX_SCHEMA.names}
    seen = 0
    with open_shard(shard) as stream:
        reader = ShardReader(stream, shard, policy)
        for item in reader:
            for name, value in _row(item, shard.id).items():
                columns[name].append(value)
            if item.index + 1 - seen == OBSERVED_EVERY:
                observe(counts_of_statuses(columns["status"][seen:]))
                seen = item.index + 1
    observe(counts_of_statuses(columns["status"][seen:]))
    table = pa.Table.from_pydict(columns, schema=INDEX_SCHEMA)
    written = images.store.write_table(f"{INDEX}/{shard.id}.parquet", table)
    counts = counts_of_statuses(columns["status"])
    images.commit(marker_of(shard, identity, reader, counts, (written,)))
    return counts


def _row(item: Sample | Rejection, shard: str) -> dict[str, Any]:
    rejection = item if isinstance(item, Rejection) else None
    return {
        "shard": shard,
        "index": item.index,
        "key": item.key,
        "uid": item.uid,
        "uid_derived": item.uid_derived,
        "status": rejection.status if rejection else OK,
        "error": rejection.detail if rejection else None,
        "tar_offset": item.tar_offset,
        "tar_size": item.tar_size,
    }


def read_index(images: Store, shard: str, columns: list[str] | None = None) -> pa.Table:
    """Read these columns, or all of them, of one shard's index.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        return images.read_table(f"{INDEX}/{shard}.parquet", columns=columns)
    except FileNotFoundError as exc:
        raise OutputError(
            f"{images.path(INDEX)}/{shard}.parquet is missing although the shard is committed;"
            f" delete {images.path('state')}/{shard}.json and run `curate filter` again"
        ) from exc
