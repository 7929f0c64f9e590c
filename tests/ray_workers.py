"""Workers that do nothing but double or fail. Their processes import this module, and no torch."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ConfigError


@dataclass
class Doubler:
    """A worker that does one of several things."""

    mode: str
    folder: str = ""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self.mode == "own error":
            raise ConfigError("the worker says no")
        if self.mode == "bug":
            raise ZeroDivisionError("a bug in a worker")
        if self.mode == "die once":
            marker = Path(self.folder) / "died"
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return {"number": batch["number"] * 2}


class Unstartable:
    """A worker whose constructor fails."""

    def __init__(self) -> None:
        raise ZeroDivisionError("a bug in a constructor")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch


class Owner:
    """Puts an object into the store, which lives as long as its owner."""

    def put(self, value: Any) -> list[Any]:
        import ray

        return [ray.put(value)]
