"""The metadata of a part: which Parquet column says what, and its rows in blocks.

Identity comes from the metadata alone, never from a position: the uid from `uid`, the key from
`key`, else `image_path`, else `uid`. A pair without a uid gets one derived from part id and key, as
samples of shards do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.embedding_pools.identity import Identifier
from curate.embedding_pools.layouts import Layout, Part
from curate.embedding_pools.values import (
    caption_counts,
    no_sizes,
    sizes,
    texts_of,
    without_nan,
)
from curate.errors import ShardError
from curate.schema import IMAGE_NORM, OK, POOL_COLUMNS, TEXT_NORM, scores_schema

KEYS: Final = ("key", "image_path", "uid")
TEXTS: Final = ("text", "caption")
_SIZES: Final = (("original_width", "original_height"), ("width", "height"))

_OF_RUN: Final = ("status", "error", "uid_derived", "caption_chars", "caption_words")
"""What the scores of a run tell besides, all of it required."""

_NORMS: Final = (IMAGE_NORM, TEXT_NORM)

_SAMPLED: Final = pa.array(
    [OK, "undecodable_image", "image_too_large", "nonfinite_embedding", "zero_embedding"]
)
"""No rejection, or one that came after a shard's pair had been read: these are in its Reference's
hashes."""


Carried = tuple[tuple[str, str], ...]
"""Names and types of carried columns, sorted by name."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the metadata are read, and what for.

    Attributes:
        uid, key, text: of identity and caption; None where the metadata has none.
        size: of width and height.
        carried: name and type (float32 or float64) of what goes into the scores as it is.
        told: what a run's own scores say: status, error, counts of the caption, norms.
    """

    uid: str | None
    key: str
    text: str | None
    size: tuple[str, str] | None
    carried: Carried = ()
    told: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The columns to read, each once."""
        named = [self.uid, self.key, self.text, *(self.size or ())]
        carried = [name for name, _ in self.carried]
        return list(dict.fromkeys([*filter(None, named), *carried, *self.told]))

    @property
    def identity(self) -> Columns:
        """What tells the pairs apart, without what is known of them."""
        return replace(self, text=None, size=None, carried=())


def plan_columns(schema: pa.Schema, layout: Layout, wanted: Sequence[str]) -> Columns:
    """Decide what is read of a metadata file.

    Args:
        schema: of the file.
        layout: of the pool.
        wanted: `input.columns`.

    Raises:
        ShardError: no column identifies a pair, or a wanted one is missing, not numeric, or a name
            of curate's own; names the column. The caller names the file.
    """
    names = frozenset(schema.names)
    key = next((name for name in KEYS if name in names), None)
    if key is None:
        raise ShardError(
            f"no column tells the pairs apart: expected one of {', '.join(KEYS)}, found"
            f" {', '.join(schema.names) or 'none'}"
        )
    if layout == "run" and (lost := [name for name in _OF_RUN if name not in names]):
        raise ShardError(f"the scores of a run lack {', '.join(lost)}; score that run again")
    told = (*_OF_RUN, *(name for name in _NORMS if name in names)) if layout == "run" else ()
    return Columns(
        uid="uid" if "uid" in names else None,
        key=key,
        text=next((name for name in TEXTS if name in names), None) if not told else None,
        size=next((pair for pair in _SIZES if names.issuperset(pair)), None),
        carried=_carried(schema, wanted),
        told=told,
    )


def _carried(schema: pa.Schema, wanted: Sequence[str]) -> Carried:
    names = frozenset(schema.names)
    own = frozenset(scores_schema().names)
    found = {}
    for name in sorted({*wanted, *(column for column in POOL_COLUMNS if column in names)}):
        if name in own:
            raise ShardError(
                f"input.columns names {name!r}, which curate computes itself; remove it, or rename"
                " the column of the metadata"
            )
        if name not in names:
            raise ShardError(
                f"input.columns names {name!r}, which the metadata lacks; it holds"
                f" {', '.join(schema.names)}"
            )
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise ShardError(f"column {name!r} is {kind}; only numeric columns can be carried over")
        found[name] = "float32" if pa.types.is_float32(kind) else "float64"
    return tuple(found.items())


