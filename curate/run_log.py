"""The run's log: one JSON object per line, of what commands and stages did, and when.

On a local disk lines are appended to `log.jsonl` in the run directory. An object store cannot
append: there, every command has a small object `logs/TIME-ID.jsonl`, which is replaced whole. Like
run.json it holds times, so that it is no part of what a run's outputs are compared by.

How far a stage is goes into it as well, ever less often, so that a run of months leaves a megabyte.

The log never holds a sample: no caption, no key, no row. Text that comes from elsewhere, such as an
error, is shortened, and credentials are taken out of it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from curate import __version__
from curate.config import Config, digest
from curate.errors import CurateError, OutputError
from curate.heartbeat import beating, due
from curate.log_lines import cleaned, line_of, moment, parsed, shortened
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.progress import recorded_by
from curate.stopping import INTERRUPTED, TERMINATED, Terminated
from curate.terminal import print_line

LOGGER: Final = logging.getLogger(__name__)

PROJECT: Final = "curate"
"""The logger above those of all modules."""

LOCAL: Final = "log.jsonl"
FOLDER: Final = "logs"

READ_AT_ONCE: Final = 16
"""Logs of an object store that are read side by side: a run that was preempted often has many."""

MAX_LISTED: Final = 20
"""Unreadable shards that one line names; state/failed/ has them all."""

MAX_WARNINGS: Final = 200
"""Warnings of one command that are logged; the others are counted. A store that hiccups for weeks
warns for weeks."""

ALARM: Final = "alarm"
"""The event of an alarm, which is always logged, and the attribute `event` of its log record."""


class RunLog:
    """Writes the events of one command. What it cannot write it warns of, and the run goes on.

    Its methods may be called from several threads.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        """Nothing is written before the first event."""
        self._store = store
        self._clock = clock
        self._id = uuid.uuid4().hex[:8]
        self._lines: list[bytes] = []
        self._waiting: list[bytes] = []
        self._object = ""
        # Two locks, since whoever writes to a store may warn of it, and a warning comes here while
        # logging holds the lock of its handler: whoever notes one must never wait for a store.
        self._lines_lock = threading.Lock()
        self._writing = threading.RLock()
        self._busy = False
        self._warned = False
        self._progress: dict[str, Any] | None = None
        self._recorded = 0.0

    def event(self, event: str, **fields: Any) -> None:
        """Write an event; see `line_of`."""
        self.note(event, **fields)
        self.flush()

    def note(self, event: str, **fields: Any) -> None:
        """Take in an event that can wait a moment for those that follow.

        A store that hiccups is warned of again and again, and must not be asked for more by that.
        """
        line = line_of(event, self._clock(), {"command_id": self._id, **fields})
        with self._lines_lock:
            self._waiting.append(line)

    def flush(self) -> None:
        """Write the events that wait, as those do that came before there was a run directory."""
        with self._writing:
            if self._busy or not self._waiting:  # busy: a warning of the store that is written to
                return
            self._busy = True
            try:
                self._write(self._clock())
                self._warned = False
            except (OSError, OutputError) as exc:
                if not self._warned:  # it is tried again every two seconds
                    LOGGER.warning("the run log could not be written: %s", shortened(str(exc)))
                self._warned = True
            finally:
                self._busy = False

    def _write(self, now: float) -> None:
        # A command that is refused before any work leaves nothing behind, no log either.
        if not self._store.exists(""):
            return
        with self._lines_lock:
            lines = list(self._waiting)
        if self._store.is_local:
            append_line(Path(self._store.path(LOCAL)), b"".join(lines))
        else:
            self._put(lines, now)
        with self._lines_lock:
            del self._waiting[: len(lines)]  # others may have come meanwhile

    def _put(self, lines: list[bytes], now: float) -> None:
        # Events are few: a command has some stages, however many shards these have.
        if not self._object:
            begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            self._object = f"{FOLDER}/{begun}-{self._id}.jsonl"
        self._store.write_bytes(self._object, b"".join([*self._lines, *lines]))
        self._lines += lines

    def progress(self, **fields: Any) -> None:
        """Take in how far the running stage is, as `progress.Recorder` is told; writes nothing."""
        self._progress = fields

    def _sign(self, command: str) -> dict[str, Any]:
        """What a sign of life says; now and then it goes into the log as well."""
        progress = self._progress
        if progress is not None and due(progress["seconds"], self._recorded):
            self._recorded = progress["seconds"]
            self.event("progress", **progress)
        said = {"command": command, "command_id": self._id, "progress": progress}
        return {"time": moment(self._clock()), **cleaned(said)}

    def unreadable(self, failures: Mapping[str, str]) -> None:
        """Write which shards could not be read; nothing if there are none."""
        if failures:
            first = dict(sorted(failures.items())[:MAX_LISTED])
            self.event("unreadable shards", number=len(failures), first=first)

    @contextmanager
    def command(self, name: str, config: Config) -> Iterator[dict[str, Any]]:
        """Log the begin and the end of a command, how it ended, and what it warned of.

        Args:
            name: of the command.
            config: of which the log holds the digest, as config.yaml in the run directory has it.

        Yields:
            A mapping for what is known at its end, such as the seconds of its stages.
        """
        told = digest(config.model_dump(mode="json"))
        recorder, project = _Recorder(self), logging.getLogger(PROJECT)
        project.addHandler(recorder)
        try:
            begins = {"command": name, "configuration": told, "curate": __version__}
            with (
                self._timed("command", **begins) as found,
                recorded_by(self),
                beating(self._store, lambda: self._sign(name), self.flush),
            ):
                try:
                    yield found
                finally:
                    if recorder.left_out:
                        found["warnings_left_out"] = recorder.left_out
        finally:
            project.removeHandler(recorder)

    @contextmanager
    def stage(self, name: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Log the begin and the end of a stage.

        Args:
            name: of the stage.
            fields: known at its begin, such as its number of shards.

        Yields:
            A mapping for what is known at its end, such as counts.
        """
        self._progress, self._recorded = None, 0.0
        try:
            with self._timed("stage", stage=name, **fields) as found:
                yield found
        finally:
            self._progress = None

    @contextmanager
    def _timed(self, what: str, **fields: Any) -> Iterator[dict[str, Any]]:
        self.event(f"{what} begins", **fields)
        begin = time.monotonic()
        found: dict[str, Any] = {}
        ended: dict[str, Any] = {"outcome": "done"}
        try:
            yield found
        except BaseException as exc:
            ended = {"outcome": "failed", "error": type(exc).__name__, "message": str(exc)}
            if isinstance(exc, KeyboardInterrupt | SystemExit):
                ended = {"outcome": "stopped", "error": type(exc).__name__}
            if what == "command":
                ended["exit_code"] = exit_code_of(exc)
            raise
        finally:
            if what == "command" and ended["outcome"] == "done":
                ended["exit_code"] = 0  # unless the command knows better
            seconds = time.monotonic() - begin
            named = {key: value for key, value in fields.items() if key == what}
            self.event(f"{what} ends", **(named | {"seconds": seconds} | ended | found))


def exit_code_of(error: BaseException) -> int:
    """The exit code of a command that an error ends."""
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return error.exit_code if isinstance(error, CurateError) else 1


class _Recorder(logging.Handler):
    """Writes the project's warnings, alarms among them, into a run log."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._written = 0
        self.left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", "warning")
        if record.name == __name__:
            pass  # one that cannot be written would be written about
        elif event != ALARM and self._written >= MAX_WARNINGS:
            self.left_out += 1
        else:
            self._written += event != ALARM
            told = record.getMessage()
            self._log.note(event, text=told.removeprefix(f"{ALARM}: ") if event == ALARM else told)
        # Python shows warnings on stderr only as long as nobody has added a handler.
        if logging.lastResort is not None and not logging.getLogger().handlers:
            print_line(record.getMessage())


def append_line(path: Path, line: bytes) -> None:
    """Append lines, on the disk when this returns; a last one that was cut short stays apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_log(store: Store) -> list[dict[str, Any]]:
    """The events of a run, oldest first; lines that were cut short are left out."""
    names = [f"{FOLDER}/{name}" for name in store.names(FOLDER, ".jsonl")]
    texts = list(prefetched(store.read_bytes, names, READ_AT_ONCE))
    if store.exists(LOCAL):
        texts.append(store.read_bytes(LOCAL))
    events = [event for text in texts for line in text.splitlines() for event in parsed(line)]
    return sorted(events, key=lambda event: datetime.fromisoformat(event["time"]))
