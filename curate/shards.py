"""Which shards there are, and how their bytes are read.

A shard list is a pure function of the specification and of what the storage holds; its order does
not depend on the order of the specification.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import quote

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from curate.braces import expand_braces
from curate.errors import ConfigError, ShardError

FIELD: Final = "input.shards"
"""The configuration field that every complaint about a shard list names."""

LOCAL_BUFFER: Final = 1 << 20
"""Bytes; the tar reader asks for as much, so that a read is one system call."""

REMOTE_BLOCK: Final = 8 << 20
"""Bytes per request to an object store: latency is amortised, memory stays small."""

ID_LIMIT: Final = 200
"""Bytes; file systems allow 255 in a name, outputs and temporary files append to the id."""

_MAGIC: Final = re.compile(r"[*?\[]")


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
    for one in _read_lists(specs, base):
        for url, size in _locate(one, base):
            if url in found:
                raise ConfigError(f"{FIELD}: {url} is named twice; name every shard once")
            found[url] = size
    if not found:
        raise ConfigError(f"{FIELD}: {spec!r} names no shard; give a path, a glob or @FILE")
    ids = shard_ids(list(found))
    shards = (Shard(ids[url], url, size) for url, size in found.items())
    return tuple(sorted(shards, key=lambda shard: shard.id))


# --- specifications -------------------------------------------------------------------------


def _read_lists(specs: Iterable[str], base: Path | None) -> Iterator[str]:
    for spec in specs:
        if not spec.startswith("@"):
            yield spec
            continue
        lines = _read_list(spec, base)
        if not lines:
            raise ConfigError(f"{FIELD}: {spec!r} lists no shard; write one path or URL a line")
        for line in lines:
            if line.startswith("@"):
                raise ConfigError(f"{FIELD}: {spec!r} names another list, {line!r}; give both")
        yield from lines


def _read_list(spec: str, base: Path | None) -> list[str]:
    try:
        with fsspec.open(_anchor(spec[1:], base), "rt", encoding="utf-8") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except (OSError, ValueError, ImportError) as exc:
        raise ConfigError(f"{FIELD}: cannot read the list {spec!r}: {exc}; check the path") from exc
    return [line for line in lines if line]


# --- places ---------------------------------------------------------------------------------


def _is_local(url: str) -> bool:
    if posixpath.isabs(url):  # even with "::" in a name
        return True
    return "::" not in url and get_protocol(url) in ("file", "local")


def _anchor(url: str, base: Path | None) -> str:
    """Local paths made absolute, since workers may run in another directory; URLs as they are."""
    if not _is_local(url):
        return url
    path = str(LocalFileSystem._strip_protocol(url)) if "://" in url else url
    path = os.path.expanduser(path)  # noqa: PTH111 - pathlib would drop a leading "./" and "//"
    return os.path.normpath(Path(base or Path.cwd()) / path)


def _locate(spec: str, base: Path | None) -> Iterator[tuple[str, int | None]]:
    """The URL and size of every shard that one specification, without `@`, names."""
    if not spec.strip():
        raise ConfigError(f"{FIELD}: an empty name; give a path, a glob or @FILE")
    for expanded in expand_braces(spec):
        url = _anchor(expanded, base)
        if _is_local(url):
            yield from _locate_local(url, spec)
        elif _MAGIC.search(url):
            yield from _glob(url)
        else:
            _check_protocol(url)
            yield url, None


def _locate_local(path: str, spec: str) -> Iterator[tuple[str, int | None]]:
    file = Path(path)
    if file.is_file():
        yield path, file.stat().st_size
    elif file.is_dir():
        raise ConfigError(f"{FIELD}: {path!r} is a directory; give {path + '/*.tar'!r}")
    elif _MAGIC.search(path):
        yield from _glob(path)
    else:
        given = "" if path == spec else f" (from {spec!r})"
        raise ConfigError(f"{FIELD}: {path!r}{given} does not exist; check the path")


def _check_protocol(url: str) -> None:
    """Raise unless fsspec knows the protocol and its driver is installed; asks no server."""
    for link in url.split("::"):
        protocol = get_protocol(link) if "://" in link else link
        if protocol in ("file", "local") or posixpath.sep in protocol:
            continue
        try:
            fsspec.get_filesystem_class(protocol)
        except (ImportError, ValueError) as exc:
            raise ConfigError(f"{FIELD}: cannot open {url!r}: {exc}") from exc


def _glob(url: str) -> Iterator[tuple[str, int | None]]:
    local = _is_local(url)
    if "::" in url and not local:
        raise ConfigError(f"{FIELD}: {url!r}: no glob in a chained URL; use braces or @FILE")
    try:
        filesystem, pattern = (LocalFileSystem(), url) if local else url_to_fs(url)
        found = filesystem.glob(pattern, detail=True)
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ConfigError(f"{FIELD}: cannot list {url!r}: {exc!r}; check access") from exc
    files: dict[str, int | None] = {}
    for path, info in found.items():
        if local:
            if Path(path).is_file():  # or a link to one, which fsspec calls a link
                files[path] = Path(path).stat().st_size
        elif info.get("type") == "file":
            size = info.get("size")
            files[filesystem.unstrip_protocol(path)] = None if size is None else int(size)
    if not files:
        raise ConfigError(f"{FIELD}: {url!r} matches no file; check the path and the pattern")
    yield from files.items()


# --- names ----------------------------------------------------------------------------------


def shard_ids(urls: Sequence[str]) -> dict[str, str]:
    """Name every shard: by its file stem, or, if stems repeat, by its path below their parent.

    The `.tar` suffix is dropped, `/` becomes `__`, and what is not a letter, a digit, `.`, `_` or
    `-` is percent-encoded.

    Raises:
        ConfigError: two shards would get the same id, or an id would be too long for a file name.
    """
    paths = {url: _path(url) for url in urls}
    stems = {url: _stem(posixpath.basename(path)) for url, path in paths.items()}
    if len(set(stems.values())) < len(stems):
        parent = posixpath.commonpath([posixpath.dirname(path) for path in paths.values()])
        stems = {url: _stem(posixpath.relpath(path, parent)) for url, path in paths.items()}
    ids = {url: _safe_name(stem.replace("/", "__")) for url, stem in stems.items()}
    counts = Counter(ids.values())
    for url, name in ids.items():
        if counts[name] > 1:
            twins = [other for other, its in ids.items() if its == name][:2]
            raise ConfigError(
                f"{FIELD}: {twins[0]} and {twins[1]} would both be called {name!r}; "
                "rename one, or curate them in two runs"
            )
        if len(name) > ID_LIMIT:
            raise ConfigError(f"{FIELD}: {url}: its id has over {ID_LIMIT} bytes; shorten the name")
    return ids


def _path(url: str) -> str:
    """The path of a URL, with its host or bucket as the first directory."""
    if posixpath.isabs(url):
        return posixpath.normpath(url)
    first, _, rest = url.partition("::")
    protocol, _, path = (first if "://" in first else rest or first).rpartition("://")
    if protocol in ("http", "https"):
        path = path.partition("?")[0]
    return posixpath.normpath("/" + path)


def _stem(path: str) -> str:
    stem = path.removesuffix(".tar")
    return stem if posixpath.basename(stem) else path


def _safe_name(name: str) -> str:
    encoded = quote(name, safe="", errors="surrogateescape").replace("~", "%7E")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded


# --- bytes ----------------------------------------------------------------------------------


def open_shard(shard: Shard) -> BinaryIO:
    """Open a shard for buffered reading from its beginning.

    Raises:
        ShardError: it cannot be opened; the message names the URL.
    """
    try:
        if _is_local(shard.url):
            return Path(shard.url).open("rb", buffering=LOCAL_BUFFER)
        remote = fsspec.open(shard.url, "rb", block_size=REMOTE_BLOCK, cache_type="readahead")
        return cast("BinaryIO", remote.open())
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ShardError(
            f"{shard.url}: cannot be opened: {exc!r}; check that it exists and may be read"
        ) from exc


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
    except FileNotFoundError:
        return None
    except ShardError as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
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
