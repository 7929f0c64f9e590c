"""What the pool itself holds of a few samples: captions, pictures, stored embeddings.

What cannot be had is told, not raised: a run directory outlives its pool.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.config import Config
from curate.embedding_pools.arrays import open_npz
from curate.embedding_pools.captions import CHANGED as METADATA_CHANGED
from curate.embedding_pools.captions import captions_at
from curate.embedding_pools.layouts import part_of
from curate.embedding_pools.part_files import opened_part
from curate.embedding_pools.rows import BLOCK_ROWS, normalised
from curate.embedding_pools.source import RUN_KEYS, find_source
from curate.errors import ConfigError, ShardError
from curate.manifest import RunDir
from curate.originals import CHANGED, Original, Place, read_originals
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader
from curate.schema import OK
from curate.shard_tasks import EMBEDDINGS
from curate.shards import Shard

CAPTION_SHOWN: Final = 2_000
"""Characters of a caption that an explanation holds."""

MOST_BYTES: Final = 256 << 20
"""Of one sample; a larger one is not read into memory for the sake of an explanation."""

Embedding = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Image and text [d], L2-normalised."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the pool holds of a sample.

    Attributes:
        caption: cut short; None where there is none, or it could not be read.
        sample: of a shard, ready to be embedded.
        embedding: where it is stored.
        problem: why something is missing.
    """

    caption: str | None = None
    sample: Sample | None = None
    embedding: Embedding | None = None
    problem: str | None = None


def contents_of_shard(
    shard: Shard, rows: Sequence[Mapping[str, Any]], policy: SamplePolicy
) -> list[Content]:
    """Read samples of one shard.

    Args:
        shard: where they are.
        rows: of the scores: `key`, `uid`, `status`, `tar_offset`, `tar_size`.
        policy: the limits that they were scored with.
    """
    places = {at: Place.of(row) for at, row in enumerate(rows)}
    found = [Content()] * len(rows)
    try:
        for at, original in read_originals(shard, places, MOST_BYTES):
            found[at] = _content(original, shard, rows[at]["status"], policy)
    except ShardError as exc:
        return [Content(problem=_named(shard, str(exc)))] * len(rows)
    return found


def _content(original: Original, shard: Shard, status: str, policy: SamplePolicy) -> Content:
    if original.problem is not None:
        return Content(problem=_named(shard, original.problem))
    caption = None if original.caption is None else _shown(original.caption)
    if status != OK:
        return Content(caption)
    tar = Shard(shard.id, shard.url, None)
    item = next(iter(ShardReader(io.BytesIO(original.data), tar, policy)))
    if isinstance(item, Rejection):
        return Content(caption, problem=f"{_named(shard, CHANGED)} ({item.detail})")
    return Content(item.caption[:CAPTION_SHOWN], item)


def _shown(caption: bytes) -> str:
    """A caption that was refused, as far as it is text."""
    return caption[: 4 * CAPTION_SHOWN].decode("utf-8", "replace")[:CAPTION_SHOWN]


def _named(shard: Shard, problem: str) -> str:
    return problem if shard.url in problem else f"{shard.url}: {problem}"


def contents_of_part(
    shard: Shard, layout: Any, rows: Sequence[Mapping[str, Any]], config: Config
) -> list[Content]:
    """Read samples of a part of a pool of metadata; as `contents_of_shard`."""
    part = part_of(shard, layout)
    positions = np.array([row["index"] for row in rows], dtype=np.int64)
    try:
        captions = captions_at(shard, rows)
        with opened_part(part, find_source([part], config)) as opened:
            stored = _stored(opened.arrays, positions)
    except (ShardError, ConfigError) as exc:
        return [Content(problem=_named(shard, str(exc)))] * len(rows)
    return [
        Content(problem=_named(shard, METADATA_CHANGED))
        if is_lost
        else Content(caption and caption[:CAPTION_SHOWN], embedding=embedding)
        for (caption, is_lost), embedding in zip(captions, stored, strict=True)
    ]


def with_saved(
    run: RunDir, shard: str, rows: Sequence[Mapping[str, Any]], contents: Sequence[Content]
) -> list[Content]:
    """Add the embeddings that a run kept of rows of a shard, if it kept them."""
    relative = f"{EMBEDDINGS}/{shard}.npz"
    if not run.store.exists(relative):
        return list(contents)
    path = run.store.path(relative)
    url = path if run.store.is_local else run.store.fs.unstrip_protocol(path)
    positions = np.array([row["index"] for row in rows], dtype=np.int64)
    try:
        with open_npz(url, RUN_KEYS) as (arrays, _):
            stored = _stored(arrays, positions)
    except ShardError as exc:
        return [replace(one, problem=one.problem or str(exc)) for one in contents]
    return [replace(one, embedding=e) for one, e in zip(contents, stored, strict=True)]


def _stored(arrays: Sequence[Any], positions: npt.NDArray[np.int64]) -> list[Embedding | None]:
    """Rows of the arrays of image and text, normalised; None for those that cannot be used.

    Arrays are read forward: distinct positions, ascending, whatever the order they are asked in.
    """
    if not arrays:
        return [None] * len(positions)
    distinct, inverse = np.unique(positions, return_inverse=True)
    image, text = (array.take(distinct, BLOCK_ROWS) for array in arrays)
    unit = normalised(image, text)
    u, v = unit.image.numpy(), unit.text.numpy()
    usable = unit.faults == ""
    return [(u[at], v[at]) if usable[at] else None for at in inverse.tolist()]
