"""The stage that writes filtered shards. It needs no model and imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curate.kept_samples import KeptSamples
from curate.output_shards import OutputPlan, begin_outputs, finish_outputs, plan_outputs
from curate.outputs import Store
from curate.pipeline.light import FilterWorker, plan_row
from curate.pipeline.mapping import map_rows, tallied
from curate.progress import Task

PlanWorkers = Callable[[int], tuple[int, float]]
"""Tasks -> workers, and logical CPUs of each."""


@dataclass(frozen=True)
class Filtered:
    """What became of a subset's output shards.

    Attributes:
        shards: in place.
        written: by this call.
        errors: output shard -> error, of those whose input cannot be read.
    """

    shards: int
    written: int
    errors: dict[str, str]


def write_outputs(
    store: Store,
    kept: KeptSamples,
    samples_per_shard: int | None,
    workers: PlanWorkers,
    *,
    hashed: bool = False,
) -> Filtered:
    """Write the output shards that are not committed, and what trainers read beside them.

    Args:
        store: the run directory.
        kept: which samples are kept, and where they lie.
        samples_per_shard: repack to this size; None keeps one output shard per input shard.
        workers: asked where there is something to write.
        hashed: whether markers tell the SHA-256 of the tars that are written now.
    """
    plans = list(plan_outputs(kept.per_shard(store), samples_per_shard))
    done = begin_outputs(store, kept.name, kept.identity, samples_per_shard)
    todo = [plan for plan in plans if plan.name not in done]
    errors = (
        _map_plans(store, kept, todo, len(plans) - len(todo), *workers(len(todo)), hashed)
        if todo
        else {}
    )
    if not errors:
        finish_outputs(store, kept.name, plans)
    return Filtered(len(plans) - len(errors), len(todo) - len(errors), errors)


def _map_plans(
    store: Store,
    kept: KeptSamples,
    plans: Sequence[OutputPlan],
    before: int,
    workers: int,
    cpus: float,
    hashed: bool,
) -> dict[str, str]:
    names = {plan.number: plan.name for plan in plans}
    task = Task("filter", len(plans), items="shards written", before=before)
    with tallied(task) as tally:
        arguments: dict[str, Any] = {
            "store": store,
            "kept": kept,
            "tally": tally,
            "attempts": tally,
            "hashed": hashed,
        }
        results = map_rows(list(map(plan_row, plans)), FilterWorker, arguments, workers, cpus)
        return {names[int(row["number"])]: str(row["error"]) for row in results if row["error"]}
