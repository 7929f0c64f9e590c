"""What a setting that names places means: braces, globs, lists and URLs to files, and their names.

Shards and the parts of a pool of metadata are named in the same way; `field` is the setting that
a complaint names.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol, glob_translate

from curate import hub, retrying
from curate.errors import ConfigError
from curate.redact import NO_PASSWORDS, has_password, redact

T = TypeVar("T")

ID_LIMIT: Final = 200
"""Bytes; file systems allow 255 in a name, outputs and temporary files append to the id."""

MAGIC: Final = re.compile(r"[*?\[]")
"""What makes a name a pattern."""

_SAFE: Final = re.compile("[A-Za-z0-9_-]+")
"""Names that need no encoding: nearly all, so that a million of them are looked at once."""


def read_lists(specs: Iterable[str], base: Path | None, field: str) -> Iterator[str]:
    """Replace every `@FILE` by the specifications that it lists. Raises ConfigError."""
    for spec in specs:
        if not spec.startswith("@"):
            yield _without_password(spec, field)
            continue
        lines = _read_list(spec, base, field)
        if not lines:
            raise ConfigError(f"{field}: {spec!r} lists no shard; write one path or URL a line")
        for line in lines:
            if line.startswith("@"):
                raise ConfigError(f"{field}: {spec!r} names another list, {line!r}; give both")
        yield from (_without_password(line, field) for line in lines)


def _without_password(spec: str, field: str) -> str:
    if has_password(spec):
        raise ConfigError(f"{field}: {redact(spec)!r}: {NO_PASSWORDS}")
    return spec


def _read_list(spec: str, base: Path | None, field: str) -> list[str]:
    try:
        place = anchored(spec[1:], base)
        text = ask(lambda: _read_text(place), place)
        lines = [line.partition("#")[0].strip() for line in io.StringIO(text, newline=None)]
    except (OSError, ValueError, ImportError) as exc:
        raise ConfigError(f"{field}: cannot read the list {spec!r}: {exc}; check the path") from exc
    return [line for line in lines if line]


def _read_text(place: str) -> str:
    with fsspec.open(place, "rt", encoding="utf-8") as file:
        return str(file.read())


def is_local(url: str) -> bool:
    """Whether a name is a local path, or a `file://` URL of one."""
    if posixpath.isabs(url):  # even with "::" in a name
        return True
    protocol, found, _ = url.partition("://")
    if found and "::" not in url:  # as below, in a tenth of the time
        return protocol in ("file", "local")
    return "::" not in url and get_protocol(url) in ("file", "local")


def anchored(url: str, base: Path | None) -> str:
    """Local paths made absolute, since workers may run in another directory; URLs as they are."""
    if not is_local(url):
        return url
    path = str(LocalFileSystem._strip_protocol(url)) if "://" in url else url
    path = os.path.expanduser(path)  # noqa: PTH111 - pathlib would drop a leading "./" and "//"
    return os.path.normpath(Path(base or Path.cwd()) / path)


def check_protocol(url: str, field: str) -> None:
    """Raise unless fsspec knows the protocol and its driver is installed; asks no server."""
    for link in url.split("::"):
        protocol = link.partition("://")[0]
        if protocol in ("file", "local") or posixpath.sep in protocol:
            continue
        try:
            _driver(protocol)
        except ImportError as exc:
            remedy = f"install the driver of {protocol}:// on every node, see docs/storage.md"
            raise ConfigError(f"{field}: cannot open {url!r}: {exc}; {remedy}") from exc
        except ValueError as exc:
            raise ConfigError(f"{field}: cannot open {url!r}: {exc}") from exc


@lru_cache
def _driver(protocol: str) -> Any:
    return fsspec.get_filesystem_class(protocol)


def filesystem_of(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a place, and its path there. Raises what the driver raises."""
    if is_local(url):
        return LocalFileSystem(), url
    filesystem, path = url_to_fs(url)
    return hub.sparing(filesystem) if hub.is_hub(filesystem) else filesystem, str(path)


