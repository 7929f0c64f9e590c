"""A strict, forward-only tar reader for streams that cannot be trusted.

Python's `tarfile` stops silently at the first damaged header in the middle of a stream, builds a
large object per member and follows what headers claim. Here a shard is read once, from the front,
in bounded memory; every byte is hashed; and whatever is wrong with the archive ends up in a report
beside the members that could be read.

Read: ustar, PAX extended headers (`path`, `size`), GNU long names, base-256 sizes, and headers of
the seventh edition (no magic). Global PAX headers are skipped. Links, directories, devices and
sparse files are reported as `other`, without their data, and never followed. Member names are
labels: no function here uses one as a path.

Speed on one core of a busy x86 server (1,000 samples of 20 kB, three members each; best of 7):
28 us a sample, of which SHA-256 takes 13.5 (it runs at 1.5 GB/s with SHA-NI, some 0.4 without),
against 83 us of `tarfile.open(mode="r|")`, which hashes nothing: 2.9 times as fast. Decoding and
resizing one image takes 3,700 us there, so the hash costs 0.4 % of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from curate.byte_source import ByteSource, ByteStream
from curate.errors import ShardError
from curate.tar_headers import BLOCK, Extension, Header, parse_header, refuse_known_formats
from curate.tar_report import (
    CONCATENATED,
    CORRUPT_HEADER,
    DAMAGE_LIMIT,
    LOSSES,
    NO_END_BLOCKS,
    TRAILING_DATA,
    TRUNCATED,
    Damage,
    TarReport,
)

MEMBER_LIMIT: Final = 128 * 1024 * 1024
"""Bytes; a larger member is skipped, not held. No image of 50 Mpixel is near it when encoded."""

EXTENSION_LIMIT: Final = 1024 * 1024
"""Bytes of one PAX or GNU extension header; a path is 4 KiB at most on any file system."""

_ZERO_BLOCK: Final = bytes(BLOCK)

_SHOWN: Final = 200
"""Characters of a member's name in a report; a PAX header may make it a megabyte long."""


class Member(NamedTuple):
    r"""One member of the archive.

    Attributes:
        name: the member's name as UTF-8; bytes that are not are written as `\xNN`.
        kind: `regular`, or `other` for links, directories, devices and unknown types.
        offset: byte where the member's first header starts, PAX and GNU headers included.
        data_offset: byte where the data starts.
        size: bytes of data.
        end: byte behind the padding of the data: where the next header is due.
        data: the content; None for `other` and for members larger than the limit.
    """

    name: str
    kind: Literal["regular", "other"]
    offset: int
    data_offset: int
    size: int
    end: int
    data: bytes | None


