"""What a worker does with one part: score and commit it, or take its part of a sample.

Pure of Ray, as `shard_tasks` is for shards; nothing of a part but its rows of scores is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from curate.embedding_pools.arrays import Array, Rows
from curate.embedding_pools.layouts import Part
from curate.embedding_pools.metadata import Block
from curate.embedding_pools.part_files import opened_part
from curate.embedding_pools.rows import (
    BLOCK_ROWS,
    PIECE_ROWS,
    describe_rows,
    normalised,
    sampled_rows,
    score_rows,
    with_norms,
)
from curate.embedding_pools.source import Source
from curate.manifest import Counts, Marker, RunDir, counts_of_statuses
from curate.numerics.selection import Node
from curate.previews import count_dropped
from curate.sampling import sample_hash
from curate.schema import CAPTION_CHARS, SAMPLED_CAPTION, SCORE_COLUMNS, scores_schema
from curate.score_tables import SCORES
from curate.scorer import Scorer

Observe = Callable[[Counts], None]
Float32 = npt.NDArray[np.float32]

DERIVED_UID: Final = "derived_uid"
MISSING_CAPTION: Final = "missing_caption"


@dataclass(frozen=True)
class PartTask:
    """What scoring a part depends on, besides the part.

    Attributes:
        identity: of the embeddings, Reference and configuration; goes into the marker.
        source: what is read of it.
        costly: the listed ones of COSTLY_COLUMNS.
        scorer: of the Reference, on the CPU; None for metadata alone.
        preview: rules that can be decided while scoring, for the progress line; else None.
    """

    identity: str
    source: Source
    costly: tuple[str, ...]
    scorer: Scorer | None
    preview: Node | None = None


def score_part(run: RunDir, part: Part, task: PartTask, observe: Observe) -> Counts:
    """Score one part and commit it; a committed part is left alone.

    The marker's `size` is that of metadata and arrays. Its sha256 is taken over the bytes of the
    Parquet file and over what tells its arrays from others without reading them once more: name,
    size and CRC-32 of every member of an npz, size and header of an npy. `input_checksum` computes
    it again. Of an npz that is not compressed or local, what is read is checked against its CRC.

    Returns:
        Its counts. With `task.preview`, `kept` and `dropped` are what those rules would do.

    Raises:
        ShardError: the part cannot be read; names the file, the field and the remedy.
    """
    found = run.marker(part.id)
    if found is not None and found.identity == task.identity:
        observe(found.counts)
        return found.counts
    with opened_part(part, task.source) as opened:
        tables, notes = [], Counter[str]()
        for block in opened.metadata.blocks(BLOCK_ROWS):
            if task.scorer is None:
                table = describe_rows(block, task.costly)
            else:
                pieces = _pieces(opened.arrays, block.rows)
                table = score_rows(block, pieces, task.scorer, task.costly)
            tables.append(_compact(table))
            notes += _notes(block)
            observe(_counts(table))
        size, sha256 = opened.fingerprint()
    table = pa.concat_tables(tables) if tables else _no_rows(task.source, task.costly)
    counts = _counts(table)
    written = run.store.write_table(f"{SCORES}/{part.id}.parquet", table)
    marker = Marker(
        shard=part.id,
        url=part.url,
        size=size,
        sha256=sha256,
        identity=task.identity,
        counts=counts,
        damage=(),
        notes=dict(notes),
        outputs=(written,),
    )
    run.commit(marker)
    if task.preview is not None:
        dropped = count_dropped(table, task.preview)
        observe(Counts(dropped={"rules": dropped}))
        return replace(counts, kept=counts.scored - dropped, dropped={"rules": dropped})
    return counts


def _pieces(arrays: Sequence[Array], rows: int) -> Iterator[tuple[Rows, Rows]]:
    """The next rows of the arrays of image and text, a few at a time."""
    image, text = arrays
    for first in range(0, rows, PIECE_ROWS):
        count = min(PIECE_ROWS, rows - first)
        yield image.read(count), text.read(count)


def _counts(table: pa.Table) -> Counts:
    values, counts = pc.value_counts(table["status"]).flatten()
    return counts_of_statuses(dict(zip(values.to_pylist(), counts.to_pylist(), strict=True)))


def _compact(table: pa.Table) -> pa.Table:
    """A copy in Arrow's own memory.

    Small arrays of numpy that live as long as the part would lie between the large ones of its
    blocks and keep the heap from shrinking: 60 MB a block, at 768 dimensions.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _notes(block: Block) -> Counter[str]:
    derived = pc.sum(block.columns["uid_derived"]).as_py() or 0
    silent = block.columns["caption_chars"].null_count
    return +Counter({DERIVED_UID: int(derived), MISSING_CAPTION: int(silent)})


def _no_rows(source: Source, costly: Sequence[str]) -> pa.Table:
    names = costly if source.model is None else (*SCORE_COLUMNS, *costly)
    return scores_schema(names, source.carried_fields, located=False).empty_table()


# --- sampling for the Reference ---------------------------------------------------------------


def hash_part(part: Part, source: Source, seed: int) -> npt.NDArray[np.int64]:
    """The hashes of the rows that a Reference's sample may choose, in order. Raises ShardError.

    Only what tells the pairs apart is read; arrays are opened, lest a part without be chosen.
    """
    with opened_part(part, source, identity=True) as opened:
        hashes = [
            _hashes(part, block, seed)[block.sampled]
            for block in opened.metadata.blocks(BLOCK_ROWS)
        ]
    return np.concatenate([np.zeros(0, np.int64), *hashes])


def sample_part(
    part: Part, source: Source, seed: int, threshold: int, costly: Sequence[str]
) -> tuple[pa.Table, Float32, Float32]:
    """The rows of a part whose hash is at most `threshold`, if their embeddings can be used.

    Returns:
        Their rows, with norms, captions and null scores, and their image and text embeddings,
        float32 [k, d], L2-normalised.

    Raises:
        ShardError: the part cannot be read.
    """
    positions, tables, first = [np.zeros(0, np.int64)], [], 0
    with opened_part(part, source) as opened:
        for block in opened.metadata.blocks(BLOCK_ROWS):
            chosen = block.sampled & (_hashes(part, block, seed) <= threshold)
            rows = np.flatnonzero(chosen)
            table = sampled_rows(block, rows, costly)
            captions = pc.utf8_slice_codeunits(block.captions, 0, CAPTION_CHARS)
            tables.append(table.append_column(SAMPLED_CAPTION, captions.take(pa.array(rows))))
            positions.append(first + rows)
            first += block.rows
        at = np.concatenate(positions)
        unit = normalised(*(array.take(at, BLOCK_ROWS) for array in opened.arrays))
    usable = unit.faults == ""
    nothing = _no_rows(source, costly).append_column(SAMPLED_CAPTION, pa.array([], pa.string()))
    table = with_norms(pa.concat_tables(tables), unit) if tables else nothing
    kept = torch.from_numpy(usable)
    return table.filter(pa.array(usable)), unit.image[kept].numpy(), unit.text[kept].numpy()


def _hashes(part: Part, block: Block, seed: int) -> npt.NDArray[np.int64]:
    keys = block.columns["key"].to_pylist()
    return np.array([sample_hash(seed, part.id, key) for key in keys], dtype=np.int64)
