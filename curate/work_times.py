"""Where the time of workers and embedders goes: measured where it passes, added up by counts.

A worker's time has four parts: reading and parsing, preparing (decoding, resizing, tokenising,
sending), waiting for embedders, writing. Three are measured, and preparing is what is left of the
whole: a sample costs two looks at the clock. Pure: the clock is an argument.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

READING: Final = "reading_ms"
PREPARING: Final = "preparing_ms"
WAITING: Final = "waiting_ms"
WRITING: Final = "writing_ms"
WORKER_PARTS: Final = (READING, PREPARING, WAITING, WRITING)
"""Milliseconds of workers, added up over all of them. Counts are whole numbers."""

EMBEDDING: Final = "embedding_ms"
"""Milliseconds in which an embedder had a batch to compute, added up over all of them."""

WINDOW: Final = "window_ms"
"""Milliseconds between the first shard that was begun and the last report."""

SPLIT: Final = "split"
"""Batches that did not fit into memory and were halved, halves that were halved again included."""

MILLISECONDS: Final = 1000.0

Clock = Callable[[], float]
"""Seconds since any fixed moment; never less than before."""

T = TypeVar("T")


class WorkTimes:
    """The time of a worker over one shard, from now on. For one thread."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._begun = clock()
        self._spent = dict.fromkeys((READING, WAITING, WRITING), 0.0)
        self._told = dict.fromkeys(WORKER_PARTS, 0)
        self._others: dict[str, int] = {}

    def reading(self, items: Iterable[T]) -> Iterator[T]:
        """Pass on items; the time until each of them is there is one of reading."""
        clock, source = self._clock, iter(items)
        while True:
            begin = clock()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self._spent[READING] += clock() - begin
            yield item
            del item  # a picture's bytes must not wait for those of the next one

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Count the time of the block as one of waiting or writing."""
        begin = self._clock()
        try:
            yield
        finally:
            self._spent[part] += self._clock() - begin

    def include(self, counts: Mapping[str, int]) -> None:
        """Take in what an embedder says of itself, to be told with the rest."""
        for name, number in counts.items():
            self._others[name] = self._others.get(name, 0) + number

    def take(self) -> dict[str, int]:
        """What has passed since the last call, by part; a fraction waits for the next one."""
        spent = dict(self._spent)
        spent[PREPARING] = self._clock() - self._begun - sum(self._spent.values())
        whole = {part: int(spent[part] * MILLISECONDS) for part in WORKER_PARTS}
        passed = {part: whole[part] - self._told[part] for part in WORKER_PARTS}
        self._told, others, self._others = whole, self._others, {}
        return {name: number for name, number in (passed | others).items() if number > 0}


class BusyTime:
    """The time in which at least one batch is being computed. For several threads."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at_work = 0
        self._since = 0.0
        self._spent = 0.0
        self._told = 0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Compute a batch in this block."""
        with self._lock:
            self._settle()
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._settle()
                self._at_work -= 1

    def take(self) -> int:
        """Milliseconds since the last call, those of batches that are still at work included."""
        with self._lock:
            self._settle()
            whole = int(self._spent * MILLISECONDS)
            passed, self._told = whole - self._told, whole
        return passed

    def _settle(self) -> None:
        now = self._clock()
        if self._at_work:
            self._spent += now - self._since
        self._since = now
