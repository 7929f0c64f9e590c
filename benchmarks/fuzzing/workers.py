"""Worker processes that run cases under a time limit and a memory ceiling, and may be killed."""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

MEGABYTE: Final = 1 << 20
START_SECONDS: Final = 180.0
"""For importing torch and reading the corpus on a busy machine."""

ADDRESSES: Final = 2
"""Address space over the ceiling of resident memory: what is reserved and never touched counts."""


@dataclass(frozen=True)
class Limits:
    """What a case may take.

    Attributes:
        seconds: wall time.
        megabytes: resident memory (MiB) beyond that of the idle worker.
    """

    seconds: float = 20.0
    megabytes: int = 1024


Prepare = Callable[[Path], Callable[[int], Any]]
"""Makes, in the worker and over a folder of its own, the function that runs a case by number."""


def run_cases(
    cases: Iterable[int], prepare: Prepare, processes: int, limits: Limits
) -> Iterator[tuple[int, Any, str]]:
    """Run cases in worker processes.

    Args:
        cases: their numbers.
        prepare: picklable; see `Prepare`.
        processes: how many at a time.
        limits: of each case.

    Yields:
        Number, result, and what went wrong with the process: a case that hangs, takes too much
        memory or kills its worker has no result and does not stop the others.
    """
    todo = iter(cases)
    workers: list[_Worker] = []
    try:
        first = itertools.islice(todo, processes)
        workers.extend(_Worker(prepare, limits, case) for case in first)
        while workers:
            _wait_for(workers)
            for worker in list(workers):
                found = worker.poll()
                if found is None:
                    continue
                case = next(todo, None)
                if case is None:
                    workers.remove(worker)
                    worker.stop()
                elif found[2]:
                    worker.stop()
                    workers[workers.index(worker)] = _Worker(prepare, limits, case)
                else:
                    worker.start(case)
                yield found
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    def __init__(self, prepare: Prepare, limits: Limits, case: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._limits = limits
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, prepare, limits), daemon=True)
        self.process.start()
        theirs.close()
        self.case, self._ready = case, False
        self.deadline = time.monotonic() + START_SECONDS

    def start(self, case: int) -> None:
        self.case = case
        self.deadline = time.monotonic() + self._limits.seconds
        self.connection.send(case)

    def poll(self) -> tuple[int, Any, str] | None:
        """The finished case, or None while it runs."""
        if self.connection.poll():
            try:
                result, trouble = self.connection.recv()
            except (EOFError, ConnectionError):
                self.process.join(5)
                if not self._ready:
                    raise RuntimeError("a worker cannot start; see its error above") from None
                return self.case, None, f"the process died: exit code {self.process.exitcode}"
            if self._ready:
                return self.case, result, trouble
            self._ready = True
            self.start(self.case)
            return None
        if time.monotonic() > self.deadline:
            return self.case, None, f"no end within {self._limits.seconds} seconds"
        return None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _wait_for(workers: list[_Worker]) -> None:
    first = min(worker.deadline for worker in workers)
    wait([worker.connection for worker in workers], max(0.0, first - time.monotonic()) + 0.01)


def _serve(connection: Connection, prepare: Prepare, limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    with tempfile.TemporaryDirectory(prefix="curate-fuzz-") as folder:
        run = prepare(Path(folder))
        idle = memory_of_process("VmRSS")
        ceiling = memory_of_process("VmSize") + ADDRESSES * limits.megabytes * MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
        connection.send((None, ""))
        while True:
            try:
                case = connection.recv()
            except EOFError:
                return
            result = run(case)
            peak = (memory_of_process("VmHWM") - idle) / MEGABYTE
            trouble = f"{peak:.0f} MiB of memory" if peak > limits.megabytes else ""
            connection.send((result, trouble))


def memory_of_process(field: str) -> int:
    """A field of /proc/self/status, bytes: VmRSS is resident, VmHWM its peak. Linux."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}; this runs on Linux")
