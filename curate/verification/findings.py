"""What a verification finds, and how files are held against their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from curate.errors import CurateError
from curate.manifest import Counts
from curate.outputs import Store, Written

HASH_BYTES: Final = 8 << 20


@dataclass
class Findings:
    """What was checked and what was wrong.

    Attributes:
        files, shards, samples: checked.
        unhashed: tars without a checksum of which nothing but the size was compared.
        problems: one line each, naming the file and what to do.
        counts: totals recomputed from the score columns.
    """

    files: int = 0
    unhashed: int = 0
    shards: int = 0
    samples: int = 0
    problems: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class Place:
    """Which run directory a problem is of: the pool's own, or that of its images inside it.

    Attributes:
        prefix: of its files, relative to the run directory that is verified.
        command: that writes them.
        done: what it did to the shards.
    """

    prefix: str = ""
    command: str = "curate score"
    done: str = "scored"


def listed(place: str, problems: Iterator[str]) -> Iterator[str]:
    """The problems of a check; an error that ends it is the last of them."""
    try:
        yield from problems
    except CurateError as exc:
        yield f"{place}: {exc}"
    except (OSError, LookupError, TypeError, ValueError) as exc:
        told = str(exc) if isinstance(exc, OSError) else repr(exc)  # the file is named in those
        yield f"{place}: cannot be read: {told}"


def verify_files(
    store: Store, files: Iterable[Written], findings: Findings, prefix: str = ""
) -> Iterator[str]:
    """Hold files against the sizes and checksums in their marker."""
    for written in files:
        findings.files += 1
        path = f"{prefix}{written.path}"
        sha256: str | None = None
        try:
            if written.sha256 is None:
                size = store.size(written.path)
            else:
                size, sha256 = hash_file(store, written.path)
        except FileNotFoundError:
            yield f"{path} is missing; delete its marker under {prefix}state/ and run again"
            continue
        if (size, sha256) != (written.size, written.sha256):
            yield (
                f"{path} is not what was written ({size} bytes, expected {written.size});"
                f" delete it and its marker under {prefix}state/, and run again"
            )


def hash_file(store: Store, relative: str) -> tuple[int, str]:
    """Size and sha256 of a file. Raises FileNotFoundError."""
    with store.open_file(relative) as file:
        digest, size = hashlib.sha256(), 0
        while data := file.read(HASH_BYTES):
            digest.update(data)
            size += len(data)
        return size, digest.hexdigest()
