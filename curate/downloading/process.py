"""img2dataset in a process group of its own: its prints go to a log, its end is waited for.

It sets handlers for signals, starts processes that print, and leaves them behind when it is
stopped; apart from curate all of it can be ended at once, and at any moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from curate.downloading.engine import LIMITS
from curate.errors import DownloadError
from curate.terminal import printable

POLL_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 3.0
"""For processes that are asked to end, before they are killed. What they leave half-written is
removed by the next start either way."""

MAX_TOLD: Final = 300
"""Characters of img2dataset's last line that an error repeats."""

STALLED_SECONDS: Final = 900.0
"""Without a byte written anywhere in the folder: a worker that the kernel killed for its memory is
missed by nobody in img2dataset, which then waits for ever."""

QUIET: Final[Mapping[str, str]] = {
    "WANDB_MODE": "disabled",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # it would ask PyPI for its newest version
    "PYTHONUNBUFFERED": "1",
}


class StalledError(Exception):
    """Nothing was written for a long time."""


def run_engine(
    arguments: Mapping[str, Any],
    limits: Mapping[str, Any],
    request: Path,
    log: Path,
    activity: Callable[[], Any],
    stalled_seconds: float = STALLED_SECONDS,
) -> None:
    """Run img2dataset to its end; whatever ends the wait ends all of its processes.

    Args:
        arguments: of `img2dataset.download`, JSON-ready.
        limits: of `engine.bound`.
        request: file for the arguments.
        log: file that its prints are added to.
        activity: anything that differs when work went on since it was last asked for.
        stalled_seconds: without such a difference, after which it is given up.

    Raises:
        DownloadError: it ended with an error.
        StalledError: it was given up.
    """
    request.write_text(json.dumps(arguments), encoding="utf-8")
    environment = {**os.environ, **QUIET, LIMITS: json.dumps(limits)}
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "curate.downloading.engine", str(request)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C on the terminal is for curate, which ends the rest
        )
        try:
            _wait(process, activity, stalled_seconds)
        finally:
            _end(process)
    if process.returncode:
        raise DownloadError(
            f"img2dataset ended with exit code {process.returncode}: {_last_line(log)};"
            f" see {log}, and run again to go on"
        )


def _wait(process: subprocess.Popen[bytes], activity: Callable[[], Any], seconds: float) -> None:
    seen, since, looked = activity(), time.monotonic(), time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return
        if time.monotonic() - looked < seconds / 10:
            continue
        looked = time.monotonic()
        if (now := activity()) != seen:
            seen, since = now, looked
        elif looked - since > seconds:
            raise StalledError


def _end(process: subprocess.Popen[bytes]) -> None:
    """End every process of the group; those of a stopped img2dataset live on without it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _last_line(log: Path) -> str:
    with log.open(encoding="utf-8", errors="replace") as lines:
        last = deque((line.strip() for line in lines if line.strip()), maxlen=1)
    return printable(last[0])[:MAX_TOLD] if last else "it printed nothing"
