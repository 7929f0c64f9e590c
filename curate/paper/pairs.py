"""Captions, metadata and pictures of chosen samples, read back from their shards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
from PIL import Image

from curate.errors import ShardError
from curate.images import decode
from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import Shard, open_shard

T = TypeVar("T")


def read_rows(
    shards: Sequence[Shard], table: pa.Table, policy: SamplePolicy
) -> Iterator[tuple[int, Sample]]:
    """Find the samples that the rows of a table name; each shard is read once, front to back.

    Args:
        shards: the list that the table's `shard` ids come from.
        table: columns shard, index, key.
        policy: the limits that the samples were embedded under.

    Yields:
        (row of the table, sample), in the order of shards.

    Raises:
        ShardError: a shard is not listed, cannot be read, or holds something else there now.
    """
    known = {shard.id: shard for shard in shards}
    wanted: dict[str, dict[int, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    names = (table[name].to_pylist() for name in ("shard", "index", "key"))
    for at, (shard_id, index, key) in enumerate(zip(*names, strict=True)):
        wanted[shard_id][index].append((at, key))
    for shard_id, places in sorted(wanted.items()):
        if shard_id not in known:
            raise ShardError(f"shard {shard_id!r} is not listed any more; restore {sorted(known)}")
        yield from _read_shard(known[shard_id], places, policy)


def _read_shard(
    shard: Shard, places: Mapping[int, Sequence[tuple[int, str]]], policy: SamplePolicy
) -> Iterator[tuple[int, Sample]]:
    left = set(places)
    with open_shard(shard) as stream:
        for sample in ShardReader(stream, shard, policy):
            if sample.index not in left:
                continue
            for at, key in places[sample.index]:
                if not isinstance(sample, Sample) or sample.key != key:
                    raise _changed(shard, sample.index, key)
                yield at, sample
            left.discard(sample.index)
            if not left:
                return
    raise _changed(shard, min(left), places[min(left)][0][1])


def _changed(shard: Shard, index: int, key: str) -> ShardError:
    return ShardError(
        f"{shard.url}: sample {index} is not {key!r} any more: the shard changed since it was"
        " embedded; restore it, or delete the run directory and run again"
    )


@dataclass(frozen=True)
class Pool:
    """Shards, and the limits that their samples were embedded under.

    Every method takes a table with the columns shard, index and key, and answers in the order of
    its rows. All raise ShardError: see `read_rows`.
    """

    shards: tuple[Shard, ...]
    policy: SamplePolicy

    def captions(self, table: pa.Table) -> list[str]:
        """The caption of every row."""
        return self._collect(table, lambda sample: sample.caption)

    def metadata(self, table: pa.Table, field: str) -> list[Any]:
        """One field of every row's json, None where it is missing."""
        return self._collect(table, lambda sample: sample.metadata.get(field))

    def thumbnails(self, table: pa.Table, side: int) -> list[Image.Image]:
        """The picture of every row, at most `side` pixels wide and high.

        Raises:
            SampleError: a picture that was decoded once does not decode any more.
        """

        def thumbnail(sample: Sample) -> Image.Image:
            picture = Image.fromarray(decode(sample.image, self.policy.image_pixels))
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            return picture

        return self._collect(table, thumbnail)

    def _collect(self, table: pa.Table, take: Callable[[Sample], T]) -> list[T]:
        rows = read_rows(self.shards, table, self.policy)
        found = {at: take(sample) for at, sample in rows}
        return [found[at] for at in range(table.num_rows)]
