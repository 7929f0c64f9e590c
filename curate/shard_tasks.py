"""What a worker does with one shard: score and commit it, or take its part of a sample.

Pure of Ray: the embedder is an `EmbedClient`, progress a callback. A task may be repeated any
number of times; it skips what is committed and otherwise ends in the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa

from curate.errors import ShardError
from curate.manifest import Counts, Marker, RunDir
from curate.numerics.selection import Node
from curate.outputs import Written
from curate.previews import count_dropped
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader
from curate.sampling import sample_hash
from curate.score_tables import SCORES
from curate.scoring import BatchPlan, EmbedClient, ShardScores, embeddings_to_bytes, score_samples
from curate.shards import Shard, open_shard, read_beside

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
    run: RunDir, shard: Shard, task: ScoreTask, client: EmbedClient, observe: Observe
) -> Counts:
    """Score one shard and commit it; a committed shard is left alone.

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
    with open_shard(shard) as stream:
        reader = ShardReader(stream, shard, task.policy)
        scores = score_samples(
            reader,
            shard.id,
            task.plan,
            client,
            lambda output, read, rejected: observe(_partial(read, rejected)),
        )
    table = scores.to_table()
    outputs = [run.store.write_table(f"{SCORES}/{shard.id}.parquet", table)]
    if task.save_embeddings:
        outputs.append(_write_embeddings(run, shard, scores, table))
    counts = scores.counts()
    run.commit(_marker(shard, task, reader, counts, tuple(outputs)))
    if task.preview is not None:
        dropped = count_dropped(table, task.preview)
        observe(Counts(dropped={"rules": dropped}))
    return counts


def _partial(read: int, rejected: int) -> Counts:
    return Counts(read=read, rejected={"any": rejected} if rejected else {})


def _write_embeddings(run: RunDir, shard: Shard, scores: ShardScores, table: pa.Table) -> Written:
    data = embeddings_to_bytes(scores, table["key"].to_pylist())
    return run.store.write_bytes(f"{EMBEDDINGS}/{shard.id}.npz", data)


def _marker(
    shard: Shard,
    task: ScoreTask,
    reader: ShardReader,
    counts: Counts,
    outputs: tuple[Written, ...],
) -> Marker:
    tar = reader.report.tar
    found = {name: number for name, number in reader.report.notes.items() if number}
    notes = found | _stats_note(shard, counts.read)
    return Marker(
        shard=shard.id,
        url=shard.url,
        size=tar.size,
        sha256=tar.sha256,
        identity=task.identity,
        counts=counts,
        damage=tuple({"kind": d.kind, "offset": d.offset, "detail": d.detail} for d in tar.damage),
        notes=notes,
        outputs=outputs,
    )


def _stats_note(shard: Shard, read: int) -> dict[str, Any]:
    # The tar is what counts; a difference tells of a cut copy or of a table that was edited.
    name = PurePosixPath(shard.url.removesuffix(".tar") + "_stats.json").name
    try:
        data = read_beside(shard, "_stats.json")
        if data is None:
            return {}
        successes = json.loads(data)["successes"]
    except (ShardError, ValueError, KeyError, TypeError, RecursionError) as exc:
        return {"stats": f"{name} cannot be read: {exc!r}"}
    if successes == read:
        return {}
    return {"stats": f"{name} says {successes} successes, the tar has {read}"}


# --- sampling for the Reference ---------------------------------------------------------------


def embed_chosen(
    shard: Shard,
    task: ScoreTask,
    seed: int,
    threshold: int,
    client: EmbedClient,
    observe: Observe,
) -> ShardScores:
    """Embed the samples of a shard whose hash is at most `threshold`. Raises ShardError."""
    with open_shard(shard) as stream:
        reader = ShardReader(stream, shard, task.policy)
        chosen: Iterator[Sample | Rejection] = (
            item
            for item in reader
            if isinstance(item, Sample) and sample_hash(seed, shard.id, item.key) <= threshold
        )
        return score_samples(
            chosen,
            shard.id,
            task.plan,
            client,
            lambda output, read, rejected: observe(_partial(read, rejected)),
        )
