"""The stage that lists the images of a pool of metadata, and cuts a subset out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curate.config import Config
from curate.image_index import claim_images, images_of
from curate.image_subsets import ImageSubset, cut_images, find
from curate.manifest import Counts, RunDir
from curate.pipeline.filter_stage import PlanWorkers
from curate.pipeline.light import IndexWorker
from curate.pipeline.mapping import map_rows, shard_rows, tallied
from curate.progress import Task, progress
from curate.samples import policy_of
from curate.shards import Shard
from curate.subsets import Subset


def find_images(
    run: RunDir, subset: Subset, shards: Sequence[Shard], config: Config, workers: PlanWorkers
) -> tuple[ImageSubset, dict[str, str]]:
    """Index the image shards that are not indexed yet and decide which samples are kept.

    Args:
        run: of a pool of metadata.
        subset: with uids.npy.
        shards: that hold the images.
        config: limits on samples.
        workers: asked where there is something to index.

    Returns:
        The subset's images, and shard -> error of the shards that cannot be read: those are left
        out and tried again by the next call.
    """
    images = images_of(run)
    identity = claim_images(images, shards, config)
    done = images.committed()
    todo = [shard for shard in shards if shard.id not in done]
    errors: dict[str, str] = {}
    if todo:
        pool = workers(len(todo))  # connects, before an actor that counts is started
        with tallied(Task("index", len(todo), "images", before=len(shards) - len(todo))) as tally:
            arguments: dict[str, Any] = {
                "images": images,
                "policy": policy_of(config),
                "identity": identity,
                "tally": tally,
                "attempts": tally,
            }
            rows = map_rows(shard_rows(todo), IndexWorker, arguments, *pool)
            errors = {str(row["id"]): str(row["error"]) for row in rows if row["error"]}
    if (found := find(run, subset)) is not None:
        return found, errors
    seen = {"shards": 0, "read": 0, "rejected": 0, "dropped": 0}

    def observe(shard: str, counts: Counts) -> None:
        seen["shards"] += 1
        seen["read"] += counts.read
        seen["rejected"] += sum(counts.rejected.values())
        seen["dropped"] += sum(counts.dropped.values())

    task = Task("cut", len(shards) - len(errors), "images", shows_drops=True)
    with progress(task, lambda: seen):
        return cut_images(run, subset, observe), errors
