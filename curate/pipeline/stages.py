"""The stages that embed: fit a Reference, score shards.

Ray Data is the outer loop, one row per shard, so that the driver stays idle however many shards
there are. Samples never pass through it: a worker reads a shard and sends its batches straight to
the embedders.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import ray

from curate.config import Config
from curate.encoder import ModelInfo
from curate.errors import ShardError
from curate.fidelity import with_fidelity
from curate.held import Held, hold, score_sample
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.actors import (
    Embedder,
    ReferenceHandle,
    SampleJob,
    SampleWorker,
    ScoreJob,
    ScoreWorker,
    WorkerJob,
)
from curate.pipeline.compute import ComputePlan, plan_compute
from curate.pipeline.light import HashWorker
from curate.pipeline.mapping import map_rows, shard_rows, tallied, unwrapped
from curate.progress import Task
from curate.reference import Reference, Sample, fit
from curate.samples import SamplePolicy, policy_of
from curate.sampling import choose_threshold, sampling_order
from curate.schema import OK
from curate.shards import Shard

FIRST_SAMPLING_SHARDS: Final = 16
"""Shards looked at first for the Reference's sample; doubled until they hold enough pairs."""

SAMPLING_RESERVE: Final = 1.1
"""Hashed pairs per pair wanted, before shards stop being added: some will not decode."""

LOADING_SECONDS: Final = 60.0
"""How long the end of a session waits for embedders that no batch has reached yet."""

EMBEDDER_RETRIES: Final = 10
"""Deaths of an embedder that one batch survives. Nodes are preempted again and again, but a batch
that kills whoever computes it must end the run instead of repeating for ever."""


@dataclass(frozen=True)
class Session:
    """A started set of embedders, and what they hold."""

    config: Config
    compute: ComputePlan
    model: ModelInfo
    policy: SamplePolicy
    embedders: tuple[Any, ...]

    def worker_job(self, run: Store, tally: Any) -> WorkerJob:
        """What workers of this session need."""
        return WorkerJob(
            run=run,
            model=self.model,
            policy=self.policy,
            batch_size=self.compute.batch_size,
            embedders=self.embedders,
            tally=tally,
        )

    def map(
        self, shards: Sequence[Shard], worker: type, arguments: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Map shards through a pool of workers; see `map_rows`."""
        plan = self.compute
        return map_rows(shard_rows(shards), worker, arguments, plan.workers, plan.worker_cpus)


@contextmanager
def session(config: Config, resources: tuple[float, float], shards: int) -> Iterator[Session]:
    """Start embedders on the connected cluster; they end with the block.

    Args:
        config: of the run.
        resources: CPUs and GPUs of the cluster.
        shards: shards to do.

    Raises:
        ResourceError: the cluster is too small.
        ModelError: the model cannot be loaded.
    """
    compute = plan_compute(config.compute, config.model.device, *resources, shards)
    actor = ray.remote(Embedder).options(
        num_cpus=compute.embedder_cpus,
        num_gpus=compute.embedder_gpus,
        max_restarts=-1,
        max_task_retries=EMBEDDER_RETRIES,
        # On a GPU the next batch is copied to the device while this one is computed.
        max_concurrency=2 if compute.embedder_gpus else 1,
        scheduling_strategy="SPREAD",
    )
    embedders = tuple(actor.remote(config.model, compute.threads) for _ in range(compute.embedders))
    try:
        # All of them load at once; the first to tell speaks for the others.
        loading = [embedder.info.remote() for embedder in embedders]
        with unwrapped():
            model: ModelInfo = ray.get(loading[0])
        yield Session(config, compute, model, policy_of(config), embedders)
        # Where there was nothing to do, the others are still loading; Ray reports those it kills.
        ray.wait(loading, num_returns=len(loading), timeout=LOADING_SECONDS)
    finally:
        for embedder in embedders:
            ray.kill(embedder)


# --- score ------------------------------------------------------------------------------------


def score(
    session: Session,
    run: Store,
    shards: Sequence[Shard],
    identity: str,
    held: Held,
    folder: str,
    preview: Node | None,
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

    Returns:
        Shard id -> error, of the shards that cannot be read.
    """
    if not shards:
        return {}
    handle = ReferenceHandle(identity, (ray.put(held),), run, folder, session.config)
    task = Task("score", len(shards), shows_drops=preview is not None)
    with tallied(task) as tally:
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
    chosen, threshold = _choose(session, shards)
    with tallied(Task("fit", len(chosen))) as tally:
        job = SampleJob(
            session.worker_job(run, tally), settings.seed, threshold, config.costly_scores
        )
        rows = list(session.map(chosen, SampleWorker, {"job": job}))
    rows.sort(key=lambda row: str(row["id"]))
    table, image, text = _assemble(rows)
    reference, sample = fit(image, text, settings, session.model, landmarks=config.needs_landmarks)
    reference = with_fidelity(reference, sample)
    held = hold(run, folder, config, reference, sample)
    return reference, score_sample(held, sample, table)


def _choose(session: Session, shards: Sequence[Shard]) -> tuple[list[Shard], int]:
    settings = session.config.reference
    ordered = sampling_order(shards, settings.seed)
    readable: list[Shard] = []
    hashes: list[Any] = []
    errors: list[str] = []
    start, stop = 0, FIRST_SAMPLING_SHARDS
    while start < len(ordered) and sum(map(len, hashes)) < SAMPLING_RESERVE * settings.samples:
        looked_at = {shard.id: shard for shard in ordered[start:stop]}
        worker = {"policy": session.policy, "seed": settings.seed}
        for row in session.map(list(looked_at.values()), HashWorker, worker):
            if row["error"]:
                errors.append(str(row["error"]))
                continue
            readable.append(looked_at[str(row["id"])])
            hashes.append(np.frombuffer(row["hashes"], dtype=np.int64))
        start, stop = stop, 2 * stop
    if not readable:
        raise ShardError(f"no shard for the Reference can be read; the first error: {errors[0]}")
    threshold = choose_threshold(np.concatenate(hashes), settings.samples)
    readable.sort(key=lambda shard: shard.id)
    return readable, threshold


def _assemble(rows: Sequence[dict[str, Any]]) -> tuple[pa.Table, Any, Any]:
    tables, images, texts = [], [], []
    for row in rows:
        table = pa.ipc.open_stream(row["table"]).read_all()
        usable = np.array(table["status"].to_pylist(), dtype=object) == OK
        tables.append(table.filter(pa.array(usable, pa.bool_())))
        if usable.any():  # without one, the width of the embeddings is not known
            with np.load(io.BytesIO(row["arrays"]), allow_pickle=False) as arrays:
                images.append(arrays["image"][usable])
                texts.append(arrays["text"][usable])
    if not images:
        images = texts = [np.zeros((0, 1), np.float32)]
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(images), np.concatenate(texts)
