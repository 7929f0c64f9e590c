"""Identified rows with their embeddings to rows of scores: pure, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from curate.embedding_pools.arrays import Rows
from curate.embedding_pools.metadata import Block
from curate.errors import AccountingError
from curate.language import english
from curate.numerics.similarity import normalise
from curate.schema import (
    CAPTION_ENGLISH,
    IMAGE_NORM,
    OK,
    REJECTIONS,
    SCORE_COLUMNS,
    TEXT_NORM,
    scores_schema,
)
from curate.scorer import Scorer

BLOCK_ROWS: Final = 8192
"""Rows of metadata at a time: enough that Arrow's columns cost next to nothing each."""

PIECE_ROWS: Final = 1024
"""Embeddings at a time. From the file to their scores they take ten passes over memory; two
megabytes in float32 stay in a processor's cache, and are still a matrix product at full speed."""

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Unit:
    """Embeddings of consecutive rows, normalised.

    Attributes:
        image, text: float32 [n, d], L2-normalised where the row is usable.
        image_norm, text_norm: float32 [n], norms before that.
        faults: [n], the rejection reason of each row, empty where its embeddings can be used.
    """

    image: torch.Tensor
    text: torch.Tensor
    image_norm: Float32
    text_norm: Float32
    faults: npt.NDArray[np.str_]


def normalised(image: Rows, text: Rows) -> Unit:
    """Normalise embeddings [n, d] of any float dtype, as those of a model are."""
    (u, of_image), (v, of_text) = (normalise(torch.from_numpy(rows)) for rows in (image, text))
    norms = torch.stack([of_image, of_text])
    finite, zero = torch.isfinite(norms).all(0).numpy(), (norms == 0).any(0).numpy()
    faults = np.zeros(len(finite), "U1")
    if not finite.all() or zero.any():
        faults = np.where(finite, np.where(zero, "zero_embedding", ""), "nonfinite_embedding")
    return Unit(u, v, of_image.numpy(), of_text.numpy(), faults)


def score_rows(
    block: Block, pieces: Iterable[tuple[Rows, Rows]], scorer: Scorer, costly: Sequence[str]
) -> pa.Table:
    """Score a block.

    Args:
        block: identified rows, at least one.
        pieces: their embeddings of image and text, [k, d] of any float dtype, in order; together
            as many as there are rows. They are asked for one by one, and not kept.
        scorer: of the Reference, on the CPU.
        costly: the listed ones of COSTLY_COLUMNS.

    Returns:
        `scores_schema` with the block's carried columns: null scores where a row is rejected. What
        the metadata says of a row, which may be why it has no embedding, goes before its faults.
        Norms are those that the metadata tells, if it does: of embeddings that were stored
        normalised, the own ones are one.
    """
    columns = dict(block.columns)
    known = _is_ok(columns)
    first, scored = 0, []
    for image, text in pieces:
        scored.append(score_piece(image, text, known[first : first + len(image)], scorer))
        first += len(image)
    if first != block.rows:
        raise AccountingError(f"{first} embeddings for {block.rows} rows")
    _reject(columns, np.concatenate([piece.faults for piece in scored]))
    unscored = ~_is_ok(columns)
    for name in scored[0].values:
        if name not in columns:
            values = np.concatenate([piece.values[name] for piece in scored])
            columns[name] = pa.array(values, mask=unscored)
    return _table(block, columns, (*SCORE_COLUMNS, *costly))


@dataclass(frozen=True, slots=True)
class Piece:
    """Column name -> float32 [k], zero where a row has no scores; and why it has none, or empty."""

    values: dict[str, Float32]
    faults: npt.NDArray[np.str_]


def score_piece(image: Rows, text: Rows, known: npt.NDArray[np.bool_], scorer: Scorer) -> Piece:
    """Score the rows that are known to be good and whose embeddings are."""
    unit = normalised(image, text)
    faults, usable = unit.faults, known & (unit.faults == "")
    u, v = unit.image, unit.text
    if not usable.all():
        rows = torch.from_numpy(np.flatnonzero(usable))
        u, v = u[rows], v[rows]
    values = {IMAGE_NORM: unit.image_norm, TEXT_NORM: unit.text_norm}
    for name, scores in scorer(u, v).items():
        values[name] = np.zeros(len(usable), dtype=np.float32)
        values[name][usable] = scores.numpy()
        if not (finite := np.isfinite(values[name])).all():
            faults = np.where(finite, faults, "nonfinite_embedding")
    return Piece(values, faults)


def describe_rows(block: Block, costly: Sequence[str]) -> pa.Table:
    """The rows of a block without embeddings: `scores_schema` with what metadata alone tells."""
    return _table(block, dict(block.columns), costly)


def sampled_rows(block: Block, rows: npt.NDArray[np.int64], costly: Sequence[str]) -> pa.Table:
    """Some rows of a block without their scores yet: `scores_schema` with nulls in their place."""
    scores = (*SCORE_COLUMNS, *costly)
    nothing = pa.nulls(block.rows, pa.float32())
    columns = dict.fromkeys(scores, nothing) | block.columns
    return _table(block, columns, scores).take(pa.array(rows))


def with_norms(table: pa.Table, unit: Unit) -> pa.Table:
    """Sampled rows with the norms of their embeddings, where the metadata did not tell them."""
    for name, norms in ((IMAGE_NORM, unit.image_norm), (TEXT_NORM, unit.text_norm)):
        at = table.schema.get_field_index(name)
        if table[name].null_count == table.num_rows:
            table = table.set_column(at, table.schema.field(at), pa.array(norms))
    return table


def _table(block: Block, columns: dict[str, pa.Array], scores: Sequence[str]) -> pa.Table:
    if CAPTION_ENGLISH in scores:
        columns[CAPTION_ENGLISH] = _english(block.captions, _is_ok(columns))
    plain = scores_schema(scores, located=False)
    carried = sorted(set(block.columns) - set(plain.names) - {IMAGE_NORM, TEXT_NORM})
    fields = [pa.field(name, block.columns[name].type) for name in carried]
    schema = scores_schema(scores, fields, located=False)
    if missing := [name for name in schema.names if name not in columns]:
        raise AccountingError(f"rows lack the columns {', '.join(missing)}")
    return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema)


def _is_ok(columns: dict[str, pa.Array]) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(columns["status"], OK).to_numpy(zero_copy_only=False), dtype=bool)


def _reject(columns: dict[str, Any], faults: npt.NDArray[np.str_]) -> None:
    """Give rows that were good so far a reason to be rejected."""
    faulty = faults != ""
    if not faulty.any():
        return
    hit = np.flatnonzero(_is_ok(columns) & faulty)
    if not len(hit):
        return
    statuses, errors = columns["status"].to_pylist(), columns["error"].to_pylist()
    for row in hit:
        statuses[row] = str(faults[row])
        errors[row] = REJECTIONS[statuses[row]]
    columns["status"] = pa.array(statuses, pa.string())
    columns["error"] = pa.array(errors, pa.string())


def _english(captions: pa.Array, scored: npt.NDArray[np.bool_]) -> pa.Array:
    """caption_english of the rows that are scored; a caption that is missing is not English."""
    texts = captions.to_pylist()
    asked = scored & np.array([text is not None for text in texts], dtype=bool)
    found = np.zeros(len(texts), dtype=np.float32)
    found[asked] = english([texts[row] for row in np.flatnonzero(asked)])
    return pa.array(found, mask=~scored)
