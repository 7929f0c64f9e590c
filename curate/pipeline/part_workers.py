"""The Ray actors of pools that come with their embeddings: they read, score and commit parts.

There is nothing to embed, so that a worker does all of it, with one thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from curate.config import Config
from curate.embedding_pools.layouts import Part, part_of
from curate.embedding_pools.source import Source
from curate.embedding_pools.task import Float32, PartTask, hash_part, sample_part, score_part
from curate.errors import CurateError, ShardError, WorkerError
from curate.held import read_held
from curate.manifest import RunDir
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.attempts import attempt
from curate.pipeline.light import Batch, describe_root, hashed, shards_of, tell
from curate.pipeline.metrics import SHARD_SECONDS, Exporter
from curate.pipeline.sample_stage import sampled
from curate.workspace import REFERENCE_FOLDER

THREADS = 1
"""Of torch, per worker: parts are done side by side."""


@dataclass(frozen=True)
class PartJob:
    """What scoring a part needs besides the part."""

    run: Store
    config: Config
    source: Source
    identity: str
    preview: Node | None
    tally: Any


@dataclass(frozen=True)
class PartSampleJob:
    """What taking the Reference's sample needs."""

    source: Source
    seed: int
    threshold: int
    costly: tuple[str, ...]
    tally: Any


@dataclass
class HashPartWorker:
    """Hashes the rows of parts, for choosing the Reference's sample."""

    source: Source
    seed: int
    attempts: Any

    def __call__(self, batch: Batch) -> Batch:
        """Return each part's hashes as bytes of int64, and its error if it cannot be read."""
        parts = _parts(batch, self.source)
        return hashed(
            batch, parts, self.attempts, lambda part: hash_part(part, self.source, self.seed)
        )


class SamplePartWorker:
    """Takes the chosen rows of parts."""

    def __init__(self, job: PartSampleJob) -> None:
        torch.set_num_threads(THREADS)
        self._job = job

    def __call__(self, batch: Batch) -> Batch:
        """Return, per part, an Arrow stream of its rows and an npz of their embeddings."""
        return sampled(batch, _parts(batch, self._job.source), self._sample)

    def _sample(self, part: Part) -> tuple[pa.Table, Float32, Float32]:
        job = self._job
        with attempt(job.tally, part.id, part.url):
            rows = sample_part(part, job.source, job.seed, job.threshold, job.costly)
        job.tally.add.remote({"shards": 1, "read": rows[0].num_rows})
        return rows


class ScorePartWorker:
    """Scores and commits parts; one row per part in, one row per part out."""

    def __init__(self, job: PartJob) -> None:
        torch.set_num_threads(THREADS)
        self._job = job
        self._exporter = Exporter("score")
        self._run = RunDir(job.run)
        scorer = None
        if job.source.model is not None:
            scorer = read_held(job.run, REFERENCE_FOLDER, job.config).scorer("cpu")
        costly = job.config.costly_scores
        self._task = PartTask(job.identity, job.source, costly, scorer, job.preview)

    def __call__(self, batch: Batch) -> Batch:
        """Score the parts of a batch; an unreadable one is recorded and the rest goes on."""
        errors = [self._score(part) for part in _parts(batch, self._job.source)]
        return {"id": batch["id"], "error": np.array(errors, dtype=object)}

    def _score(self, part: Part) -> str:
        tally = self._job.tally
        try:
            with (
                attempt(self._job.tally, part.id, part.url),
                self._exporter.timed(SHARD_SECONDS),
            ):
                found = score_part(self._run, part, self._task, lambda counts: tell(tally, counts))
        except ShardError as exc:
            self._run.fail(part.as_shard(), str(exc))
            tally.add.remote({"shards": 1, "failed": 1})
            return str(exc)
        except CurateError:
            raise
        except Exception as exc:
            raise WorkerError(f"{part.url}: a worker failed: {describe_root(exc)}") from exc
        tally.add.remote({"shards": 1})
        tally.finish.remote(found)
        return ""


def _parts(batch: Batch, source: Source) -> list[Part]:
    return [part_of(shard, source.layout) for shard in shards_of(batch)]
