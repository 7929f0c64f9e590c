"""Rows of npy files and of members of npz files, a block at a time, without unpickling.

A local array that is stored as it is, an npy or a member of an uncompressed npz, is read at its
offset, and some rows of it by a map; everything else is streamed. Neither is ever held whole.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from curate.embedding_pools.npy_header import Header, read_header
from curate.errors import ShardError
from curate.places import is_local
from curate.shards import Shard, open_shard

Rows = npt.NDArray[np.floating[Any]]

NPY_SUFFIX: Final = ".npy"

_LOCAL_HEADER: Final = 30
"""Bytes of a zip member's own header before its name (PKWARE's APPNOTE 4.3.7)."""
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_ENCRYPTED: Final = 0x1

_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
    RuntimeError, SyntaxError, LookupError, TypeError, OverflowError,
)  # fmt: skip
"""What reading damaged zips and headers raises; drivers of stores raise OSErrors."""


class MissingArrayError(ShardError):
    """An npz lacks the array that was asked for."""


class Array(ABC):
    """An opened array: rows in order, once."""

    def __init__(self, name: str, header: Header) -> None:
        self.name = name
        self.header = header
        self._position = 0

    def read(self, count: int) -> Rows:
        """The next `count` rows, at least one, in the byte order of this machine.

        Raises:
            ShardError: there are fewer, or they are damaged; the message names the array.
        """
        left = self.header.rows - self._position
        if count > left:
            raise ShardError(f"{self.name}: {count} more rows wanted, {left} are left")
        first, self._position = self._position, self._position + count
        try:
            rows = self._rows(first, count)
        except _DAMAGE as exc:
            raise ShardError(
                f"{self.name}: rows {first} to {first + count} cannot be read ({exc!r}); download"
                " the file again"
            ) from exc
        return rows.astype(self.header.dtype.newbyteorder("="), copy=False)

    def take(self, positions: npt.NDArray[np.int64], block: int) -> Rows:
        """Some rows, by ascending position, before anything else was read; reads in blocks.

        Raises:
            ShardError: as `read`.
        """
        found = [np.zeros((0, self.header.width), self.header.dtype.newbyteorder("="))]
        for first in range(0, self.header.rows, block):
            count = min(block, self.header.rows - first)
            low, high = np.searchsorted(positions, (first, first + count))
            if low == len(positions):
                break
            rows = self.read(count)
            found.append(rows[positions[low:high] - first])
        return np.concatenate(found)

    @abstractmethod
    def _rows(self, first: int, count: int) -> Rows:
        """Rows from one on, as they are stored."""


class Mapped(Array):
    """An array in a local file, read in place.

    Args:
        checksum: CRC-32 of header and data, checked when the last row is read; None for an npy.
    """

    def __init__(self, name: str, path: Path, start: int, checksum: int | None) -> None:
        with path.open("rb") as file:
            file.seek(start)
            head = _Offset(file, start)
            header = read_header(cast("BinaryIO", head))
            size = path.stat().st_size
            if start + header.bytes > size:
                raise ValueError(f"the file has {size} bytes, {start + header.bytes} are needed")
            file.seek(start)
            self._crc = zlib.crc32(file.read(header.offset))
        super().__init__(name, header)
        self._checksum = checksum
        self._path, self._start = path, start + header.offset

    def take(self, positions: npt.NDArray[np.int64], block: int) -> Rows:
        """Some rows, by ascending position; only their pages are read, and nothing is summed."""
        dtype = self.header.dtype.newbyteorder("=")
        if not len(positions):
            return np.zeros((0, self.header.width), dtype)
        shape = (self.header.rows, self.header.width)
        mapped = np.memmap(self._path, self.header.dtype, "r", self._start, shape)
        return np.array(mapped[positions], dtype)

    def _rows(self, first: int, count: int) -> Rows:
        # Read, not mapped: a map costs a fault for every few pages, and the rows a copy.
        offset = self._start + first * self.header.row_bytes
        shape = (count, self.header.width)
        rows = np.fromfile(self._path, self.header.dtype, math.prod(shape), offset=offset)
        rows = rows.reshape(shape)
        if self._checksum is not None:
            self._crc = zlib.crc32(rows.view(np.uint8).data, self._crc)
            if first + count == self.header.rows and self._crc != self._checksum:
                raise zipfile.BadZipFile("the checksum of the data is wrong")
        return rows


class _Offset:
    """A file whose positions count from the beginning of a member."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        self.read = file.read

    def tell(self) -> int:
        return self._file.tell() - self._start


