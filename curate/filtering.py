"""Filtered shards: byte ranges of kept samples, copied from the input tars, never re-encoded.

An output shard is a pure function of its input shards and the committed decisions. Ranges come
from committed columns, so that nothing is parsed; neighbours are merged into one copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa

from curate.errors import AccountingError, ShardError
from curate.kept_samples import KeptSamples
from curate.output_shards import FilterMarker, OutputPlan, filtered_folder, marker_path, stats_of
from curate.outputs import Store, Written
from curate.shards import Shard, open_shard, read_range
from curate.sidecar import concat_sidecars, join_sidecar
from curate.tar_headers import parse_header

COPY_BYTES: Final = 8 * 1024 * 1024
"""Largest piece read at once: large enough to amortise requests, small beside a worker's memory."""

TAR_BLOCK: Final = 512
TAR_RECORD: Final = 10_240
"""Archives end with two zero blocks and are padded to whole records, as tar writes them."""


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join (offset, size) ranges, in order, where one begins at the end of the one before it."""
    start, size = 0, 0
    for offset, length in ranges:
        if size and offset == start + size:
            size += length
            continue
        if size:
            yield start, size
        start, size = offset, length
    if size:
        yield start, size


def write_filtered(store: Store, kept: KeptSamples, plan: OutputPlan) -> FilterMarker:
    """Write one output shard, its sidecar and stats, and commit it with a marker.

    Args:
        store: the run directory.
        kept: which samples are kept, and where they lie.
        plan: which of them, in which order.

    Raises:
        ShardError: an input shard cannot be read, or changed since it was read.
        AccountingError: decisions and rows do not match.
    """
    stem = f"{filtered_folder(kept.name)}/{plan.name}"
    tables: list[pa.Table] = []
    notes: dict[str, Any] = {}
    with store.create(f"{stem}.tar") as sink:
        for piece in plan.pieces:
            rows = kept.rows(store, piece)
            shard, remedy = kept.source(store, piece.shard), kept.remedy(piece.shard)
            ranges = zip(rows["tar_offset"].to_pylist(), rows["tar_size"].to_pylist(), strict=True)
            with open_shard(shard) as source:
                check_unchanged(source, shard, remedy)
                for data in _copy(source, merge_ranges(ranges), shard, remedy):
                    sink.write(data)
            table, note = join_sidecar(rows, shard)
            tables.append(table)
            notes |= {f"{piece.shard}: sidecar": note} if note else {}
        sink.write(bytes(2 * TAR_BLOCK))
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


def check_unchanged(source: BinaryIO, shard: Shard, remedy: str) -> None:
    """Refuse an input shard whose size is not what it was. Raises ShardError."""
    size = source.seek(0, 2)
    if size != shard.size:
        raise ShardError(
            f"{shard.url} has {size} bytes, but had {shard.size} when it was read: it changed;"
            f" {remedy}"
        )


def _copy(
    source: BinaryIO, ranges: Iterable[tuple[int, int]], shard: Shard, remedy: str
) -> Iterator[bytes]:
    for offset, size in ranges:
        done = 0
        while done < size:
            try:
                data = read_range(source, offset + done, min(COPY_BYTES, size - done))
            except ShardError as exc:
                raise ShardError(f"{shard.url}: {exc}") from exc
            if done == 0 and parse_header(data[:TAR_BLOCK]) is None:
                raise ShardError(
                    f"{shard.url}: no tar header at byte {offset}, where one was when it was read;"
                    f" {remedy}"
                )
            yield data
            done += len(data)
