"""Byte ranges of tars, read in order and written on, in as few requests and calls as it takes.

On a disk, ranges are put together in one buffer that stays in the processor's cache, and written a
buffer at a time. With ranges of the size of a sample that takes less time than `copy_file_range`
or `sendfile`, whose many unaligned pieces the page cache pays for, and an error tells by itself
whether it was the input's or the output's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from curate.direct_file import BUFFER, aligned_buffer
from curate.errors import ShardError
from curate.shards import read_range
from curate.tar_headers import BLOCK, parse_header

REQUEST: Final = 8 << 20
"""Bytes asked of an object store at once: latency is amortised, memory stays small."""

GAP: Final = 4 << 20
"""Bytes between two ranges that are read and thrown away, to save a request: S3 takes 100 ms to
begin an answer, and brings 80 MB within a second."""

AHEAD: Final = 4 << 20
"""Bytes of ranges that a disk is told of before they are read, so that it reads several at once:
2.5 times as fast where nothing is cached."""

HEADS: Final = 4096
"""Headers checked at once: 2 MiB of them."""

Range = tuple[int, int]
"""Offset and size, in bytes."""

Write = Callable[[memoryview], Any]

_WEIGHTS: Final = 8 ** np.arange(5, -1, -1)


def merge_ranges(ranges: Iterable[Range]) -> Iterator[Range]:
    """Join (offset, size) ranges, in order, where one begins at the end of the one before it."""
    start, size = 0, 0
    for offset, length in ranges:
        if size and offset == start + size:
            size += length
            continue
        if size:
            yield start, size
        start, size = offset, length
    if size:
        yield start, size


def requests(
    ranges: Iterable[Range], gap: int = GAP, most: int = REQUEST
) -> Iterator[tuple[Range, list[Range]]]:
    """What to ask of a store for some ranges, and which parts of each answer are wanted.

    Args:
        ranges: in the order in which they are wanted.
        gap: bytes between two of them that are read as well, rather than asked twice.
        most: bytes of a request.
    """
    start, end, parts = 0, 0, list[Range]()
    for offset, size in ranges:
        for at in range(offset, offset + size, most):
            length = min(most, offset + size - at)
            if parts and 0 <= at - end <= gap and at + length - start <= most:
                parts.append((at, length))
            else:
                if parts:
                    yield (start, end - start), parts
                start, parts = at, [(at, length)]
            end = at + length
    if parts:
        yield (start, end - start), parts


def copy_ranges(source: BinaryIO, ranges: Sequence[Range], write: Write, remedy: str) -> None:
    """Write ranges of a tar on, in order; each must begin with a header.

    Args:
        source: the tar.
        ranges: merged.
        write: takes bytes that it must have done with when it returns.
        remedy: what to do if a range does not begin with a header.

    Raises:
        ShardError: the tar ends before a range does, cannot be read, or has no header where one
            was. The caller names it.
    """
    heads = _Heads(remedy)
    descriptor = _descriptor(source)
    if descriptor is None:
        _copy_asked(source, ranges, write, heads)
    else:
        _copy_local(descriptor, ranges, write, heads)
    heads.check()


def _descriptor(source: BinaryIO) -> int | None:
    try:
        return source.fileno() if hasattr(os, "preadv") else None
    except OSError:  # not a file of the operating system
        return None


class _Disk:
    """Reads ranges of a local file, several at once where they are not cached."""

    def __init__(self, descriptor: int, ranges: Sequence[Range]) -> None:
        self._descriptor = descriptor
        self._ranges = ranges
        self._told = 0  # ranges that the operating system knows of
        self._ahead = 0  # bytes of them, since the beginning
        self._passed = 0  # bytes of ranges that were begun
        self._asks = hasattr(os, "RWF_NOWAIT")
        self._tells = hasattr(os, "posix_fadvise")

    def __iter__(self) -> Iterator[Range]:
        for offset, size in self._ranges:
            self._passed += size
            yield offset, size

    def read(self, into: memoryview, at: int) -> int:
        """Fill a buffer, or the beginning of it; returns 0 at the end of the file. Raises OSError.

        What is cached costs one call. Where something is not, what follows is asked for as well.
        """
        if self._asks:
            try:
                if read := os.preadv(self._descriptor, [into], at, os.RWF_NOWAIT):
                    return read
            except BlockingIOError:  # not cached
                pass
            except OSError:  # a file system that cannot say
                self._asks = False
        if self._tells:
            self._tell()
        return os.preadv(self._descriptor, [into], at)

    def _tell(self) -> None:
        while self._told < len(self._ranges) and self._ahead < self._passed + AHEAD:
            start, length = self._ranges[self._told]
            # Of a long one the rest is read ahead anyway.
            os.posix_fadvise(self._descriptor, start, min(length, AHEAD), os.POSIX_FADV_WILLNEED)
            self._ahead += length
            self._told += 1


def _copy_local(descriptor: int, ranges: Sequence[Range], write: Write, heads: _Heads) -> None:
    buffer, used, disk = aligned_buffer(BUFFER), 0, _Disk(descriptor, ranges)
    for offset, size in disk:
        if BUFFER - used < BLOCK:  # a header lies in one piece
            write(buffer[:used])
            used = 0
        begin, at, end, checked = used, offset, offset + size, False
        while at < end:
            try:
                read = disk.read(buffer[used : used + end - at], at)
            except OSError as exc:
                raise ShardError(f"reading at byte {at} failed: {exc!r}; run again") from exc
            if read == 0:
                raise ShardError(
                    f"short read: {at - offset} of {size} bytes at {offset}; the shard changed"
                    " since it was scored: score it again"
                )
            at += read
            used += read
            if not checked and (used - begin >= BLOCK or at == end):
                heads.add(offset, buffer[begin:used])
                checked = True
            if used == BUFFER:
                write(buffer)
                used = 0
    if used:
        write(buffer[:used])


def _copy_asked(source: BinaryIO, ranges: Sequence[Range], write: Write, heads: _Heads) -> None:
    begins = {offset for offset, _ in ranges}
    for (start, size), parts in requests(ranges):
        data = memoryview(read_range(source, start, size))
        for offset, length in parts:
            part = data[offset - start : offset - start + length]
            if offset in begins:
                heads.add(offset, part)
            write(part)


# --- headers ------------------------------------------------------------------------------------


class _Heads:
    """The blocks at which ranges begin, checked many at a time."""

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._offsets: list[int] = []
        self._blocks: list[bytes] = []

    def add(self, offset: int, data: memoryview) -> None:
        """Look at the beginning of a range, sooner or later. Raises ShardError."""
        self._offsets.append(offset)
        self._blocks.append(bytes(data[:BLOCK]).ljust(BLOCK, b"\0"))
        if len(self._blocks) == HEADS:
            self.check()

    def check(self) -> None:
        """Refuse the first block that is no header. Raises ShardError."""
        blocks = np.frombuffer(b"".join(self._blocks), np.uint8).reshape(-1, BLOCK)
        for at in np.flatnonzero(~usual_headers(blocks)):
            if parse_header(self._blocks[at]) is None:
                raise ShardError(
                    f"no tar header at byte {self._offsets[at]}, where one was when it was read;"
                    f" {self._remedy}"
                )
        self._offsets.clear()
        self._blocks.clear()


def usual_headers(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which blocks (uint8 [n, 512]) are headers as all common writers make them.

    `parse_header` accepts each of these, and some more: it decides on the others.
    """
    checksum, size = blocks[:, 148:156], blocks[:, 124:136]
    digits = checksum[:, :6].astype(np.int64) - ord("0")
    expected = blocks.sum(axis=1, dtype=np.uint32) - checksum.sum(axis=1, dtype=np.uint32)
    sound = ((digits >= 0) & (digits < 8)).all(axis=1) & (checksum[:, 6] == 0)
    sound &= digits @ _WEIGHTS == expected + 8 * ord(" ")
    sound &= ((size[:, :11] >= ord("0")) & (size[:, :11] < ord("8"))).all(axis=1)
    usual: npt.NDArray[np.bool_] = sound & ((size[:, 11] == 0) | (size[:, 11] == ord(" ")))
    return usual