class Streamed(Array):
    """An array in a stream, read forward."""

    def __init__(self, name: str, stream: BinaryIO, size: int | None) -> None:
        header = read_header(stream)
        if size is not None and size < header.bytes:
            raise ValueError(f"the file has {size} bytes, {header.bytes} are needed")
        super().__init__(name, header)
        self._stream = stream

    def _rows(self, first: int, count: int) -> Rows:
        wanted = count * self.header.row_bytes
        data = bytearray()
        while len(data) < wanted:
            chunk = self._stream.read(wanted - len(data))
            if not chunk:
                raise EOFError(f"the data ends {wanted - len(data)} bytes too early")
            data += chunk
        if first + count == self.header.rows and self._stream.read(1):
            raise ValueError("there is more data than the header tells of")  # and checks the CRC
        return np.frombuffer(data, self.header.dtype).reshape(count, self.header.width)


# --- opening ----------------------------------------------------------------------------------


@contextmanager
def open_npy(url: str) -> Iterator[tuple[Array, dict[str, Any]]]:
    """Open an npy file; yields its rows, and what tells it from another file.

    Raises:
        ShardError: it is missing, damaged, or no [n, d] of floats; the message names the file.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(_opened(url))
        try:
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            array = (
                Mapped(url, Path(url), 0, None) if is_local(url) else Streamed(url, stream, size)
            )
            stream.seek(0)
            head = stream.read(array.header.offset).hex()
            stream.seek(array.header.offset)
        except _DAMAGE as exc:
            raise ShardError(f"{url}: cannot be read as npy: {exc}; {_AGAIN}") from exc
        yield array, {"name": url.rpartition("/")[2], "size": size, "header": head}


@contextmanager
def open_npz(url: str, keys: tuple[str, ...]) -> Iterator[tuple[tuple[Array, ...], dict[str, Any]]]:
    """Open arrays of an npz file; yields their rows, and what tells the file from another one.

    Raises:
        MissingArrayError: a key is not there; the message lists those that are.
        ShardError: the file is missing or damaged, or an array no [n, d] of floats.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(_opened(url))
        try:
            archive = stack.enter_context(zipfile.ZipFile(stream))
            size = stream.seek(0, io.SEEK_END)
        except _DAMAGE as exc:
            raise ShardError(f"{url}: cannot be read as npz: {exc}; {_AGAIN}") from exc
        members = {info.filename.removesuffix(NPY_SUFFIX): info for info in archive.infolist()}
        for key in keys:
            if key not in members:
                raise MissingArrayError(
                    f"{url}: holds no array {key!r}, but {', '.join(sorted(members)) or 'none'};"
                    " name the arrays of image and text in input.embedding_keys"
                )
        arrays = tuple(_member(stack, url, members[key]) for key in keys)
        directory = [[i.filename, i.file_size, i.CRC] for i in archive.infolist()]
        yield arrays, {"name": url.rpartition("/")[2], "size": size, "members": directory}


def npz_keys(url: str) -> tuple[str, ...]:
    """The names of the arrays of an npz file, sorted. Raises ShardError."""
    with _opened(url) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                names = archive.namelist()
        except _DAMAGE as exc:
            raise ShardError(f"{url}: cannot be read as npz: {exc}; {_AGAIN}") from exc
    return tuple(sorted(name.removesuffix(NPY_SUFFIX) for name in names))


_AGAIN: Final = "download or write the file again"


def _opened(url: str) -> BinaryIO:
    return open_shard(Shard(url, url, None))


def _member(stack: ExitStack, url: str, info: zipfile.ZipInfo) -> Array:
    name = f"{url}[{info.filename.removesuffix(NPY_SUFFIX)}]"
    try:
        if is_local(url) and info.compress_type == zipfile.ZIP_STORED and _is_plain(info):
            return Mapped(name, Path(url), _data_offset(url, info), info.CRC)
        # A file of its own each: image and text are read in turns, and a cache holds one place.
        archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(_opened(url))))
        stream = cast("BinaryIO", stack.enter_context(archive.open(info)))
        return Streamed(name, stream, info.file_size)
    except _DAMAGE as exc:
        raise ShardError(f"{name}: cannot be read: {exc}; {_AGAIN}") from exc


def _is_plain(info: zipfile.ZipInfo) -> bool:
    return not info.flag_bits & _ENCRYPTED and info.compress_size == info.file_size


def _data_offset(url: str, info: zipfile.ZipInfo) -> int:
    """Where the data of a stored member begins: its own header may be longer than the listed."""
    with Path(url).open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(_LOCAL_MAGIC):
        raise zipfile.BadZipFile("the header of the member is damaged")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + lengths
