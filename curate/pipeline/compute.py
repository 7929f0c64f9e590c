"""How many embedders and workers fit the cluster: a pure function, checked before the start.

On two CPUs, actors that reserve every CPU leave none for the rest, and Ray waits in silence. So
the budget is counted first, and what is missing is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from curate.config import ComputeConfig
from curate.errors import ResourceError

SINGLE_THREAD_CPUS: Final = 16
"""CPUs up to which every CPU gets an embedder of one thread. Two embedders of one thread embedded
1.5 times as many pairs as one of two threads (EfficientNet-Lite0: 24 against 37 core-ms a pair)."""

THREADS_PER_EMBEDDER: Final = 4
"""On larger machines: a copy of the model for every CPU would take too much memory."""

CPU_SHARE: Final = 0.5
"""Logical CPUs of an actor where the model runs on CPUs too: a worker waits while its batches are
embedded, an embedder while it has none, so that twice as many as there are CPUs keep them busy."""

CPU_STEP: Final = 1e-4
"""Ray counts resources in ten-thousandths."""

GPU_STEP: Final = 10_000
"""Ray counts GPUs in ten-thousandths too."""

MOST_PER_GPU: Final = 4
"""Embedders that `embedders_per_gpu: auto` puts on a GPU at most, where more embedders than GPUs
are asked for. Each takes half a gigabyte for its CUDA context, and a copy of the model."""

NO_CPU: Final = "the cluster has no CPU to offer; start Ray with --num-cpus=2 or more"


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """What is started.

    Attributes:
        embedders: actors that hold the model.
        embedder_gpus, embedder_cpus: logical resources of each.
        embedders_per_gpu: that share one; 1 where there is none.
        threads: torch threads of each.
        workers: actors that read and decode.
        worker_cpus: logical CPUs of each.
        batch_size: pairs per batch, or `auto` for what the first embedder finds to fit.
    """

    embedders: int
    embedder_gpus: float
    embedder_cpus: float
    threads: int
    workers: int
    worker_cpus: float
    batch_size: int | Literal["auto"]
    embedders_per_gpu: int = 1

    @property
    def cpus(self) -> float:
        """Logical CPUs that the plan takes."""
        return self.embedders * self.embedder_cpus + self.workers * self.worker_cpus


def plan_compute(
    config: ComputeConfig, device: str, cpus: float, gpus: float, shards: int
) -> ComputePlan:
    """Fit the request to the cluster.

    Args:
        config: explicit numbers, or `auto`.
        device: `auto`, `cpu` or `cuda`, as configured.
        cpus, gpus: what the cluster offers, in logical units.
        shards: shards to do; more workers than shards would idle.

    Raises:
        ResourceError: the request does not fit; says what is missing and what to change.
    """
    if device == "cuda" and gpus < 1:
        raise ResourceError(
            "model.device=cuda, but the cluster has no GPU; use device: auto or cpu, or add GPUs"
        )
    on_gpu = gpus >= 1 and device != "cpu"
    unit = min(1.0 if on_gpu else CPU_SHARE, cpus / 2)
    if unit <= 0:
        raise ResourceError(NO_CPU)
    per_gpu = _per_gpu(config, int(gpus)) if on_gpu else 1
    embedders = _embedders(config, int(gpus) * per_gpu if on_gpu else 0, int(cpus), unit)
    if config.workers == "auto":
        spare = int(cpus / unit) - embedders if on_gpu else int(cpus) // 2
        workers = max(1, min(shards, spare))
    else:
        workers = config.workers
    plan = ComputePlan(
        embedders=embedders,
        embedder_gpus=(GPU_STEP // per_gpu) / GPU_STEP if on_gpu else 0.0,
        embedder_cpus=unit,
        threads=1 if on_gpu else max(1, min(THREADS_PER_EMBEDDER, int(cpus) // embedders)),
        workers=workers,
        worker_cpus=unit,
        batch_size=config.batch_size,
        embedders_per_gpu=per_gpu,
    )
    _check(plan, cpus, gpus)
    return plan


def plan_workers(config: ComputeConfig, cpus: float, tasks: int) -> tuple[int, float]:
    """Workers for a stage without a model, and logical CPUs of each.

    What `plan_compute` accepted is never refused here: a run must not end after its longest stage
    because its shortest one counts CPUs in another way.

    Raises:
        ResourceError: there is no CPU.
    """
    if cpus <= 0:
        raise ResourceError(NO_CPU)
    workers = max(1, min(tasks, int(cpus))) if config.workers == "auto" else config.workers
    share = math.floor(cpus / workers / CPU_STEP) / round(1 / CPU_STEP)
    return workers, min(1.0, max(CPU_STEP, share))


def _per_gpu(config: ComputeConfig, gpus: int) -> int:
    if config.embedders_per_gpu != "auto":
        return config.embedders_per_gpu
    # One fills a GPU, unless more are asked for by number.
    if config.embedders == "auto" or config.embedders <= gpus:
        return 1
    wanted, rest = divmod(config.embedders, gpus)
    if rest and wanted < MOST_PER_GPU:
        raise ResourceError(
            f"compute.embedders={config.embedders}, but the cluster has {gpus} GPUs: Ray would fill"
            f" one GPU after the other and leave some idle; use {wanted * gpus} or"
            f" {(wanted + 1) * gpus}, or set compute.embedders_per_gpu"
        )
    return min(wanted, MOST_PER_GPU)


def _embedders(config: ComputeConfig, gpu_places: int, cpus: int, unit: float) -> int:
    if config.embedders != "auto":
        return config.embedders
    on_cpus = cpus if cpus <= SINGLE_THREAD_CPUS else cpus // THREADS_PER_EMBEDDER
    wanted = gpu_places or on_cpus
    # One worker at least must find room, or no embedder is ever fed.
    workers = 1 if config.workers == "auto" else config.workers
    return max(1, min(wanted, int(cpus / unit) - workers))


def _check(plan: ComputePlan, cpus: float, gpus: float) -> None:
    if plan.embedder_gpus and plan.embedders > int(gpus) * plan.embedders_per_gpu:
        needed = -(-plan.embedders // int(gpus))
        raise ResourceError(
            f"compute.embedders={plan.embedders} with {plan.embedders_per_gpu} to a GPU needs"
            f" {-(-plan.embedders // plan.embedders_per_gpu)} GPUs, the cluster has {gpus:g}; lower"
            f" it, use `auto`, or set compute.embedders_per_gpu to {needed}"
        )
    if plan.cpus > cpus:
        raise ResourceError(
            f"compute.embedders={plan.embedders} and compute.workers={plan.workers} need"
            f" {plan.cpus:g} CPUs, the cluster has {cpus:g}; lower one of them, or use `auto`"
        )
