"""What the pool itself holds of a few samples: captions, pictures, stored embeddings.

Of a shard only the samples' own byte ranges are read. What cannot be had is told, not raised: a run
directory outlives its pool.
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
from curate.embedding_pools.layouts import part_of
from curate.embedding_pools.part_files import opened_part
from curate.embedding_pools.rows import BLOCK_ROWS, normalised
from curate.embedding_pools.source import RUN_KEYS, find_source
from curate.errors import ConfigError, ShardError
from curate.manifest import RunDir
from curate.members import KEY_LIMIT, split_name
from curate.samples import TEXT_EXTENSION, Rejection, Sample, SamplePolicy, ShardReader
from curate.schema import OK
from curate.shard_tasks import EMBEDDINGS
from curate.shards import Shard, open_shard, read_range
from curate.tar import TarReader

CAPTION_SHOWN: Final = 2_000
"""Characters of a caption that an explanation holds."""

MOST_BYTES: Final = 256 << 20
"""Of one sample; a larger one is not read into memory for the sake of an explanation."""

Embedding = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Image and text [d], L2-normalised."""


@dataclass(frozen=True, slots=True)
class Original:
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


def originals_of_shard(
    shard: Shard, rows: Sequence[Mapping[str, Any]], policy: SamplePolicy
) -> list[Original]:
    """Read samples of one shard.

    Args:
        shard: where they are.
        rows: of the scores: `key`, `status`, `tar_offset`, `tar_size`.
        policy: the limits that they were scored with.
    """
    try:
        with open_shard(shard, ahead=False) as file:
            found = []
            for row in rows:
                if row["tar_size"] > MOST_BYTES:
                    found.append(Original(problem=f"{row['tar_size']:,} bytes are not read"))
                    continue
                data = read_range(file, row["tar_offset"], row["tar_size"])
                found.append(_original(data, shard, row, policy))
            return found
    except ShardError as exc:
        return [Original(problem=_named(shard, exc))] * len(rows)


def _original(data: bytes, shard: Shard, row: Mapping[str, Any], policy: SamplePolicy) -> Original:
    try:
        keys, caption = _caption(data, policy)
        if keys != {row["key"]}:
            return Original(problem=f"{shard.url} changed since it was scored: score it again")
        if row["status"] != OK:
            return Original(caption)
        item = next(iter(ShardReader(io.BytesIO(data), Shard(shard.id, shard.url, None), policy)))
    except ShardError as exc:
        return Original(problem=_named(shard, exc))
    if isinstance(item, Rejection):
        return Original(caption, problem=f"{shard.url} changed since it was scored: {item.detail}")
    return Original(item.caption[:CAPTION_SHOWN], item)


def _caption(data: bytes, policy: SamplePolicy) -> tuple[set[str], str | None]:
    """The keys of a sample's members, and the first caption among them, as far as it is text."""
    keys, caption = set(), None
    for member in TarReader(io.BytesIO(data), policy.member_bytes):
        key, extension = split_name(member.name)
        keys.add(key[:KEY_LIMIT])
        if caption is None and extension == TEXT_EXTENSION and member.data is not None:
            caption = member.data[: 4 * CAPTION_SHOWN].decode("utf-8", "replace")[:CAPTION_SHOWN]
    return keys, caption


def _named(shard: Shard, problem: Exception) -> str:
    text = str(problem)
    return text if shard.url in text else f"{shard.url}: {text}"


def originals_of_part(
    shard: Shard, layout: Any, rows: Sequence[Mapping[str, Any]], config: Config
) -> list[Original]:
    """Read samples of a part of a pool of metadata; as `originals_of_shard`."""
    part = part_of(shard, layout)
    positions = np.array([row["index"] for row in rows], dtype=np.int64)
    captions: dict[int, str | None] = {}
    try:
        source = find_source([part], config)
        with opened_part(part, source) as opened:
            first = 0
            for block in opened.metadata.blocks(BLOCK_ROWS):
                inside = positions[(positions >= first) & (positions < first + block.rows)]
                captions |= {at: block.captions[at - first].as_py() for at in inside.tolist()}
                first += block.rows
            stored = _stored(opened.arrays, positions)
    except (ShardError, ConfigError) as exc:
        return [Original(problem=_named(shard, exc))] * len(rows)
    told = (captions[at] for at in positions.tolist())
    return [
        Original(caption and caption[:CAPTION_SHOWN], embedding=embedding)
        for caption, embedding in zip(told, stored, strict=True)
    ]


def with_saved(
    run: RunDir, shard: str, rows: Sequence[Mapping[str, Any]], originals: Sequence[Original]
) -> list[Original]:
    """Add the embeddings that a run kept of rows of a shard, if it kept them."""
    relative = f"{EMBEDDINGS}/{shard}.npz"
    if not run.store.exists(relative):
        return list(originals)
    path = run.store.path(relative)
    url = path if run.store.is_local else run.store.fs.unstrip_protocol(path)
    positions = np.array([row["index"] for row in rows], dtype=np.int64)
    try:
        with open_npz(url, RUN_KEYS) as (arrays, _):
            stored = _stored(arrays, positions)
    except ShardError as exc:
        return [replace(one, problem=one.problem or str(exc)) for one in originals]
    return [replace(one, embedding=e) for one, e in zip(originals, stored, strict=True)]


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
