"""A file that is hashed while it is written, and what is said if it cannot be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from curate.errors import OutputError


class _Sink(Protocol):
    def write(self, data: bytes | memoryview, /) -> int: ...


class HashingFile:
    """A write-only binary file that counts and hashes what passes through."""

    def __init__(self, raw: _Sink, target: str) -> None:
        """Write into `raw`; `target` names the file in errors."""
        self._raw = raw
        self._target = target
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it. Raises OutputError."""
        with refusals(self._target):
            self._raw.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def hexdigest(self) -> str:
        """SHA-256 of what was written so far."""
        return self._digest.hexdigest()


@contextmanager
def refusals(target: str) -> Iterator[None]:
    """Turn what a disk or a store refuses into an OutputError that names the target."""
    # Around the steps of writing alone: an error of reading an input is none of the output's.
    try:
        yield
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise OutputError(
            f"{target} could not be written: {exc}; make room or allow writing there, and run again"
        ) from exc
