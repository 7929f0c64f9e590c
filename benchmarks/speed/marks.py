"""When the processes of a run reach what, for the start-up: one line a mark, from every process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final

from chaosing.hooks import AfterImport

VARIABLE: Final = "CURATE_BENCHMARK_MARKS"
SITECUSTOMIZE: Final = "from speed.marks import install\n\ninstall()\n"
"""For a folder on PYTHONPATH, with the folder of the benchmarks."""


@dataclass(frozen=True)
class Mark:
    """Something was reached.

    Attributes:
        what: was reached.
        pid: of the process that reached it.
        at: seconds since the epoch.
        cpu: seconds that the process had computed by then.
    """

    what: str
    pid: int
    at: float
    cpu: float


def leave(what: str) -> None:
    """Note that something was reached."""
    mark = {"what": what, "pid": os.getpid(), "at": time.time(), "cpu": time.process_time()}
    with Path(os.environ[VARIABLE]).open("a") as file:
        file.write(json.dumps(mark) + "\n")


def read(path: Path) -> list[Mark]:
    """All marks in the order of time."""
    marks = [Mark(**json.loads(line)) for line in path.read_text().splitlines()]
    return sorted(marks, key=lambda mark: mark.at)


def install() -> None:
    """Arm modules of curate as they are imported, if the environment names a file."""
    import sys

    if VARIABLE not in os.environ or any(isinstance(f, AfterImport) for f in sys.meta_path):
        return
    arm: dict[str, Callable[[Any], None]] = {
        "curate.cli": lambda module: leave("driver: command line imported"),
        "curate.pipeline.cluster": _arm_cluster,
        "curate.pipeline.stages": lambda module: leave("driver: stages imported"),
        "curate.pipeline.embedder": _arm_embedder,
        "curate.pipeline.actors": _arm_workers,
    }
    sys.meta_path.insert(0, AfterImport(arm))


def _arm_cluster(module: Any) -> None:
    _mark_after(module.Cluster, "_start", "driver: Ray started")


def _arm_embedder(module: Any) -> None:
    _mark_after(module.Embedder, "__init__", "embedder: imports done")
    _mark_after(module.Embedder, "info", "embedder: model loaded")
    _mark_after(module.Embedder, "share", "embedder: model loaded and shared")
    _mark_after(module.Embedder, "score", "embedder: batch scored")


def _arm_workers(module: Any) -> None:
    _mark_after(module.ScoreWorker, "__init__", "worker: tokenizer loaded")
    _mark_after(module.LeastLoaded, "submit", "worker: batch sent")


def _mark_after(owner: Any, name: str, what: str) -> None:
    method = getattr(owner, name)

    @wraps(method)
    def marked(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        leave(what)
        return result

    setattr(owner, name, marked)
