"""The blocks that tell a tar's members apart: pure functions from bytes to fields.

Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (PAX), GNU tar, and the seventh edition's.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from curate.errors import ShardError

BLOCK: Final = 512
"""Bytes; every tar header and every member's data starts on a multiple of it."""

SIZE_LIMIT: Final = 1 << 60
"""Bytes; a header that claims more is damaged."""


_COMPRESSIONS: Final = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\x00", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
    (b"PK\x03\x04", "zip", "unzip"),
)


class Header(NamedTuple):
    """The three fields of a header block that matter here."""

    kind: bytes
    name: bytes
    size: int


def parse_header(block: bytes) -> Header | None:
    """Read one header block of 512 bytes; None if its checksum or its size field is wrong."""
    stored = _octal(block[148:156])
    if stored is None or (stored != _checksum(block) and stored != _signed_checksum(block)):
        return None
    size = _size_field(block[124:136])
    if size is None:
        return None
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return Header(block[156:157], name, size)


def _checksum(block: bytes) -> int:
    """Sum of the bytes, the checksum field counted as spaces.

    Adler-32's low half is 1 + sum modulo 65,521. Half a block sums to 65,280 at most, so it is
    exact, and fifteen times as fast as `sum`.
    """
    first, second = zlib.adler32(block[:256]), zlib.adler32(block[256:])
    return (first & 0xFFFF) + (second & 0xFFFF) - 2 - sum(block[148:156]) + 8 * 0x20


def _signed_checksum(block: bytes) -> int:
    """The same with signed bytes, as some old writers counted."""
    field = block[:148] + b" " * 8 + block[156:]
    return sum(byte - 256 if byte > 127 else byte for byte in field)


def _octal(field: bytes) -> int | None:
    """An octal number, padded with spaces or NULs; None if empty or malformed."""
    digits = field.partition(b"\0")[0].strip(b" ")
    # int() alone would let through signs, underscores and the 0o prefix.
    if not digits.isdigit():
        return None
    try:
        return int(digits, 8)
    except ValueError:  # an 8 or a 9
        return None


def _size_field(field: bytes) -> int | None:
    """Bytes of data: octal, or base 256 with the first bit set. None if negative or absurd."""
    if field[0] & 0x80:
        if field[0] != 0x80:  # 0xFF starts a negative number; anything else has over 88 bits
            return None
        size = int.from_bytes(field[1:], "big")
        return size if size <= SIZE_LIMIT else None
    if not field.strip(b" \0"):
        return 0
    return _octal(field)


def parse_pax(payload: bytes) -> dict[bytes, bytes] | None:
    r"""Read the records `LENGTH KEY=VALUE\n` of a PAX header; None if any is malformed."""
    records: dict[bytes, bytes] = {}
    start, size = 0, len(payload.rstrip(b"\0"))
    while start < size:
        # By position and within ten bytes: cutting the rest off a large payload at every record
        # would take quadratic time.
        space = payload.find(b" ", start, start + 10)
        digits = payload[start:space]
        if space < 0 or not digits.isdigit():
            return None
        end = start + int(digits)
        key, equals, value = payload[space + 1 : end].partition(b"=")
        if end <= space or end > size or not equals or not value.endswith(b"\n"):
            return None
        records[key] = value[:-1]
        start = end
    return records


class Extension:
    """What PAX and GNU headers say of the member that follows them.

    Attributes:
        offset: byte where the first of these headers starts.
        name: the long name, if any.
        size: bytes of data, if they say.
        broken: a header was malformed, so name and size of the member are unknown.
    """

    __slots__ = ("broken", "name", "offset", "size")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.name: bytes | None = None
        self.size: int | None = None
        self.broken = False

    def add(self, kind: bytes, payload: bytes) -> None:
        """Take in the payload of a header of type `L`, `K`, `x` or `X`."""
        if kind == b"L":
            self.name = payload.partition(b"\0")[0]
        elif kind in b"xX":
            records = parse_pax(payload)
            if records is None:
                self.broken = True
                return
            self.name = records.get(b"path", self.name)
            size = records.get(b"size")
            if size is not None:
                # 19 digits hold SIZE_LIMIT; int() is slow, and refuses, far beyond that.
                if size.isdigit() and len(size) <= 19 and int(size) <= SIZE_LIMIT:
                    self.size = int(size)
                else:
                    self.broken = True


def refuse_known_formats(start: bytes) -> None:
    """Raise ShardError if the first bytes of the shard are those of something well known."""
    for magic, name, tool in _COMPRESSIONS:
        if start.startswith(magic):
            raise ShardError(f"compressed with {name}; decompress it first, e.g. `{tool}`")
    if start.lstrip()[:1] == b"<":
        raise ShardError("an HTML or XML page, not a tar archive; fetch it again")
    if start.startswith(b"version https://git-lfs"):
        raise ShardError("a Git LFS pointer, not a tar archive; fetch it with `git lfs pull`")
