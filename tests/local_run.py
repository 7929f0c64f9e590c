"""Run directories made in this process: what Ray's workers do, without Ray."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from factories import json_bytes, sample_members, tar_bytes

from curate import reference_files, subsets
from curate.config import ReferenceConfig, Rules
from curate.encoder import Encoder
from curate.held import Held, score_sample
from curate.kept_samples import KeptSamples, ScoredSamples
from curate.loading import load_tokenizer
from curate.manifest import IDENTITY, Counts, Marker, RunDir, counts_of_statuses
from curate.output_shards import begin_outputs, finish_outputs, plan_outputs
from curate.outputs import Store
from curate.pipeline.light import FilterWorker, plan_row
from curate.reference import Reference, Sample, fit
from curate.samples import SamplePolicy
from curate.schema import IMAGE_NORM, OK, SCORE_COLUMNS, SCORES_SCHEMA, TEXT_NORM
from curate.scorer import Scorer
from curate.scoring import BatchPlan, ModelOutput
from curate.shard_tasks import ScoreTask, embed_chosen, score_shard
from curate.shards import Shard, list_shards
from curate.subsets import Subset

EVERYTHING = 2**63 - 1


class LocalClient:
    """An EmbedClient around an encoder and, for scores, a scorer: batches are computed at once."""

    def __init__(self, encoder: Encoder, scorer: Scorer | None = None, embeds: bool = True) -> None:
        self._encoder, self._scorer, self._embeds = encoder, scorer, embeds
        self.batches: list[int] = []

    def submit(self, pixels: Any, tokens: Any) -> ModelOutput:
        self.batches.append(len(pixels))
        found = self._encoder.encode(pixels, tokens)
        scores = {} if self._scorer is None else self._scorer(found.image, found.text)
        scores |= {IMAGE_NORM: found.image_norm, TEXT_NORM: found.text_norm}
        return ModelOutput(
            {name: values.cpu().numpy() for name, values in scores.items()},
            found.image.cpu().numpy() if self._embeds else None,
            found.text.cpu().numpy() if self._embeds else None,
        )

    def collect(self, handle: ModelOutput) -> ModelOutput:
        return handle


def plan_of(encoder: Encoder, batch_size: int = 4, depth: int = 2) -> BatchPlan:
    info = encoder.info
    tokenize = load_tokenizer(info.name, info.context_length)
    return BatchPlan(info.pixels, tokenize, 1_000_000, batch_size, depth)


def task_of(encoder: Encoder, identity: str = "identity", **fields: Any) -> ScoreTask:
    return ScoreTask(identity, SamplePolicy(image_pixels=1_000_000), plan_of(encoder), **fields)


def fit_locally(
    encoder: Encoder, shards: Sequence[Shard], config: ReferenceConfig | None = None
) -> tuple[Reference, Sample]:
    """Fit a Reference on all samples of some shards."""
    config, client = config or ReferenceConfig(), LocalClient(encoder)
    tables, images, texts = [], [], []
    for shard in shards:
        rows = embed_chosen(
            shard, task_of(encoder), config.seed, EVERYTHING, client, lambda counts: None
        )
        table, (image, text) = rows.to_table(), rows.embeddings(np.float32)
        usable = np.array([status == OK for status in table["status"].to_pylist()])
        tables.append(table.filter(pa.array(usable)))
        images.append(image[usable])
        texts.append(text[usable])
    image, text = np.concatenate(images), np.concatenate(texts)
    fitted, sample = fit(image, text, config, encoder.info)
    table = pa.concat_tables(tables).combine_chunks()
    return fitted, score_sample(Held(fitted), sample, table)


@dataclass(frozen=True)
class LocalRun:
    """A scored run directory, and what it was made with."""

    run: RunDir
    shards: tuple[Shard, ...]
    reference: Reference
    sample: Sample

    @property
    def folder(self) -> Path:
        return Path(self.run.store.url)

    @property
    def store(self) -> Store:
        return self.run.store

    def select(self, rules: Rules, name: str = "default") -> Subset:
        return subsets.select(self.run, name, rules, self.sample.table)

    def moved(self, store: Store) -> LocalRun:
        return replace(self, run=RunDir(store))


def score_locally(run: RunDir, spec: str, encoder: Encoder, **fields: Any) -> LocalRun:
    """Fit on and score all shards of a specification, as `curate score` does."""
    shards = list_shards(spec)
    run.write_manifest(shards)
    fitted, sample = fit_locally(encoder, shards)
    reference_files.save(run.store, "reference", fitted, sample)
    identity = run.claim(IDENTITY, {"reference_sha256": fitted.identity})
    client = LocalClient(encoder, Scorer(fitted))
    for shard in shards:
        score_shard(run, shard, task_of(encoder, identity, **fields), client, lambda counts: None)
    return LocalRun(run, shards, fitted, sample)


class NoTally:
    """Stands for the Ray actor that counts progress."""

    def __init__(self) -> None:
        self.add, self.calls = self, list[dict[str, int]]()

    def remote(self, counts: dict[str, int]) -> None:
        self.calls.append(counts)


def filter_locally(
    store: Store,
    subset: Subset | KeptSamples,
    samples_per_shard: int | None = None,
    *,
    hashed: bool = False,
) -> dict[str, str]:
    """Write filtered shards as `curate filter` does; returns output shard -> error."""
    kept = ScoredSamples(subset) if isinstance(subset, Subset) else subset
    plans = list(plan_outputs(kept.per_shard(store), samples_per_shard))
    done = begin_outputs(store, kept.name, kept.identity, samples_per_shard)
    worker = FilterWorker(store, kept, NoTally(), hashed=hashed)
    errors = {}
    for plan in plans:
        if plan.name not in done:
            batch = {k: np.array([v], dtype=object) for k, v in plan_row(plan).items()}
            if error := worker(batch)["error"][0]:
                errors[plan.name] = error
    if not errors:
        finish_outputs(store, kept.name, plans)
    return errors


# --- inputs -----------------------------------------------------------------------------------


def write_pool(folder: Path) -> str:
    """Three shards of 9, 5 and 2 keys, bad ones among them, with sidecars; returns the pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    broken = ("000000004.jpg", b"not a picture")
    first = [m for i in range(9) for m in sample_members(f"{i:09d}", f"red cat {i}", i)]
    first = [broken if name == broken[0] else (name, data) for name, data in first]
    second = [m for i in range(10, 15) for m in sample_members(f"{i:09d}", f"blue dog {i}", i)]
    second = [(n, b" " if n == "000000012.txt" else d) for n, d in second]
    third = [m for i in (20, 21) for m in sample_members(f"{i:09d}", f"green hen {i}", i)]
    twin = json_bytes({"uid": hashlib.md5(b"000000001", usedforsecurity=False).hexdigest()})
    third = [(n, twin if n == "000000021.json" else d) for n, d in third]
    for name, members, keys in (
        ("00000", first, range(9)),
        ("00001", second, range(10, 15)),
        ("00002", third, (20, 21)),
    ):
        (folder / f"{name}.tar").write_bytes(tar_bytes(members))
        write_sidecar(folder / f"{name}.parquet", [f"{key:09d}" for key in keys])
        (folder / f"{name}_stats.json").write_bytes(json_bytes({"successes": len(keys)}))
    return f"{folder}/*.tar"


