"""Files that appear whole or not at all, on local disks and on fsspec stores.

Local files are written under a temporary name beside their place, flushed to the disk, and
renamed. Object stores make an object visible when its upload completes, which is as good.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from curate.errors import OutputError

PARQUET_OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 3}
TEMPORARY_SUFFIX = ".partial"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: for commit markers, which `verify` checks.

    Attributes:
        path: relative to the run directory.
        size: bytes.
        sha256: hex digest of the content.
    """

    path: str
    size: int
    sha256: str


class _Sink(Protocol):
    def write(self, data: bytes | memoryview, /) -> int: ...


class _Hashing:
    """A write-only binary file that counts and hashes what passes through."""

    def __init__(self, raw: _Sink) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        self._raw.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class Store:
    """A folder, local or on any fsspec filesystem; all paths are relative to it.

    Instances are cheap to pickle: workers reopen the filesystem from its URL.
    """

    def __init__(self, url: str) -> None:
        self.fs, self._root = fsspec.core.url_to_fs(url.rstrip("/") or url)
        self.is_local = isinstance(self.fs, LocalFileSystem)
        # A relative path would mean another folder in a worker process.
        self.url = self._root if self.is_local else url.rstrip("/")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return type(self), (self.url,)

    def __str__(self) -> str:
        return self.url

    def path(self, relative: str) -> str:
        """Return the path that this store's filesystem understands."""
        return f"{self._root.rstrip('/')}/{relative}" if relative else self._root

    def exists(self, relative: str) -> bool:
        """Tell whether a file or folder is there."""
        return bool(self.fs.exists(self.path(relative)))

    def names(self, relative: str, suffix: str) -> list[str]:
        """List the files of a folder that end in `suffix`, sorted; empty without the folder."""
        try:
            entries = self.fs.ls(self.path(relative), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (PurePosixPath(entry).name for entry in entries)
        return sorted(name for name in names if name.endswith(suffix))

    def remove(self, relative: str) -> None:
        """Remove a file or a folder with its content; nothing happens if it is not there."""
        try:
            self.fs.rm(self.path(relative), recursive=True)
        except FileNotFoundError:
            return

    # --- reading ---------------------------------------------------------------------------

    def read_bytes(self, relative: str) -> bytes:
        """Read a whole file. Raises FileNotFoundError."""
        return cast(bytes, self.fs.cat_file(self.path(relative)))

    def read_json(self, relative: str) -> Any:
        """Read a JSON file. Raises FileNotFoundError, and OutputError if it is not JSON."""
        try:
            return json.loads(self.read_bytes(relative))
        except ValueError as exc:
            raise OutputError(
                f"{self.path(relative)} is not valid JSON ({exc}); delete it and run again"
            ) from exc

    def read_table(self, relative: str, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file. Raises FileNotFoundError, and OutputError if it is damaged."""
        try:
            return pq.read_table(pa.BufferReader(self.read_bytes(relative)), columns=columns)
        except pa.ArrowInvalid as exc:
            raise OutputError(
                f"{self.path(relative)} is not a readable Parquet file ({exc}); delete it and its"
                " marker under state/, and run again"
            ) from exc

    # --- writing ---------------------------------------------------------------------------

    @contextmanager
    def create(self, relative: str) -> Iterator[_Hashing]:
        """Open a new file for writing; it takes its place when the block ends without an error.

        Raises:
            OutputError: the disk is full or the store refused; nothing is left behind.
        """
        target = self.path(relative)
        opened = self._create_local(target) if self.is_local else self._create_remote(target)
        try:
            with opened as raw:
                yield _Hashing(raw)
        except OSError as exc:
            raise OutputError(f"{target} could not be written: {exc}") from exc

    @contextmanager
    def _create_local(self, target: str) -> Iterator[BinaryIO]:
        final = Path(target)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f"{final.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(final.parent)

    @contextmanager
    def _create_remote(self, target: str) -> Iterator[BinaryIO]:
        # Staged on the local disk: an upload that an exception closes could commit half an object.
        with tempfile.TemporaryDirectory(prefix="curate-") as folder:
            staged = Path(folder) / "object"
            with staged.open("xb") as file:
                yield file
            self.fs.put_file(str(staged), target)

    def write_bytes(self, relative: str, data: bytes) -> Written:
        """Write a whole file atomically."""
        with self.create(relative) as file:
            file.write(data)
        return Written(relative, file.size, file.hexdigest())

    def write_json(self, relative: str, value: Any) -> Written:
        """Write JSON with sorted keys, so that equal values are equal bytes."""
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
        return self.write_bytes(relative, text.encode() + b"\n")

    def write_table(self, relative: str, table: pa.Table) -> Written:
        """Write a Parquet file; equal tables give equal bytes."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **PARQUET_OPTIONS)
        return self.write_bytes(relative, memoryview(sink.getvalue()).tobytes())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
