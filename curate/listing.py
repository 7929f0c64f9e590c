"""Listing one folder of a run directory: a million names, without a million requests.

Object stores list a thousand names a request, one request after the other. Where the names that
matter are known, the folder is listed in parts by their prefixes, side by side.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

import pyarrow as pa

from curate.prefetch import prefetched
from curate.s3_pages import quickened

T = TypeVar("T")

REQUESTS_AT_ONCE: Final = 16
"""Requests of one process that may be on their way, wherever it asks for much: as many as keep a
store with 50 ms of latency at 300 a second, few beside what stores allow a prefix (thousands)."""

PART_NAMES: Final = 10_000
"""Names in one part of a listing at most: ten requests, a second or two."""

CHUNK: Final = 1 << 16
"""Entries that are held as Python objects before they become Arrow columns."""

TAGS: Final = ("ETag", "etag", "generation")
"""Where drivers keep what changes with an object's content (S3, Google, Azure)."""

LISTING: Final = pa.schema([("name", pa.string()), ("size", pa.int64()), ("stamp", pa.string())])
"""Name, size in bytes, and what another content of that size differs in: the time of modification
in nanoseconds, or the ETag; null where a store tells nothing of the kind."""

Entry = tuple[str, int | None, str | None]
Ask = Callable[[Callable[[], Any], str], Any]
"""Makes an idempotent request about a place, again after transient errors."""


def local_names(path: str) -> list[str]:
    """Names in a folder of a disk. Raises FileNotFoundError."""
    # fsspec would ask for the properties of every one of a million files.
    with os.scandir(path) as found:
        return [entry.name for entry in found]


def remote_names(fs: Any, path: str, expected: Sequence[str], ask: Ask) -> list[str]:
    """Names in a folder of a store; of those, at least the expected ones that are there.

    Args:
        fs: an fsspec filesystem.
        path: of the folder on it.
        expected: names that matter, if that is known; with none, all of the folder is listed.
        ask: makes the requests.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    parts = _parts(fs, expected)
    if not parts:
        found = ask(lambda: fs.ls(path, detail=False, refresh=True), path)
        return [PurePosixPath(entry).name for entry in found]

    quick = quickened(fs)

    def list_part(prefix: str) -> list[str]:
        listed = ask(lambda: _found(quick, path, prefix, False), path)
        return [name for name in (_below(path, entry) for entry in listed) if name is not None]

    return [name for names in _side_by_side(list_part, parts) for name in names]


def list_entries(
    fs: Any, path: str, suffix: str, expected: Sequence[str], ask: Ask, is_local: bool
) -> pa.Table:
    """Names that end in `suffix`, with sizes and stamps, sorted: a LISTING table.

    Args:
        fs, path, expected, ask: as `remote_names`.
        suffix: of the names.
        is_local: whether the folder lies on a disk.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    entries = _local_entries(path) if is_local else _remote_entries(fs, path, expected, ask)
    chunks: list[pa.RecordBatch] = []
    held: list[Entry] = []
    for entry in entries:
        if entry[0].endswith(suffix):
            held.append(entry)
        if len(held) == CHUNK:
            chunks.append(_batch(held))
            held = []
    chunks.append(_batch(held))
    return pa.Table.from_batches(chunks, LISTING).sort_by("name")


def prefixes(names: Sequence[str], most: int) -> list[str]:
    """Prefixes that part names: each name begins with one of them, each of which with few names.

    Args:
        names: distinct ones.
        most: names that begin with the same prefix.
    """
    return sorted(_split(sorted(names), most))


def _split(names: Sequence[str], most: int) -> Iterator[str]:
    """Prefixes of sorted names: one, if they are few, or those of parts by the next character."""
    if not names:
        return
    common = _common(names[0], names[-1])
    if len(names) <= most:
        yield names[0][:common]
        return
    for _, part in itertools.groupby(names, key=lambda name: name[: common + 1]):
        yield from _split(list(part), most)


def _common(first: str, last: str) -> int:
    """How many characters two names begin with in common."""
    pairs = zip(first, last, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))


def _parts(fs: Any, expected: Sequence[str]) -> list[str]:
    if len(expected) <= PART_NAMES or not _lists_prefixes(fs):
        return []
    return prefixes(expected, PART_NAMES)


def _lists_prefixes(fs: Any) -> bool:
    """Whether a driver lets the store look for names with a prefix (those of S3, Google, Azure)."""
    method = getattr(fs, "_find", None) or fs.find
    return "prefix" in inspect.signature(method).parameters


def _found(fs: Any, path: str, prefix: str, detail: bool) -> Any:
    try:
        return fs.find(path, maxdepth=1, prefix=prefix, detail=detail)
    except ValueError:  # older drivers take one of the two, and list what lies deeper too
        return fs.find(path, prefix=prefix, detail=detail)


def _side_by_side(function: Callable[[str], T], parts: Sequence[str]) -> Iterator[T]:
    return prefetched(function, parts, REQUESTS_AT_ONCE)


def _below(path: str, entry: str) -> str | None:
    """The name of an entry of the folder itself; None if it lies deeper."""
    folder, _, name = entry.rstrip("/").rpartition("/")
    return name if folder.strip("/") == path.strip("/") else None


def _local_entries(path: str) -> Iterator[Entry]:
    with os.scandir(path) as found:
        for entry in found:
            try:
                told = entry.stat()
            except FileNotFoundError:
                continue  # removed since the folder was opened
            yield entry.name, told.st_size, str(told.st_mtime_ns)


def _remote_entries(fs: Any, path: str, expected: Sequence[str], ask: Ask) -> Iterator[Entry]:
    parts = _parts(fs, expected)
    if not parts:
        found = ask(lambda: fs.ls(path, detail=True, refresh=True), path)
        yield from (_entry(PurePosixPath(info["name"]).name, info) for info in found)
        return

    quick = quickened(fs)

    def list_part(prefix: str) -> list[Entry]:
        listed = ask(lambda: _found(quick, path, prefix, True), path)
        named = ((_below(path, place), info) for place, info in listed.items())
        return [_entry(name, info) for name, info in named if name is not None]

    for entries in _side_by_side(list_part, parts):
        yield from entries


def _entry(name: str, info: dict[str, Any]) -> Entry:
    size = info.get("size")
    tag = next((info[key] for key in TAGS if info.get(key)), None)
    return name, None if size is None else int(size), None if tag is None else str(tag)


def _batch(entries: Sequence[Entry]) -> pa.RecordBatch:
    columns = zip(*entries, strict=True) if entries else ((), (), ())
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, LISTING, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTING)
