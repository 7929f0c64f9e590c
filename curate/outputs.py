"""Files that appear whole or not at all, on local disks and on fsspec stores.

Local files are written under a temporary name beside their place, flushed to the disk, and
renamed. Object stores make an object visible when its upload completes, which is as good. Requests
to them are about whole objects, so that each can be repeated after a transient error.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from curate import listing, retrying
from curate.direct_file import DirectFile
from curate.errors import OutputError
from curate.hashing_file import EagerFile, HashingFile, refusals, sync_folder
from curate.remote_file import RemoteFile
from curate.retrying import is_missing, is_transient
from curate.serialised import json_bytes, table_bytes

T = TypeVar("T")

TEMPORARY_SUFFIX = ".partial"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: for commit markers, which `verify` checks.

    Attributes:
        path: relative to the run directory.
        size: bytes.
        sha256: hex digest of the content; None where it was not taken (`output.checksums`).
    """

    path: str
    size: int
    sha256: str | None


class Store:
    """A folder, local or on any fsspec filesystem; all paths are relative to it.

    Instances are cheap to pickle: workers reopen the filesystem from its URL.
    """

    def __init__(self, url: str) -> None:
        stripped = url.rstrip("/")
        # The slashes of a root, `/` or `memory://`, are not trailing ones.
        place = url if not stripped or stripped.endswith(":") else stripped
        # Without a cache of listings: other processes write here too.
        self.fs, self._root = fsspec.core.url_to_fs(place, use_listings_cache=False)
        self.is_local = isinstance(self.fs, LocalFileSystem)
        # A relative path would mean another folder in a worker process.
        self.url = self._root if self.is_local else place

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return type(self), (self.url,)

    def __str__(self) -> str:
        return self.url

    def path(self, relative: str) -> str:
        """Return the path that this store's filesystem understands."""
        return f"{self._root.rstrip('/')}/{relative}" if relative else self._root

    def exists(self, relative: str) -> bool:
        """Tell whether a file or folder is there."""
        path = self.path(relative)
        try:
            self._ask(lambda: self.fs.info(path), path)  # drivers' `exists` calls any error a no
        except FileNotFoundError:
            return False
        return True

    def size(self, relative: str) -> int:
        """Bytes of a file, without reading it. Raises FileNotFoundError, and IsADirectoryError."""
        path = self.path(relative)
        info = self._ask(lambda: self.fs.info(path), path)
        if info["type"] != "file":
            raise IsADirectoryError(f"{path} is a folder, where a file should be")
        return int(info["size"])

    def names(self, relative: str, suffix: str, expected: Sequence[str] = ()) -> list[str]:
        """List the files of a folder that end in `suffix`, sorted; empty without the folder.

        On an object store this is one request for every thousand objects, one after the other;
        side by side where the names that matter are known, see `listing`.
        """
        path = self.path(relative)
        try:
            if self.is_local:
                names = listing.local_names(path)
            else:
                names = listing.remote_names(self.fs, path, expected, self._ask_much)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name.endswith(suffix))

    def entries(self, relative: str, suffix: str, expected: Sequence[str] = ()) -> pa.Table:
        """As `names`, with sizes and stamps: a `listing.LISTING` table."""
        path = self.path(relative)
        try:
            return listing.list_entries(
                self.fs, path, suffix, expected, self._ask_much, self.is_local
            )
        except FileNotFoundError:
            return listing.LISTING.empty_table()

    def remove(self, relative: str) -> None:
        """Remove a file or a folder with its content; nothing happens if it is not there."""
        path = self.path(relative)
        try:
            self._ask_much(lambda: self.fs.rm(path, recursive=True), path)
        except FileNotFoundError:
            return

    def remove_file(self, relative: str) -> None:
        """Remove a file; nothing happens if it is not there. One request, without a listing."""
        path = self.path(relative)
        try:
            self._ask(lambda: self.fs.rm_file(path), path)
        except FileNotFoundError:
            return

    def sweep(self) -> None:
        """Remove what killed processes left half-written. Only before anything writes here.

        Object stores hold no half-written objects.
        """
        if self.is_local:
            # Not by pathlib, which takes half a minute for the files of a million shards.
            for folder, _, names in os.walk(self._root):
                for name in names:
                    if name.endswith(TEMPORARY_SUFFIX):
                        Path(folder, name).unlink(missing_ok=True)

    def _ask(self, request: Callable[[], T], path: str, seconds: float = 0.0) -> T:
        # A disk is asked once: what it refuses it refuses again.
        if self.is_local:
            return request()
        return self._explained(lambda: retrying.RETRY.call_within(request, path, seconds), path)

    def _explained(self, request: Callable[[], T], path: str) -> T:
        try:
            return request()
        except Exception as exc:  # drivers raise their own, unrelated classes
            if is_missing(exc):
                raise
            raise OutputError(
                f"{self.fs.unstrip_protocol(path)}: the store refuses, or does not answer:"
                f" {exc!r}; check its address, access and the network, and run again"
            ) from exc

    def _ask_much(self, request: Callable[[], T], path: str) -> T:
        return self._ask(request, path, retrying.MANY_SECONDS)

    # --- reading ---------------------------------------------------------------------------

    def read_bytes(self, relative: str, seconds: float = retrying.MANY_SECONDS) -> bytes:
        """Read a whole file; of a store, within so many seconds. Raises FileNotFoundError."""
        path = self.path(relative)
        if self.is_local:  # five times as fast as through fsspec, where there are a million
            with open(path, "rb") as file:  # noqa: PTH123 - and twice as fast as through pathlib
                return file.read()
        return cast(bytes, self._ask(lambda: self.fs.cat_file(path), path, seconds))

    def read_json(self, relative: str) -> Any:
        """Read a JSON file. Raises FileNotFoundError, and OutputError if it is not JSON."""
        try:
            return json.loads(self.read_bytes(relative, 0.0))
        except (ValueError, RecursionError) as exc:
            raise OutputError(
                f"{self.path(relative)} is not valid JSON ({exc}); delete it and run again"
            ) from exc

    def read_table(
        self, relative: str, columns: list[str] | None = None, *, strict: bool = True, **how: Any
    ) -> pa.Table:
        """Read a Parquet file, whole or some columns, without reading the others.

        With `strict` every one of these columns must be there. `how` is for `pq.ParquetFile`.

        Raises:
            FileNotFoundError: it is not there.
            OutputError: it is damaged or lacks a column, or the store fails for good.
        """
        # Opened apart: what goes wrong from here on is the content's fault, not the storage's.
        with self._open(relative) as file:
            try:
                # Not by `read_table`, which imports pandas, and takes twice as long.
                source = pa.BufferReader(file.read()) if columns is None else file
                # To read ahead pays over a network alone.
                with pq.ParquetFile(source, pre_buffer=not self.is_local, **how) as parquet:
                    table = parquet.read(columns=columns, use_threads=False)
                if columns is None or not strict:
                    return table
                return table.select(columns)  # Arrow leaves out in silence what is not there
            except (pa.ArrowException, OSError, ValueError, KeyError) as exc:
                if not self.is_local and is_transient(exc):  # the content is not to blame
                    raise OutputError(
                        f"{self.path(relative)} cannot be read: {exc!r}; check the storage and"
                        " run again"
                    ) from exc
                raise OutputError(
                    f"{self.path(relative)} is not a readable Parquet file ({exc}); delete it and"
                    " its marker under state/, and run again"
                ) from exc

    def open_file(self, relative: str) -> BinaryIO:
        """Open a file for reading from its beginning. Raises FileNotFoundError."""
        path = self.path(relative)
        opened = self.fs.open(path, "rb") if self.is_local else self._open_remote(path)
        return cast(BinaryIO, opened)

    def _open(self, relative: str) -> Any:
        # Arrow's own reader leaves the interpreter's lock alone, so that two threads can read.
        path = self.path(relative)
        return pa.OSFile(path) if self.is_local else self._open_remote(path)

    def _open_remote(self, path: str) -> RemoteFile:
        return self._explained(lambda: RemoteFile(lambda: self.fs.open(path, "rb"), path), path)

    # --- writing ---------------------------------------------------------------------------

    @contextmanager
    def create(
        self, relative: str, *, hashed: bool = True, large: bool = False
    ) -> Iterator[HashingFile]:
        """Open a new file for writing; it takes its place when the block ends without an error.

        With `hashed` its SHA-256 is taken meanwhile; one that is `large` passes the page cache by.

        Raises:
            OutputError: the disk is full or the store refused; nothing is left behind.
        """
        target = self.path(relative)
        if self.is_local:
            created = self._create_local(target, hashed, large)
        else:
            created = self._create_remote(target, hashed)
        with created as file:
            yield file

    @contextmanager
    def _create_local(self, target: str, hashed: bool, large: bool) -> Iterator[HashingFile]:
        final = Path(target)
        temporary = final.with_name(f"{final.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
        with refusals(target):
            final.parent.mkdir(parents=True, exist_ok=True)
            file = DirectFile(temporary) if large else EagerFile(temporary.open("xb"))
        try:
            yield HashingFile(file, target, hashed=hashed)
            with refusals(target):
                file.flush()
                os.fsync(file.fileno())
                file.close()
                temporary.replace(final)
        except BaseException:
            with suppress(OSError):  # flushes once more; what went wrong is on its way already
                file.close()
            temporary.unlink(missing_ok=True)
            raise
        with refusals(target):
            sync_folder(final.parent)

    @contextmanager
    def _create_remote(self, target: str, hashed: bool) -> Iterator[HashingFile]:
        # Staged on the local disk: an upload that an exception closes could commit half an object.
        with tempfile.TemporaryDirectory(prefix="curate-") as folder:
            staged = Path(folder) / "object"
            with staged.open("xb") as file:
                yield HashingFile(file, target, hashed=hashed)
            with refusals(self.fs.unstrip_protocol(target)):
                # Repeated whole: until an upload completes, nothing of it is to be seen.
                seconds = retrying.RETRY.upload_seconds(staged.stat().st_size)
                upload = partial(self.fs.put_file, str(staged), target)
                retrying.RETRY.call_within(upload, target, seconds)

    def write_bytes(self, relative: str, data: bytes) -> Written:
        """Write a whole file atomically."""
        with self.create(relative) as file:
            file.write(data)
        return Written(relative, file.size, file.hexdigest())

    def write_if_changed(self, relative: str, data: bytes) -> None:
        """Write a small file unless it holds these bytes already: doing nothing leaves no trace."""
        try:
            if self.read_bytes(relative) == data:
                return
        except FileNotFoundError:
            pass  # the first time
        self.write_bytes(relative, data)

    def write_json(self, relative: str, value: Any) -> Written:
        """Write JSON with sorted keys, so that equal values are equal bytes."""
        return self.write_bytes(relative, json_bytes(value))

    def write_table(self, relative: str, table: pa.Table, **options: Any) -> Written:
        """Write a Parquet file; equal tables give equal bytes. Options are those of Arrow."""
        return self.write_bytes(relative, table_bytes(table, **options))