def ask(request: Callable[[], T], url: str) -> T:
    """Make an idempotent request about a place; of a remote one, again after transient errors."""
    if is_local(url):
        return request()
    # Of many requests, perhaps: a listing of a million shards is a thousand of them.
    return retrying.RETRY.call_within(request, url.partition("?")[0], retrying.MANY_SECONDS)


def glob(url: str, field: str) -> Iterator[tuple[str, int | None]]:
    """The URL and size of every file that a pattern matches. Raises ConfigError."""
    local = is_local(url)
    if "::" in url and not local:
        raise ConfigError(f"{field}: {url!r}: no glob in a chained URL; use braces or @FILE")
    try:
        if local and not MAGIC.search(posixpath.dirname(url)):
            files = _glob_folder(url)
        else:
            files = _glob_tree(url, local)
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ConfigError(f"{field}: cannot list {url!r}: {exc!r}; check access") from exc
    if not files:
        raise ConfigError(f"{field}: {url!r} matches no file; check the path and the pattern")
    yield from files.items()


def _glob_folder(pattern: str) -> dict[str, int | None]:
    """Files of one local folder: a million of them in seconds, where fsspec takes minutes."""
    matches = re.compile(glob_translate(pattern)).match
    folder = posixpath.dirname(pattern)
    try:
        paths = [posixpath.join(folder, name) for name in os.listdir(folder)]  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return {}
    files: dict[str, int | None] = {}
    for path in sorted(filter(matches, paths)):
        try:
            told = os.stat(path)  # noqa: PTH116 - pathlib takes three times as long
        except FileNotFoundError:
            continue  # a link to nothing
        if stat.S_ISREG(told.st_mode):
            files[path] = told.st_size
    return files


def _glob_tree(url: str, local: bool) -> dict[str, int | None]:
    filesystem, pattern = filesystem_of(url)
    files: dict[str, int | None] = {}
    for path, info in ask(lambda: filesystem.glob(pattern, detail=True), url).items():
        if local:
            if Path(path).is_file():  # or a link to one, which fsspec calls a link
                files[path] = Path(path).stat().st_size
        elif info.get("type") == "file":
            size = info.get("size")
            files[filesystem.unstrip_protocol(path)] = None if size is None else int(size)
    return files


# --- names ----------------------------------------------------------------------------------


def file_ids(urls: Sequence[str], suffix: str, field: str) -> dict[str, str]:
    """Name every file: by its stem, or, if stems repeat, by its path below their parent.

    The suffix is dropped, `/` becomes `__`, and what is not a letter, a digit, `.`, `_` or `-` is
    percent-encoded.

    Raises:
        ConfigError: two files would get the same id, or an id would be too long for a file name.
    """
    paths = {url: _path(url) for url in urls}
    stems = {url: _stem(posixpath.basename(path), suffix) for url, path in paths.items()}
    if len(set(stems.values())) < len(stems):
        parent = posixpath.commonpath([posixpath.dirname(path) for path in paths.values()])
        below = {url: posixpath.relpath(path, parent) for url, path in paths.items()}
        stems = {url: _stem(path, suffix) for url, path in below.items()}
    ids = {url: _safe_name(stem.replace("/", "__")) for url, stem in stems.items()}
    counts = Counter(ids.values())
    for url, name in ids.items():
        if counts[name] > 1:
            twins = [other for other, its in ids.items() if its == name][:2]
            raise ConfigError(
                f"{field}: {twins[0]} and {twins[1]} would both be called {name!r}; "
                "rename one, or curate them in two runs"
            )
        if len(name) > ID_LIMIT:
            raise ConfigError(f"{field}: {url}: its id has over {ID_LIMIT} bytes; shorten the name")
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


def _stem(path: str, suffix: str) -> str:
    stem = path.removesuffix(suffix)
    return stem if posixpath.basename(stem) else path


def _safe_name(name: str) -> str:
    if _SAFE.fullmatch(name):
        return name
    encoded = quote(name, safe="", errors="surrogateescape").replace("~", "%7E")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded
