"""The Reference's sample: which shards or parts it is taken from, and fitting on what they return.

What is mapped over the pool, and with which workers, is the caller's; rows travel as bytes.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate.config import Config, ReferenceConfig
from curate.errors import ShardError
from curate.fidelity import with_fidelity
from curate.held import hold, score_sample
from curate.outputs import Store
from curate.pipeline.light import Batch, P
from curate.reference import EmbeddingModel, Float32, Reference, Sample, fit
from curate.sampling import choose_threshold, sampling_order
from curate.schema import OK
from curate.shards import Shard

LOGGER: Final = logging.getLogger(__name__)

FIRST_SAMPLING_SHARDS: Final = 16
"""Shards looked at first for the Reference's sample; doubled until they hold enough pairs."""

SAMPLING_RESERVE: Final = 1.1
"""Hashed pairs per pair wanted, before shards stop being added: some will not decode."""

Rows = Iterator[dict[str, Any]]


def choose_shards(
    shards: Sequence[Shard], settings: ReferenceConfig, hashed: Callable[[list[Shard]], Rows]
) -> tuple[list[Shard], int]:
    """Choose what the sample is taken from, and the largest hash that is in it.

    Args:
        shards: the pool, or the parts of one.
        settings: seed, and pairs wanted.
        hashed: maps shards to rows of `id`, `hashes` (bytes of int64) and `error`.

    Returns:
        The readable ones among those looked at, by id, and the threshold.

    Raises:
        ShardError: none can be read.
    """
    ordered = sampling_order(shards, settings.seed)
    readable: list[Shard] = []
    hashes: list[Any] = []
    errors: list[str] = []
    start, stop = 0, FIRST_SAMPLING_SHARDS
    while start < len(ordered) and sum(map(len, hashes)) < SAMPLING_RESERVE * settings.samples:
        looked_at = {shard.id: shard for shard in ordered[start:stop]}
        for row in hashed(list(looked_at.values())):
            if row["error"]:
                errors.append(str(row["error"]))
                continue
            readable.append(looked_at[str(row["id"])])
            hashes.append(np.frombuffer(row["hashes"], dtype=np.int64))
        start, stop = stop, 2 * stop
    if not readable:
        raise ShardError(f"no shard for the Reference can be read; the first error: {errors[0]}")
    threshold = choose_threshold(np.concatenate(hashes), settings.samples)
    readable.sort(key=lambda shard: shard.id)
    return readable, threshold


def fit_on_rows(
    rows: Sequence[dict[str, Any]],
    config: Config,
    model: EmbeddingModel,
    run: Store,
    folder: str,
) -> tuple[Reference, Sample]:
    """Fit a Reference on what workers returned of the chosen shards, and score its sample.

    Args:
        rows: of `id` and what `sampled` made, in any order.
        config: of the run.
        model: whose embeddings these are.
        run: the run directory.
        folder: where in it the Reference will be, beside the target of its scores.

    Raises:
        ShardError: none could be read.
        ReferenceFileError: too few pairs can be used.
    """
    table, image, text = _assemble(_readable(rows))
    reference, sample = fit(image, text, config.reference, model, landmarks=config.needs_landmarks)
    reference = with_fidelity(reference, sample)
    held = hold(run, folder, config, reference, sample)
    return reference, score_sample(held, sample, table)


def pack(table: pa.Table, image: Float32, text: Float32) -> tuple[bytes, bytes]:
    """Rows as an Arrow stream, and their embeddings [n, d] as an npz."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    buffer = io.BytesIO()
    np.savez(buffer, image=image, text=text)
    return sink.getvalue().to_pybytes(), buffer.getvalue()


def sampled(
    batch: Batch, places: Iterable[P], rows_of: Callable[[P], tuple[pa.Table, Float32, Float32]]
) -> Batch:
    """What a worker returns of some shards or parts: packed rows, or why there are none."""
    tables, arrays, errors = [], [], []
    for place in places:
        table, embeddings, error = b"", b"", ""
        try:
            table, embeddings = pack(*rows_of(place))
        except ShardError as exc:
            error = str(exc)
        tables.append(table)
        arrays.append(embeddings)
        errors.append(error)
    return {
        "id": batch["id"],
        "table": np.array(tables, dtype=object),
        "arrays": np.array(arrays, dtype=object),
        "error": np.array(errors, dtype=object),
    }


def _readable(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of shards that could be read after all, by id."""
    errors = [str(row["error"]) for row in rows if row["error"]]
    if len(errors) == len(rows):
        raise ShardError(f"no shard for the Reference can be read; the first error: {errors[0]}")
    for error in errors:
        LOGGER.warning("left out of the Reference's sample: %s", error)
    return sorted((row for row in rows if not row["error"]), key=lambda row: str(row["id"]))


def _assemble(rows: Sequence[dict[str, Any]]) -> tuple[pa.Table, Float32, Float32]:
    tables, images, texts = [], [], []
    for row in rows:
        table = pa.ipc.open_stream(row["table"]).read_all()
        usable = np.array(table["status"].to_pylist(), dtype=object) == OK
        tables.append(table.filter(pa.array(usable, pa.bool_())))
        if usable.any():  # without one, the width of the embeddings is not known
            with np.load(io.BytesIO(row["arrays"]), allow_pickle=False) as arrays:
                images.append(arrays["image"][usable])
                texts.append(arrays["text"][usable])
    if not images:
        images = texts = [np.zeros((0, 1), np.float32)]
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(images), np.concatenate(texts)
