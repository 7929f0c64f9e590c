"""Small tars, images and samples, made in memory, for every test module."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from curate.originals import Place
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader, ShardReport
from curate.shards import Shard

Members = Sequence[tuple[str, bytes]]

END_BLOCKS = bytes(1024)


def picture(width: int = 48, height: int = 32, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A smooth, non-trivial image: JPEG keeps it nearly, and resizing shows off-by-ones."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encode(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    """Encode an image in memory."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def jpeg(width: int = 48, height: int = 32, seed: int = 0) -> bytes:
    """A valid JPEG."""
    return encode(picture(width, height, seed), "JPEG", quality=90)


def sample_members(
    key: str, caption: str = "a caption", seed: int = 0, **metadata: Any
) -> list[tuple[str, bytes]]:
    """The three members of one good sample, in img2dataset's order."""
    image = jpeg(seed=seed)
    content = {
        "uid": hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(),
        "key": key,
        "sha256": hashlib.sha256(image).hexdigest(),
    } | metadata
    text = caption.encode()
    return [(f"{key}.jpg", image), (f"{key}.txt", text), (f"{key}.json", json_bytes(content))]


def json_bytes(content: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(content).encode()


def tar_bytes(
    members: Iterable[tuple[str, bytes]], tar_format: int = tarfile.USTAR_FORMAT
) -> bytes:
    """A tar of regular members, written by Python's tarfile."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def shard_bytes(samples: int, **metadata: Any) -> bytes:
    """A shard of good samples, keys 000000000 and on."""
    members: list[tuple[str, bytes]] = []
    for number in range(samples):
        members += sample_members(f"{number:09d}", f"caption {number}", number, **metadata)
    return tar_bytes(members)


def member_spans(data: bytes) -> list[tuple[str, int, int]]:
    """(name, first header byte, data byte) of every member, as Python's tarfile sees them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(info.name, info.offset, info.offset_data) for info in archive]


def read_shard(
    data: bytes, policy: SamplePolicy | None = None, shard_id: str = "shard"
) -> tuple[list[Sample | Rejection], ShardReport]:
    """Read a whole shard from memory."""
    shard = Shard(shard_id, f"memory/{shard_id}.tar", len(data))
    reader = ShardReader(io.BytesIO(data), shard, policy or SamplePolicy())
    rows = list(reader)
    return rows, reader.report


def places_in(data: bytes, shard_id: str = "shard") -> list[Place]:
    """Where the rows of a shard lie, as its scores would tell."""
    rows, _ = read_shard(data, shard_id=shard_id)
    return [Place(row.key, row.uid, row.tar_offset, row.tar_size) for row in rows]


def outcomes(rows: Iterable[Sample | Rejection]) -> list[tuple[str, str]]:
    """(key, status) of every row."""
    return [(row.key, row.status if isinstance(row, Rejection) else "ok") for row in rows]
