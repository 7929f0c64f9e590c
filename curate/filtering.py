"""Filtered shards: byte ranges of kept samples, copied from the input tars, never re-encoded.

An output shard is a pure function of its input shards and the committed decisions. Ranges come
from committed columns, so that nothing is parsed; neighbours are merged into one copy.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Final

import pyarrow as pa

from curate.errors import AccountingError, ShardError
from curate.hashing_file import HashingFile
from curate.kept_samples import KeptSamples
from curate.output_shards import (
    FilterMarker,
    OutputPlan,
    filtered_folder,
    marker_path,
    stats_of,
)
from curate.outputs import Store, Written
from curate.ranges import copy_ranges, merge_ranges
from curate.shards import Shard, open_shard
from curate.sidecar import concat_sidecars, join_sidecar
from curate.tar_headers import BLOCK

TAR_RECORD: Final = 10_240
"""Archives end with two zero blocks and are padded to whole records, as tar writes them."""


def write_filtered(
    store: Store, kept: KeptSamples, plan: OutputPlan, *, hashed: bool = False
) -> FilterMarker:
    """Write one output shard, its sidecar and stats, and commit it with a marker.

    Args:
        store: the run directory.
        kept: which samples are kept, and where they lie.
        plan: which of them, in which order.
        hashed: whether the marker tells the tar's SHA-256, which takes longer than copying it.

    Raises:
        ShardError: an input shard cannot be read, or changed since it was read.
        AccountingError: decisions and rows do not match.
    """
    stem = f"{filtered_folder(kept.name)}/{plan.name}"
    tables: list[pa.Table] = []
    notes: dict[str, Any] = {}
    with store.create(f"{stem}.tar", hashed=hashed, large=True) as sink:
        for piece in plan.pieces:
            rows, shard = kept.rows(store, piece), kept.source(store, piece.shard)
            _copy_samples(rows, shard, sink, kept.remedy(piece.shard))
            table, note = join_sidecar(rows, shard)
            tables.append(table)
            notes |= {f"{piece.shard}: sidecar": note} if note else {}
        sink.write(bytes(2 * BLOCK))
        sink.write(bytes(-sink.size % TAR_RECORD))
    sidecar = concat_sidecars(tables)
    outputs = (
        Written(f"{stem}.tar", sink.size, sink.hexdigest()),
        store.write_table(f"{stem}.parquet", sidecar),
        store.write_json(f"{stem}_stats.json", stats_of(plan.samples)),
    )
    marker = FilterMarker(plan.name, kept.identity, plan.samples, plan.pieces, notes, outputs)
    if sidecar.num_rows != plan.samples:
        raise AccountingError(
            f"{stem}: {plan.samples} samples were planned, {sidecar.num_rows} written"
        )
    store.write_json(marker_path(kept.name, plan.name), marker.to_json())
    return marker


def _copy_samples(rows: pa.Table, shard: Shard, sink: HashingFile, remedy: str) -> None:
    offsets, sizes = rows["tar_offset"].to_pylist(), rows["tar_size"].to_pylist()
    sink.reserve(sum(sizes))
    with open_shard(shard, ahead=False) as source:
        check_unchanged(source, shard, remedy)
        try:
            ranges = list(merge_ranges(zip(offsets, sizes, strict=True)))
            copy_ranges(source, ranges, sink.write, remedy)
        except ShardError as exc:
            raise ShardError(f"{shard.url}: {exc}") from exc


def check_unchanged(source: BinaryIO, shard: Shard, remedy: str) -> None:
    """Refuse an input shard whose size is not what it was. Raises ShardError."""
    size = source.seek(0, 2)
    if size != shard.size:
        raise ShardError(
            f"{shard.url} has {size} bytes, but had {shard.size} when it was read: it changed;"
            f" {remedy}"
        )