class TarReader:
    """Iterate over the members of a tar stream, once, in order.

    Args:
        stream: anything with `read(n)`, at its beginning.
        member_limit: bytes; larger members are skipped and yielded with `data=None`.

    Raises:
        ShardError: while iterating: the stream is empty, no tar at all, compressed, or cannot be
            read. The message names the finding and the remedy, not the shard: the caller does.
    """

    def __init__(self, stream: ByteStream, member_limit: int = MEMBER_LIMIT) -> None:
        self._source = ByteSource(stream)
        self._member_limit = member_limit
        self._damage: list[Damage] = []
        self._damages = 0
        self._report: TarReport | None = None
        self._headers = 0
        self._zeros = False  # an end-of-archive block since the last member
        self._cut = False  # the stream ended inside something
        self.losses = 0
        """Damages so far by which members were lost: tells which members adjoin one."""

    @property
    def report(self) -> TarReport:
        """The report on the whole stream.

        Raises:
            RuntimeError: the iteration has not come to its end.
        """
        if self._report is None:
            raise RuntimeError("the report of a TarReader is complete only after its last member")
        return self._report

    def __iter__(self) -> Iterator[Member]:
        source, limit = self._source, self._member_limit
        if source.offset > 0:
            raise RuntimeError("a TarReader is iterated once")
        extension: Extension | None = None
        while True:
            offset = source.offset
            header = self._next_header()
            if header is None:
                break
            if source.offset != offset + BLOCK:  # zeros or damage in between
                if extension is not None:
                    self._note_orphan(extension)
                    extension = None
                offset = source.offset - BLOCK
            if header.kind in _EXTENSIONS:
                extension = self._read_extension(header, extension or Extension(offset))
                continue
            member = self._read_member(header, offset, extension, limit)
            extension = None
            if member is not None:
                yield member
        if extension is not None:
            self._note_orphan(extension)
        self._finish()

    # --- headers ------------------------------------------------------------------------

    def _next_header(self) -> Header | None:
        """The next valid header, past zero blocks and damage; None at the end of the stream."""
        source = self._source
        while source.fill(BLOCK) >= BLOCK:
            start = source.position
            block = source.buffer[start : start + BLOCK]
            header = parse_header(block)
            if header is not None:
                if self._zeros:
                    self._note(CONCATENATED, source.offset, "members behind an end of archive")
                    self._zeros = False
                source.position = start + BLOCK
                self._headers += 1
                return header
            if block == _ZERO_BLOCK:
                self._zeros = True
                source.position = start + BLOCK
            else:
                self._resynchronise()
        self._check_remainder()
        return None

    def _resynchronise(self) -> None:
        """Skip to the next block that is a valid header with magic, or to the end."""
        source = self._source
        start = source.offset
        if self._headers == 0:
            refuse_known_formats(source.buffer[source.position : source.position + BLOCK])
        source.position += BLOCK
        while source.fill(BLOCK) >= BLOCK:
            if self._find_header():
                skipped = source.offset - start
                self._note(CORRUPT_HEADER, start, f"{skipped} bytes skipped to the next header")
                return
        source.skip(source.fill(BLOCK))
        if self._headers == 0:
            raise ShardError("not a tar archive: no valid header in it; fetch or build it again")
        skipped = source.offset - start
        if self._zeros:
            self._note(TRAILING_DATA, start, f"{skipped} bytes behind the end of the archive")
        else:
            self._note(CORRUPT_HEADER, start, f"{skipped} bytes skipped to the end of the file")
            self._cut = True

    def _find_header(self) -> bool:
        """Move to the next valid header in the buffer; else behind its last whole block."""
        source = self._source
        buffer, start = source.buffer, source.position
        whole = start + (len(buffer) - start) // BLOCK * BLOCK
        magic = buffer.find(b"ustar", start, whole)
        while magic >= 0:
            block, misaligned = magic - 257, (magic - 257 - start) % BLOCK
            if not misaligned and block >= start and parse_header(buffer[block : block + BLOCK]):
                source.position = block
                return True
            magic = buffer.find(b"ustar", magic + 1, whole)
        source.position = whole
        return False

    def _check_remainder(self) -> None:
        """Judge the last bytes, fewer than a block, where a header was due."""
        source = self._source
        offset, size = source.offset, source.fill(BLOCK)
        if offset + size == 0:
            raise ShardError("empty file (0 bytes); fetch or build it again")
        rest = source.take(size) or b""
        if not rest.strip(b"\0"):
            return
        if self._headers == 0:
            refuse_known_formats(rest)
            raise ShardError(f"not a tar archive: {offset + size} bytes without a header")
        if self._zeros:
            self._note(TRAILING_DATA, offset, f"{size} bytes behind the end of the archive")
        else:
            self._note(TRUNCATED, offset, f"the file ends after {size} bytes of a header")

    # --- members ------------------------------------------------------------------------

    def _read_extension(self, header: Header, extension: Extension) -> Extension | None:
        offset = self._source.offset - BLOCK
        if header.kind == b"g":
            # Applies to the whole archive; a path or size there would be nonsense.
            if not self._skip_data(header.size, offset, "a global PAX header"):
                return None
            return extension if extension.offset < offset else None
        if header.size > EXTENSION_LIMIT:
            extension.broken = True
            return extension if self._skip_data(header.size, offset, "a header") else None
        payload = self._source.take(header.size)
        if payload is None or not self._source.skip(-header.size % BLOCK):
            self._note(TRUNCATED, offset, "the file ends inside an extension header")
            return None
        extension.add(header.kind, payload)
        return extension

    def _read_member(
        self, header: Header, offset: int, extension: Extension | None, limit: int
    ) -> Member | None:
        source = self._source
        raw_name, size = header.name, header.size
        data_offset = source.offset
        if extension is not None:
            offset = extension.offset
            raw_name = raw_name if extension.name is None else extension.name
            size = size if extension.size is None else extension.size
        name = raw_name.decode("utf-8", "backslashreplace")
        if extension is not None and extension.broken:
            if self._skip_data(size, offset, repr(name[:_SHOWN])):
                skipped = source.offset - offset
                self._note(CORRUPT_HEADER, offset, f"malformed extension; {skipped} bytes skipped")
            return None
        kind = header.kind
        regular = kind in _REGULAR and not (kind == b"\0" and raw_name.endswith(b"/"))
        if regular and size <= limit:
            data = source.take(size)
            if data is None or not source.skip(-size % BLOCK):
                self._note_cut(offset, repr(name[:_SHOWN]), size)
                return None
            return Member(name, "regular", offset, data_offset, size, source.offset, data)
        if not regular and kind in _WITHOUT_DATA:
            size = 0
        if kind == b"S" and not self._skip_sparse_map():
            self._note_cut(offset, repr(name[:_SHOWN]), size)
            return None
        if not self._skip_data(size, offset, repr(name[:_SHOWN])):
            return None
        return Member(
            name, "regular" if regular else "other", offset, data_offset, size, source.offset, None
        )

    def _skip_sparse_map(self) -> bool:
        """Pass over the extra header blocks of an old GNU sparse file, each announcing the next."""
        source = self._source
        more = source.buffer[source.position - BLOCK + 482]
        while more:
            block = source.take(BLOCK)
            if block is None:
                return False
            more = block[504]
        return True

    def _skip_data(self, size: int, offset: int, what: str) -> bool:
        if self._source.skip(size + -size % BLOCK):
            return True
        self._note_cut(offset, what, size)
        return False

    # --- damage -------------------------------------------------------------------------

    def _note_cut(self, offset: int, what: str, size: int) -> None:
        self._note(TRUNCATED, offset, f"the file ends inside {what}, declared as {size} bytes")

    def _note_orphan(self, extension: Extension) -> None:
        self._note(CORRUPT_HEADER, extension.offset, "an extension header without its member")

    def _note(self, kind: str, offset: int, detail: str) -> None:
        self._damages += 1
        self.losses += kind in LOSSES
        self._cut |= kind == TRUNCATED
        if len(self._damage) < DAMAGE_LIMIT:
            self._damage.append(Damage(kind, offset, detail))

    def _finish(self) -> None:
        source = self._source
        if not self._zeros and not self._cut:
            self._note(NO_END_BLOCKS, source.offset, "no end-of-archive blocks")
        omitted = self._damages - len(self._damage)
        self._report = TarReport(
            source.offset, source.digest(), tuple(self._damage), self.losses, omitted
        )


_REGULAR: Final = (b"0", b"\0", b"7")
_WITHOUT_DATA: Final = (b"1", b"2", b"3", b"4", b"5", b"6", b"\0")
"""Links, devices, directories, FIFOs, whatever their size says; `\\0` is one if not regular."""
_EXTENSIONS: Final = (b"x", b"X", b"L", b"K", b"g")
