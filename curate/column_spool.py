"""Columns of consecutive rows, kept on the local disk between two passes over them.

Memory stays that of one block, whatever the number of rows; the operating system keeps as much of
the file in memory as it has to spare.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import OutputError

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


class ColumnSpool:
    """Blocks of columns, written once and read as often as wanted.

    Args:
        limit: bytes of disk that it may take.
    """

    def __init__(self, limit: int) -> None:
        self._file = tempfile.TemporaryFile(prefix="curate-columns-")  # noqa: SIM115 - closed below
        weakref.finalize(self, self._file.close)
        self._limit = limit
        self._end = 0
        self._blocks: list[tuple[Numbers, Numbers, int, tuple[np.dtype[Any], ...]]] = []

    def add(self, shards: Numbers, starts: Numbers, columns: Sequence[Array]) -> bool:
        """Take a block.

        Args:
            shards: int64 [k], the shards that the rows are of.
            starts: int64 [k + 1], first row of each, and n.
            columns: [n] each.

        Returns:
            Whether there was room for it; without, the spool is of no more use.
        """
        size = sum(column.nbytes for column in columns)
        if self._end + size > self._limit:
            return False
        begin = self._end
        try:
            self._file.seek(begin)
            for column in columns:
                self._file.write(column.tobytes())
            self._file.flush()
        except OSError:
            return False  # the disk is full: it only saves time, so its rows are read again
        self._end += size
        dtypes = tuple(column.dtype for column in columns)
        self._blocks.append((shards, starts, begin, dtypes))
        return True

    def read(
        self, wanted: Sequence[int] | None = None
    ) -> Iterator[tuple[Numbers, Numbers, list[Array]]]:
        """The blocks in order; with `wanted`, those that hold rows of one of these shards."""
        for shards, starts, begin, dtypes in self._blocks:
            if wanted is not None and not np.isin(shards, list(wanted)).any():
                continue
            self._file.seek(begin)  # each time: another pass may be under way
            rows = int(starts[-1])
            columns = [np.empty(rows, kind) for kind in dtypes]
            for column in columns:
                if self._file.readinto(column.data) != column.nbytes:
                    raise OutputError(
                        "a temporary file of score columns is shorter than it was written; point"
                        " TMPDIR at a sound disk and run again"
                    )
            yield shards, starts, columns
