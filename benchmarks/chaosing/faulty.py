"""A store that misbehaves: `faulty://ROOT/path` is a file of a folder, behind a bad network.

One request in so many fails as drivers of object stores do: before anything is done, and after it
was done. Roots are folders that the orders name, so that the same URL is another
folder in another run.
"""

from __future__ import annotations

import http.client
import io
import os
import random
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, ClassVar, Final

import fsspec
from fsspec import AbstractFileSystem

from chaosing.orders import Board, Orders

PROTOCOL: Final = "faulty"

STALLED_SECONDS: Final = 5.0
"""Longer than a run of the suite waits for a read (`hooks.STALL_SECONDS`)."""


def register() -> None:
    """Make fsspec know the protocol."""
    fsspec.register_implementation(PROTOCOL, FaultyFileSystem, clobber=True)


class Requests:
    """Counts the requests of this process, and fails the unlucky ones."""

    def __init__(self) -> None:
        self._count = self._times = 0

    def unlucky(self, orders: Orders, store: str) -> int:
        """0, or the how manieth request this is that fails in that way."""
        if orders.store != store or not orders.every:
            return 0
        self._count += 1
        # Drawn, not counted: a request and its repetition may be a fixed number of others apart.
        if random.Random(f"{orders.attempt}/{self._count}").random() >= 1 / orders.every:
            return 0
        self._times += 1
        return self._times


class FaultyFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of local folders, as an object store shows them: no rename, no append."""

    protocol: ClassVar[str] = PROTOCOL
    cachable = False
    requests: ClassVar[Requests] = Requests()

    # --- paths ------------------------------------------------------------------------------

    def _orders(self) -> Orders:
        board = Board.of_environment()
        return Orders() if board is None else board.read()

    def _local(self, path: str, orders: Orders) -> Path:
        root, _, rest = str(self._strip_protocol(path)).lstrip("/").partition("/")
        if root not in orders.roots:
            raise FileNotFoundError(path)
        return Path(orders.roots[root]) / rest

    def _ask(self, path: str, writes: bool = False) -> Path:
        """Where a path lies, unless this request fails on the way there."""
        orders = self._orders()
        local = self._local(path, orders)
        if orders.refused and orders.refused == f"{'w' if writes else 'r'}:{local.name}":
            raise PermissionError(f"the store refuses {path}")
        if self.requests.unlucky(orders, "hiccups"):
            raise ConnectionResetError("the store hung up")
        if not writes and self.requests.unlucky(orders, "stalls"):
            time.sleep(STALLED_SECONDS)
        return local

    # --- reading ----------------------------------------------------------------------------

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Size and type of a file or folder. Raises FileNotFoundError."""
        local = self._ask(path)
        found = local.stat()
        kind = "directory" if local.is_dir() else "file"
        return {"name": self._strip_protocol(path), "size": found.st_size, "type": kind}

    def exists(self, path: str, **options: Any) -> bool:
        """Whether a file or folder is there."""
        return self._ask(path).exists()

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """The files and folders in a folder. Raises FileNotFoundError."""
        local, path = self._ask(path), self._strip_protocol(path).rstrip("/")
        if local.is_file():
            return [self.info(path)] if detail else [path]
        with os.scandir(local) as entries:
            found = sorted((entry.name, entry.is_dir(), entry.stat().st_size) for entry in entries)
        # Objects appear whole: what is on its way has no name yet.
        found = [entry for entry in found if not entry[0].endswith(".uploading")]
        if not detail:
            return [f"{path}/{name}" for name, _, _ in found]
        return [
            {"name": f"{path}/{name}", "size": size, "type": "directory" if folder else "file"}
            for name, folder, size in found
        ]

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: Any
    ) -> bytes:
        """A whole object, or a range of it. Raises FileNotFoundError."""
        data = self._ask(path).read_bytes()[start:end]
        if self.requests.unlucky(self._orders(), "short"):
            # Drivers compare a body with its Content-Length.
            raise http.client.IncompleteRead(data[: len(data) // 2], len(data) - len(data) // 2)
        return data

    def _open(self, path: str, mode: str = "rb", **options: Any) -> _FaultyFile:
        if mode != "rb":
            raise NotImplementedError(f"mode {mode!r}: objects are put whole")
        return _FaultyFile(self, path, self._ask(path))

    # --- writing ----------------------------------------------------------------------------

    def put_file(self, lpath: str, rpath: str, *more: Any, **options: Any) -> None:
        """Upload a file; it appears whole. The answer to every other failure comes too late."""
        target = self._ask(rpath, writes=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        uploading = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.uploading")
        shutil.copyfile(lpath, uploading)
        uploading.replace(target)
        if self.requests.unlucky(self._orders(), "hiccups"):
            raise ConnectionResetError("the store took the object and hung up")

    def rm_file(self, path: str) -> None:
        """Remove a file. Raises FileNotFoundError."""
        self._ask(path, writes=True).unlink()

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove a file, or a folder with what is in it. Raises FileNotFoundError."""
        local = self._ask(path, writes=True)
        shutil.rmtree(local) if local.is_dir() else local.unlink()


class _FaultyFile(io.RawIOBase):
    """An open object; reads fail as the orders say."""

    def __init__(self, store: FaultyFileSystem, path: str, local: Path) -> None:
        super().__init__()
        self._store, self._path = store, path
        self._file = local.open("rb")
        self.size = local.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        self._store._ask(self._path)
        data = self._file.read(size)
        times = self._store.requests.unlucky(self._store._orders(), "short")
        if not times:
            return data
        return data[: len(data) // 2] if times % 2 else b""

    def close(self) -> None:
        self._file.close()
        super().close()
