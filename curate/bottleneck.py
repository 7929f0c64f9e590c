"""Which stage limits a run, and what to add: from shares of time alone. Pure.

Embedders and workers are joined by short queues, so that whoever is the slower one is always busy
and the others wait. How it is told:

- Embedders that have a batch for `MODEL_BUSY` of the time or more: the model limits.
- Else they lack batches. Where workers wait most of their time all the same, batches do not overlap
  enough, as with small shards, whose last batches are waited for before the next shard is begun.
- Else it is what workers do most: reading, preparing (decoding, resizing, tokenising), or writing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from curate.work_times import EMBEDDING, PREPARING, READING, SPLIT, WAITING, WINDOW, WRITING

MODEL_BUSY: Final = 0.85
"""Share of time with a batch from which on an embedder counts as always busy: the first batches of
a stage, its last ones, and those of restarted actors leave gaps that no more workers would fill."""

MOSTLY: Final = 0.5
"""Share of a worker's time that counts as most of it."""

LEAST_MS: Final = 2000
"""A stage's first seconds tell of start-up alone."""

LEAST_BUSY: Final = 0.01
"""Busy share below which it is not told how many more workers would do: it would be noise."""

Limiting = Literal["model", "reading", "decoding", "writing", "overlap"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a stage that embeds was started with.

    Attributes:
        embedders, workers: how many.
        batch_size: pairs.
        device: of the model, `cpu` or `cuda`.
    """

    embedders: int
    workers: int
    batch_size: int
    device: str

    @classmethod
    def from_json(cls, value: Any) -> Setup | None:
        """Read back what the log keeps of it; None if it is something else."""
        try:
            return cls(
                int(value["embedders"]),
                int(value["workers"]),
                int(value["batch_size"]),
                str(value["device"]),
            )
        except (KeyError, TypeError, ValueError):
            return None  # another version's, or none at all


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What limits a stage.

    Attributes:
        limited_by: the stage.
        advice: what to add.
        embedders_busy: share of time in which an embedder had a batch, on average.
        reading, preparing, waiting, writing: shares of the workers' time.
        workers_wanted: how many would keep the embedders busy; None where that is not the matter,
            or where they would take CPUs that the model computes on.
    """

    limited_by: Limiting
    advice: str
    embedders_busy: float
    reading: float
    preparing: float
    waiting: float
    writing: float
    workers_wanted: int | None

    def __str__(self) -> str:
        """One line, e.g. `limited by decoding: ...; add workers or CPUs`."""
        busy, waiting = _percent(self.embedders_busy), _percent(self.waiting)
        embedders = f"embedders are busy {busy} of the time"
        workers = f"workers wait for the model {waiting} of theirs"
        told = {
            "model": f"{embedders}, {workers}",
            "overlap": f"{embedders}, yet {workers}: shards are small, or workers too few",
            "decoding": f"{workers} and decode {_percent(self.preparing)}; {embedders}",
            "reading": f"workers read {_percent(self.reading)} of the time; {embedders}",
            "writing": f"workers write {_percent(self.writing)} of the time; {embedders}",
        }[self.limited_by]
        text = f"limited by {NAMES[self.limited_by]}: {told}; {self.advice}"
        if self.workers_wanted is not None:
            text += f" (about {self.workers_wanted} workers would keep the embedders busy)"
        return text


NAMES: Final[Mapping[Limiting, str]] = {
    "model": "the model",
    "decoding": "decoding",
    "reading": "reading",
    "writing": "writing",
    "overlap": "too few batches at a time",
}

_OF_PARTS: Final[tuple[Limiting, ...]] = ("reading", "decoding", "writing")


def find_bottleneck(counts: Mapping[str, int], setup: Setup | None) -> Bottleneck | None:
    """Tell what limits a stage.

    Args:
        counts: of the stage so far, with the milliseconds of `curate.work_times`.
        setup: what it was started with.

    Returns:
        None where nothing tells: no model is involved, or the stage has just begun.
    """
    parts = [counts.get(name, 0) for name in (READING, PREPARING, WAITING, WRITING)]
    whole, window = sum(parts), counts.get(WINDOW, 0)
    if setup is None or window < LEAST_MS or not whole:
        return None
    reading, preparing, waiting, writing = (part / whole for part in parts)
    busy = min(counts.get(EMBEDDING, 0) / (setup.embedders * window), 1.0)
    limited_by = _limiting(busy, reading, preparing, waiting, writing)
    on_cpu = setup.device == "cpu"
    wanted = None
    if limited_by not in ("model", "writing") and not on_cpu and busy >= LEAST_BUSY:
        wanted = max(math.ceil(setup.workers * MODEL_BUSY / busy), setup.workers + 1)
    advice = _advice(limited_by, on_cpu)
    return Bottleneck(
        limited_by, advice, busy, reading, preparing, waiting, writing, workers_wanted=wanted
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _limiting(
    busy: float, reading: float, preparing: float, waiting: float, writing: float
) -> Limiting:
    if busy >= MODEL_BUSY:
        return "model"
    if waiting >= MOSTLY:
        return "overlap"
    shares = dict(zip(_OF_PARTS, (reading, preparing, writing), strict=True))
    return max(_OF_PARTS, key=lambda part: shares[part])


def _advice(limited_by: Limiting, on_cpu: bool) -> str:
    if limited_by == "model":
        # Whether kernels fill the GPU is not seen from here; those of small models may not.
        more = "add GPUs, or, with a small model, compute.embedders_per_gpu"
        return "add CPUs, or a GPU" if on_cpu else more
    return {
        "decoding": "add workers or CPUs",
        "reading": "use faster storage, or add workers",
        "writing": "use faster storage for output.run_dir, or add workers",
        "overlap": "add workers",
    }[limited_by]


def split_batches(counts: Mapping[str, int]) -> str | None:
    """A warning of batches that did not fit into memory; None if all did."""
    number = counts.get(SPLIT, 0)
    if not number:
        return None
    noun = "batch" if number == 1 else "batches"
    return (
        f"{number:,} {noun} did not fit into memory and went through the model in halves: scores"
        " are the same within rounding, but it takes longer; lower compute.batch_size, or"
        " compute.embedders_per_gpu"
    )
