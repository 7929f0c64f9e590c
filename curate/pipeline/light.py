"""The Ray actors that never embed. They import no torch, which would cost them seconds to start."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from curate.alarms import Watch
from curate.errors import ShardError
from curate.filtering import write_filtered
from curate.image_index import index_shard
from curate.kept_samples import KeptSamples
from curate.manifest import Counts, RunDir
from curate.output_shards import OutputPlan, Piece
from curate.outputs import Store
from curate.pipeline.attempts import Attempts, attempt
from curate.pipeline.metrics import BY_REASON, Exporter
from curate.samples import SamplePolicy
from curate.sampling import hash_samples
from curate.shards import Shard
from curate.work_times import MILLISECONDS, PREPARING, WINDOW

UNKNOWN_SIZE: Final = -1
"""Stands for None in a Ray Data block, whose columns have one type."""

Batch = dict[str, npt.NDArray[Any]]


class Tally(Attempts):
    """Counts what the workers report, for the progress line, Prometheus and alarms.

    It counts attempts as well, since every actor is a process that takes a second to start.

    Never holds anything per sample.
    """

    def __init__(self, stage: str = "other", shards: int = 0, watch: Watch | None = None) -> None:
        """Begin a stage.

        Args:
            stage: its name, as metrics have it.
            shards: to do.
            watch: looks at finished shards; None where no share is expected.
        """
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._exporter = Exporter(stage)
        if shards:
            self._exporter.to_do(shards)
        self._watch = watch
        self._alarms: list[str] = []
        self._first: float | None = None
        self._heard = 0.0

    def begin(self, work: str) -> int:
        """As `Attempts.begin`; the first one is when workers are there."""
        if self._first is None:
            self._first = self._heard = time.monotonic()
        return super().begin(work)

    def add(self, counts: dict[str, int]) -> None:
        """Add to the counts."""
        self._heard = time.monotonic()
        self._counts.update(counts)
        self._exporter.count(counts)

    def finish(self, counts: Counts) -> None:
        """Take in the counts of a whole shard, whose samples `add` has counted already."""
        reasons = by_reason(counts)
        self._exporter.count(reasons)
        self._counts.update(reasons | {"finished": counts.read})
        for alarm in self._watch.add(counts) if self._watch is not None else ():
            self._exporter.alarm(alarm.kind)
            self._counts["alarms"] += 1
            self._alarms.append(str(alarm))

    def snapshot(self) -> dict[str, int]:
        """The counts so far; with `WINDOW`, where workers measure their time."""
        counts = dict(self._counts)
        if self._first is not None and PREPARING in counts:
            counts[WINDOW] = int((self._heard - self._first) * MILLISECONDS)
        return counts

    def alarms(self) -> list[str]:
        """The alarms so far, oldest first."""
        return list(self._alarms)


def by_reason(counts: Counts) -> dict[str, int]:
    """`rejected:REASON` and `dropped:RULE` -> samples, as `Exporter.count` takes them."""
    return {
        f"{outcome}{BY_REASON}{reason}": number
        for outcome, numbers in (("rejected", counts.rejected), ("dropped", counts.dropped))
        for reason, number in numbers.items()
    }


def tell(tally: Any, counts: Counts, times: Mapping[str, int] = MappingProxyType({})) -> None:
    """Report counts, and what else there is to count, to the actor that adds them up."""
    tally.add.remote(
        {
            "read": counts.read,
            "rejected": sum(counts.rejected.values()),
            "dropped": sum(counts.dropped.values()),
            **times,
        }
    )


def shards_of(batch: Batch) -> list[Shard]:
    """The shards of a Ray Data batch."""
    rows = zip(batch["id"], batch["url"], batch["size"], strict=True)
    return [
        Shard(id=str(i), url=str(u), size=None if s == UNKNOWN_SIZE else int(s)) for i, u, s in rows
    ]


def causes(exc: BaseException) -> Iterator[BaseException]:
    """An error and what is behind it, through Ray's wrappers, which keep theirs in `cause`."""
    seen: BaseException | None = exc
    while seen is not None:
        yield seen
        inner = getattr(seen, "cause", None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__


def describe_root(exc: BaseException) -> str:
    """Name and message of the error that an error goes back to."""
    *_, root = causes(exc)
    return f"{type(root).__name__}: {root}"


class Place(Protocol):
    """A shard, or a part of a pool of embeddings."""

    @property
    def id(self) -> str:
        """Unique in the pool."""
        ...

    @property
    def url(self) -> str:
        """Where it lies."""
        ...


P = TypeVar("P", bound=Place)


def hashed(
    batch: Batch,
    places: Iterable[P],
    attempts: Any,
    hashes_of: Callable[[P], npt.NDArray[np.int64]],
) -> Batch:
    """Hashes of each shard or part as bytes of int64, and its error if it cannot be read."""
    hashes, errors = [], []
    for place in places:
        try:
            with attempt(attempts, place.id, place.url):
                hashes.append(hashes_of(place).tobytes())
            errors.append("")
        except ShardError as exc:
            hashes.append(b"")
            errors.append(str(exc))
    return {
        "id": batch["id"],
        "hashes": np.array(hashes, dtype=object),
        "error": np.array(errors, dtype=object),
    }


@dataclass
class HashWorker:
    """Hashes the samples of shards, for choosing the Reference's sample."""

    policy: SamplePolicy
    seed: int
    attempts: Any

    def __call__(self, batch: Batch) -> Batch:
        """Return each shard's hashes as bytes of int64, and its error if it cannot be read."""
        return hashed(
            batch,
            shards_of(batch),
            self.attempts,
            lambda shard: hash_samples(shard, self.policy, self.seed),
        )


@dataclass
class IndexWorker:
    """Lists the samples of image shards; one row per shard."""

    images: RunDir
    policy: SamplePolicy
    identity: str
    tally: Any
    attempts: Any = None

    def __call__(self, batch: Batch) -> Batch:
        """Index the shards of a batch; one that cannot be read is recorded and goes on failing."""
        errors = []
        for shard in shards_of(batch):
            try:
                with attempt(self.attempts, shard.id, shard.url):
                    index_shard(
                        self.images,
                        shard,
                        self.policy,
                        self.identity,
                        lambda counts: tell(self.tally, counts),
                    )
                errors.append("")
                self.tally.add.remote({"shards": 1})
            except ShardError as exc:
                self.images.fail(shard, str(exc))
                errors.append(str(exc))
                self.tally.add.remote({"shards": 1, "failed": 1})
        return {"id": batch["id"], "error": np.array(errors, dtype=object)}


@dataclass
class FilterWorker:
    """Writes output shards; one row per output shard."""

    store: Store
    kept: KeptSamples
    tally: Any
    attempts: Any = None
    hashed: bool = False

    def __call__(self, batch: Batch) -> Batch:
        """Write the output shards of a batch; an input that changed or vanished is an error."""
        rows = zip(batch["number"], batch["digits"], batch["pieces"], strict=True)
        plans = [
            OutputPlan(
                int(number),
                tuple(Piece(p["shard"], int(p["first"]), int(p["last"])) for p in pieces),
                int(digits),
            )
            for number, digits, pieces in rows
        ]
        errors = [self._write(plan) for plan in plans]
        return {"number": batch["number"], "error": np.array(errors, dtype=object)}

    def _write(self, plan: OutputPlan) -> str:
        try:
            with attempt(self.attempts, plan.name, f"output shard {plan.name}"):
                write_filtered(self.store, self.kept, plan, hashed=self.hashed)
        except ShardError as exc:
            self.tally.add.remote({"shards": 1, "failed": 1})
            return str(exc)
        self.tally.add.remote({"shards": 1, "read": plan.samples})
        return ""


def plan_row(plan: OutputPlan) -> dict[str, Any]:
    """The Ray Data row of an output shard."""
    pieces = [{"shard": p.shard, "first": p.first, "last": p.last} for p in plan.pieces]
    return {"number": plan.number, "digits": plan.digits, "pieces": pieces}
