"""The commands as functions of a configuration: what each stage needs, skips and leaves behind.

What imports torch or Ray, which takes seconds, is imported where there is work for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from curate import rules, subsets
from curate.config import Config
from curate.errors import RunDirError
from curate.kept_samples import KeptSamples, ScoredSamples
from curate.manifest import IDENTITY, Counts
from curate.pipeline.cluster import Cluster, cluster
from curate.pipeline.compute import plan_workers
from curate.progress import Task, progress
from curate.scored_pool import scored_pool
from curate.shards import Shard
from curate.subsets import Subset
from curate.thresholds import Threshold, fixed_by, sample_thresholds
from curate.workspace import (
    REFERENCE_FOLDER,
    SAMPLE_SCORES,
    Outcome,
    Workspace,
    configured_parts,
    listed,
    listed_parts,
    open_workspace,
)


def run_download(config: Config) -> Outcome:
    """Download what the section `download` names, into shards."""
    work, outcome = _begin(config)
    _download(work, outcome)
    return outcome


def run_fit(config: Config) -> Outcome:
    """Fit the Reference, unless it is there already."""
    with _on_cluster(config) as (work, ray, outcome):
        _fit(work, ray, outcome)
    outcome.thresholds = _thresholds(work)
    outcome.fidelity = _fidelity(work)
    return outcome


def run_score(config: Config) -> Outcome:
    """Score every shard that is not scored yet, fitting the Reference first if need be."""
    with _on_cluster(config) as (work, ray, outcome):
        _score(work, ray, outcome)
    return outcome


def run_select(config: Config) -> Outcome:
    """Apply the rules to the scores."""
    work, outcome = _begin(config)
    outcome.unreadable = work.run.failures()
    _select(work, outcome)
    return outcome


def run_filter(config: Config) -> Outcome:
    """Write the filtered shards of the selected subset."""
    with _on_cluster(config) as (work, ray, outcome):
        outcome.unreadable = work.run.failures()
        _filter(work, ray, outcome)
    return outcome


def run_all(config: Config) -> Outcome:
    """Download if so configured, fit, score, select and filter, skipping what is done.

    A pool that comes without its images is not filtered until `input.shards` says where they are.
    """
    with _on_cluster(config) as (work, ray, outcome):
        if config.download is not None:
            _download(work, outcome)
        _score(work, ray, outcome)
        _select(work, outcome)
        if config.input.shards is not None:
            _filter(work, ray, outcome)
    return outcome


# --- stages -----------------------------------------------------------------------------------


def _begin(config: Config) -> tuple[Workspace, Outcome]:
    work = open_workspace(config)
    # One run at a time writes here, so that what lies half-written is nobody's any more.
    work.store.sweep()
    return work, Outcome(str(work.store))


@contextmanager
def _on_cluster(config: Config) -> Iterator[tuple[Workspace, Cluster, Outcome]]:
    work, outcome = _begin(config)
    with cluster(config.compute.ray_address) as ray:
        yield work, ray, outcome
    # Workers that were killed in the middle of a file have left it; others did their work.
    if outcome.seconds:
        work.store.sweep()


def _download(work: Workspace, outcome: Outcome) -> None:
    from curate.downloading.stage import download

    outcome.downloaded = download(work.config)
    if outcome.downloaded.seconds:
        outcome.seconds["download"] = outcome.downloaded.seconds


def _fit(work: Workspace, ray: Cluster, outcome: Outcome) -> None:
    config = work.config
    if config.input.over_images:
        shards = _shards(config)
        ray.connect_importing("torch")
        from curate.pipeline.score_pool import fit_pool

        fit_pool(work, shards, ray, outcome)
    else:
        parts = listed_parts(config)
        from curate.pipeline.part_pool import fit_parts

        fit_parts(work, parts, ray, outcome)


def _score(work: Workspace, ray: Cluster, outcome: Outcome) -> None:
    if work.config.input.over_images:
        shards = _shards(work.config)
        left = _left_to_score(work, shards)
        todo = [shard for shard in shards if shard.id in left]
        if todo or not work.store.exists(IDENTITY):
            ray.connect_importing("torch")
            from curate.pipeline.score_pool import score_pool

            score_pool(work, shards, todo, ray, outcome)
    else:
        parts = listed_parts(work.config)
        left = _left_to_score(work, [part.as_shard() for part in parts])
        wanted = [part for part in parts if part.id in left]
        if wanted or not work.store.exists(IDENTITY):
            from curate.pipeline.part_pool import score_parts

            score_parts(work, parts, wanted, ray, outcome)


def _shards(config: Config) -> tuple[Shard, ...]:
    from curate.downloading.stage import require_finished

    require_finished(config)
    return listed(config.input.shards)


def _left_to_score(work: Workspace, shards: Sequence[Shard]) -> frozenset[str]:
    """Write down what the run is over; returns the ids of what is not committed yet."""
    if work.store.exists(IDENTITY):
        _check_unchanged(work)
    work.run.write_manifest(shards)
    done = work.run.committed([shard.id for shard in shards])
    work.write_config()
    return frozenset(shard.id for shard in shards) - done


def _check_unchanged(work: Workspace) -> None:
    # Before a model is loaded, what the configuration says of it is compared as it was written.
    _, parts = work.run.read_identity() or ("", {})
    now = configured_parts(work.config)
    changes = [
        f"{key} was {parts.get(key)!r} and is {now[key]!r} now"
        for key in now
        if parts.get(key) != now[key]
    ]
    if changes:
        raise RunDirError(
            f"{work.store} holds scores that were made in another way: {'; '.join(changes)}."
            " Choose another output.run_dir, or delete this one"
        )


def _select(work: Workspace, outcome: Outcome) -> None:
    config = work.config
    seen = {"shards": 0, "read": 0, "rejected": 0, "dropped": 0}

    def observe(shard: str, counts: Counts) -> None:
        seen["shards"] += 1
        seen["read"] += counts.read
        seen["rejected"] += sum(counts.rejected.values())
        seen["dropped"] += sum(counts.dropped.values())

    pool = scored_pool(work.run)
    outcome.subset = subsets.find(work.run, config.output.subset, config.rules, pool)
    if outcome.subset is not None:
        return
    begin = time.monotonic()
    sample = _reference_sample(work) if rules.needs_reference(config.rules) else None
    if sample is not None:
        outcome.thresholds = fixed_by(sample_thresholds(config.rules, sample))
    task = Task("select", len(pool.shards), shows_drops=True)
    with progress(task, lambda: seen):
        outcome.subset = subsets.select(
            work.run, config.output.subset, config.rules, sample, observe, pool
        )
    outcome.seconds["select"] = time.monotonic() - begin


def _fidelity(work: Workspace) -> Mapping[str, Mapping[str, float]]:
    from curate.reference_files import load

    found: Mapping[str, Mapping[str, float]] = load(work.store, REFERENCE_FOLDER).description.get(
        "fidelity", {}
    )
    return found


def _thresholds(work: Workspace) -> tuple[Threshold, ...]:
    chosen = work.config.rules
    # An adopted Reference may lack its sample, which a preview can do without.
    previews = rules.pool_quantiles(chosen) and work.store.exists(SAMPLE_SCORES)
    if not previews and not rules.needs_reference(chosen):
        return ()
    return sample_thresholds(chosen, _reference_sample(work))


def _reference_sample(work: Workspace) -> pa.Table:
    from curate.reference_files import load_sample_table

    return load_sample_table(work.store, REFERENCE_FOLDER)


def _filter(work: Workspace, ray: Cluster, outcome: Outcome) -> None:
    config = work.config
    shards = () if config.input.over_images else listed(config.input.shards)
    subset = outcome.subset = _subset_to_filter(work)
    begin = time.monotonic()
    from curate.pipeline.filter_stage import write_outputs
    from curate.pipeline.image_stage import find_images

    def workers(tasks: int) -> tuple[int, float]:
        return plan_workers(config.compute, ray.resources()[0], tasks)

    kept: KeptSamples = ScoredSamples(subset)
    if not config.input.over_images:
        kept, errors = find_images(work.run, subset, shards, config, workers)
        outcome.images = kept
        outcome.unreadable |= {f"image shard {name}": error for name, error in errors.items()}
    output = config.output
    hashed = output.checksums == "sha256"
    found = write_outputs(work.store, kept, output.samples_per_shard, workers, hashed=hashed)
    outcome.unreadable |= {f"output shard {name}": error for name, error in found.errors.items()}
    outcome.output_shards = found.shards
    if found.written or found.errors:
        outcome.seconds["filter"] = time.monotonic() - begin


def _subset_to_filter(work: Workspace) -> Subset:
    """The configured subset, with what a sweep left out: decisions, or uids to find images by."""
    subset = subsets.load(work.store, work.config.output.subset)
    if subset is None:
        raise RunDirError(
            f"{work.store} has no subset {work.config.output.subset!r}; run `curate select` first"
        )
    if subset.summary["decisions" if work.config.input.over_images else "uids"]:
        return subset
    sample = _reference_sample(work) if work.store.exists(SAMPLE_SCORES) else None
    return subsets.materialise(work.run, subset, sample)


__all__ = [
    "Outcome",
    "run_all",
    "run_download",
    "run_filter",
    "run_fit",
    "run_score",
    "run_select",
]
