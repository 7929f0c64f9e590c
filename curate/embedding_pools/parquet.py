"""Parquet files of metadata, opened where they are or staged from a store, and their checksums."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import ShardError
from curate.places import is_local
from curate.shards import Shard, open_shard

_CHUNK: Final = 1 << 20
"""Bytes copied at once."""


@contextmanager
def staged(url: str) -> Iterator[Path]:
    """A file on the local disk: itself, or a copy that goes with the block. Raises ShardError.

    Parquet is read from its end and column by column: over a network that would be many requests.
    """
    if is_local(url):
        yield Path(url)
        return
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        copy = Path(folder) / "metadata.parquet"
        with open_shard(Shard(url, url, None)) as source, copy.open("xb") as target:
            try:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
            except Exception as exc:  # drivers raise their own, unrelated classes
                raise ShardError(f"{url}: cannot be read: {exc!r}; run again") from exc
        yield copy


@contextmanager
def opened_parquet(url: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises ShardError if it is missing or damaged; names it."""
    with staged(url) as path, parquet_at(path, url) as file:
        yield file


@contextmanager
def parquet_at(path: Path, url: str) -> Iterator[pq.ParquetFile]:
    """Open the Parquet file at a local path, which came from `url`. Raises ShardError."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as exc:  # names may be no UTF-8
        raise ShardError(
            f"{url}: cannot be read as Parquet: {exc}; check that it exists, or download it again"
        ) from exc
    with file:
        yield file


def checksum(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a local file. Raises ShardError."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest
    except OSError as exc:
        raise ShardError(f"{path}: cannot be read: {exc}; run again") from exc
