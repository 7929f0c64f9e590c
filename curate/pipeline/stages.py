"""The stages that embed: fit a Reference, score shards.

Ray Data is the outer loop, one row per shard, so that the driver stays idle however many shards
there are. Samples never pass through it: a worker reads a shard and sends its batches straight to
the embedders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ray

from curate.alarms import Watch
from curate.batch_size import settle
from curate.bottleneck import Setup
from curate.config import Config
from curate.encoder import ModelInfo
from curate.held import Held
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.actors import SampleJob, SampleWorker, ScoreJob, ScoreWorker, WorkerJob
from curate.pipeline.attempts import counted_attempts
from curate.pipeline.compute import ComputePlan, plan_compute
from curate.pipeline.embedder import Embedder, ReferenceHandle
from curate.pipeline.lanes import AT_ONCE
from curate.pipeline.light import HashWorker
from curate.pipeline.mapping import map_rows, shard_rows, tallied, unwrapped
from curate.pipeline.sample_stage import choose_shards, fit_on_rows
from curate.progress import Task
from curate.reference import Reference, Sample
from curate.samples import SamplePolicy, policy_of
from curate.shards import Shard

LOADING_SECONDS: Final = 60.0
"""How long the end of a session waits for embedders that no batch has reached yet."""

LOADING_RETRIES: Final = 10
"""Deaths of an embedder that loading the model survives; batches see to themselves."""


@dataclass(frozen=True)
class Session:
    """A started set of embedders, and what they hold."""

    config: Config
    compute: ComputePlan
    model: ModelInfo
    policy: SamplePolicy
    embedders: tuple[Any, ...]
    batch_size: int
    tokenizer: bytes | None

    def worker_job(self, run: Store, tally: Any) -> WorkerJob:
        """What workers of this session need."""
        return WorkerJob(
            run=run,
            model=self.model,
            tokenizer=self.tokenizer,
            policy=self.policy,
            batch_size=self.batch_size,
            embedders=self.embedders,
            tally=tally,
        )

    def setup(self) -> Setup:
        """What stages of this session say of themselves."""
        plan = self.compute
        return Setup(plan.embedders, plan.workers, self.batch_size, self.model.device)

    def map(
        self, shards: Sequence[Shard], worker: type, arguments: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Map shards through a pool of workers; see `map_rows`."""
        plan = self.compute
        return map_rows(shard_rows(shards), worker, arguments, plan.workers, plan.worker_cpus)


@contextmanager
def session(
    config: Config, store: Store, resources: tuple[float, float], shards: int
) -> Iterator[Session]:
    """Start embedders on the connected cluster; they end with the block.

    Args:
        config: of the run.
        store: the run directory, which keeps the batch size.
        resources: CPUs and GPUs of the cluster.
        shards: shards to do.

    Raises:
        ResourceError: the cluster is too small.
        ModelError: the model cannot be loaded.
        OutputError: the run directory's batch size cannot be read.
    """
    compute = plan_compute(config.compute, config.model.device, *resources, shards)
    embedders = _start_embedders(config, compute)
    try:
        # All of them load at once; the first to tell speaks for the others.
        loading = [embedder.info.remote() for embedder in embedders]
        with unwrapped():
            model: ModelInfo = ray.get(loading[0])
            tokenizer: bytes | None = ray.get(embedders[0].tokenizer.remote())
            size = settle(store, compute.batch_size, lambda: _fitting_batch(embedders[0], compute))
        yield Session(config, compute, model, policy_of(config), embedders, size, tokenizer)
        # Where there was nothing to do, the others are still loading; Ray reports those it kills.
        ray.wait(loading, num_returns=len(loading), timeout=LOADING_SECONDS)
    finally:
        for embedder in embedders:
            ray.kill(embedder)


def _start_embedders(config: Config, compute: ComputePlan) -> tuple[Any, ...]:
    """Start the actors; the first loads the model, and the others take it over from there."""
    actor = ray.remote(Embedder).options(
        num_cpus=compute.embedder_cpus,
        num_gpus=compute.embedder_gpus,
        max_restarts=-1,
        max_task_retries=LOADING_RETRIES,
        # On a GPU the next batch is copied to the device while this one is computed.
        max_concurrency=AT_ONCE if compute.embedder_gpus else 1,
        scheduling_strategy="SPREAD",
    )
    first = actor.remote(config.model, compute.threads)
    if compute.embedders == 1:
        return (first,)
    shared = (first.share.remote(),)
    others = (
        actor.remote(config.model, compute.threads, shared) for _ in range(1, compute.embedders)
    )
    return (first, *others)


def _fitting_batch(embedder: Any, compute: ComputePlan) -> int:
    size: int = ray.get(embedder.fitting_batch.remote(compute.embedders_per_gpu, AT_ONCE))
    return size


# --- score ------------------------------------------------------------------------------------


def score(
    session: Session,
    run: Store,
    shards: Sequence[Shard],
    identity: str,
    held: Held,
    folder: str,
    preview: Node | None,
    watch: Watch | None = None,
    before: int = 0,
) -> dict[str, str]:
    """Score and commit shards.

    Args:
        session: started embedders.
        run: the run directory.
        shards: those not committed yet.
        identity: of the scores.
        held: the Reference, and what the listed scores need besides.
        folder: of the Reference in the run directory.
        preview: rules that can be decided on the way, for the progress line.
        watch: looks at the counts of finished shards; None leaves it.
        before: shards that were committed before, for the progress line.

    Returns:
        Shard id -> error, of the shards that cannot be read.
    """
    if not shards:
        return {}
    handle = ReferenceHandle(identity, (ray.put(held),), run, folder, session.config)
    task = Task(
        "score",
        len(shards),
        shows_drops=preview is not None,
        before=before,
        setup=session.setup(),
    )
    with tallied(task, watch) as tally:
        job = ScoreJob(
            worker=session.worker_job(run, tally),
            identity=identity,
            reference=handle,
            save_embeddings=session.config.output.save_embeddings,
            preview=preview,
        )
        rows = session.map(shards, ScoreWorker, {"job": job})
        return {str(row["id"]): str(row["error"]) for row in rows if row["error"]}


# --- fit --------------------------------------------------------------------------------------


def fit_reference(
    session: Session, run: Store, folder: str, shards: Sequence[Shard]
) -> tuple[Reference, Sample]:
    """Take a seeded sample of pairs and fit a Reference on it.

    The sample is the pairs with the smallest hashes among seeded shards: it does not depend on
    the order of shards, on batches, or on the number of workers.

    Args:
        session: started embedders.
        run: the run directory.
        folder: where in it the Reference will be, beside the target of its scores.
        shards: to sample from.

    Raises:
        ShardError: none of the shards can be read.
        ReferenceFileError: too few pairs can be used.
    """
    config, settings = session.config, session.config.reference
    with counted_attempts() as attempts:
        worker = {"policy": session.policy, "seed": settings.seed, "attempts": attempts}
        chosen, threshold = choose_shards(
            shards, settings, lambda looked_at: session.map(looked_at, HashWorker, worker)
        )
    with tallied(Task("fit", len(chosen), setup=session.setup())) as tally:
        worker_job = session.worker_job(run, tally)
        job = SampleJob(worker_job, settings.seed, threshold, config.costly_scores)
        rows = list(session.map(chosen, SampleWorker, {"job": job}))
    return fit_on_rows(rows, config, session.model, run, folder)
