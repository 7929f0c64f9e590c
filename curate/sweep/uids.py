"""uids.npy of many subsets at once: every kept uid is sorted once, with the subsets it is in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.external_sort import ExternalSorter, memory_for
from curate.numerics.cells import Grid
from curate.numerics.keys import UID, BoolArray, UidArray
from curate.outputs import Store
from curate.score_scan import Block, ScoreScan, cells_of
from curate.uids_file import write_uids

WORD: Final = 64
"""Subsets whose membership one integer holds."""

BLOCK_ROWS: Final = 1 << 20

Records = npt.NDArray[Any]


def write_swept_uids(
    store: Store,
    paths: Sequence[str],
    scan: ScoreScan,
    grid: Grid,
    codes: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
    kept: Sequence[BoolArray],
) -> None:
    """Write the uids of some subsets, each sorted and without repetitions.

    Args:
        store: the run directory.
        paths: relative, of each subset's uids.npy.
        scan: over the columns of the rules.
        grid: the cells.
        codes: int64 [m], the cells that are not empty, ascending.
        numbers: int64 [m], rows in each.
        kept: for each subset, which of these it keeps, bool [m].
    """
    if not paths:
        return
    if len(paths) == 1:
        size = int(numbers[kept[0]].sum()) * UID.itemsize
        _write_one(store, paths[0], scan, grid, codes, kept[0], memory_for(size))
        return
    words = _words(kept, len(codes))
    dtype = np.dtype([*UID.descr, *((f"w{i}", "<u8") for i in range(len(words)))])
    anywhere = np.logical_or.reduce(kept)
    memory_bytes = memory_for(int(numbers[anywhere].sum()) * dtype.itemsize)
    with (
        ExternalSorter(dtype, memory_bytes) as sorter,
        tempfile.TemporaryDirectory(prefix="curate-") as folder,
    ):
        for block in scan.blocks():
            sorter.add(_records(block, grid, codes, words, dtype))
        spool = Path(folder) / "kept"
        with spool.open("wb") as file:
            for records in sorter.merged():
                file.write(np.ascontiguousarray(records).data.cast("B"))
        # One merge for all of them; each then reads the result from front to back.
        merged = np.memmap(spool, dtype, "r") if spool.stat().st_size else np.zeros(0, dtype)
        for number, path in enumerate(paths):
            write_uids(store, path, _members(merged, number))


def _write_one(
    store: Store,
    path: str,
    scan: ScoreScan,
    grid: Grid,
    codes: npt.NDArray[np.int64],
    kept: BoolArray,
    memory_bytes: int,
) -> None:
    """As `write_swept_uids`, without the memberships that tell subsets apart."""
    with ExternalSorter(UID, memory_bytes) as sorter:
        for block in scan.blocks():
            rows, cells = cells_of(block, grid)
            sorter.add(block.uids(rows[kept[np.searchsorted(codes, cells)]]))
        write_uids(store, path, sorter.merged())


def _words(kept: Sequence[BoolArray], cells: int) -> list[npt.NDArray[np.uint64]]:
    """Membership of each cell, 64 subsets to an integer."""
    words = [np.zeros(cells, dtype=np.uint64) for _ in range(-(-len(kept) // WORD))]
    for number, members in enumerate(kept):
        words[number // WORD] |= members.astype(np.uint64) << np.uint64(number % WORD)
    return words


def _records(
    block: Block,
    grid: Grid,
    codes: npt.NDArray[np.int64],
    words: Sequence[npt.NDArray[np.uint64]],
    dtype: np.dtype[Any],
) -> Records:
    """Uids and memberships of the rows of a block that some subset keeps."""
    rows, cells = cells_of(block, grid)
    at = np.searchsorted(codes, cells)
    anywhere = np.zeros(len(codes), dtype=np.bool_)
    for word in words:
        anywhere |= word != 0
    held = np.flatnonzero(anywhere[at])
    records = np.empty(len(held), dtype=dtype)
    uids = block.uids(rows[held])
    for name in UID.names or ():
        records[name] = uids[name]
    for number, word in enumerate(words):
        records[f"w{number}"] = word[at[held]]
    return records


def _members(merged: Records, number: int) -> Iterator[UidArray]:
    bit = np.uint64(number % WORD)
    for start in range(0, len(merged), BLOCK_ROWS):
        records = merged[start : start + BLOCK_ROWS]
        member = (records[f"w{number // WORD}"] >> bit) & np.uint64(1) != 0
        uids = np.empty(int(member.sum()), dtype=UID)
        for name in UID.names or ():
            uids[name] = records[name][member]
        yield uids
