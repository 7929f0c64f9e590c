"""The CPU time and the memory of a command with everything it starts, daemons included. Linux.

Ray's daemons outlive the process that starts them, and belong to nobody then. A subreaper inherits
them, so that what they used is counted when they end.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h
SECONDS_BETWEEN = 0.5
DAEMON_SECONDS = 30.0  # how long daemons may take to notice that their master is gone


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of wall time and of all cores, bytes at the peak."""

    wall: float
    cpu: float
    memory: int


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, and until every process it left behind has ended.

    Raises:
        subprocess.CalledProcessError: it failed; its output is shown.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, begin = _used(), time.perf_counter()
    process = subprocess.Popen(
        command,
        env=None if env is None else dict(os.environ) | dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = _Peak(process.pid)
    output, _ = process.communicate()
    wall = time.perf_counter() - begin
    memory = peak.stop()
    _reap()
    if process.returncode:
        print(output)
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Cost(wall, _used() - before, memory)


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap() -> None:
    until = time.monotonic() + DAEMON_SECONDS
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.05)


class _Peak:
    """Watches the proportional set size of a process tree."""

    def __init__(self, root: int) -> None:
        self._root, self._peak, self._done = root, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(SECONDS_BETWEEN):
            self._peak = max(self._peak, sum(map(_memory, _children(self._root))))

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak


def _children(root: int) -> list[int]:
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, path.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    return found


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
