"""Image-text pairs from webdataset shards, one after the other."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from curate.errors import ShardError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class Pair:
    """A picture in RGB and its caption."""

    key: str
    image: Image.Image
    caption: str


def _decode(key: str, members: dict[str, bytes], shard: Path) -> Pair:
    encoded = next((members[s] for s in IMAGE_SUFFIXES if s in members), None)
    if encoded is None:
        raise ShardError(f"{shard}: sample {key!r} lacks its image; repair the shard")
    try:
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
    except OSError as exc:
        raise ShardError(f"{shard}: sample {key!r} is damaged ({exc}); repair the shard") from exc
    return Pair(key, image, _caption(key, members, shard))


def _caption(key: str, members: dict[str, bytes], shard: Path) -> str:
    if "txt" not in members:
        raise ShardError(f"{shard}: sample {key!r} lacks its caption; repair the shard")
    try:
        return members["txt"].decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ShardError(f"{shard}: sample {key!r} is damaged ({exc}); repair the shard") from exc


def _samples(shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members by suffix; a sample's members are adjacent."""
    key, members = "", dict[str, bytes]()
    with tarfile.open(shard, mode="r|") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is None:
                continue
            stem, _, suffix = member.name.rpartition("/")[2].partition(".")
            if stem != key and members:
                yield key, members
                members = {}
            key = stem
            if suffix in (*IMAGE_SUFFIXES, "txt"):
                members[suffix] = stream.read()
    if members:
        yield key, members


def read_captions(shards: Sequence[Path]) -> Iterator[str]:
    """The caption of every sample of ``shards``, in order; pictures are not decoded.

    Raises:
        ShardError: as :func:`read_pairs`, but for damaged pictures.
    """
    for shard in shards:
        try:
            for key, members in _samples(shard):
                yield _caption(key, members, shard)
        except (OSError, tarfile.TarError) as exc:
            raise ShardError(f"{shard}: cannot be read ({exc}); check the path") from exc


def read_pairs(shards: Sequence[Path]) -> Iterator[Pair]:
    """Every pair of ``shards``, in order. Only image and caption are read, never labels.

    Raises:
        ShardError: when a shard cannot be read or a sample is incomplete or damaged; training
            data has to be whole.
    """
    for shard in shards:
        try:
            for key, members in _samples(shard):
                yield _decode(key, members, shard)
        except (OSError, tarfile.TarError) as exc:
            raise ShardError(f"{shard}: cannot be read ({exc}); check the path") from exc
