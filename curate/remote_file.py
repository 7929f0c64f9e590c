"""Files of object stores for reading: a broken connection is taken up again where it broke."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from curate import retrying
from curate.listing import TAGS
from curate.retrying import ShortReadError

_DISCARD: Final = 1 << 20
"""Bytes read at once on the way to an offset, of a stream that cannot seek."""

_MOST: Final = 64 << 20
"""Bytes asked for at once: a link of half a megabyte a second brings them before a read counts as
hung."""

_SILENT: Final = object()

Opener = Callable[[], Any]
"""Opens the file at its beginning, for reading; gives what fsspec gives."""


class RemoteFile(io.RawIOBase):
    """A file that reopens itself at its offset after a transient error.

    The content is that of one object: should another size or tag be found when it is opened
    again, the read fails.

    Attributes:
        size: bytes, where the store tells.
    """

    def __init__(
        self, opener: Opener, name: str, streamer: Opener | None = None, stall: float = 0.0
    ) -> None:
        """Open the file.

        Args:
            opener: opens it.
            name: for messages, without secrets.
            streamer: opens it as a stream, where `opener` may open what turns out not to seek.
            stall: seconds after which a request hangs, if its store may take longer than others.

        Raises:
            Exception: what the driver raises, once it does so for good.
        """
        super().__init__()
        self._opener = opener
        self._streamer = streamer
        self._name = name
        self._stall = stall
        self._offset = 0  # of the next byte to give; the driver's file may be elsewhere
        self._file: Any = None
        self._file = self._ask(opener)
        self._tag = _tag(self._file)
        self.size = self._tag[0]

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes; what cannot seek is read again from its beginning."""
        return True

    def tell(self) -> int:
        """Offset of the next byte."""
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, without asking the store, unless it does not tell where the end is."""
        if whence == io.SEEK_END and self.size is None:
            self.size = self._measure()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self.size or 0}[whence]
        if base + offset < 0:
            raise ValueError(f"{self._name}: offset {base + offset} lies before the beginning")
        self._offset = base + offset
        return self._offset

    def read(self, size: int | None = -1, /) -> bytes:
        """Read exactly `size` bytes, or up to the end where there are fewer.

        Raises:
            ShortReadError: the object ends before its size, each time.
            Exception: what the driver raised last.
        """
        self._check_open()
        wanted = -1 if size is None or size < 0 else size
        if self.size is not None:
            left = max(0, self.size - self._offset)
            wanted = left if wanted < 0 else min(wanted, left)
        parts: list[bytes] = []
        while wanted:
            part = self._next(min(wanted, _MOST) if wanted > 0 else wanted)
            if not part:
                break
            parts.append(part)
            self._offset += len(part)
            wanted -= len(part) if wanted > 0 else 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readall(self) -> bytes:
        """Read up to the end; see `read`."""
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, as far as there are bytes; see `read`."""
        view = memoryview(buffer).cast("B")
        data = self.read(view.nbytes)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            file, self._file = self._file, None
            if file is not None:
                file.close()
        super().close()

    def _measure(self) -> int:
        """The size of a stream: read to its end."""
        while data := self._next(_DISCARD):
            self._offset += len(data)
        return self._offset

    def _ask(self, request: Callable[[], Any]) -> Any:
        return retrying.RETRY.call_within(request, self._name, self._stall)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self._name}: I/O operation on closed file")

    def _next(self, count: int) -> bytes:
        offset = self._offset

        def request() -> tuple[Any, bytes]:
            # Taken out while in use: after an error or a stall nothing of its state is trusted.
            file, self._file = self._file, None
            return self._read_from(file, offset, count)

        self._file, data = self._ask(request)
        return bytes(data)

    def _read_from(self, file: Any, offset: int, count: int) -> tuple[Any, bytes]:
        if file is None or not _can_reach(file, offset):
            file = self._opener()
        try:
            self._check_same(file)
            _move(file, offset)
            data = self._read_or_stream(file, count)
            self._check_length(data, offset)
        except BaseException:
            with suppress(Exception):  # what went wrong is on its way already
                file.close()
            raise
        return file, data

    def _read_or_stream(self, file: Any, count: int) -> bytes:
        try:
            return bytes(file.read(count))
        except ValueError as exc:
            if self._streamer is None:
                raise
            # A server without ranges, which said nothing of it: from now on, as a stream.
            self._opener, self._streamer = self._streamer, None
            raise ShortReadError(f"it cannot be read from the middle: {exc}") from None

    def _check_length(self, data: bytes, offset: int) -> None:
        if not data and self.size is not None:
            raise ShortReadError(f"it ended at byte {offset} of {self.size}")

    def _check_same(self, file: Any) -> None:
        found = _tag(file)
        known = [pair for pair in zip(found, self._tag, strict=True) if None not in pair]
        if any(now != before for now, before in known):
            raise ValueError(f"it changed while it was read: {self._tag} became {found}")


def _tag(file: Any) -> tuple[int | None, str | None]:
    """Size and ETag, or generation, of an open file, as far as its driver tells."""
    size: Any = getattr(file, "size", _SILENT)
    details = getattr(file, "details", None)
    if size is _SILENT:  # a plain file, such as a copy in a cache
        size = file.seek(0, io.SEEK_END) if file.seekable() else None
    told = details if isinstance(details, dict) else {}
    tag = next((told[key] for key in TAGS if told.get(key)), None)
    return None if size is None else int(size), None if tag is None else str(tag)


def _seeks(file: Any) -> bool:
    # Streams of HTTP servers without ranges claim to seek; what they know is that they do not end.
    return bool(file.seekable()) and getattr(file, "size", 0) is not None


def _can_reach(file: Any, offset: int) -> bool:
    return _seeks(file) or file.tell() <= offset


def _move(file: Any, offset: int) -> None:
    """Put a file at an offset that it can reach, reading up to it where it cannot seek."""
    here = file.tell()
    if here == offset:
        return
    if _seeks(file):
        file.seek(offset)
        return
    while here < offset:
        data = file.read(min(_DISCARD, offset - here))
        if not data:
            raise ShortReadError(f"it ended at byte {here}, before {offset}")
        here += len(data)
