"""What a worker does with one shard: score and commit it, or take its part of a sample.

Pure of Ray: the embedder is an `EmbedClient`, progress a callback. A task may be repeated any
number of times; it skips what is committed and otherwise ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from curate.manifest import Counts, RunDir
from curate.numerics.selection import Node
from curate.outputs import Written
from curate.previews import count_dropped
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader
from curate.sampling import sample_hash
from curate.score_tables import SCORES
from curate.scoring import BatchPlan, EmbedClient, ShardScores, embeddings_to_bytes, score_samples
from curate.shard_markers import marker_of
from curate.shards import Shard, open_shard
from curate.work_times import WRITING, WorkTimes

Observe = Callable[[Counts], None]

EMBEDDINGS: Final = "embeddings"


@dataclass(frozen=True)
class ScoreTask:
    """What scoring a shard depends on, besides the shard.

    Attributes:
        identity: of model, Reference and configuration; goes into the marker.
        policy: limits on samples.
        plan: geometry, tokenizer, batches.
        save_embeddings: also write embeddings/SHARD.npz.
        preview: rules that can be decided while scoring, for the progress line; else None.
    """

    identity: str
    policy: SamplePolicy
    plan: BatchPlan
    save_embeddings: bool = False
    preview: Node | None = None


def score_shard(
    run: RunDir,
    shard: Shard,
    task: ScoreTask,
    client: EmbedClient,
    observe: Observe,
    times: WorkTimes | None = None,
) -> Counts:
    """Score one shard and commit it; a committed shard is left alone.

    Args:
        run: the run directory.
        shard: which one.
        task: what its scores depend on.
        client: computes the batches.
        observe: told of counts as they come.
        times: measures reading and writing; None leaves it.

    Returns:
        Its counts. With `task.preview`, `kept` and `dropped` are what those rules would do.

    Raises:
        ShardError: the shard cannot be read at all.
        AccountingError: rows are missing or counts do not balance.
    """
    found = run.marker(shard.id)
    if found is not None and found.identity == task.identity:
        observe(found.counts)
        return found.counts
    times = times or WorkTimes()
    with open_shard(shard) as stream:
        reader = ShardReader(stream, shard, task.policy)
        scores = score_samples(
            times.reading(reader),
            shard.id,
            task.plan,
            client,
            lambda output, read, rejected: observe(_partial(read, rejected)),
        )
    table = scores.to_table()
    counts = scores.counts()
    with times.during(WRITING):
        outputs = [run.store.write_table(f"{SCORES}/{shard.id}.parquet", table)]
        if task.save_embeddings:
            outputs.append(_write_embeddings(run, shard, scores, table))
        run.commit(marker_of(shard, task.identity, reader, counts, tuple(outputs)))
    if task.preview is not None:
        dropped = count_dropped(table, task.preview)
        observe(Counts(dropped={"rules": dropped}))
        return replace(counts, kept=counts.scored - dropped, dropped={"rules": dropped})
    return counts


def _partial(read: int, rejected: int) -> Counts:
    return Counts(read=read, rejected={"any": rejected} if rejected else {})


def _write_embeddings(run: RunDir, shard: Shard, scores: ShardScores, table: pa.Table) -> Written:
    data = embeddings_to_bytes(scores, table["key"].to_pylist())
    return run.store.write_bytes(f"{EMBEDDINGS}/{shard.id}.npz", data)


# --- sampling for the Reference ---------------------------------------------------------------


def embed_chosen(
    shard: Shard,
    task: ScoreTask,
    seed: int,
    threshold: int,
    client: EmbedClient,
    observe: Observe,
    times: WorkTimes | None = None,
) -> ShardScores:
    """Embed the samples of a shard whose hash is at most `threshold`; rows keep their captions.

    Raises:
        ShardError: the shard cannot be read.
    """
    times = times or WorkTimes()
    with open_shard(shard) as stream:
        reader = ShardReader(stream, shard, task.policy)
        chosen: Iterator[Sample | Rejection] = (
            item
            for item in times.reading(reader)
            if isinstance(item, Sample) and sample_hash(seed, shard.id, item.key) <= threshold
        )
        return score_samples(
            chosen,
            shard.id,
            replace(task.plan, captions=True),
            client,
            lambda output, read, rejected: observe(_partial(read, rejected)),
        )
