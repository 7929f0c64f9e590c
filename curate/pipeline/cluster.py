"""Connecting to Ray, or starting it on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import ray

from curate.errors import ResourceError

WORKER_NICENESS: Final = "0"
"""Ray starts workers at nice 15, which starves them beside any other load."""

ENVIRONMENT: Final = {
    "RAY_worker_niceness": WORKER_NICENESS,
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray's core prints an error line for every pool of Ray Data; what fails is raised as well.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Use the cluster at `address` while the block runs.

    `auto` means the cluster that this process is part of (`ray job submit` sets RAY_ADDRESS), else
    a new one on this machine, which ends with the block. A Ray that is connected already is used
    and left alone.

    Raises:
        ResourceError: there is no cluster at the address.
    """
    if ray.is_initialized():
        _be_quiet()
        yield
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    target = os.environ.get("RAY_ADDRESS", "local") if address == "auto" else address
    try:
        ray.init(
            address=target,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if target == "local" else None,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise ResourceError(
            f"compute.ray_address={address!r}: no Ray cluster answers at {target!r} ({exc}); start"
            " one with `ray start --head`, or use ray_address: local"
        ) from exc
    _be_quiet()
    try:
        yield
    finally:
        ray.shutdown()


def _be_quiet() -> None:
    # One progress line is ours; Ray Data's bars and its per-operator log lines would bury it.
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def resources() -> tuple[float, float]:
    """Logical CPUs and GPUs of the cluster."""
    total = ray.cluster_resources()
    return float(total.get("CPU", 0.0)), float(total.get("GPU", 0.0))
