"""Fitting and scoring a pool: what is claimed in the run directory, in which order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from curate.held import Held, baseline_parts, read_held
from curate.language import check_language
from curate.manifest import IDENTITY
from curate.pipeline.cluster import Cluster
from curate.pipeline.stages import Session, fit_reference, score, session
from curate.provenance import write_provenance
from curate.reference import Reference, Sample, check_model
from curate.run_reference import ensure_reference, preview_of, watch_of
from curate.shards import Shard
from curate.workspace import REFERENCE_FOLDER, Outcome, Workspace, configured_parts, listed


def fit_pool(work: Workspace, shards: Sequence[Shard], ray: Cluster, outcome: Outcome) -> None:
    """Fit the Reference, unless it is there already."""
    check_language(work.config)
    resources = ray.resources()
    with session(work.config, work.store, resources, len(shards)) as started:
        _ensure_reference(work, started, shards, outcome)
        write_provenance(work, started.model.describe(), resources, outcome)


def score_pool(
    work: Workspace, shards: Sequence[Shard], todo: Sequence[Shard], ray: Cluster, outcome: Outcome
) -> None:
    """Score the shards of `todo`, fitting the Reference on `shards` first if need be."""
    check_language(work.config)
    resources = ray.resources()
    with session(work.config, work.store, resources, len(todo)) as started:
        _ensure_reference(work, started, shards, outcome)
        held = read_held(work.store, REFERENCE_FOLDER, work.config)
        identity = work.run.claim(IDENTITY, _score_parts(work, started, held))
        begin = time.monotonic()
        preview = preview_of(work)
        watch = watch_of(work, preview)
        before = len(shards) - len(todo)
        outcome.unreadable = score(
            started, work.store, todo, identity, held, REFERENCE_FOLDER, preview, watch, before
        )
        outcome.seconds["score"] = time.monotonic() - begin
        write_provenance(work, started.model.describe(), resources, outcome)


def _score_parts(work: Workspace, started: Session, held: Held) -> dict[str, Any]:
    parts = configured_parts(work.config) | {
        "weights": started.model.fingerprint,
        "precision": started.model.precision,
        "reference_sha256": held.reference.identity,
    }
    return parts | baseline_parts(work.store, REFERENCE_FOLDER, held)


def _ensure_reference(
    work: Workspace, started: Session, shards: Sequence[Shard], outcome: Outcome
) -> Reference:
    parts = {
        "weights": started.model.fingerprint,
        "precision": started.model.precision,
        "link": started.model.link,
        "verify_sha256": work.config.input.verify_sha256,
        # Only where it is so: References that are there keep their identity.
        **({"compiled": True} if work.config.model.compile else {}),
    }

    def fit() -> tuple[Reference, Sample]:
        named = work.config.reference.shards
        source = shards if named is None else listed(named)
        return fit_reference(started, work.store, REFERENCE_FOLDER, source)

    fitted = ensure_reference(work, parts, fit, outcome)
    check_model(fitted, started.model)
    return fitted
