"""One progress line: on a terminal it redraws itself, elsewhere it is a plain line now and then.

What it says also goes to whoever records it, the run log for one: see `recorded_by`.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Protocol, TextIO

from curate import terminal
from curate.bottleneck import NAMES, Setup, find_bottleneck
from curate.pace import SHORTEST_SECONDS, Pace, Snapshot, Speed

LOGGER: Final = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
UNWATCHED_POLL_SECONDS: Final = 5.0
"""How often counts are asked for, on a terminal and elsewhere."""

PLAIN_SECONDS: Final = 10.0
"""How often a log that no one watches gets a line, for its first minutes."""

LATER_PLAIN_SECONDS: Final = 60.0
WATCHED_SECONDS: Final = 600.0
"""Seconds after which such a log gets a line a minute: a week of them is a megabyte."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a progress line is about.

    Attributes:
        name: of the stage.
        total: shards to do.
        unit: what `read` counts.
        shows_drops: whether a decision is being made on the way.
        items: what `shards` and `total` count.
        before: shards that earlier commands did; not in `total`.
        setup: of a stage that embeds.
        lost: the word for what is read, but of no use.
    """

    name: str
    total: int
    unit: str = "pairs"
    shows_drops: bool = False
    items: str = "shards"
    before: int = 0
    setup: Setup | None = None
    lost: str = "rejected"


class Recorder(Protocol):
    """Who keeps what progress lines say."""

    def stage(self, name: str, **fields: Any) -> AbstractContextManager[dict[str, Any]]:
        """Surround a stage; what the mapping holds at its end is kept."""

    def progress(self, **fields: Any) -> None:
        """Take in how far the stage is. Called often; what is kept is the recorder's choice."""


_recorders: list[Recorder] = []
"""The last one is told."""


_hiding: list[object] = []
"""Blocks at work that show nothing."""


@contextmanager
def unseen() -> Iterator[None]:
    """Show no progress of the block; whoever records it is told all the same."""
    block = object()
    _hiding.append(block)
    try:
        yield
    finally:
        _hiding.remove(block)


def say(text: str) -> None:
    """Print a line of progress of a command that has no counts to show."""
    if not _hiding:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def recorded_by(recorder: Recorder) -> Iterator[None]:
    """Tell a recorder of all progress of the block."""
    _recorders.append(recorder)
    try:
        yield
    finally:
        _recorders.remove(recorder)


# --- the line ---------------------------------------------------------------------------------


def render(
    task: Task,
    counts: Snapshot,
    seconds: float,
    speed: Speed | None = None,
    width: int | None = None,
) -> str:
    """The line's text, e.g. `score  3/9 shards · 812 pairs, 90/s · 0.4 % rejected · 0:31 left`.

    Args:
        task: what it is about.
        counts: so far.
        seconds: since the stage began.
        speed: of the last minutes; that since the begin where it is None.
        width: columns; where the line is longer, shorter words are taken, then it is cut.
    """
    if speed is None:
        pace = Pace()
        pace.look(0.0, {}, task.total)
        speed = pace.look(seconds, counts, task.total)
    parts = list(_parts(task, counts, seconds, speed))
    line = " · ".join(part.long for part in parts)
    if width is None or len(line) <= width:
        return line
    for rank in sorted((part.rank for part in parts), reverse=True):
        line = " · ".join(part.short for part in parts if part.short and part.rank <= rank)
        if len(line) <= width:
            return line
    return line[: width - 1] + "…"


class _Part(NamedTuple):
    """A part of the line: how much it matters (0 most), its text, that for narrow terminals."""

    rank: int
    long: str
    short: str


def _parts(task: Task, counts: Snapshot, seconds: float, speed: Speed) -> Iterator[_Part]:
    done, read = counts.get("shards", 0), counts.get("read", 0)
    of = f"{task.before + done}/{task.before + task.total}"
    yield _Part(0, f"{task.name}  {of} {task.items}", f"{task.name} {of}")
    if read:
        ended = done >= task.total and seconds >= SHORTEST_SECONDS
        rate = read / seconds if ended else speed.per_second
        told = "" if rate is None else f"{rate:,.0f}/s"
        yield _Part(3, f"{read:,} {task.unit}" + (f", {told}" if told else ""), told)
        if task.shows_drops:
            share = f"{100 * counts.get('dropped', 0) / read:.1f} %"
            yield _Part(5, f"{share} dropped", f"{share} drop")
        share = f"{100 * counts.get('rejected', 0) / read:.1f} %"
        yield _Part(6, f"{share} {task.lost}", f"{share} {task.lost[:3]}")
    if failed := counts.get("failed"):
        yield _Part(4, f"{failed} unreadable", f"{failed} unread")
    if alarms := counts.get("alarms"):
        told = f"{alarms} alarm" + "s" * (alarms > 1)
        yield _Part(2, told, told)
    if (found := find_bottleneck(counts, task.setup)) is not None:
        yield _Part(7, f"limit: {NAMES[found.limited_by]}", "")
    if done >= task.total:
        yield _Part(1, f"{clock(seconds)} in all", clock(seconds))
    elif speed.seconds_left is not None:
        left = f"{clock(speed.seconds_left)} left"
        yield _Part(1, left, left)