def write_sidecar(path: Path, keys: Iterable[str]) -> None:
    """An img2dataset table: one row per key, the last of them a failed download."""
    keys = list(keys)
    rows = {
        "key": [*keys, "999999999"],
        "url": [f"https://example.org/{key}" for key in keys] + ["https://example.org/gone"],
        "status": ["success"] * len(keys) + ["failed_to_download"],
        "license": [None] * (len(keys) + 1),
    }
    pq.write_table(pa.table(rows), path)


# --- fabricated scores ------------------------------------------------------------------------


def score_rows(shard: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A score table; every row needs `uid`, the rest has defaults that make a good row."""
    full = []
    for index, row in enumerate(rows):
        status = row.get("status", OK)
        scores = dict.fromkeys(SCORE_COLUMNS, 0.5 if status == OK else None)
        full.append(
            {
                "shard": shard,
                "index": index,
                "key": f"{index:09d}",
                "uid_derived": False,
                "status": status,
                "error": None if status == OK else "x",
                **scores,
                **{"width": 3, "height": 2, "caption_chars": 9, "caption_words": 2},
                "tar_offset": 512 * index,
                "tar_size": 512,
                **row,
            }
        )
    return pa.Table.from_pylist(full, schema=SCORES_SCHEMA)


def fabricate(store: Store, pool: Mapping[str, Sequence[Mapping[str, Any]]]) -> RunDir:
    """A run directory with given scores, committed as if they had been computed."""
    run = RunDir(store)
    run.write_manifest([Shard(name, f"/nowhere/{name}.tar", 1) for name in pool])
    identity = run.claim(IDENTITY, {"reference_sha256": "fabricated"})
    for name, rows in pool.items():
        recommit(run, name, score_rows(name, rows), identity)
    return run


def pool_with_twins() -> dict[str, list[dict[str, Any]]]:
    """Two shards of scores, with a rejected row and two uids that occur twice."""
    return {
        "00000": [{"uid": uid(1)}, {"uid": uid(2), "status": "empty_caption"}, {"uid": uid(1)}],
        "00001": [{"uid": uid(3)}, {"uid": uid(1)}, {"uid": uid(2)}],
    }


def recommit(run: RunDir, shard: str, table: pa.Table, identity: str) -> Counts:
    written = run.store.write_table(f"scores/{shard}.parquet", table)
    counts = counts_of_statuses(table["status"].to_pylist())
    url = f"/nowhere/{shard}.tar"
    run.commit(Marker(shard, url, 1, "0" * 64, identity, counts, (), {}, (written,)))
    return counts


def uid(number: int) -> str:
    return f"{number:032x}"


def load_uids(store: Store, name: str = "default") -> np.ndarray:
    return np.load(io.BytesIO(store.read_bytes(f"subsets/{name}/uids.npy")), allow_pickle=False)


def decisions(store: Store, shard: str, name: str = "default") -> pa.Table:
    return store.read_table(f"subsets/{name}/decisions/{shard}.parquet")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by relative path, but for caches of markers, which hold times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "markers.cache"
    }
