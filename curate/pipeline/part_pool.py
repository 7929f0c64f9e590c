"""Fitting and scoring a pool that comes with its embeddings, or a pool of metadata alone.

As `score_pool`, with a part in the place of a shard and nothing in the place of the model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from curate.config import Config
from curate.embedding_pools.layouts import Part, list_parts
from curate.embedding_pools.source import Precomputed, Source, find_source
from curate.errors import ConfigError, ReferenceFileError
from curate.held import baseline_parts, read_held
from curate.language import check_language
from curate.manifest import IDENTITY
from curate.pipeline.attempts import counted_attempts
from curate.pipeline.cluster import Cluster
from curate.pipeline.compute import plan_workers
from curate.pipeline.mapping import map_rows, shard_rows, tallied
from curate.pipeline.part_workers import (
    HashPartWorker,
    PartJob,
    PartSampleJob,
    SamplePartWorker,
    ScorePartWorker,
)
from curate.pipeline.sample_stage import choose_shards, fit_on_rows
from curate.progress import Task
from curate.provenance import write_provenance
from curate.reference import Reference, Sample
from curate.run_reference import ensure_reference, preview_of, watch_of
from curate.shards import Shard
from curate.workspace import REFERENCE_FOLDER, Outcome, Workspace, configured_parts


def fit_parts(work: Workspace, parts: Sequence[Part], ray: Cluster, outcome: Outcome) -> None:
    """Fit the Reference, unless it is there already.

    Raises:
        ConfigError: the pool has no embeddings, or not those that are asked for.
    """
    source = _source(work, parts)
    if source.model is None:
        raise ConfigError(
            "input.metadata: a Reference is fitted on embeddings, of which this pool has none;"
            " name them in input.embeddings, or run `curate score` at once"
        )
    resources = ray.resources()
    _ensure_reference(work, parts, source, source.model, resources, outcome)
    write_provenance(work, source.model.describe(), resources, outcome)


def score_parts(
    work: Workspace, parts: Sequence[Part], todo: Sequence[Part], ray: Cluster, outcome: Outcome
) -> None:
    """Score the parts of `todo`, fitting the Reference on `parts` first if need be.

    Raises:
        ConfigError: the pool has not what is asked for.
    """
    source = _source(work, parts)
    resources = ray.resources()
    identity = configured_parts(work.config) | source.parts()
    if source.model is not None:
        _ensure_reference(work, parts, source, source.model, resources, outcome)
        held = read_held(work.store, REFERENCE_FOLDER, work.config)
        identity |= {"reference_sha256": held.reference.identity}
        identity |= baseline_parts(work.store, REFERENCE_FOLDER, held)
    claimed = work.run.claim(IDENTITY, identity)
    begin = time.monotonic()
    if todo:
        before = len(parts) - len(todo)
        outcome.unreadable = _score(work, source, todo, claimed, resources, before)
    outcome.seconds["score"] = time.monotonic() - begin
    described = None if source.model is None else source.model.describe()
    write_provenance(work, described, resources, outcome)


def _source(work: Workspace, parts: Sequence[Part]) -> Source:
    check_language(work.config)
    return find_source(parts, work.config)


def _score(
    work: Workspace,
    source: Source,
    todo: Sequence[Part],
    identity: str,
    resources: tuple[float, float],
    before: int,
) -> dict[str, str]:
    """Score and commit parts; returns part id -> error, of those that cannot be read."""
    preview = preview_of(work)
    task = Task("score", len(todo), "pairs", preview is not None, "parts", before)
    with tallied(task, watch_of(work, preview)) as tally:
        job = PartJob(work.store, work.config, source, identity, preview, tally)
        shards = [part.as_shard() for part in todo]
        rows = _map(work.config, shards, ScorePartWorker, {"job": job}, resources)
        return {str(row["id"]): str(row["error"]) for row in rows if row["error"]}


def _map(
    config: Config,
    shards: Sequence[Shard],
    worker: type,
    arguments: dict[str, Any],
    resources: tuple[float, float],
) -> Iterator[dict[str, Any]]:
    workers, cpus = plan_workers(config.compute, resources[0], len(shards))
    return map_rows(shard_rows(shards), worker, arguments, workers, cpus)


# --- the Reference ----------------------------------------------------------------------------


def _ensure_reference(
    work: Workspace,
    parts: Sequence[Part],
    source: Source,
    model: Precomputed,
    resources: tuple[float, float],
    outcome: Outcome,
) -> None:
    def fit() -> tuple[Reference, Sample]:
        return _fit(work, _reference_parts(work.config, parts, source), source, model, resources)

    of_pool = source.parts() | {"link": model.link}
    fitted = ensure_reference(work, of_pool, fit, outcome)
    # Nothing tells the weights that stored embeddings came from: the width is all that can differ.
    width = len(fitted.image.mean)
    if width != model.dim:
        raise ReferenceFileError(
            f"the Reference was fitted on embeddings of {width} dimensions, those of"
            f" {model.name!r} have {model.dim}: fit one on this pool"
        )


def _reference_parts(config: Config, parts: Sequence[Part], source: Source) -> Sequence[Part]:
    named = config.reference.shards
    if named is None:
        return parts
    found = list_parts(named if isinstance(named, str) else list(named), "reference.shards")
    if found[0].layout != source.layout:
        raise ConfigError(
            f"reference.shards names a pool of layout {found[0].layout}, input.embeddings one of"
            f" layout {source.layout}; fit the Reference in a run of its own and name its folder"
            " in reference.path"
        )
    return found


def _fit(
    work: Workspace,
    parts: Sequence[Part],
    source: Source,
    model: Precomputed,
    resources: tuple[float, float],
) -> tuple[Reference, Sample]:
    config, settings = work.config, work.config.reference
    with counted_attempts() as attempts:
        hashing = {"source": source, "seed": settings.seed, "attempts": attempts}
        chosen, threshold = choose_shards(
            [part.as_shard() for part in parts],
            settings,
            lambda looked_at: _map(config, looked_at, HashPartWorker, hashing, resources),
        )
    with tallied(Task("fit", len(chosen), items="parts")) as tally:
        job = PartSampleJob(source, settings.seed, threshold, config.costly_scores, tally)
        rows = list(_map(config, chosen, SamplePartWorker, {"job": job}, resources))
    return fit_on_rows(rows, config, model, work.store, REFERENCE_FOLDER)
