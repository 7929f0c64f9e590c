"""uids.npy, a subset as DataComp reads it: 1-d, dtype u8,u8, sorted, without duplicates."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from curate.errors import NumericsError, OutputError
from curate.numerics.keys import UID, UidArray, as_uids, format_uids
from curate.outputs import Store

COPY_BYTES: Final = 1 << 20


def write_uids(store: Store, relative: str, sorted_blocks: Iterable[UidArray]) -> int:
    """Stream uids into a file whose bytes are those that np.save gives for all of them.

    Args:
        store, relative: where to.
        sorted_blocks: UID [n] each, ascending over all blocks; equal neighbours become one.

    Returns:
        How many uids were written.

    Raises:
        NumericsError: another dtype, or not ascending.
        OutputError: the disk is full; nothing is left behind.
    """
    # The number of uids stands in front of them and is known behind them.
    with tempfile.TemporaryFile(prefix="curate-uids-") as spool:
        count = 0
        for block in _distinct(sorted_blocks):
            _spool(spool, block)
            count += len(block)
        spool.seek(0)
        with store.create(relative) as sink:
            sink.write(npy_header(count))
            while data := spool.read(COPY_BYTES):
                sink.write(data)
    return count


def read_uids(store: Store, relative: str, remedy: str = "run `curate select` again") -> UidArray:
    """Read uids, memory-mapped where the store is a local folder; their order is not checked.

    Args:
        store, relative: where they are.
        remedy: what an error advises.

    Returns:
        UID [n], read-only.

    Raises:
        OutputError: missing, damaged, or not UID [n].
    """
    path = store.path(relative)
    try:
        if store.is_local:
            uids = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            uids = np.load(io.BytesIO(store.read_bytes(relative)), allow_pickle=False)
            uids.flags.writeable = False
    except FileNotFoundError as exc:
        raise OutputError(f"{path} is missing; {remedy}") from exc
    except (ValueError, EOFError, OSError, AttributeError) as exc:  # of archives: no array at all
        raise OutputError(f"{path} holds no uids ({exc}); {remedy}") from exc
    if uids.dtype != UID or uids.ndim != 1:
        raise OutputError(f"{path} is {uids.dtype} [{uids.ndim}-d], expected {UID} [1-d]; {remedy}")
    return np.asarray(uids)


def contains(uids: UidArray, wanted: UidArray) -> npt.NDArray[np.bool_]:
    """Which uids are among others.

    Bisects for all of them at once, a step of each at a time: np.searchsorted compares structures
    in callbacks and takes ten times as long, and a field of its own would have to be copied.

    Args:
        uids: UID [n], ascending, memory-mapped or not.
        wanted: UID [m], in any order.

    Returns:
        bool [m].
    """
    low = np.zeros(len(wanted), np.int64)
    if not len(uids):
        return low.astype(bool)
    high = np.full(len(wanted), len(uids), np.int64)
    f0, f1 = np.ascontiguousarray(wanted["f0"]), np.ascontiguousarray(wanted["f1"])
    while (low < high).any():
        middle = (low + high) >> 1
        rows = np.take(uids, np.minimum(middle, len(uids) - 1))
        below = (rows["f0"] < f0) | ((rows["f0"] == f0) & (rows["f1"] < f1))
        open_ = low < high
        low, high = (
            np.where(open_ & below, middle + 1, low),
            np.where(open_ & ~below, middle, high),
        )
    rows = np.take(uids, np.minimum(low, len(uids) - 1))
    return np.asarray((low < len(uids)) & (rows["f0"] == f0) & (rows["f1"] == f1))


def npy_header(count: int) -> bytes:
    """What stands in front of so many uids in a file of np.save."""
    header = io.BytesIO()
    fields: dict[str, Any] = {
        "descr": npy.dtype_to_descr(UID),
        "fortran_order": False,
        "shape": (count,),
    }
    npy.write_array_header_1_0(header, fields)
    return header.getvalue()


def _distinct(blocks: Iterable[UidArray]) -> Iterator[UidArray]:
    last: UidArray | None = None
    for block in blocks:
        if not len(block):
            continue
        rows = as_uids(block) if last is None else np.concatenate([last, as_uids(block)])
        f0, f1 = rows["f0"], rows["f1"]
        same = f0[1:] == f0[:-1]
        falls = (f0[1:] < f0[:-1]) | (same & (f1[1:] < f1[:-1]))
        if falls.any():
            at = int(falls.argmax())
            one, two = format_uids(rows[at : at + 2])
            raise NumericsError(f"uid {two} follows {one}; expected them in ascending order")
        fresh = np.full(len(rows), last is None)
        fresh[1:] = ~(same & (f1[1:] == f1[:-1]))
        yield np.take(rows, np.flatnonzero(fresh))
        last = rows[-1:].copy()  # a slice would keep the whole block


def _spool(file: BinaryIO, block: UidArray) -> None:
    try:
        file.write(block.tobytes())
    except OSError as exc:
        raise OutputError(
            f"a temporary file for uids could not be written: {exc}; point TMPDIR at a larger disk"
            " and run again"
        ) from exc
