"""Captions of a pool of metadata, which has no pictures: out of its own Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from curate.embedding_pools.captions import CHANGED, captions_at
from curate.errors import ShardError
from curate.members import clean_caption
from curate.redact import redact
from curate.report.thumbnails import CAPTION_SHOWN, Content
from curate.shards import Shard

NO_PICTURES: Final = "this pool was scored from its metadata, without its pictures"


def read_captions(
    part: Shard, rows: Mapping[int, Mapping[str, Any]]
) -> Iterator[tuple[int, Content]]:
    """Captions of some rows of a part.

    Args:
        part: a metadata file.
        rows: number -> scores, as `captions_at` takes them.
    """
    try:
        captions = captions_at(part, list(rows.values()))
    except ShardError as exc:
        note = f"{NO_PICTURES}; its caption cannot be read: {redact(str(exc))}"
        yield from ((number, Content(note=note)) for number in rows)
        return
    for number, (text, is_lost) in zip(rows, captions, strict=True):
        if is_lost:
            yield number, Content(note=f"{NO_PICTURES}; {CHANGED}", is_lost=True)
        elif text is None:
            yield number, Content(note=NO_PICTURES)
        else:
            caption = clean_caption(text)
            cut = len(caption) > CAPTION_SHOWN
            yield number, Content(caption[:CAPTION_SHOWN], cut, note=NO_PICTURES)
