"""Fitting and scoring a pool: what is claimed in the run directory, in which order."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Final

from curate import __version__, reference_files, rules
from curate.errors import RunDirError
from curate.held import Held, baseline_parts, read_held
from curate.language import check_language
from curate.manifest import IDENTITY
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.cluster import Cluster
from curate.pipeline.stages import Session, fit_reference, score, session
from curate.reference import Reference, check_model
from curate.shards import Shard
from curate.workspace import (
    FIT_IDENTITY,
    REFERENCE_FOLDER,
    Outcome,
    Workspace,
    configured_parts,
    listed,
)

VERSIONED: Final = ("curate", "torch", "open_clip_torch", "ray", "pyarrow", "numpy", "pillow")
PROVENANCE: Final = "run.json"


def fit_pool(work: Workspace, shards: Sequence[Shard], ray: Cluster, outcome: Outcome) -> None:
    """Fit the Reference, unless it is there already."""
    check_language(work.config)
    resources = ray.resources()
    with session(work.config, resources, len(shards)) as started:
        _ensure_reference(work, started, shards, outcome)
        _write_provenance(work, started, resources, outcome)


def score_pool(
    work: Workspace, shards: Sequence[Shard], todo: Sequence[Shard], ray: Cluster, outcome: Outcome
) -> None:
    """Score the shards of `todo`, fitting the Reference on `shards` first if need be."""
    check_language(work.config)
    resources = ray.resources()
    with session(work.config, resources, len(todo)) as started:
        _ensure_reference(work, started, shards, outcome)
        held = read_held(work.store, REFERENCE_FOLDER, work.config)
        identity = work.run.claim(IDENTITY, _score_parts(work, started, held))
        begin = time.monotonic()
        outcome.unreadable = score(
            started, work.store, todo, identity, held, REFERENCE_FOLDER, _preview(work)
        )
        outcome.seconds["score"] = time.monotonic() - begin
        _write_provenance(work, started, resources, outcome)


def _score_parts(work: Workspace, started: Session, held: Held) -> dict[str, Any]:
    parts = configured_parts(work.config) | {
        "weights": started.model.fingerprint,
        "precision": started.model.precision,
        "reference_sha256": held.reference.identity,
    }
    return parts | baseline_parts(work.store, REFERENCE_FOLDER, held)


def _preview(work: Workspace) -> Node | None:
    chosen = work.config.rules
    if rules.pool_quantiles(chosen) or not rules.columns_of(chosen):
        return None
    sample = None
    if rules.needs_reference(chosen):
        sample = reference_files.load_sample_table(work.store, REFERENCE_FOLDER)
    return rules.build(chosen, {}, sample)


def _ensure_reference(
    work: Workspace, started: Session, shards: Sequence[Shard], outcome: Outcome
) -> Reference:
    config = work.config.reference
    if config.path is not None:
        fitted = _adopt_reference(work, config.path)
    else:
        parts = {
            "reference": config.model_dump(mode="json"),
            "weights": started.model.fingerprint,
            "precision": started.model.precision,
            "link": started.model.link,
            "verify_sha256": work.config.input.verify_sha256,
            "costly_scores": list(work.config.costly_scores),
            **{k: v for k, v in configured_parts(work.config).items() if k == "baselines"},
        }
        work.run.claim(FIT_IDENTITY, parts)
        if not work.store.exists(f"{REFERENCE_FOLDER}/{reference_files.DESCRIPTION}"):
            begin = time.monotonic()
            source = shards if config.shards is None else listed(config.shards)
            fitted, sample = fit_reference(started, work.store, REFERENCE_FOLDER, source)
            reference_files.save(work.store, REFERENCE_FOLDER, fitted, sample)
            outcome.seconds["fit"] = time.monotonic() - begin
        fitted = reference_files.load(work.store, REFERENCE_FOLDER)
    check_model(fitted, started.model)
    return fitted


def _adopt_reference(work: Workspace, path: str) -> Reference:
    # Copied, so that the run directory tells by itself what its scores mean.
    origin = Store(path)
    fitted = reference_files.load(origin, "")
    if work.store.exists(f"{REFERENCE_FOLDER}/{reference_files.DESCRIPTION}"):
        if reference_files.load(work.store, REFERENCE_FOLDER).identity != fitted.identity:
            raise RunDirError(
                f"{work.store}/{REFERENCE_FOLDER} holds another Reference than"
                f" reference.path={path!r}; choose another output.run_dir, or delete this one"
            )
    else:
        fitted = reference_files.copy(origin, work.store, REFERENCE_FOLDER)
    return fitted


def _write_provenance(
    work: Workspace, started: Session, resources: tuple[float, float], outcome: Outcome
) -> None:
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
            "model": started.model.describe(),
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
