"""The stages that run on the cluster: fit a Reference, score shards, write filtered shards.

Ray Data is the outer loop, one row per shard, sixteen rows to a block, so that the driver stays
idle however many shards there are. Samples never pass through it: a worker reads a shard and
sends its batches straight to the embedders.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayTaskError

from curate.config import Config
from curate.encoder import ModelInfo
from curate.errors import CurateError, ShardError
from curate.filtering import OutputPlan
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
from curate.pipeline.cluster import resources
from curate.pipeline.compute import ComputePlan, plan_compute
from curate.pipeline.light import UNKNOWN_SIZE, FilterWorker, HashWorker, Tally
from curate.progress import Task, progress
from curate.reference import Reference, Sample, Scorer, fit
from curate.samples import SamplePolicy
from curate.sampling import choose_threshold, sampling_order
from curate.shards import Shard
from curate.subsets import Subset

SHARDS_PER_BLOCK: Final = 16
"""Rows per Ray Data block: a block costs the driver milliseconds, whatever it holds."""

FIRST_SAMPLING_SHARDS: Final = 16
"""Shards looked at first for the Reference's sample; doubled until they hold enough pairs."""

SAMPLING_RESERVE: Final = 1.1
"""Hashed pairs per pair wanted, before shards stop being added: some will not decode."""

ACTOR_DEATHS_TOLERATED: Final = 10
"""Nodes may be preempted while a worker starts; zero, Ray's default, would fail the job."""


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


def policy_of(config: Config) -> SamplePolicy:
    """The limits that samples are read with."""
    return SamplePolicy(
        image_pixels=config.limits.image_pixels,
        caption_bytes=config.limits.caption_bytes,
        member_bytes=config.limits.member_bytes,
        verify_sha256=config.input.verify_sha256,
    )


@contextmanager
def session(config: Config, shards: int) -> Iterator[Session]:
    """Start embedders on the connected cluster; they end with the block.

    Raises:
        ResourceError: the cluster is too small.
        ModelError: the model cannot be loaded.
    """
    compute = plan_compute(config.compute, config.model.device, *resources(), shards)
    actor = ray.remote(Embedder).options(
        num_cpus=compute.embedder_cpus,
        num_gpus=compute.embedder_gpus,
        max_restarts=-1,
        max_task_retries=-1,
        # On a GPU the next batch is copied to the device while this one is computed.
        max_concurrency=2 if compute.embedder_gpus else 1,
        scheduling_strategy="SPREAD",
    )
    embedders = tuple(actor.remote(config.model, compute.threads) for _ in range(compute.embedders))
    try:
        with unwrapped():
            model: ModelInfo = ray.get(embedders[0].info.remote())
        yield Session(config, compute, model, policy_of(config), embedders)
    finally:
        for embedder in embedders:
            ray.kill(embedder)


@contextmanager
def unwrapped() -> Iterator[None]:
    """Turn the wrapper of a remote error into the error that curate raised."""
    try:
        yield
    except RayTaskError as exc:
        cause = _own_cause(exc)
        if cause is None:
            raise
        raise cause from exc


def _own_cause(exc: BaseException) -> CurateError | None:
    seen: BaseException | None = exc
    while seen is not None:
        inner = getattr(seen, "cause", None)
        if isinstance(inner, CurateError):
            return inner
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return None


