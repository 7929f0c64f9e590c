"""The commands as functions of a configuration: what each stage needs, skips and leaves behind.

What imports torch or Ray, which takes seconds, is imported where there is work for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pyarrow as pa

from curate import filtering, rules, subsets
from curate.config import Config
from curate.errors import RunDirError
from curate.manifest import IDENTITY, Counts
from curate.pipeline.cluster import Cluster, cluster
from curate.pipeline.compute import plan_workers
from curate.progress import Task, progress
from curate.subsets import Subset
from curate.thresholds import Threshold, fixed_by, sample_thresholds
from curate.workspace import (
    REFERENCE_FOLDER,
    SAMPLE_SCORES,
    Outcome,
    Workspace,
    configured_parts,
    listed,
    open_workspace,
)


def run_fit(config: Config) -> Outcome:
    """Fit the Reference, unless it is there already."""
    work, outcome = _begin(config)
    shards = listed(config.input.shards)
    from curate.pipeline.score_pool import fit_pool

    with cluster(config.compute.ray_address) as ray:
        fit_pool(work, shards, ray, outcome)
    outcome.thresholds = _thresholds(work)
    outcome.fidelity = _fidelity(work)
    return outcome


def run_score(config: Config) -> Outcome:
    """Score every shard that is not scored yet, fitting the Reference first if need be."""
    work, outcome = _begin(config)
    with cluster(config.compute.ray_address) as ray:
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
    work, outcome = _begin(config)
    outcome.unreadable = work.run.failures()
    with cluster(config.compute.ray_address) as ray:
        _filter(work, ray, outcome)
    return outcome


def run_all(config: Config) -> Outcome:
    """Fit, score, select and filter, skipping what is done."""
    work, outcome = _begin(config)
    with cluster(config.compute.ray_address) as ray:
        _score(work, ray, outcome)
        _select(work, outcome)
        _filter(work, ray, outcome)
    return outcome


# --- stages -----------------------------------------------------------------------------------


def _begin(config: Config) -> tuple[Workspace, Outcome]:
    work = open_workspace(config)
    # One run at a time writes here, so that what lies half-written is nobody's any more.
    work.store.sweep()
    return work, Outcome(str(work.store))


def _score(work: Workspace, ray: Cluster, outcome: Outcome) -> None:
    shards = listed(work.config.input.shards)
    if work.store.exists(IDENTITY):
        _check_unchanged(work)
    work.run.write_manifest(shards)
    done = work.run.committed()
    todo = [shard for shard in shards if shard.id not in done]
    work.write_config()
    if todo or not work.store.exists(IDENTITY):
        from curate.pipeline.score_pool import score_pool

        score_pool(work, shards, todo, ray, outcome)


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

    outcome.subset = subsets.find(work.run, config.output.subset, config.rules)
    if outcome.subset is not None:
        return
    begin = time.monotonic()
    sample = _reference_sample(work) if rules.needs_reference(config.rules) else None
    if sample is not None:
        outcome.thresholds = fixed_by(sample_thresholds(config.rules, sample))
    task = Task("select", len(subsets.scored_shards(work.run)), shows_drops=True)
    with progress(task, lambda: seen):
        outcome.subset = subsets.select(
            work.run, config.output.subset, config.rules, sample, observe
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
    subset = subsets.load(work.store, config.output.subset)
    if subset is None:
        raise RunDirError(
            f"{work.store} has no subset {config.output.subset!r}; run `curate select` first"
        )
    outcome.subset = subset
    kept = subsets.kept_per_shard(work.store, subset)
    plans = list(filtering.plan_outputs(kept, config.output.samples_per_shard))
    done = filtering.begin_outputs(work.store, subset, config.output.samples_per_shard)
    todo = [plan for plan in plans if plan.name not in done]
    begin = time.monotonic()
    errors = _write_outputs(work, subset, todo, ray) if todo else {}
    if not errors:
        filtering.write_sizes(work.store, config.output.subset, plans)
    outcome.unreadable |= {f"output shard {number:05d}": error for number, error in errors.items()}
    outcome.output_shards = len(plans) - len(errors)
    if todo:
        outcome.seconds["filter"] = time.monotonic() - begin


def _write_outputs(
    work: Workspace, subset: Subset, todo: Sequence[filtering.OutputPlan], ray: Cluster
) -> dict[int, str]:
    from curate.pipeline.filter_stage import filter_shards

    cpus, _ = ray.resources()
    workers, worker_cpus = plan_workers(work.config.compute, cpus, len(todo))
    return filter_shards(work.store, subset, todo, workers, worker_cpus)


__all__ = ["Outcome", "run_all", "run_filter", "run_fit", "run_score", "run_select"]
