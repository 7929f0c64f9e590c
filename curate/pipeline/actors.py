"""The workers of the stages that embed: they read, decode, send batches off, and commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate.encoder import ModelInfo
from curate.errors import CurateError, ShardError, WorkerError
from curate.loading import Tokenize, load_tokenizer, tokenizing
from curate.manifest import Counts, RunDir
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.attempts import attempt
from curate.pipeline.embed_client import LeastLoaded
from curate.pipeline.embedder import ReferenceHandle
from curate.pipeline.light import Batch, describe_root, shards_of, tell
from curate.pipeline.metrics import SHARD_SECONDS, Exporter
from curate.pipeline.sample_stage import sampled
from curate.samples import SamplePolicy
from curate.scoring import BatchPlan, Float32
from curate.shard_tasks import ScoreTask, embed_chosen, score_shard
from curate.shards import Shard
from curate.shared_tokenizer import thaw_tokenizer
from curate.work_times import WorkTimes

BATCHES_IN_FLIGHT: Final = 3
"""Per worker: one in the model, one on its way, one waiting. More only fills the object store."""


@dataclass(frozen=True)
class WorkerJob:
    """What every worker that embeds needs; `tokenizer` as `Encoder.tokenizer` gives it."""

    run: Store
    model: ModelInfo
    tokenizer: bytes | None
    policy: SamplePolicy
    batch_size: int
    embedders: tuple[Any, ...]
    tally: Any


@dataclass(frozen=True)
class ScoreJob:
    """What scoring needs besides."""

    worker: WorkerJob
    identity: str
    reference: ReferenceHandle
    save_embeddings: bool
    preview: Node | None


@dataclass(frozen=True)
class SampleJob:
    """What taking the Reference's sample needs besides."""

    worker: WorkerJob
    seed: int
    threshold: int
    costly: tuple[str, ...]


def _tokenize(job: WorkerJob) -> Tokenize:
    model = job.model
    if job.tokenizer is None:
        return load_tokenizer(model.name, model.context_length)
    return tokenizing(thaw_tokenizer(job.tokenizer), model.context_length)


def _task(job: WorkerJob, costly: tuple[str, ...] = (), **fields: Any) -> ScoreTask:
    plan = BatchPlan(
        pixels=job.model.pixels,
        tokenize=_tokenize(job),
        max_pixels=job.policy.image_pixels,
        batch_size=job.batch_size,
        depth=BATCHES_IN_FLIGHT,
        costly=costly,
    )
    return ScoreTask(policy=job.policy, plan=plan, **fields)


class ScoreWorker:
    """Scores and commits shards; one row per shard in, one row per shard out."""

    def __init__(self, job: ScoreJob) -> None:
        self._job = job
        self._exporter = Exporter("score")
        self._run = RunDir(job.worker.run)
        self._task = _task(
            job.worker,
            job.reference.config.costly_scores,
            identity=job.identity,
            save_embeddings=job.save_embeddings,
            preview=job.preview,
        )

    def __call__(self, batch: Batch) -> Batch:
        """Score the shards of a batch; an unreadable one is recorded and the rest goes on."""
        errors = [self._score(shard) for shard in shards_of(batch)]
        return {"id": batch["id"], "error": np.array(errors, dtype=object)}

    def _score(self, shard: Shard) -> str:
        job, times = self._job.worker, WorkTimes()
        client = LeastLoaded(
            shard,
            job.embedders,
            job.tally,
            "score",
            self._job.reference,
            self._job.save_embeddings,
            times=times,
        )

        def observe(counts: Counts) -> None:
            tell(job.tally, counts, times.take())

        try:
            with attempt(job.tally, shard.id, shard.url), self._exporter.timed(SHARD_SECONDS):
                counts = score_shard(self._run, shard, self._task, client, observe, times)
        except ShardError as exc:
            self._run.fail(shard, str(exc))
            job.tally.add.remote({"shards": 1, "failed": 1})
            return str(exc)
        except CurateError:
            raise
        except Exception as exc:
            raise WorkerError(f"{shard.url}: a worker failed: {describe_root(exc)}") from exc
        job.tally.add.remote({"shards": 1, **times.take()})
        job.tally.finish.remote(counts)
        return ""


class SampleWorker:
    """Embeds the chosen samples of shards."""

    def __init__(self, job: SampleJob) -> None:
        self._job = job
        self._task = _task(job.worker, job.costly, identity="")

    def __call__(self, batch: Batch) -> Batch:
        """Return, per shard, an Arrow stream of its rows and an npz of its embeddings."""
        return sampled(batch, shards_of(batch), self._sample)

    def _sample(self, shard: Shard) -> tuple[pa.Table, Float32, Float32]:
        job, worker, times = self._job, self._job.worker, WorkTimes()
        with attempt(worker.tally, shard.id, shard.url):
            scores = embed_chosen(
                shard,
                self._task,
                job.seed,
                job.threshold,
                LeastLoaded(shard, worker.embedders, worker.tally, "embed", times=times),
                lambda c: tell(worker.tally, c, times.take()),
                times,
            )
        worker.tally.add.remote({"shards": 1, **times.take()})
        return scores.to_table(), *scores.embeddings(np.float32)
