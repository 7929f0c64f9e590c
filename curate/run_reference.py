"""The Reference of a run: fitted once, or adopted from another run; and what it lets rules tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from curate import reference_files, rules
from curate.alarms import Watch, expected_drops
from curate.errors import RunDirError
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.reference import Reference, Sample
from curate.workspace import (
    FIT_IDENTITY,
    REFERENCE_FOLDER,
    SAMPLE_SCORES,
    Outcome,
    Workspace,
    configured_parts,
)


def ensure_reference(
    work: Workspace,
    parts: Mapping[str, Any],
    fit: Callable[[], tuple[Reference, Sample]],
    outcome: Outcome,
) -> Reference:
    """Adopt the Reference that the configuration names, or fit one unless it is there already.

    Args:
        work: the run.
        parts: what a fitted one depends on beside the configuration.
        fit: takes the sample and fits.
        outcome: gets the seconds.

    Raises:
        RunDirError: the run directory holds one that was made in another way.
        ReferenceFileError: it is damaged.
    """
    config = work.config.reference
    if config.path is not None:
        return adopt_reference(work, config.path)
    shared = {k: v for k, v in configured_parts(work.config).items() if k == "baselines"}
    own = {
        "reference": config.model_dump(mode="json"),
        "costly_scores": list(work.config.costly_scores),
    }
    work.run.claim(FIT_IDENTITY, {**own, **parts, **shared})
    if not work.store.exists(f"{REFERENCE_FOLDER}/{reference_files.DESCRIPTION}"):
        begin = time.monotonic()
        reference_files.save(work.store, REFERENCE_FOLDER, *fit())
        outcome.seconds["fit"] = time.monotonic() - begin
    return reference_files.load(work.store, REFERENCE_FOLDER)


def adopt_reference(work: Workspace, path: str) -> Reference:
    """Take the Reference at `path` into the run directory.

    Copied, so that the run directory tells by itself what its scores mean.

    Raises:
        RunDirError: another one is there.
        ReferenceFileError: it is missing or damaged.
    """
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


def preview_of(work: Workspace) -> Node | None:
    """The rules, where they can be decided while scoring: nothing in them is of the pool."""
    chosen = work.config.rules
    if rules.pool_quantiles(chosen) or not rules.columns_of(chosen):
        return None
    sample = None
    if rules.needs_reference(chosen):
        sample = reference_files.load_sample_table(work.store, REFERENCE_FOLDER)
    return rules.build(chosen, {}, sample)


def watch_of(work: Workspace, preview: Node | None) -> Watch:
    """What raises alarms while the run is scored.

    Args:
        work: the run, with its Reference where it has one.
        preview: the rules, where they can be decided while scoring.
    """
    if preview is None or not work.store.exists(SAMPLE_SCORES):
        return Watch()
    sample = reference_files.load_sample_table(work.store, REFERENCE_FOLDER)
    needed = {"status", "uid", *rules.columns_of(work.config.rules)}
    if not needed <= set(sample.column_names):
        return Watch()  # the run itself is the measure
    return Watch(drops=expected_drops(sample, preview))
