"""A pool for benchmarks of filtering: shards as they are downloaded, scored at random, selected."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from speed.pool import write_pool

from curate import subsets
from curate.config import Rules
from curate.manifest import IDENTITY, Counts, Marker, RunDir
from curate.outputs import Store
from curate.schema import SCORES_SCHEMA
from curate.shards import list_shards

KEPT = 0.3  # of the pool, as in DataComp's baselines
RULES = Rules.model_validate({"all": [{"clip_score": {"keep_highest": KEPT}}]})
DRAWN = 4  # shards; further ones are links to these, with uids of their own


def prepare(folder: Path, shards: int, samples: int) -> None:
    """Draw and score a pool, and select from it. What is there already is used again."""
    pool, run = pool_of(folder, samples), RunDir(Store(str(folder / "run")))
    write_pool(pool, min(shards, DRAWN), samples)
    for number in range(DRAWN, shards):
        if not (link := pool / f"{number:05d}.tar").exists():
            link.hardlink_to(pool / f"{number % DRAWN:05d}.tar")
    found = list_shards(f"{pool}/*.tar")[:shards]
    if len(run.committed()) < shards:
        run.write_manifest(found)
        identity = run.claim(IDENTITY, {"reference_sha256": "benchmark"})
        for number, shard in enumerate(found):
            table = score_table(shard.id, Path(shard.url), number)
            write_sidecar(Path(shard.url), table)
            written = run.store.write_table(f"scores/{shard.id}.parquet", table)
            counts, size = Counts(table.num_rows), shard.size or 0
            run.commit(
                Marker(shard.id, shard.url, size, "0" * 64, identity, counts, (), {}, (written,))
            )
    subsets.select(run, "default", RULES, None)


def pool_of(folder: Path, samples: int) -> Path:
    """Where the shards of so many samples lie: pools of all sizes share them."""
    return folder.parent / f"pool-{samples}"


def spans(tar: Path) -> Iterator[tuple[str, str, int, int]]:
    """Key, uid, offset and bytes of every sample, by the standard library."""
    with tarfile.open(tar) as archive:
        start, uid, key = 0, "", ""
        for member in archive:
            name, _, extension = member.name.partition(".")
            if name != key:
                if key:
                    yield key, uid, start, member.offset - start
                start, key = member.offset, name
            if extension == "json":
                file = archive.extractfile(member)
                uid = json.loads(b"" if file is None else file.read())["uid"]
        yield key, uid, start, member.offset_data + -(-member.size // 512) * 512 - start


def score_table(shard: str, tar: Path, number: int) -> pa.Table:
    """Scores as a run leaves them, at random."""
    keys, uids, offsets, sizes = zip(*spans(tar), strict=True)
    rng, rows = np.random.default_rng(number), len(keys)
    columns = {
        "shard": [shard] * rows,
        "index": range(rows),
        "key": keys,
        "uid": [f"{number:016x}{uid[16:]}" for uid in uids],
        "uid_derived": [False] * rows,
        "status": ["ok"] * rows,
        "error": [None] * rows,
        "tar_offset": offsets,
        "tar_size": sizes,
    }
    arrays = []
    for field in SCORES_SCHEMA:
        if field.name in columns:
            arrays.append(pa.array(columns[field.name], field.type))
        elif pa.types.is_integer(field.type):
            arrays.append(pa.array(rng.integers(1, 640, rows), field.type))
        else:
            arrays.append(pa.array(rng.normal(0.24, 0.06, rows).astype(np.float32), field.type))
    return pa.table(arrays, schema=SCORES_SCHEMA)


def write_sidecar(tar: Path, scores: pa.Table) -> None:
    """The table that img2dataset leaves beside a shard."""
    rows = scores.num_rows
    table = {
        "key": scores["key"],
        "uid": scores["uid"],
        "url": [f"https://example.org/pictures/{key}.jpg" for key in scores["key"].to_pylist()],
        "caption": [f"a caption of some words, number {row}" for row in range(rows)],
        "status": ["success"] * rows,
        "error_message": pa.nulls(rows, pa.string()),
        "width": scores["width"],
        "height": scores["height"],
        "sha256": [2 * uid for uid in scores["uid"].to_pylist()],
    }
    pq.write_table(pa.table(table), tar.with_suffix(".parquet"))
