"""Which tables of URLs there are, and what tells one from another."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import fsspec

from curate.braces import expand_braces
from curate.errors import ConfigError
from curate.places import (
    MAGIC,
    anchored,
    ask,
    check_protocol,
    filesystem_of,
    glob,
    is_local,
    read_lists,
)

FIELD: Final = "download.urls"
"""The setting that every complaint about a table names."""

FORMATS: Final = ("txt", "csv", "tsv", "json", "jsonl", "parquet")
COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")

ENDS: Final = 1 << 16
"""Bytes at either end of a table that its fingerprint is of, beside its size: the end of a Parquet
file describes all of it. Hashing terabytes of metadata would take hours."""


@dataclass(frozen=True, slots=True)
class Table:
    """One file of URLs.

    Attributes:
        url: absolute local path, or a URL that fsspec knows.
        format: one of FORMATS.
    """

    url: str
    format: str

    def open(self) -> Any:
        """Open its bytes, decompressed. Raises what the driver raises."""
        compression = None if self.format == "parquet" else "infer"
        return fsspec.open(self.url, "rb", compression=compression).open()

    def fingerprint(self) -> str:
        """sha256 (hex) of size, begin and end. Raises what the driver raises."""
        fs, path = filesystem_of(self.url)
        size = int(fs.size(path) or 0)  # some servers do not tell
        digest = hashlib.sha256(str(size).encode())
        with fs.open(path, "rb") as file:
            digest.update(file.read(ENDS))
            if size > ENDS and file.seekable():
                file.seek(max(size - ENDS, ENDS))
                digest.update(file.read(ENDS))
        return digest.hexdigest()


def list_tables(spec: str | Sequence[str], chosen: str = "auto") -> tuple[Table, ...]:
    """List the tables that a specification names, in its order; what a pattern finds is sorted.

    Args:
        spec: files, folders, globs, braces or fsspec URLs of these, `@FILE`, or a list.
        chosen: a format of FORMATS, or `auto` to go by the names.

    Raises:
        ConfigError: nothing is found, a table is named twice, or its format is unknown.
    """
    specs = (spec,) if isinstance(spec, str) else tuple(spec)
    found: dict[str, Table] = {}
    for one in read_lists(specs, None, FIELD):
        for url in _locate(one, chosen):
            if url in found:
                raise ConfigError(f"{FIELD}: {url} is named twice; name every table once")
            found[url] = Table(url, _format_of(url) if chosen == "auto" else chosen)
    if not found:
        raise ConfigError(f"{FIELD}: {spec!r} names no table; give a path, a glob or @FILE")
    return tuple(found.values())


def _locate(spec: str, chosen: str) -> Iterator[str]:
    if not spec.strip():
        raise ConfigError(f"{FIELD}: an empty name; give a path, a glob or @FILE")
    for expanded in expand_braces(spec):
        url = anchored(expanded, None)
        if MAGIC.search(url) and not _is_file(url):
            yield from (name for name, _ in glob(url, FIELD))
            continue
        check_protocol(url, FIELD)
        if _is_http(url) or (find_format(url) is not None and _is_file(url)):
            yield url
        elif _is_folder(url):
            yield from _in_folder(url, chosen)
        elif _is_file(url):
            yield url
        else:
            raise ConfigError(f"{FIELD}: {url!r} does not exist; check the path")


def _is_http(url: str) -> bool:
    """Whether it is on a web server: drivers that look for a folder there read the whole file."""
    return url.startswith(("http://", "https://"))


def _is_file(url: str) -> bool:
    return _told(url, "isfile")


def _is_folder(url: str) -> bool:
    return _told(url, "isdir")


def _told(url: str, question: str) -> bool:
    if "::" in url and not is_local(url):
        return question == "isfile"  # chained URLs name files, and drivers cannot tell
    try:
        fs, path = filesystem_of(url)
        return bool(ask(lambda: getattr(fs, question)(path), url))
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ConfigError(f"{FIELD}: cannot look at {url!r}: {exc!r}; check access") from exc


def _in_folder(url: str, chosen: str) -> Iterator[str]:
    """The tables of a folder, which are all of one format: another is most likely no table."""
    named = [name for name, _ in glob(posixpath.join(url, "*"), FIELD)]
    formats = {name: find_format(name) for name in named}
    if chosen != "auto":
        formats = {name: found for name, found in formats.items() if found == chosen}
    kinds = sorted({found for found in formats.values() if found is not None})
    if len(kinds) != 1:
        what = f"files of several formats ({', '.join(kinds)})" if kinds else "no table"
        raise ConfigError(f"{FIELD}: {url!r} holds {what}; name the tables, e.g. {url}/*.parquet")
    yield from (name for name, found in formats.items() if found is not None)


def _format_of(url: str) -> str:
    found = find_format(url)
    if found is None:
        raise ConfigError(
            f"{FIELD}: {url!r} does not tell its format; give download.format, one of"
            f" {', '.join(FORMATS)}"
        )
    return found


def find_format(url: str) -> str | None:
    """The format that a file's name tells, `.gz` and the like left aside."""
    name = posixpath.basename(url.partition("?")[0] if "://" in url else url).lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    suffix = name.rpartition(".")[2]
    return suffix if suffix in FORMATS and suffix != name else None
