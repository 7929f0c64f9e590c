"""Samples read back from their shards, at the bytes where a run found them.

A run directory outlives its pool. Where a sample was, another may lie by now, of a shard that was
written again under the same name, and its picture must not be shown as the one that was scored.
Hence a sample is known again by its key, its uid and its extent, or not at all. Of a shard only the
samples' own byte ranges are read. What cannot be had of one sample is told, not raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from curate.errors import SampleError, ShardError
from curate.members import KEY_LIMIT, derive_uid, own_uid, parse_metadata, split_name
from curate.samples import IMAGE_EXTENSIONS, JSON_EXTENSION, TEXT_EXTENSION, SamplePolicy
from curate.shards import Shard, open_shard, read_range
from curate.tar import Member, TarReader

CHANGED: Final = "the shard changed since it was scored: score it again"

_JSON_BYTES: Final = SamplePolicy().json_bytes
"""A larger .json gave no uid when it was scored."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run found a sample, and what it is known by.

    Attributes:
        key, uid: as the scores hold them.
        offset: byte of its first header in the shard.
        size: bytes of its members, headers and padding included.
    """

    key: str
    uid: str
    offset: int
    size: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Place:
        """The place that a row of the scores tells."""
        return cls(row["key"], row["uid"], row["tar_offset"], row["tar_size"])


@dataclass(frozen=True, slots=True)
class Original:
    """A sample as its shard holds it, undecoded.

    Attributes:
        data: its part of the shard; empty if there is a problem.
        image: its first picture, encoded; None where it holds none.
        caption: its first caption; None where it holds none.
        problem: why nothing of it is here, without the name of the shard.
        is_lost: whether the shard was asked for it and did not give it.
    """

    data: bytes = b""
    image: bytes | None = None
    caption: bytes | None = None
    problem: str | None = None
    is_lost: bool = False


def read_originals(
    shard: Shard, places: Mapping[int, Place], most_bytes: int
) -> Iterator[tuple[int, Original]]:
    """Read some samples of one shard, in the order of their bytes; one is held at a time.

    Args:
        shard: which.
        places: of the samples, by any number.
        most_bytes: of a sample; a larger one is not read.

    Yields:
        The number of each place, and what lies there.

    Raises:
        ShardError: the shard cannot be opened; the message names it.
    """
    with open_shard(shard, ahead=False) as file:
        for number, place in sorted(places.items(), key=lambda one: one[1].offset):
            if place.size > most_bytes:
                note = f"not read: {place.size:,} bytes; {most_bytes:,} are read at most"
                yield number, Original(problem=note)
                continue
            try:
                data = read_range(file, place.offset, place.size)
            except ShardError as exc:
                yield number, Original(problem=str(exc), is_lost=True)
                continue
            yield number, original_of(data, shard.id, place)


def original_of(data: bytes, shard_id: str, place: Place) -> Original:
    """The sample that some bytes are, if they are still the sample of that place.

    Args:
        data: what lies there, `place.size` bytes.
        shard_id: of the shard, which uids of samples without their own are derived from.
        place: where it was found.
    """
    try:
        members = list(TarReader(BytesIO(data), len(data)))
    except ShardError:  # no tar begins there any more
        members = []
    if not _is_sample(members, shard_id, place):
        return Original(problem=CHANGED, is_lost=True)
    image = next((m.data for m in members if _extension(m) in IMAGE_EXTENSIONS), None)
    return Original(data, image, _first(members, TEXT_EXTENSION))


def _is_sample(members: Sequence[Member], shard_id: str, place: Place) -> bool:
    """Whether members are those of the sample: all of its key, from its first byte to its last.

    Runs of img2dataset number their samples alike, so that keys alone do not tell two pools apart.
    """
    if not members or any(member.kind != "regular" for member in members):
        return False
    keys = {split_name(member.name)[0] for member in members}
    if {key[:KEY_LIMIT] for key in keys} != {place.key} or len(keys) > 1:
        return False
    if (members[0].offset, members[-1].end) != (0, place.size):
        return False
    return place.uid in (derive_uid(shard_id, keys.pop()), _own_uid(members))


def _own_uid(members: Sequence[Member]) -> str | None:
    """The uid that the sample brings; None where it brings none that can be read."""
    data = _first(members, JSON_EXTENSION)
    if data is None or len(data) > _JSON_BYTES:
        return None
    try:
        return own_uid(parse_metadata(data))
    except SampleError:  # scored as `invalid_json`, under a derived uid
        return None


def _first(members: Sequence[Member], extension: str) -> bytes | None:
    return next((member.data for member in members if _extension(member) == extension), None)


def _extension(member: Member) -> str:
    return split_name(member.name)[1]
