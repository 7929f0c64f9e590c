"""Captions of a few pairs of a part, out of its metadata, for whoever shows them.

As with samples of shards, a row is known again by its key and uid: the file may be another by now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from curate.embedding_pools.identity import Identifier
from curate.embedding_pools.metadata import KEYS, TEXTS
from curate.embedding_pools.values import texts_of
from curate.errors import ShardError
from curate.shards import Shard, open_shard

READ_ROWS: Final = 65_536
"""Rows that are held at once."""

CHANGED: Final = "the metadata changed since it was scored: score it again"


class Caption(NamedTuple):
    """What the metadata tells of a pair: its caption, if it has one, if it is still there."""

    text: str | None = None
    is_lost: bool = False


class _Pair(NamedTuple):
    key: str
    uid: str
    text: str | None


def captions_at(part: Shard, rows: Sequence[Mapping[str, Any]]) -> list[Caption]:
    """Read the captions of some rows of a part, in bounded memory.

    Args:
        part: a metadata file.
        rows: at least one, of the scores: `index`, the position in the file, `key` and `uid`.

    Raises:
        ShardError: it cannot be read; the message names it.
    """
    positions, order = np.unique([int(row["index"]) for row in rows], return_inverse=True)
    with open_shard(part, ahead=False) as source:
        try:
            with pq.ParquetFile(source) as file:
                columns = _columns(file.schema_arrow.names)
                if columns is None:
                    return [Caption()] * len(rows)
                found: list[_Pair | None] = list(_pairs(part, file, columns, positions))
        except (pa.ArrowException, OSError, ValueError) as exc:
            raise ShardError(f"{part.url}: cannot be read as Parquet: {exc}") from exc
    found += [None] * (len(positions) - len(found))  # the file has fewer rows than it had
    return [_caption(row, found[at]) for row, at in zip(rows, order.tolist(), strict=True)]


def _caption(row: Mapping[str, Any], pair: _Pair | None) -> Caption:
    if pair is None or (pair.key, pair.uid) != (row["key"], row["uid"]):
        return Caption(is_lost=True)
    return Caption(pair.text)


def _columns(names: Sequence[str]) -> tuple[str, str, str | None] | None:
    """Columns of caption, key and uid; None without captions. Raises ValueError without keys."""
    text, key = (next((one for one in some if one in names), None) for some in (TEXTS, KEYS))
    if text is None:
        return None
    if key is None:
        raise ValueError(f"no column tells the pairs apart: expected one of {', '.join(KEYS)}")
    return text, key, "uid" if "uid" in names else None


def _pairs(
    part: Shard,
    file: pq.ParquetFile,
    columns: tuple[str, str, str | None],
    positions: npt.NDArray[np.int64],
) -> Iterator[_Pair]:
    """The pairs at ascending positions, as far as the file has such."""
    identify = Identifier(part.id, own_keys=columns[1] != "uid")
    names = list(dict.fromkeys(filter(None, columns)))
    first = 0
    for batch in file.iter_batches(batch_size=READ_ROWS, columns=names):
        inside = positions[(positions >= first) & (positions < first + batch.num_rows)]
        first += batch.num_rows
        if len(inside):
            table = batch.take(pa.array(inside - (first - batch.num_rows)))
            nothing = pa.nulls(len(inside), pa.string())
            text, key, uid = (nothing if c is None else texts_of(table[c]) for c in columns)
            told = identify(uid, key)
            yield from map(_Pair, *(one.to_pylist() for one in (told["key"], told["uid"], text)))
        if first > positions[-1]:
            return