def clock(seconds: float) -> str:
    """A duration as people read it: `0:31`, `2:00:05`, `1 d 04:10` (hours and minutes)."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours_of_day = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours_of_day:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


# --- showing it -------------------------------------------------------------------------------


@contextmanager
def progress(
    task: Task, poll: Callable[[], Snapshot], stream: TextIO | None = None
) -> Iterator[None]:
    """Show a line while the block runs; `poll` is asked for the counts from another thread."""
    recorder = _recorders[-1] if _recorders else None
    out = stream or (io.StringIO() if _hiding else sys.stderr)
    shown = _Shown(task, poll, out, recorder)
    with _stage(recorder, task) as found:
        shown.begin()
        try:
            yield
        finally:
            found["counts"] = shown.end()


def _stage(recorder: Recorder | None, task: Task) -> AbstractContextManager[dict[str, Any]]:
    if recorder is None:
        return nullcontext({})
    about: dict[str, Any] = {
        "items": task.items,
        "unit": task.unit,
        "total": task.total,
        "before": task.before,
    }
    if task.setup is not None:
        about["setup"] = asdict(task.setup)
    return recorder.stage(task.name, **about)


class _Shown:
    """A line that is being shown."""

    def __init__(
        self,
        task: Task,
        poll: Callable[[], Snapshot],
        out: TextIO,
        recorder: Recorder | None,
    ) -> None:
        self._task, self._poll, self._out, self._recorder = task, poll, out, recorder
        self._live = out.isatty()
        self._stop = threading.Event()
        self._begin = time.monotonic()
        self._pace = Pace()
        self._counts: Snapshot = {}
        self._next_line = 0.0
        self._thread = threading.Thread(target=self._loop, name="progress", daemon=True)

    def begin(self) -> None:
        self._pace.look(0.0, {}, self._task.total)
        self._next_line = PLAIN_SECONDS
        self._thread.start()

    def end(self) -> Mapping[str, Any]:
        """Show the last line; returns the last counts."""
        self._stop.set()
        self._thread.join()
        self._show(last=True)
        if self._live:
            terminal.leave(self._out)
        return dict(self._counts)

    def _loop(self) -> None:
        pause = POLL_SECONDS if self._live else min(PLAIN_SECONDS, UNWATCHED_POLL_SECONDS)
        while not self._stop.wait(pause):
            self._show(last=False)

    def _show(self, *, last: bool) -> None:
        # A line that cannot be drawn must neither stop the work nor hide what did.
        try:
            self._counts = self._poll()
            seconds = time.monotonic() - self._begin
            speed = self._pace.look(seconds, self._counts, self._task.total)
            self._record(seconds, speed)
            self._write(seconds, speed, last)
        except Exception:
            LOGGER.debug("no progress line", exc_info=True)

    def _record(self, seconds: float, speed: Speed) -> None:
        task = self._task
        if self._recorder is not None:
            self._recorder.progress(
                stage=task.name,
                items=task.items,
                unit=task.unit,
                total=task.total,
                before=task.before,
                seconds=seconds,
                per_second=speed.per_second,
                seconds_left=speed.seconds_left,
                counts=dict(self._counts),
            )

    def _write(self, seconds: float, speed: Speed, last: bool) -> None:
        if self._live:
            width = terminal.width_of(self._out) - 1  # a full line would wrap on some terminals
            line = render(self._task, self._counts, seconds, speed, width)
            terminal.draw(line, self._out, last=last)
        elif last or seconds >= self._next_line:
            often = seconds < WATCHED_SECONDS
            self._next_line = seconds + (PLAIN_SECONDS if often else LATER_PLAIN_SECONDS)
            line = render(self._task, self._counts, seconds, speed)
            self._out.write(terminal.encodable(line, self._out) + "\n")
            self._out.flush()
