"""Files of hundreds of megabytes, written past the page cache.

What must be on the disk before a marker says so need not lie in memory first. That takes less CPU
time, half of it where memory is short, leaves nothing to wait for, and drives nothing else out. A
file system that cannot do this gets the bytes through its cache, by the same calls.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from pathlib import Path
from typing import Final

import numpy as np

from curate.hashing_file import ALLOCATE, KEEP_SIZE

BLOCK: Final = 4096
"""What addresses, offsets and lengths are whole multiples of: the sector of any common disk."""

BUFFER: Final = 1 << 20
"""Bytes written at once: with 512 KiB it took a tenth more CPU time, with 4 MiB no less."""


def aligned_buffer(size: int) -> memoryview:
    """Memory [size] that begins at a page, so that it can be written as it lies."""
    return memoryview(mmap.mmap(-1, size))


class DirectFile:
    """A new local file. What is written comes in whole blocks of aligned memory, or is copied."""

    def __init__(self, path: Path) -> None:
        """Create it. Raises OSError."""
        self._file = path.open("xb", buffering=0)
        self._direct = _set_direct(self._file.fileno(), True)
        self._buffer: memoryview | None = None
        self._used = 0  # bytes of the buffer
        self._size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it, or keep what makes no whole block yet."""
        view = memoryview(data)
        self._size += len(view)
        if not self._used and _is_aligned(view):
            self._put(view)
            return len(view)
        if self._buffer is None:
            self._buffer = aligned_buffer(BUFFER)
        left = view
        while left:
            taken = min(len(left), BUFFER - self._used)
            self._buffer[self._used : self._used + taken] = left[:taken]
            self._used += taken
            left = left[taken:]
            if self._used == BUFFER:
                self._put(self._buffer)
                self._used = 0
        return len(view)

    def reserve(self, size: int) -> None:
        """Have blocks for so many more bytes allocated at once.

        Where the file system cannot, or has no room, nothing happens: writing will tell.
        """
        # Not by `os.posix_fallocate`, which writes into every block where it is not supported.
        if ALLOCATE is not None:
            ALLOCATE(self.fileno(), KEEP_SIZE, self._size, size)

    def flush(self) -> None:
        """Write what is left, at the end of the file."""
        if self._buffer is not None and self._used:
            self._leave_direct()  # its length need be no multiple of anything
            self._put(self._buffer[: self._used])
            self._used = 0

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close it, without what `flush` has not written."""
        self._file.close()

    def _put(self, view: memoryview) -> None:
        while view:
            try:
                written = os.write(self.fileno(), view)
            except OSError as exc:
                if exc.errno != errno.EINVAL or not self._direct:
                    raise
                self._leave_direct()  # a file system that wants larger blocks, or has none
                continue
            view = view[written:]

    def _leave_direct(self) -> None:
        if self._direct:
            _set_direct(self.fileno(), False)
            self._direct = False


def _is_aligned(view: memoryview) -> bool:
    if not view or len(view) % BLOCK:
        return False
    return int(np.frombuffer(view, np.uint8).ctypes.data) % BLOCK == 0


def _set_direct(descriptor: int, wanted: bool) -> bool:
    """Have a file written past the cache, or not; tells whether it now is."""
    if sys.platform != "linux":
        return False
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT
    try:
        # Not on opening: a file system that cannot would create the file and then refuse it.
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | (os.O_DIRECT if wanted else 0))
    except OSError:
        return False
    return wanted
