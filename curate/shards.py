"""Which shards there are, and how their bytes are read.

A shard list is a pure function of the specification and of what the storage holds; its order does
not depend on the order of the specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from curate import hub
from curate.braces import expand_braces
from curate.errors import ConfigError, ShardError
from curate.places import (
    MAGIC,
    anchored,
    check_protocol,
    file_ids,
    filesystem_of,
    glob,
    is_local,
    read_lists,
)
from curate.remote_file import RemoteFile
from curate.retrying import is_missing

FIELD: Final = "input.shards"
"""The configuration field that every complaint about a shard list names."""

LOCAL_BUFFER: Final = 1 << 20
"""Bytes; the tar reader asks for as much, so that a read is one system call."""

REMOTE_BLOCK: Final = 8 << 20
"""Bytes per request to an object store: latency is amortised, memory stays small."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One input shard.

    Attributes:
        id: unique in its list, safe as a file name; outputs are named by it.
        url: absolute local path, or the URL of a file known to fsspec.
        size: bytes, where known without asking an object store for each shard.
    """

    id: str
    url: str
    size: int | None


def list_shards(spec: str | Sequence[str], base: Path | None = None) -> tuple[Shard, ...]:
    """List the shards that a specification names, sorted by id.

    Args:
        spec: a path or fsspec URL, with globs (`*`, `?`, `[...]`, `**`) or braces (`{000..123}`,
            `{a,b}`), `@FILE` (one specification per line, `#` starts a comment), or a list of
            these. Braces of remote URLs are trusted, not looked up: nothing is listed.
        base: what relative local paths start from; the working directory if None.

    Raises:
        ConfigError: a specification matches nothing, a local file is missing, a URL is named
            twice, or two shards would get the same id. The message names `input.shards`.
    """
    specs = (spec,) if isinstance(spec, str) else tuple(spec)
    found: dict[str, int | None] = {}
    for one in read_lists(specs, base, FIELD):
        for url, size in _locate(one, base):
            if url in found:
                raise ConfigError(f"{FIELD}: {url} is named twice; name every shard once")
            found[url] = size
    if not found:
        raise ConfigError(f"{FIELD}: {spec!r} names no shard; give a path, a glob or @FILE")
    ids = shard_ids(list(found))
    shards = (Shard(ids[url], url, size) for url, size in found.items())
    return tuple(sorted(shards, key=lambda shard: shard.id))


# --- places ---------------------------------------------------------------------------------


def _locate(spec: str, base: Path | None) -> Iterator[tuple[str, int | None]]:
    """The URL and size of every shard that one specification, without `@`, names."""
    if not spec.strip():
        raise ConfigError(f"{FIELD}: an empty name; give a path, a glob or @FILE")
    for expanded in expand_braces(spec):
        url = anchored(expanded, base)
        if is_local(url):
            yield from _locate_local(url, spec)
        elif MAGIC.search(url):
            yield from glob(url, FIELD)
        else:
            check_protocol(url, FIELD)
            yield url, None


def _locate_local(path: str, spec: str) -> Iterator[tuple[str, int | None]]:
    file = Path(path)
    if file.is_file():
        yield path, file.stat().st_size
    elif file.is_dir():
        raise ConfigError(f"{FIELD}: {path!r} is a directory; give {path + '/*.tar'!r}")
    elif MAGIC.search(path):
        yield from glob(path, FIELD)
    else:
        given = "" if path == spec else f" (from {spec!r})"
        raise ConfigError(f"{FIELD}: {path!r}{given} does not exist; check the path")


def shard_ids(urls: Sequence[str]) -> dict[str, str]:
    """Name every shard, as `places.file_ids` does; the `.tar` suffix is dropped."""
    return file_ids(urls, ".tar", FIELD)


# --- bytes ----------------------------------------------------------------------------------


def open_shard(shard: Shard, *, ahead: bool = True) -> BinaryIO:
    """Open a shard for buffered reading from its beginning.

    One of an object store resumes after transient errors, see `remote_file`; one on a disk does
    not, where an error of reading is there to stay.

    Args:
        shard: which.
        ahead: whether a store is asked for more than is read, since it is read on.

    Raises:
        ShardError: it cannot be opened; the message names the URL.
    """
    try:
        if is_local(shard.url):
            return Path(shard.url).open("rb", buffering=LOCAL_BUFFER)
        return cast("BinaryIO", open_remote(shard.url, ahead=ahead))
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ShardError(
            f"{shard.url}: cannot be opened: {exc!r}; check that it exists and may be read"
        ) from exc


def open_remote(url: str, *, ahead: bool = True) -> RemoteFile:
    """Open a file of a store for reading, see `open_shard`. Raises what its driver raises."""
    # `fsspec.open` would hand these options to the driver itself, and that of S3 refuses them.
    filesystem, path = filesystem_of(url)

    def opened() -> Any:
        cache = "readahead" if ahead else "none"
        return filesystem.open(path, "rb", block_size=REMOTE_BLOCK, cache_type=cache)

    def streamed() -> Any:
        return filesystem.open(path, "rb", block_size=0)

    over_http = "http" in filesystem.protocol
    stall = hub.STALL_SECONDS if hub.is_hub(filesystem) else 0.0
    return RemoteFile(opened, _shown(url), streamed if over_http else None, stall)


def _shown(url: str) -> str:
    # What follows the question mark of a signed URL is its secret.
    return url.partition("?")[0] if "://" in url else url


def read_beside(shard: Shard, ending: str) -> bytes | None:
    """Read the file that is called like a shard but for its ending, e.g. `_stats.json`.

    Returns:
        Its content; None if there is no such file.

    Raises:
        ShardError: it is there but cannot be read; the message names its URL.
    """
    url = shard.url.removesuffix(".tar") + ending
    try:
        with open_shard(Shard(shard.id, url, None)) as file:
            return file.read()
    except ShardError as exc:
        if exc.__cause__ is not None and is_missing(exc.__cause__):
            return None
        raise
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ShardError(f"{url}: cannot be read: {exc!r}") from exc


def read_range(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read exactly `size` bytes at byte `offset`.

    Raises:
        ShardError: the file ends before, or cannot be read. The caller names the shard.
    """
    parts: list[bytes] = []
    missing = size
    try:
        file.seek(offset)
        while missing > 0:
            part = file.read(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ShardError(f"reading {size} bytes at {offset} failed: {exc!r}; run again") from exc
    if missing > 0:
        raise ShardError(
            f"short read: {size - missing} of {size} bytes at {offset}; "
            "the shard changed since it was scored: score it again"
        )
    return parts[0] if len(parts) == 1 else b"".join(parts)
