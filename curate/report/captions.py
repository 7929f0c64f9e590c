"""Captions of a pool of metadata, which has no pictures: out of its own Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.embedding_pools.metadata import TEXTS
from curate.embedding_pools.values import texts_of
from curate.errors import ShardError
from curate.members import clean_caption
from curate.redact import redact
from curate.report.thumbnails import CAPTION_SHOWN, Content
from curate.shards import Shard, open_shard

NO_PICTURES: Final = "this pool was scored from its metadata, without its pictures"


def read_captions(
    part: Shard, rows: Mapping[int, Mapping[str, Any]]
) -> Iterator[tuple[int, Content]]:
    """Captions of some rows of a part.

    Args:
        part: a metadata file.
        rows: number -> scores, whose `index` is the position in the file.
    """
    try:
        texts = _texts(part, [int(one["index"]) for one in rows.values()])
    except ShardError as exc:
        note = f"{NO_PICTURES}; its caption cannot be read: {redact(str(exc))}"
        yield from ((number, Content(note=note)) for number in rows)
        return
    for number, text in zip(rows, texts, strict=True):
        if text is None:
            yield number, Content(note=NO_PICTURES)
            continue
        caption = clean_caption(str(text))
        cut = len(caption) > CAPTION_SHOWN
        yield number, Content(caption[:CAPTION_SHOWN], cut, note=NO_PICTURES)


def _texts(part: Shard, positions: list[int]) -> list[str | None]:
    """The captions at some positions; None where the file has none. Raises ShardError."""
    with open_shard(part, ahead=False) as source:
        try:
            with pq.ParquetFile(source) as file:
                name = next((one for one in TEXTS if one in file.schema_arrow.names), None)
                if name is None:
                    return [None] * len(positions)
                column = file.read(columns=[name])[name].take(pa.array(positions))
            return [text for chunk in column.chunks for text in texts_of(chunk).to_pylist()]
        except (pa.ArrowException, OSError, ValueError, IndexError) as exc:
            raise ShardError(f"{part.url}: cannot be read as Parquet: {exc}") from exc
