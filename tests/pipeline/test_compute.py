"""The budget: every plan fits the cluster, and what does not fit is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.config import ComputeConfig
from curate.errors import ResourceError
from curate.pipeline.compute import (
    MOST_PER_GPU,
    THREADS_PER_EMBEDDER,
    plan_compute,
    plan_workers,
)

AUTO = ComputeConfig()
cpus = st.one_of(st.integers(1, 512).map(float), st.floats(0.1, 64))
gpus = st.one_of(st.just(0.0), st.integers(1, 64).map(float), st.floats(0, 8))
devices = st.sampled_from(["auto", "cpu", "cuda"])


@given(devices, cpus, gpus, st.integers(0, 10_000))
def test_auto_always_fits_and_uses_what_there_is(
    device: str, cpus: float, gpus: float, shards: int
) -> None:
    if device == "cuda" and gpus < 1:
        with pytest.raises(ResourceError, match=r"model\.device=cuda"):
            plan_compute(AUTO, device, cpus, gpus, shards)
        return
    plan = plan_compute(AUTO, device, cpus, gpus, shards)
    assert plan.cpus <= cpus
    assert plan.embedders >= 1
    assert plan.workers >= 1
    assert plan.workers <= max(1, shards)
    assert plan.embedder_cpus > 0
    assert plan.worker_cpus > 0
    on_gpu = device != "cpu" and gpus >= 1
    assert plan.embedder_gpus == float(on_gpu)
    assert plan.embedders * plan.embedder_gpus <= gpus
    assert plan.batch_size == "auto"
    assert 1 <= plan.threads <= THREADS_PER_EMBEDDER
    if not on_gpu:
        assert plan.embedders * plan.threads <= max(1, int(cpus))
    if shards >= 1000 and cpus == int(cpus) and cpus >= 2:
        busy = plan.embedders * plan.threads + plan.workers
        assert busy >= cpus  # nothing idles


@given(
    st.just("auto") | st.integers(1, 40),
    st.just("auto") | st.integers(1, 9),
    st.just("auto") | st.integers(1, 40),
    devices,
    cpus,
    gpus,
    st.integers(0, 100),
)
def test_explicit_numbers_are_kept_or_refused(
    embedders: Any,
    per_gpu: Any,
    workers: Any,
    device: str,
    cpus: float,
    gpus: float,
    shards: int,
) -> None:
    config = ComputeConfig(
        embedders=embedders, embedders_per_gpu=per_gpu, workers=workers, batch_size=7
    )
    try:
        plan = plan_compute(config, device, cpus, gpus, shards)
    except ResourceError as exc:
        refusal = str(exc)
    else:
        refusal = ""
    if refusal:
        assert "the cluster has" in refusal
        assert "compute." in refusal or "model.device" in refusal
        return
    assert plan.cpus <= cpus
    assert plan.embedders * plan.embedder_gpus <= gpus
    assert plan.embedders_per_gpu * plan.embedder_gpus <= 1
    if plan.embedder_gpus:
        # Ray puts as many on a GPU as were meant to share it, and no more.
        assert int(1 / plan.embedder_gpus) == plan.embedders_per_gpu
        assert plan.embedders <= int(gpus) * plan.embedders_per_gpu
        assert per_gpu in ("auto", plan.embedders_per_gpu)
    assert plan.batch_size == 7
    assert embedders in ("auto", plan.embedders)
    assert workers in ("auto", plan.workers)


@pytest.mark.parametrize(
    ("cpus", "gpus", "embedders", "workers"),
    [
        (1, 0, 1, 1),
        (2, 0, 2, 1),
        (8, 0, 8, 4),
        (64, 0, 16, 32),
        (64, 8, 8, 56),
        (4, 8, 3, 1),
        (1, 1, 1, 1),
    ],
)
def test_familiar_machines(cpus: float, gpus: float, embedders: int, workers: int) -> None:
    plan = plan_compute(AUTO, "auto", cpus, gpus, 1000)
    assert (plan.embedders, plan.workers) == (embedders, workers)


@pytest.mark.parametrize(
    ("config", "embedders", "per_gpu", "share"),
    [
        ({}, 8, 1, 1.0),
        ({"embedders_per_gpu": 2}, 16, 2, 0.5),
        ({"embedders_per_gpu": 3}, 24, 3, 0.3333),
        ({"embedders": 16}, 16, 2, 0.5),
        ({"embedders": 3}, 3, 1, 1.0),
        ({"embedders": 32}, 32, MOST_PER_GPU, 0.25),
        ({"embedders": 6, "embedders_per_gpu": 2}, 6, 2, 0.5),
    ],
)
def test_embedders_share_gpus(
    config: dict[str, Any], embedders: int, per_gpu: int, share: float
) -> None:
    plan = plan_compute(ComputeConfig(**config), "cuda", 64, 8, 1000)
    assert (plan.embedders, plan.embedders_per_gpu, plan.embedder_gpus) == (
        embedders,
        per_gpu,
        share,
    )
    assert plan.workers == 64 - embedders


def test_without_gpus_nothing_is_shared() -> None:
    config = ComputeConfig(embedders_per_gpu=2)
    assert plan_compute(config, "auto", 8, 0, 1000) == plan_compute(AUTO, "auto", 8, 0, 1000)


@pytest.mark.parametrize("cpus", [0, 0.0])
def test_a_cluster_without_cpus_is_refused(cpus: float) -> None:
    with pytest.raises(ResourceError, match="num-cpus"):
        plan_compute(AUTO, "auto", cpus, 8, 10)
    with pytest.raises(ResourceError, match="num-cpus"):
        plan_workers(AUTO, cpus, 10)


def test_what_is_missing_is_said() -> None:
    alone = ComputeConfig(embedders=3, embedders_per_gpu=1)
    with pytest.raises(
        ResourceError, match=r"embedders=3 with 1 to a GPU needs 3 GPUs, .*embedders_per_gpu to 2"
    ):
        plan_compute(alone, "auto", 64, 2, 10)
    with pytest.raises(ResourceError, match=r"embedders=11, .* 8 GPUs.* idle; .*8 or 16"):
        plan_compute(ComputeConfig(embedders=11), "auto", 64, 8, 10)
    many = ComputeConfig(embedders=11)
    with pytest.raises(
        ResourceError, match=r"embedders=11 with 4 to a GPU needs 3 GPUs, .*embedders_per_gpu to 6"
    ):
        plan_compute(many, "auto", 64, 2, 10)
    with pytest.raises(ResourceError, match=r"workers=9 need 5 CPUs, the cluster has 4"):
        plan_compute(ComputeConfig(embedders=1, workers=9), "cpu", 4, 0, 10)


@given(st.just("auto") | st.integers(1, 600), cpus, st.integers(0, 1000))
def test_stages_without_a_model_fit_too(workers: Any, cpus: float, tasks: int) -> None:
    config = ComputeConfig(workers=workers)
    found, unit = plan_workers(config, cpus, tasks)
    assert found >= 1
    assert unit > 0
    assert found * unit <= cpus + 1e-9  # Ray counts ten-thousandths
    if workers == "auto":
        assert found <= max(1, tasks)
    else:
        assert found == workers
