"""The CPU time and the memory of a command with everything it starts, daemons included. Linux.

What the kernel adds up for a parent (`RUSAGE_CHILDREN`) is not enough: Ray's raylet ignores the end
of its workers, and what they computed is added to nobody. So every process of the tree is looked at
a few times a second, and the last that was seen of each is added up. What a process computes after
its last look is lost, some tenths of a second a process; in differences of two runs it cancels.
Ray's daemons outlive the process that starts them: a subreaper inherits them, so that they stay in
the tree.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h
SECONDS_BETWEEN = 0.2
LOOKS_PER_MEMORY = 5  # walking page tables costs more than reading times
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
DAEMON_SECONDS = 30.0  # how long daemons may take to notice that their master is gone


@dataclass(frozen=True)
class Cost:
    """What something took: seconds of all cores and of the clock, bytes at the peak."""

    cpu: float
    wall: float
    memory: int


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, and until every process it left behind has ended.

    Raises:
        subprocess.CalledProcessError: it failed; its output is shown.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=None if env is None else dict(os.environ) | dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = _Watch(process.pid)
    output, _ = process.communicate()
    wall = time.perf_counter() - begin
    _reap()
    watch.stop()
    if process.returncode:
        print(output)
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Cost(watch.cpu, wall, watch.peak)


def _reap() -> None:
    until = time.monotonic() + DAEMON_SECONDS
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.05)


class _Watch:
    """Watches the times and the proportional set size of all children of this process."""

    def __init__(self, first: int) -> None:
        self._seen: dict[tuple[int, int], float] = {}
        self._done = threading.Event()
        self.peak = 0
        self._look([first])
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def cpu(self) -> float:
        """Seconds that all processes were seen to have computed."""
        return sum(self._seen.values())

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while not self._done.wait(SECONDS_BETWEEN):
            tree = children(os.getpid())[1:]
            self._look(tree)
            if looks % LOOKS_PER_MEMORY == 0:
                self.peak = max(self.peak, sum(map(memory_of, tree)))
            looks += 1

    def _look(self, tree: Sequence[int]) -> None:
        for pid in tree:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            user, system, started = int(fields[11]), int(fields[12]), int(fields[19])
            self._seen[pid, started] = (user + system) * TICK


def children(root: int) -> list[int]:
    """A process and all below it."""
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


def memory_of(pid: int) -> int:
    """Bytes of a process, each shared page divided by those that map it; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
