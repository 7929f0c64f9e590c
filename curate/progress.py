"""One progress line: on a terminal it redraws itself, elsewhere it is a plain line now and then."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

LOGGER: Final = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
PLAIN_SECONDS: Final = 10.0
"""How often a log that no one watches gets a line."""

Snapshot = Mapping[str, int]
"""Counts so far: shards, failed, read, rejected, dropped, alarms; missing ones are zero."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a progress line is about.

    Attributes:
        name: of the stage.
        total: shards to do.
        unit: what `read` counts.
        shows_drops: whether a decision is being made on the way.
    """

    name: str
    total: int
    unit: str = "pairs"
    shows_drops: bool = False


def render(task: Task, counts: Snapshot, seconds: float) -> str:
    """The line's text, e.g. `score  3/9 shards · 812 pairs/s · 0.4 % rejected · 0:31 left`."""
    done, read = counts.get("shards", 0), counts.get("read", 0)
    parts = [f"{task.name}  {done}/{task.total} shards"]
    if read:
        parts.append(f"{read:,} {task.unit}, {read / max(seconds, 1e-9):,.0f}/s")
        if task.shows_drops:
            parts.append(f"{100 * counts.get('dropped', 0) / read:.1f} % dropped")
        parts.append(f"{100 * counts.get('rejected', 0) / read:.1f} % rejected")
    if counts.get("failed"):
        parts.append(f"{counts['failed']} unreadable")
    if counts.get("alarms"):
        parts.append(f"{counts['alarms']} alarms")
    if 0 < done < task.total:
        parts.append(f"{_clock(seconds / done * (task.total - done))} left")
    elif done == task.total:
        parts.append(f"{_clock(seconds)} in all")
    return " · ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress(
    task: Task, poll: Callable[[], Snapshot], stream: TextIO | None = None
) -> Iterator[None]:
    """Show a line while the block runs; `poll` is asked for the counts from another thread."""
    out = stream or sys.stderr
    live = out.isatty()
    stop = threading.Event()
    begin = time.monotonic()

    def show(end: bool) -> None:
        # A line that cannot be drawn must neither stop the work nor hide what did.
        try:
            text = render(task, poll(), time.monotonic() - begin)
            out.write(f"\r\x1b[2K{text}" + ("\n" if end else "") if live else f"{text}\n")
            out.flush()
        except Exception:
            LOGGER.debug("no progress line", exc_info=True)

    def loop() -> None:
        while not stop.wait(POLL_SECONDS if live else PLAIN_SECONDS):
            show(end=False)

    thread = threading.Thread(target=loop, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        show(end=True)
