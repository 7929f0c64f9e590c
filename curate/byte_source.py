"""Forward-only reading of a stream: buffered, counted, hashed, and bounded in memory."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from curate.errors import ShardError

CHUNK: Final = 1024 * 1024
"""Bytes asked of the stream at once: amortises the call, keeps the buffer in the cache."""


class ByteStream(Protocol):
    """What the reader needs of a file: `read(n)` gives up to n bytes, none at the end."""

    def read(self, n: int, /) -> bytes:
        """Return up to `n` bytes."""


class ByteSource:
    """A buffer over the stream that counts and hashes every byte it takes in."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._base = 0  # offset in the stream of the first byte of the buffer
        self.buffer = b""
        self.position = 0  # of the next unread byte, in the buffer

    @property
    def offset(self) -> int:
        """Offset in the stream of the next unread byte."""
        return self._base + self.position

    def digest(self) -> str:
        """Hex SHA-256 of all bytes taken in."""
        return self._sha256.hexdigest()

    def _read(self) -> bytes:
        try:
            chunk = self._stream.read(CHUNK)
        except Exception as exc:  # object stores raise their own, unrelated classes
            where = self._base + len(self.buffer)
            raise ShardError(
                f"reading the shard failed near byte {where}: {exc!r}; "
                "check the storage and run again"
            ) from exc
        self._sha256.update(chunk)
        return chunk

    def fill(self, size: int) -> int:
        """Buffer at least `size` unread bytes if there are so many; return how many there are."""
        available = len(self.buffer) - self.position
        while available < size:
            chunk = self._read()
            if not chunk:
                break
            self._base += self.position
            self.buffer = self.buffer[self.position :] + chunk
            self.position = 0
            available = len(self.buffer)
        return available

    def take(self, size: int) -> bytes | None:
        """The next `size` bytes; None, at the end of the stream, if there are fewer."""
        end = self.position + size
        if end <= len(self.buffer):
            data = self.buffer[self.position : end]
            self.position = end
            return data
        return self._across(size, keep=True)

    def skip(self, size: int) -> bool:
        """Pass over `size` bytes; False, at the end of the stream, if there are fewer."""
        if self.position + size <= len(self.buffer):
            self.position += size
            return True
        return self._across(size, keep=False) is not None

    def _across(self, size: int, *, keep: bool) -> bytes | None:
        parts = [self.buffer[self.position :]]
        missing = size - len(parts[0])
        while True:
            self._base += len(self.buffer)
            self.buffer, self.position = b"", 0
            chunk = self._read()
            if not chunk:
                return None
            self.buffer = chunk
            if keep:
                parts.append(chunk[:missing])
            if missing <= len(chunk):
                self.position = missing
                return b"".join(parts) if keep else b""
            missing -= len(chunk)
