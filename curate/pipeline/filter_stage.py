"""The stage that writes filtered shards. It needs no model and imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from curate.filtering import OutputPlan
from curate.outputs import Store
from curate.pipeline.light import FilterWorker
from curate.pipeline.mapping import map_rows, tallied
from curate.progress import Task
from curate.subsets import Subset


def filter_shards(
    store: Store, subset: Subset, plans: Sequence[OutputPlan], workers: int, cpus: float
) -> dict[int, str]:
    """Write output shards with so many workers of so many CPUs each.

    Returns:
        Number of the output shard -> error, of those whose input cannot be read.
    """
    rows = [
        {
            "number": plan.number,
            "pieces": [{"shard": p.shard, "first": p.first, "last": p.last} for p in plan.pieces],
        }
        for plan in plans
    ]
    with tallied(Task("filter", len(plans))) as tally:
        arguments = {"store": store, "subset": subset, "tally": tally}
        results = map_rows(rows, FilterWorker, arguments, workers, cpus)
        return {int(row["number"]): str(row["error"]) for row in results if row["error"]}
