"""`curate run` as another process, which can be signalled, killed and waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.02

CREDENTIALS: Final = "RAY_AUTH_"
"""How the nodes of a cluster that this process started want to be asked."""

# A shell starts background jobs with SIGINT ignored, which every child inherits and Python then
# leaves alone. Not by `preexec_fn`, which may deadlock beside threads.
LAUNCHER: Final = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass
class Driver:
    """A run that goes on."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self.process.pid

    def ended(self) -> bool:
        """Whether it ended."""
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal to the driver alone, unless it ended."""
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None if it has not ended in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ended():
                return self.process.returncode
            time.sleep(POLL_SECONDS)
        return None

    def told(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")


@contextmanager
def driver(folder: Path, config: Path, log: Path, variables: Mapping[str, str]) -> Iterator[Driver]:
    """Start `curate run`; what is left of it at the end of the block is killed.

    Args:
        folder: where it runs.
        config: of the run.
        log: receives its output.
        variables: environment, beside this process's own without Ray's settings.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RAY_") or name.startswith(CREDENTIALS)
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-ISc", LAUNCHER, "-m", "curate.cli", "run", str(config)],
            cwd=folder,
            env=inherited | dict(variables),
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Driver(process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
