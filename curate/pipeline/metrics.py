"""What Prometheus sees of a run, through the metrics agent of every Ray node.

Ray puts `ray_` before these names. Counters begin at zero with every stage, which `rate()` and
`increase()` allow for. Metrics are sent every ten seconds: what a stage counts in its last seconds
may be lost to them, and never to the markers and accounts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from curate.work_times import (
    EMBEDDING,
    MILLISECONDS,
    PREPARING,
    READING,
    SPLIT,
    WAITING,
    WRITING,
)

PREFIX: Final = "ray_"
"""What Ray puts before the name of every metric."""

BY_REASON: Final = ":"
"""Between `rejected` or `dropped` and the reason, in the counts that workers report."""

BATCH_BOUNDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds: 256 pairs on a fast GPU to 32 on a slow CPU."""

SHARD_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Seconds: a few hundred pairs to ten thousand on a CPU."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, without Ray.

    Attributes:
        name: as Ray is told it; counters end in `_total`.
        kind: of Prometheus.
        help: what it counts, with the unit.
        tags: beside `stage`.
        bounds: of a histogram's buckets, seconds.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


READ: Final = Metric("curate_samples_read_total", "counter", "Samples read, usable or not")
REJECTED: Final = Metric(
    "curate_samples_rejected_total", "counter", "Samples that could not be scored"
)
DROPPED: Final = Metric(
    "curate_samples_dropped_total",
    "counter",
    "Scored samples that the rules drop, as far as they can be decided while scoring",
)
REASONS: Final = Metric(
    "curate_samples_by_reason_total",
    "counter",
    "Samples of finished shards that were rejected or dropped, by reason",
    ("outcome", "reason"),
)
COMMITTED: Final = Metric("curate_shards_committed_total", "counter", "Shards finished")
UNREADABLE: Final = Metric(
    "curate_shards_unreadable_total", "counter", "Shards that were set aside"
)
TO_DO: Final = Metric("curate_shards_to_do", "gauge", "Shards that the stage began with")
ALARMS: Final = Metric(
    "curate_alarms_total", "counter", "Shares far from the Reference's", ("share",)
)
BATCH_SECONDS: Final = Metric(
    "curate_batch_seconds", "histogram", "Seconds of a batch in an embedder", (), BATCH_BOUNDS
)
SHARD_SECONDS: Final = Metric(
    "curate_shard_seconds", "histogram", "Seconds of a shard in a worker", (), SHARD_BOUNDS
)
WORK_SECONDS: Final = Metric(
    "curate_work_seconds_total",
    "counter",
    "Seconds of workers (reading, preparing, waiting, writing) and embedders (embedding)",
    ("part",),
)
SPLIT_BATCHES: Final = Metric(
    "curate_batches_split_total", "counter", "Batches halved because they did not fit into memory"
)

ALL: Final = (
    *(READ, REJECTED, DROPPED, REASONS, COMMITTED, UNREADABLE, TO_DO, ALARMS),
    *(BATCH_SECONDS, SHARD_SECONDS, WORK_SECONDS, SPLIT_BATCHES),
)

_COUNTED: Final = {
    "read": READ,
    "rejected": REJECTED,
    "dropped": DROPPED,
    "failed": UNREADABLE,
    SPLIT: SPLIT_BATCHES,
}
"""Key of the counts that workers report -> metric."""

_PARTS: Final = {
    part: part.removesuffix("_ms") for part in (READING, PREPARING, WAITING, WRITING, EMBEDDING)
}
"""Key of the milliseconds that workers report -> part of the work."""


class Exporter:
    """The metrics of one process; Ray's own objects are made when they are first used."""

    def __init__(self, stage: str) -> None:
        """Export for a stage, whose name goes with every value."""
        self._stage = stage
        self._made: dict[str, Any] = {}

    def count(self, counts: Mapping[str, int]) -> None:
        """Add counts as workers report them: of shards, samples, and `rejected:REASON`."""
        for key, number in counts.items():
            if number <= 0:
                continue
            outcome, separator, reason = key.partition(BY_REASON)
            if separator:
                self._of(REASONS).inc(number, self._tags(outcome=outcome, reason=reason))
            elif key in _PARTS:
                seconds = number / MILLISECONDS
                self._of(WORK_SECONDS).inc(seconds, self._tags(part=_PARTS[key]))
            elif key in _COUNTED:
                self._of(_COUNTED[key]).inc(number, self._tags())
        committed = counts.get("shards", 0) - counts.get("failed", 0)
        if committed > 0:
            self._of(COMMITTED).inc(committed, self._tags())

    def to_do(self, shards: int) -> None:
        """Tell how many shards the stage began with."""
        self._of(TO_DO).set(shards, self._tags())

    def alarm(self, share: str) -> None:
        """Count an alarm."""
        self._of(ALARMS).inc(1, self._tags(share=share))

    @contextmanager
    def timed(self, metric: Metric) -> Iterator[None]:
        """Put the seconds of the block into a histogram, unless it fails."""
        begin = time.perf_counter()
        yield
        self._of(metric).observe(time.perf_counter() - begin, self._tags())

    def _tags(self, **more: str) -> dict[str, str]:
        return {"stage": self._stage, **more}

    def _of(self, metric: Metric) -> Any:
        if metric.name not in self._made:
            from ray.util import metrics

            tags = ("stage", *metric.tags)
            if metric.kind == "counter":
                made: Any = metrics.Counter(metric.name, metric.help, tags)
            elif metric.kind == "gauge":
                made = metrics.Gauge(metric.name, metric.help, tags)
            else:
                made = metrics.Histogram(metric.name, metric.help, list(metric.bounds), tags)
            self._made[metric.name] = made
        return self._made[metric.name]
