"""Files that are hashed and taken to the disk while they are written."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol, runtime_checkable

from curate.errors import OutputError

WRITE_BACK: Final = 4 << 20
"""Bytes after which the disk is told to begin: fsync of 180 MB then takes a quarter of the time."""


KEEP_SIZE: Final = 1
"""FALLOC_FL_KEEP_SIZE of linux/falloc.h: blocks that are not written in the end do not count."""


def _allocate() -> Callable[[int, int, int, int], int] | None:
    function = getattr(ctypes.CDLL(None), "fallocate", None) if sys.platform == "linux" else None
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function


ALLOCATE: Final = _allocate()
"""fallocate(2), where there is one."""


class _Sink(Protocol):
    def write(self, data: bytes | memoryview, /) -> int: ...


@runtime_checkable
class _Reserving(Protocol):
    def reserve(self, size: int, /) -> None: ...


class HashingFile:
    """A write-only binary file that counts, and hashes unless told otherwise, what is written."""

    def __init__(self, raw: _Sink, target: str, *, hashed: bool = True) -> None:
        """Write into `raw`; `target` names the file in errors."""
        self._raw = raw
        self._target = target
        self._digest = hashlib.sha256() if hashed else None
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it. Raises OutputError."""
        with refusals(self._target):
            self._raw.write(data)
        if self._digest is not None:
            self._digest.update(data)
        self.size += len(data)
        return len(data)

    def reserve(self, size: int) -> None:
        """Have so many bytes that will be written put aside, where the disk can: see DirectFile."""
        if isinstance(self._raw, _Reserving):
            self._raw.reserve(size)

    def hexdigest(self) -> str | None:
        """SHA-256 of what was written so far; None if it is not hashed."""
        return None if self._digest is None else self._digest.hexdigest()


class EagerFile:
    """A local file that the disk begins to take in while it is written.

    Without this, all of a large file is left to the fsync that ends it, and the writer waits.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0
        self._begun = 0  # bytes that the disk was told of

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it."""
        self._size += self._file.write(data)
        if self._size - self._begun >= WRITE_BACK:
            self.flush()
            # Linux takes this as a request to write the pages; those that are not yet written
            # stay cached. Where it means nothing, nothing is lost.
            if hasattr(os, "posix_fadvise"):
                advice = os.POSIX_FADV_DONTNEED
                length = self._size - self._begun
                os.posix_fadvise(self._file.fileno(), self._begun, length, advice)
            self._begun = self._size
        return len(data)

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        self._file.flush()

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close it."""
        self._file.close()


@contextmanager
def refusals(target: str) -> Iterator[None]:
    """Turn what a disk or a store refuses into an OutputError that names the target."""
    # Around the steps of writing alone: an error of reading an input is none of the output's.
    try:
        yield
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise OutputError(
            f"{target} could not be written: {exc}; make room or allow writing there, and run again"
        ) from exc


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
