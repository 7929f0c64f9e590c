"""run.json: what made a run's outputs, where, and how long it took."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from curate import __version__
from curate.workspace import Outcome, Workspace

VERSIONED: Final = ("curate", "torch", "open_clip_torch", "ray", "pyarrow", "numpy", "pillow")
PROVENANCE: Final = "run.json"


def write_provenance(
    work: Workspace,
    model: Mapping[str, Any] | None,
    resources: tuple[float, float],
    outcome: Outcome,
) -> None:
    """Write run.json, adding to the seconds of earlier calls.

    Args:
        work: the run.
        model: what describes it; None where no model is involved.
        resources: CPUs and GPUs of the cluster.
        outcome: with the seconds of its stages.
    """
    previous: Mapping[str, Any] = {}
    if work.store.exists(PROVENANCE):
        previous = work.store.read_json(PROVENANCE).get("seconds", {})
    cpus, gpus = resources
    work.store.write_json(
        PROVENANCE,
        {
            "curate": __version__,
            "versions": {name: _version(name) for name in VERSIONED},
            "python": platform.python_version(),
            "model": model,
            "hardware": {"machine": platform.machine(), "cpus": cpus, "gpus": gpus},
            "pid": os.getpid(),
            "seconds": {**previous, **outcome.seconds},
        },
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
