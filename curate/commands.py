"""The commands as functions of a configuration: what each stage needs, skips and leaves behind."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Final

import pyarrow as pa

from curate import __version__, filtering, reference, rules, subsets
from curate.config import Config, to_yaml
from curate.errors import RunDirError
from curate.manifest import IDENTITY, Counts, RunDir
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.cluster import cluster, resources
from curate.pipeline.compute import plan_compute
from curate.pipeline.stages import Session, filter_shards, fit_reference, score, session
from curate.progress import Task, progress
from curate.reference import Reference
from curate.schema import SCHEMA_VERSION
from curate.shards import Shard, list_shards
from curate.subsets import Subset

REFERENCE_FOLDER: Final = "reference"
FIT_IDENTITY: Final = "reference/identity.json"
VERSIONED: Final = ("curate", "torch", "open_clip_torch", "ray", "pyarrow", "numpy", "pillow")


@dataclass
class Outcome:
    """What a command did.

    Attributes:
        run_dir: where the outputs are.
        unreadable: shard -> error, of the shards that could not be read at all.
        seconds: stage -> wall time.
        subset: the selected subset, where there is one.
        output_shards: filtered shards in place, where they were written.
    """

    run_dir: str
    unreadable: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    subset: Subset | None = None
    output_shards: int | None = None


@dataclass(frozen=True)
class Workspace:
    """A configuration with its run directory."""

    config: Config
    run: RunDir

    @property
    def store(self) -> Store:
        """The run directory as a store."""
        return self.run.store


def open_workspace(config: Config) -> Workspace:
    """Open the run directory of a configuration; nothing is written yet."""
    return Workspace(config, RunDir(Store(config.output.run_dir)))


# --- commands ---------------------------------------------------------------------------------


def run_fit(config: Config) -> Outcome:
    """Fit the Reference, unless it is there already."""
    work = open_workspace(config)
    shards = _input_shards(work)
    outcome = Outcome(str(work.store))
    with cluster(config.compute.ray_address), session(config, len(shards)) as started:
        _ensure_reference(work, started, shards, outcome)
        _write_provenance(work, started, outcome)
    return outcome


def run_score(config: Config) -> Outcome:
    """Score every shard that is not scored yet, fitting the Reference first if need be."""
    work = open_workspace(config)
    outcome = Outcome(str(work.store))
    with cluster(config.compute.ray_address):
        _score(work, outcome)
    return outcome


def run_select(config: Config) -> Outcome:
    """Apply the rules to the scores."""
    work = open_workspace(config)
    outcome = Outcome(str(work.store), unreadable=work.run.failures())
    _select(work, outcome)
    return outcome


def run_filter(config: Config) -> Outcome:
    """Write the filtered shards of the selected subset."""
    work = open_workspace(config)
    outcome = Outcome(str(work.store), unreadable=work.run.failures())
    with cluster(config.compute.ray_address):
        _filter(work, outcome)
    return outcome


def run_all(config: Config) -> Outcome:
    """Fit, score, select and filter, skipping what is done."""
    work = open_workspace(config)
    outcome = Outcome(str(work.store))
    with cluster(config.compute.ray_address):
        _score(work, outcome)
        _select(work, outcome)
        _filter(work, outcome)
    return outcome


# --- stages -----------------------------------------------------------------------------------


def _input_shards(work: Workspace) -> tuple[Shard, ...]:
    spec = work.config.input.shards
    return list_shards(spec if isinstance(spec, str) else list(spec))


def _score(work: Workspace, outcome: Outcome) -> None:
    shards = _input_shards(work)
    work.run.write_manifest(shards)
    done = work.run.committed()
    todo = [shard for shard in shards if shard.id not in done]
    if not todo and work.store.exists(IDENTITY):
        # Everything is there: do not load a model only to find that out.
        _check_unchanged(work)
        return
    with session(work.config, len(todo)) as started:
        fitted = _ensure_reference(work, started, shards, outcome)
        identity = work.run.claim(IDENTITY, _score_parts(work.config, started, fitted))
        work.store.write_bytes("config.yaml", to_yaml(work.config).encode())
        begin = time.monotonic()
        outcome.unreadable = score(
            started,
            work.store,
            todo,
            identity,
            (fitted, REFERENCE_FOLDER),
            _preview(work),
        )
        outcome.seconds["score"] = time.monotonic() - begin
        _write_provenance(work, started, outcome)


def _check_unchanged(work: Workspace) -> None:
    # Without the model, what the configuration says of it is compared as it was written.
    parts = work.store.read_json(IDENTITY)["parts"]
    now = _configured_parts(work.config)
    changes = [
        f"{key} was {parts[key]!r} and is {now[key]!r} now" for key in now if parts[key] != now[key]
    ]
    if changes:
        raise RunDirError(
            f"{work.store} holds scores that were made in another way: {'; '.join(changes)}."
            " Choose another output.run_dir, or delete this one"
        )


def _configured_parts(config: Config) -> dict[str, Any]:
    limits = config.limits.model_dump(exclude={"tolerate_unreadable_shards"})
    return {
        "schema": SCHEMA_VERSION,
        "model": config.model.model_dump(exclude={"device"}, mode="json"),
        "reference": config.reference.model_dump(mode="json"),
        "limits": limits,
        "verify_sha256": config.input.verify_sha256,
        "save_embeddings": config.output.save_embeddings,
    }


def _score_parts(config: Config, started: Session, fitted: Reference) -> dict[str, Any]:
    return _configured_parts(config) | {
        "weights": started.model.fingerprint,
        "precision": started.model.precision,
        "reference_sha256": fitted.identity,
    }


def _preview(work: Workspace) -> Node | None:
    chosen = work.config.rules
    if rules.pool_quantiles(chosen) or not rules.columns_of(chosen):
        return None
    sample = None
    if rules.needs_reference(chosen):
        sample = reference.load_sample_table(work.store, REFERENCE_FOLDER)
    return rules.build(chosen, {}, sample)


def _ensure_reference(
    work: Workspace, started: Session, shards: tuple[Shard, ...], outcome: Outcome
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
        }
        work.run.claim(FIT_IDENTITY, parts)
        if not work.store.exists(f"{REFERENCE_FOLDER}/{reference.DESCRIPTION}"):
            begin = time.monotonic()
            spec = config.shards
            source = (
                shards
                if spec is None
                else list_shards(spec if isinstance(spec, str) else list(spec))
            )
            fitted, sample = fit_reference(started, work.store, source)
            reference.save(work.store, REFERENCE_FOLDER, fitted, sample)
            outcome.seconds["fit"] = time.monotonic() - begin
        fitted = reference.load(work.store, REFERENCE_FOLDER)
    reference.check_model(fitted, started.model)
    return fitted


def _adopt_reference(work: Workspace, path: str) -> Reference:
    # Copied, so that the run directory tells by itself what its scores mean.
    origin = Store(path)
    fitted = reference.load(origin, "")
    if not work.store.exists(f"{REFERENCE_FOLDER}/{reference.DESCRIPTION}"):
        if origin.exists(reference.SAMPLE_SCORES):
            table = reference.load_sample_table(origin, "")
            work.store.write_table(f"{REFERENCE_FOLDER}/{reference.SAMPLE_SCORES}", table)
        reference.save(work.store, REFERENCE_FOLDER, fitted, None)
    return fitted


def _select(work: Workspace, outcome: Outcome) -> None:
    config = work.config
    sample: pa.Table | None = None
    if rules.needs_reference(config.rules):
        sample = reference.load_sample_table(work.store, REFERENCE_FOLDER)
    total = len(work.run.read_manifest())
    counts = {"shards": 0, "read": 0, "rejected": 0, "dropped": 0}

    def observe(shard: str, seen: Counts) -> None:
        counts["shards"] += 1
        counts["read"] += seen.read
        counts["rejected"] += sum(seen.rejected.values())
        counts["dropped"] += sum(seen.dropped.values())

    begin = time.monotonic()
    task = Task("select", total - len(work.run.failures()), shows_drops=True)
    with progress(task, lambda: counts):
        outcome.subset = subsets.select(
            work.run, config.output.subset, config.rules, sample, observe
        )
    outcome.seconds["select"] = time.monotonic() - begin


def _filter(work: Workspace, outcome: Outcome) -> None:
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
    compute = plan_compute(config.compute, "cpu", *resources(), len(todo))
    errors = filter_shards(compute, work.store, subset, todo)
    if not errors:
        filtering.write_sizes(work.store, config.output.subset, plans)
    outcome.unreadable |= {f"output shard {number:05d}": error for number, error in errors.items()}
    outcome.output_shards = len(plans) - len(errors)
    outcome.seconds["filter"] = time.monotonic() - begin


def _write_provenance(work: Workspace, started: Session, outcome: Outcome) -> None:
    previous: Mapping[str, Any] = {}
    if work.store.exists("run.json"):
        previous = work.store.read_json("run.json").get("seconds", {})
    cpus, gpus = resources()
    work.store.write_json(
        "run.json",
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
