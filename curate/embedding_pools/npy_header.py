"""What an npy file says of itself, read without unpickling and refused unless it is embeddings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.lib import format as npy

_READERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Version 3.0 differs from 2.0 in names of fields alone, which an embedding has none of."""

WIDTH_LIMIT: Final = 16_384
"""Columns; embeddings have some thousands at most. Arrays are read thousands of rows at a time, of
which a compressed npz may hold gigabytes in a few megabytes."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
"""Of objects of Python's parser, in its errors: equal runs write equal bytes."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an npy says of itself.

    Attributes:
        rows, width: its shape.
        dtype: float16, float32 or float64, of either byte order.
        offset: bytes before the data.
    """

    rows: int
    width: int
    dtype: np.dtype[Any]
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.dtype.itemsize

    @property
    def bytes(self) -> int:
        """Bytes of header and data together."""
        return self.offset + self.rows * self.row_bytes


def read_header(stream: BinaryIO) -> Header:
    """Read the header of an npy, up to the data.

    Raises:
        ValueError: it is none, or not a two-dimensional, C-ordered array of floats.
    """
    version = npy.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"npy version {version} is not known")
    try:
        shape, fortran, dtype = _READERS[version](stream)
    except Exception as exc:  # of Python's own parsers and tokenizer, which read it
        told = _ADDRESS.sub("", f"{type(exc).__name__}: {exc}")[:200]
        raise ValueError(f"its header is damaged ({told})") from exc
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not unpickled; save it as float16")
    if dtype.kind != "f" or dtype.itemsize > np.dtype(np.float64).itemsize:
        raise ValueError(f"it is {dtype}; expected float16, float32 or float64")
    if len(shape) != 2:
        raise ValueError(f"its shape is {shape}; expected one row per pair, [n, d]")
    if shape[1] < 1:
        raise ValueError(f"its shape is {shape}; expected at least one column")
    if shape[1] > WIDTH_LIMIT:
        raise ValueError(f"its shape is {shape}; embeddings have at most {WIDTH_LIMIT} columns")
    if fortran:
        raise ValueError("it is in Fortran order; save np.ascontiguousarray of it")
    return Header(int(shape[0]), int(shape[1]), dtype, stream.tell())
