"""Workers that do nothing but double or fail. Their processes import this module, and no torch."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ConfigError, ShardError


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


@dataclass
class Poisoned:
    """A worker that one shard kills each time."""

    attempts: Any
    folder: str

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        from curate.pipeline.attempts import attempt
        from curate.pipeline.light import shards_of

        errors = []
        for shard in shards_of(batch):
            try:
                with attempt(self.attempts, shard.id, shard.url):
                    if shard.id == "poison":
                        with (Path(self.folder) / "deaths").open("a") as file:
                            file.write(".")
                        os.kill(os.getpid(), signal.SIGKILL)
                errors.append("")
            except ShardError as exc:
                errors.append(str(exc))
        return {"id": batch["id"], "error": np.array(errors, dtype=object)}


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


class Summing:
    """An embedder that adds up pixels. Some batches kill it: those whose first pixel is POISON."""

    POISON = 66

    def __init__(self, folder: str) -> None:
        self._deaths = Path(folder) / "deaths"

    def pid(self) -> int:
        return os.getpid()

    def score(self, pixels: Any, tokens: Any, watched: Any) -> Any:
        import numpy as np

        from curate.pipeline.embed_client import noted
        from curate.scoring import ModelOutput

        with noted(watched):
            if pixels[0, 0, 0, 0] == self.POISON:
                with self._deaths.open("a") as file:
                    file.write(".")
                os.kill(os.getpid(), signal.SIGKILL)
            if tokens[0, 0] < 0:
                raise ConfigError("a negative token")
            sums = pixels.reshape(len(pixels), -1).sum(1) + tokens.sum(1)
            return ModelOutput({"sum": sums.astype(np.float32)})
