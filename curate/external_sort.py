"""Sorting more rows than fit into memory: sorted runs on the local disk, merged in blocks.

Rows are unsigned integers or structures of them, ordered by their fields from the first to the
last. NumPy compares structures one by one in C callbacks; here a run is ordered by one sort of
plain integers, and only rows that it cannot tell apart are compared field by field.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError, OutputError

MEMORY_BYTES: Final = 256 << 20

FAN_IN: Final = 64
"""Runs merged at once; with more, groups of them become longer runs first. At this number a block
of a run is still a megabyte within MEMORY_BYTES, which a disk reads at full speed."""

LEAST_BYTES: Final = 8 << 20
"""Memory with which few rows are sorted; see `memory_for`."""

SHARE: Final = 4
"""Sorting holds the rows, their keys, their order and the result: a buffer of a quarter of the
memory stays within it, and so do blocks that are merged."""

SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")

Rows = npt.NDArray[Any]


def memory_for(size: int) -> int:
    """Memory to sort so many bytes of rows with: an eighth, within bounds.

    Then there are some 32 runs. Fewer, longer ones would be merged no faster, and rows that fit
    into memory are sorted about as fast in runs, which stay in the processor's cache.
    """
    return min(MEMORY_BYTES, max(LEAST_BYTES, size // 8))


def sort_rows(rows: Rows) -> Rows:
    """Sort rows by all their fields; as np.sort, but not by its comparison of structures.

    Args:
        rows: [n], unsigned integers or a structure of them.

    Returns:
        A sorted copy.
    """
    if rows.dtype.names is None:
        return np.sort(rows)
    order, unsettled = _order(rows[rows.dtype.names[0]])
    out = np.take(rows, order)
    if len(unsettled):
        # They lie where they belong as a group, so that sorting them all sorts every group.
        tied = np.take(out, unsettled)
        out[unsettled] = np.take(tied, np.lexsort([tied[n] for n in reversed(rows.dtype.names)]))
    return out


def _order(key: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """An order by as much of the key as fits beside a position, and what it leaves unsettled.

    A sort of integers is two to three times as fast as one of their positions, so the position
    takes the place of the key's last bits. Random uids of 64 bits almost never tie in the others.
    """
    n = len(key)
    if n < 2:
        return np.arange(n), np.zeros(0, np.int64)
    low = key.min()
    distance = key - low
    bits = int(distance.max()).bit_length()
    room = (n - 1).bit_length()
    lost = max(0, bits + room - 64)
    packed = (distance.astype(np.uint64) >> np.uint64(lost)) << np.uint64(room)
    packed |= np.arange(n, dtype=np.uint64)
    packed.sort()
    order = (packed & np.uint64((1 << room) - 1)).astype(np.int64)
    packed >>= np.uint64(room)
    same = packed[1:] == packed[:-1]
    beside = np.zeros(n, dtype=bool)
    beside[1:] = same
    beside[:-1] |= same
    return order, np.flatnonzero(beside)


@dataclass(frozen=True, slots=True)
class _Run:
    path: Path
    rows: int


class ExternalSorter:
    """Collects rows and gives them back in order; a context manager, whose end frees the disk.

    Args:
        dtype: an unsigned integer, or a structure of unsigned integers.
        memory_bytes: what it may hold at a time, whatever the number of rows.

    Raises:
        NumericsError: another dtype.
    """

    def __init__(self, dtype: npt.DTypeLike, memory_bytes: int = MEMORY_BYTES) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        _check(self.dtype)
        self._capacity = max(1, memory_bytes // SHARE // self.dtype.itemsize)
        self._buffer: list[Rows] = []
        self._buffered = 0
        self._runs: list[_Run] = []
        self._made = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> ExternalSorter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._buffer.clear()
        self._runs.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def add(self, rows: Rows) -> None:
        """Take rows [n] in, in any order.

        Raises:
            NumericsError: they are of another dtype, or not [n].
            OutputError: the temporary folder is full.
        """
        if rows.dtype != self.dtype or rows.ndim != 1:
            raise NumericsError(
                f"rows are {rows.dtype} {rows.shape}; expected {self.dtype} [n], as the sorter"
            )
        while len(rows):
            part, rows = np.split(rows, [self._capacity - self._buffered])
            # A copy: the caller may reuse its memory, and a slice would keep all of it.
            self._buffer.append(part.copy())
            self._buffered += len(part)
            if self._buffered == self._capacity:
                self._runs.append(self._write(iter([self._sorted_buffer()])))

    def merged(self, block_rows: int = 1 << 16) -> Iterator[Rows]:
        """All rows in order, duplicates included, in blocks of at most `block_rows`.

        Raises:
            OutputError: the temporary folder is full.
        """
        if not self._runs:
            block = self._sorted_buffer()
            self._buffer, self._buffered = [block], len(block)
            yield from _slices(block, block_rows)
            return
        if self._buffered:
            self._runs.append(self._write(iter([self._sorted_buffer()])))
        while len(self._runs) > FAN_IN:
            self._merge_round()
        for block in self._merge(self._runs):
            yield from _slices(block, block_rows)

    def _sorted_buffer(self) -> Rows:
        rows = np.concatenate([np.zeros(0, self.dtype), *self._buffer])
        self._buffer.clear()
        self._buffered = 0
        return sort_rows(rows)

    # --- runs --------------------------------------------------------------------------------

    def _write(self, blocks: Iterator[Rows]) -> _Run:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="curate-sort-")
        path = Path(self._folder.name) / f"{self._made}.run"
        self._made += 1
        rows = 0
        try:
            with path.open("wb") as file:
                for block in blocks:
                    # Not `tofile`, which is silent about a full disk where a block is small.
                    file.write(np.ascontiguousarray(block).view(np.uint8).data)
                    rows += len(block)
        except OSError as exc:
            raise OutputError(
                f"{path} could not be written: {exc}; sorting needs as much room as its rows:"
                " point TMPDIR at a larger disk and run again"
            ) from exc
        return _Run(path, rows)

    def _merge_round(self) -> None:
        longer = []
        for first in range(0, len(self._runs), FAN_IN):
            group = self._runs[first : first + FAN_IN]
            longer.append(self._write(self._merge(group)))
            for run in group:
                with suppress(FileNotFoundError):
                    run.path.unlink()
        self._runs = longer

    def _merge(self, runs: Sequence[_Run]) -> Iterator[Rows]:
        """Merge runs: whatever lies up to the smallest of the last loaded rows is complete."""
        share = max(1, self._capacity // len(runs))
        heads = [_Head(run, self.dtype, share) for run in runs]
        while True:
            heads = [head for head in heads if head.load()]
            if not heads:
                return
            unread = [head.block[-1].item() for head in heads if head.has_more]
            if not unread:
                yield sort_rows(np.concatenate([head.block for head in heads]))
                return
            bound = min(unread)
            yield sort_rows(np.concatenate([head.take(bound) for head in heads]))


class _Head:
    """The part of a run that is in memory."""

    def __init__(self, run: _Run, dtype: np.dtype[Any], share: int) -> None:
        self._run, self._dtype, self._share = run, dtype, share
        self._read = 0
        self.block: Rows = np.zeros(0, dtype)
        self._first: Rows = np.zeros(0, dtype)  # the first field of the block, contiguous

    @property
    def has_more(self) -> bool:
        return self._read < self._run.rows

    def load(self) -> bool:
        """Read the next block where the last is used up; tells whether there is anything left."""
        if not len(self.block) and self.has_more:
            count = min(self._share, self._run.rows - self._read)
            offset = self._read * self._dtype.itemsize
            self.block = np.fromfile(self._run.path, self._dtype, count, offset=offset)
            self._read += count
            names = self._dtype.names
            self._first = self.block if names is None else self.block[names[0]].copy()
        return bool(len(self.block))

    def take(self, bound: Any) -> Rows:
        """Cut off the rows up to a bound."""
        key = bound if self._dtype.names is None else bound[0]
        low, high = (self._first.searchsorted(self._first.dtype.type(key), s) for s in SIDES)
        # Structures are compared one by one, in Python, where the first fields are equal alone.
        at = high
        if self._dtype.names is not None and low < high:
            at = bisect_right(range(high), bound, lo=low, key=lambda row: self.block[row].item())
        self._first = self._first[at:]
        part, self.block = self.block[:at], self.block[at:]
        return part


def _slices(rows: Rows, size: int) -> Iterator[Rows]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _check(dtype: np.dtype[Any]) -> None:
    kinds = [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]
    if any(kind.kind != "u" or kind.shape for kind in kinds):
        raise NumericsError(f"rows of {dtype} cannot be sorted; expected unsigned integers")