# --- rows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a part, identified.

    Attributes:
        columns: name -> Arrow array [n], of every column of the scores but the scores themselves,
            and of norms where the metadata tells them.
        captions: strings, null where there is none.
        sampled: bool [n], whether the Reference's sample may choose the row.
    """

    columns: dict[str, pa.Array]
    captions: pa.Array
    sampled: npt.NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.sampled)


class MetadataReader:
    """The rows of one metadata file, in order.

    Args:
        part: whose metadata it is.
        file: opened.
        columns: what is read.
    """

    def __init__(self, part: Part, file: pq.ParquetFile, columns: Columns) -> None:
        self._part = part
        self._file = file
        self._columns = columns
        self._identifier = Identifier(part.id, own_keys=columns.key != "uid")

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return int(self._file.metadata.num_rows)

    def blocks(self, size: int) -> Iterator[Block]:
        """All rows, `size` at a time.

        Raises:
            ShardError: the file is damaged, or a column of a type that cannot be used; names both.
        """
        first = 0
        try:
            for table in _tables(self._file, self._columns.names, size):
                yield self._block(table, first)
                first += table.num_rows
        except (pa.ArrowException, OSError, ValueError) as exc:
            raise ShardError(
                f"{self._part.url}: rows from {first} on cannot be read ({exc}); download the file"
                " again"
            ) from exc
        if first != self.rows:
            raise ShardError(
                f"{self._part.url}: {first} rows of the {self.rows} that its footer tells of;"
                " download the file again"
            )

    def _block(self, table: pa.Table, first: int) -> Block:
        rows, told = table.num_rows, self._columns.told
        columns: dict[str, pa.Array] = {
            "shard": pa.repeat(pa.scalar(self._part.id, pa.string()), rows),
            "index": pa.array(np.arange(first, first + rows, dtype=np.int32)),
        }
        if told:
            columns |= {name: _whole(table[name]) for name in ("key", "uid", *told)}
        else:
            uids, keys = (
                self._texts(table, name) for name in (self._columns.uid, self._columns.key)
            )
            columns |= self._identifier(uids, keys)
        size = self._columns.size
        columns |= sizes(*(_whole(table[name]) for name in size)) if size else no_sizes(rows)
        captions = self._texts(table, self._columns.text)
        if not told:
            chars, words = caption_counts(captions)
            columns |= {"caption_chars": chars, "caption_words": words}
        for name, alias in self._columns.carried:
            columns[name] = without_nan(_whole(table[name]).cast(pa.type_for_alias(alias)))
        # Of shards, pairs enter the sample's hashes before their pictures are decoded.
        sampled = pc.is_in(columns["status"], _SAMPLED).to_numpy(zero_copy_only=False)
        return Block(columns, captions, np.asarray(sampled, dtype=bool))

    def _texts(self, table: pa.Table, name: str | None) -> pa.Array:
        if name is None:
            return pa.nulls(table.num_rows, pa.string())
        try:
            return texts_of(_whole(table[name]))
        except pa.ArrowException as exc:
            raise ShardError(
                f"{self._part.url}: column {name!r} is {table[name].type}, expected text ({exc})"
            ) from exc


def _tables(file: pq.ParquetFile, names: list[str], size: int) -> Iterator[pa.Table]:
    """Tables of exactly `size` rows but for the last, whatever the row groups are."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in file.iter_batches(batch_size=size, columns=names):
        waiting.append(batch)
        held += batch.num_rows
        while held >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size)
            waiting = table.slice(size).to_batches()
            held -= size
    if held:
        yield pa.Table.from_batches(waiting)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found
