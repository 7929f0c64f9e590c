"""Identified rows with their embeddings to rows of scores: pure, a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
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
"""Rows at a time: a matrix product that keeps a core busy, and some ten megabytes of embeddings."""

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
    faults = np.where(finite, np.where(zero, "zero_embedding", ""), "nonfinite_embedding")
    return Unit(u, v, of_image.numpy(), of_text.numpy(), faults)


def score_rows(block: Block, unit: Unit, scorer: Scorer, costly: Sequence[str]) -> pa.Table:
    """Score a block.

    Args:
        block: identified rows.
        unit: their embeddings.
        scorer: of the Reference, on the CPU.
        costly: the listed ones of COSTLY_COLUMNS.

    Returns:
        `scores_schema` with the block's carried columns: null scores where a row is rejected. What
        the metadata says of a row, which may be why it has no embedding, goes before its faults.
        Norms are those that the metadata tells, if it does: of embeddings that were stored
        normalised, the own ones are one.
    """
    columns = dict(block.columns)
    _reject(columns, unit.faults)
    usable = _is_ok(columns)
    image, text = unit.image, unit.text
    if not usable.all():
        rows = torch.from_numpy(np.flatnonzero(usable))
        image, text = image[rows], text[rows]
    found = {name: values.numpy() for name, values in scorer(image, text).items()}
    overflown = np.zeros(block.rows, dtype=bool)
    for values in found.values():
        overflown[usable] |= ~np.isfinite(values)
    if overflown.any():
        _reject(columns, np.where(overflown, "nonfinite_embedding", ""))
    for name, values in found.items():
        full = np.zeros(block.rows, dtype=np.float32)
        full[usable] = values
        columns[name] = pa.array(full, mask=~usable | overflown)
    for name, norms in ((IMAGE_NORM, unit.image_norm), (TEXT_NORM, unit.text_norm)):
        if name not in columns:
            columns[name] = pa.array(norms, mask=~usable | overflown)
    return _table(block, columns, (*SCORE_COLUMNS, *costly))


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
    return np.array([status == OK for status in columns["status"].to_pylist()], dtype=bool)


def _reject(columns: dict[str, Any], faults: npt.NDArray[np.str_]) -> None:
    """Give rows that were good so far a reason to be rejected."""
    hit = _is_ok(columns) & (faults != "")
    if not hit.any():
        return
    statuses, errors = columns["status"].to_pylist(), columns["error"].to_pylist()
    for row in np.flatnonzero(hit):
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
