"""Opening a part: metadata and arrays together, checked against each other and against the pool."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.embedding_pools.arrays import Array, open_npy, open_npz
from curate.embedding_pools.layouts import Part
from curate.embedding_pools.metadata import Columns, MetadataReader, plan_columns
from curate.embedding_pools.parquet import checksum, parquet_at, staged
from curate.embedding_pools.source import Source
from curate.errors import ShardError
from curate.serialised import json_bytes


@dataclass(frozen=True)
class OpenedPart:
    """A part that can be read: its metadata, and its arrays of image and text if it has any."""

    metadata: MetadataReader
    arrays: tuple[Array, ...]
    path: Path
    described: tuple[dict[str, Any], ...]

    def fingerprint(self) -> tuple[int, str]:
        """Bytes of metadata and arrays, and a sha256; see `score_part`. Raises ShardError."""
        return _fingerprint(*checksum(self.path), self.described)


@contextmanager
def opened_part(part: Part, source: Source, *, identity: bool = False) -> Iterator[OpenedPart]:
    """Open metadata and arrays of a part and check that they belong together.

    Args:
        part: to open.
        source: what the pool's first part has.
        identity: whether only what tells the pairs apart is read of the metadata.

    Raises:
        ShardError: a file is missing or damaged, an array or a column is missing or of another
            type or width than in the pool's first part, or the numbers of rows differ.
    """
    with ExitStack() as stack:
        path = stack.enter_context(staged(part.url))
        file = stack.enter_context(parquet_at(path, part.url))
        columns = _columns(part, file.schema_arrow, source)
        arrays: tuple[Array, ...] = ()
        described: list[dict[str, Any]] = []
        if source.layout == "clip-retrieval":
            opened = [stack.enter_context(open_npy(url)) for url in part.arrays]
            arrays, described = tuple(a for a, _ in opened), [told for _, told in opened]
        elif source.keys:
            arrays, told = stack.enter_context(open_npz(part.arrays[0], source.keys))
            described = [told]
        metadata = MetadataReader(part, file, columns.identity if identity else columns)
        _check_arrays(part, metadata.rows, arrays, source)
        yield OpenedPart(metadata, arrays, path, tuple(described))


def _columns(part: Part, schema: pa.Schema, source: Source) -> Columns:
    try:
        found = plan_columns(schema, part.layout, source.wanted)
    except ShardError as exc:
        raise ShardError(f"{part.url}: {exc}") from exc
    if found.carried != source.carried:
        here, there = (dict(pairs) for pairs in (found.carried, source.carried))
        names = (name for name in sorted({*here, *there}) if here.get(name) != there.get(name))
        changes = [
            f"{name} is {here.get(name, 'missing')} here and {there.get(name, 'missing')} there"
            for name in names
        ]
        raise ShardError(
            f"{part.url}: its columns differ from those of the pool's first part:"
            f" {', '.join(changes)}; curate the two in two runs"
        )
    return found


def _check_arrays(part: Part, rows: int, arrays: Sequence[Array], source: Source) -> None:
    for array in arrays:
        if array.header.rows != rows:
            raise ShardError(
                f"{array.name} has {array.header.rows} rows, {part.url} has {rows}; they must be"
                " row-aligned: download or write both again"
            )
    widths = [array.header.width for array in arrays]
    if len(set(widths)) > 1:
        raise ShardError(
            f"{arrays[0].name} is {widths[0]} wide, {arrays[1].name} is {widths[1]} wide; image and"
            " text must come from one model: check input.embedding_keys"
        )
    if source.model is not None and set(widths) != {source.model.dim}:
        raise ShardError(
            f"{arrays[0].name} is {widths[0]} wide, the pool's first part {source.model.dim};"
            " curate pools of two models in two runs"
        )


def input_checksum(part: Part, keys: tuple[str, ...]) -> tuple[int, str]:
    """Size and sha256 of a part as its marker states them, computed anew. Raises ShardError."""
    with ExitStack() as stack:
        size, digest = checksum(stack.enter_context(staged(part.url)))
        described: list[dict[str, Any]] = []
        if part.layout == "clip-retrieval":
            described = [stack.enter_context(open_npy(url))[1] for url in part.arrays]
        elif keys:
            described = [stack.enter_context(open_npz(part.arrays[0], keys))[1]]
        return _fingerprint(size, digest, described)


def _fingerprint(size: int, digest: str, described: Sequence[dict[str, Any]]) -> tuple[int, str]:
    if not described:
        return size, digest
    size += sum(int(told["size"]) for told in described)
    return size, hashlib.sha256(json_bytes([digest, *described])).hexdigest()
