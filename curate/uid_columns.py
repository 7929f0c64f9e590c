"""Uids out of Arrow columns, without a Python string per row."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import NumericsError
from curate.numerics.keys import UID, UidArray, parse_uids

DIGITS: Final = 32
"""Hexadecimal digits of a uid."""

BATCH: Final = 1 << 14
"""Uids converted at once: what is in between stays in the processor's cache."""

_NOT_HEX: Final = 256


def _pairs_table() -> npt.NDArray[np.uint16]:
    """Two characters, as a little-endian integer, to the octet that they spell."""
    digits = np.full(256, _NOT_HEX, dtype=np.uint16)
    for value, digit in enumerate("0123456789abcdef"):
        digits[ord(digit)] = digits[ord(digit.upper())] = value
    first, second = digits[None, :], digits[:, None]  # [second, first]: the first one is low
    spelt = np.where((first < _NOT_HEX) & (second < _NOT_HEX), first << 4 | second, _NOT_HEX)
    return spelt.astype(np.uint16).reshape(-1)


_PAIRS: Final = _pairs_table()


def uids_of(column: pa.ChunkedArray | pa.Array) -> UidArray:
    """Read a column of uids of 32 hexadecimal digits, either case, as `parse_uids` does.

    Args:
        column: [n] of any Arrow string type, or a dictionary of one.

    Returns:
        UID [n].

    Raises:
        NumericsError: an entry is null or no string of 32 hexadecimal digits; names the first one.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    out = np.empty(sum(map(len, chunks)), dtype=UID)
    row = 0
    for chunk in chunks:
        found = _read(chunk)
        if found is None:
            raise _first_bad(chunk, row)
        out[row : row + len(chunk)] = found
        row += len(chunk)
    return out


def _read(array: pa.Array) -> UidArray | None:
    """The uids of one array; None if any is none."""
    if not len(array):
        return np.zeros(0, UID)
    if array.null_count:
        return None
    if pa.types.is_dictionary(array.type):
        # Entries that no row uses may be anything.
        used = pc.unique(array.indices)
        entries = _read(_readable(array.dictionary).take(used))
        at = pc.index_in(array.indices, used).to_numpy(zero_copy_only=False)
        return None if entries is None else np.take(entries, at)
    if pa.types.is_string(array.type):
        offsets: npt.DTypeLike = np.int32
    elif pa.types.is_large_string(array.type):
        offsets = np.int64
    elif pa.types.is_string_view(array.type):
        return _read(_readable(array))
    else:
        return None
    data = _characters(array, offsets)
    return None if data is None else _parse(data)


def _readable(strings: pa.Array) -> pa.Array:
    views = pa.types.is_string_view(strings.type)
    return strings.cast(pa.large_string()) if views else strings


def _characters(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[np.uint8] | None:
    """The bytes [32 n] of n strings without nulls, if each has 32."""
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype)[array.offset : array.offset + len(array) + 1]
    if (np.diff(bounds) != DIGITS).any():
        return None
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]


def _parse(characters: npt.NDArray[np.uint8]) -> UidArray | None:
    n = len(characters) // DIGITS
    out = np.empty(n, dtype=UID)
    words = out.view("<u8").reshape(n, 2)
    pairs = np.ascontiguousarray(characters).view("<u2")
    per_uid = DIGITS // 2
    for first in range(0, n, BATCH):
        last = min(n, first + BATCH)
        octets = np.take(_PAIRS, pairs[per_uid * first : per_uid * last])
        if octets.max() >= _NOT_HEX:
            return None
        words[first:last] = octets.astype(np.uint8).view(">u8").reshape(-1, 2)
    return out


def _first_bad(array: pa.Array, row: int) -> NumericsError:
    items: list[Any] = array.to_pylist()
    for at, item in enumerate(items):
        try:
            parse_uids([item])
        except NumericsError:
            return NumericsError(
                f"uid {item!r} at row {row + at}: expected {DIGITS} hexadecimal digits"
            )
    return NumericsError(f"uids are {array.type} from row {row} on; expected strings")