def _map(
    rows: Sequence[dict[str, Any]],
    worker: Callable[..., Any],
    arguments: dict[str, Any],
    compute: ComputePlan,
) -> Iterator[dict[str, Any]]:
    """Map rows through a pool of worker actors; results arrive in any order."""
    context = DataContext.get_current()
    context.max_consecutive_actor_init_deaths = ACTOR_DEATHS_TOLERATED
    context.execution_options.preserve_order = False
    workers = min(compute.workers, len(rows))
    blocks = max(workers, -(-len(rows) // SHARDS_PER_BLOCK))
    dataset = ray.data.from_items(list(rows), override_num_blocks=min(blocks, len(rows)))
    results = dataset.map_batches(
        worker,
        batch_size=None,
        compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=compute.worker_cpus,
        fn_constructor_kwargs=arguments,
    )
    with unwrapped():
        yield from results.iter_rows()


def shard_rows(shards: Sequence[Shard]) -> list[dict[str, Any]]:
    """One Ray Data row per shard."""
    return [
        {"id": s.id, "url": s.url, "size": UNKNOWN_SIZE if s.size is None else s.size}
        for s in shards
    ]


@contextmanager
def _tally(task: Task) -> Iterator[Any]:
    tally = ray.remote(Tally).options(num_cpus=0).remote()
    try:
        with progress(task, lambda: ray.get(tally.snapshot.remote())):
            yield tally
    finally:
        ray.kill(tally)


# --- score ------------------------------------------------------------------------------------


def score(
    session: Session,
    run: Store,
    shards: Sequence[Shard],
    identity: str,
    reference: tuple[Reference, str],
    preview: Node | None,
) -> dict[str, str]:
    """Score and commit shards.

    Args:
        session: started embedders.
        run: the run directory.
        shards: those not committed yet.
        identity: of the scores.
        reference: the Reference, and its folder in the run directory.
        preview: rules that can be decided on the way, for the progress line.

    Returns:
        Shard id -> error, of the shards that cannot be read.
    """
    if not shards:
        return {}
    handle = ReferenceHandle(identity, (ray.put(reference[0]),), run, reference[1])
    task = Task("score", len(shards), shows_drops=preview is not None)
    with _tally(task) as tally:
        job = ScoreJob(
            worker=session.worker_job(run, tally),
            identity=identity,
            reference=handle,
            save_embeddings=session.config.output.save_embeddings,
            preview=preview,
        )
        rows = _map(shard_rows(shards), ScoreWorker, {"job": job}, session.compute)
        return {str(row["id"]): str(row["error"]) for row in rows if row["error"]}


# --- fit --------------------------------------------------------------------------------------


def fit_reference(
    session: Session, run: Store, shards: tuple[Shard, ...]
) -> tuple[Reference, Sample]:
    """Take a seeded sample of pairs and fit a Reference on it.

    The sample is the pairs with the smallest hashes among seeded shards: it does not depend on
    the order of shards, on batches, or on the number of workers.

    Raises:
        ShardError: none of the shards can be read.
        ReferenceFileError: too few pairs can be used.
    """
    settings = session.config.reference
    chosen, threshold = _choose(session, shards)
    with _tally(Task("fit", len(chosen))) as tally:
        job = SampleJob(session.worker_job(run, tally), settings.seed, threshold)
        rows = list(_map(shard_rows(chosen), SampleWorker, {"job": job}, session.compute))
    rows.sort(key=lambda row: str(row["id"]))
    table, image, text = _assemble(rows)
    reference, image_weights, text_weights = fit(image, text, settings, session.model)
    scorer = Scorer(reference)
    for name, values in scorer(torch.from_numpy(image), torch.from_numpy(text)).items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values.numpy()))
    return reference, Sample(image, text, image_weights, text_weights, table)


def _choose(session: Session, shards: tuple[Shard, ...]) -> tuple[list[Shard], int]:
    settings = session.config.reference
    ordered = sampling_order(shards, settings.seed)
    readable: list[Shard] = []
    hashes: list[Any] = []
    errors: list[str] = []
    start, stop = 0, FIRST_SAMPLING_SHARDS
    while start < len(ordered) and sum(map(len, hashes)) < SAMPLING_RESERVE * settings.samples:
        looked_at = {shard.id: shard for shard in ordered[start:stop]}
        worker = {"policy": session.policy, "seed": settings.seed}
        rows = _map(
            shard_rows(list(looked_at.values())),
            HashWorker,
            worker,
            session.compute,
        )
        for row in rows:
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
        with np.load(io.BytesIO(row["arrays"]), allow_pickle=False) as arrays:
            usable = np.isfinite(arrays["image"]).all(1) & np.isfinite(arrays["text"]).all(1)
            if not usable.any():
                continue
            images.append(arrays["image"][usable])
            texts.append(arrays["text"][usable])
        tables.append(table.filter(pa.array(usable)))
    if not tables:
        empty = np.zeros((0, 1), np.float32)
        return pa.ipc.open_stream(rows[0]["table"]).read_all(), empty, empty
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(images), np.concatenate(texts)


# --- filter -----------------------------------------------------------------------------------


def filter_shards(
    compute: ComputePlan, store: Store, subset: Subset, plans: Sequence[OutputPlan]
) -> dict[int, str]:
    """Write output shards. Returns number -> error, of those whose input cannot be read."""
    if not plans:
        return {}
    rows = [
        {
            "number": plan.number,
            "pieces": [{"shard": p.shard, "first": p.first, "last": p.last} for p in plan.pieces],
        }
        for plan in plans
    ]
    with _tally(Task("filter", len(plans))) as tally:
        arguments = {"store": store, "subset": subset, "tally": tally}
        results = _map(rows, FilterWorker, arguments, compute)
        return {int(row["number"]): str(row["error"]) for row in results if row["error"]}
