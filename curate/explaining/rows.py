"""The rows of some samples in the scores, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.explaining.finding import Place
from curate.outputs import Store
from curate.score_scan import column_values
from curate.score_tables import read_columns

_PLACES: Final = ("index", "tar_offset", "tar_size")
"""Numbers that say where a sample is, not what it is."""


@dataclass(frozen=True)
class Row:
    """A sample's row.

    Attributes:
        fields: all columns as Python values.
        values: every column of numbers as rules compare it, [1]; NaN where it is missing.
    """

    fields: dict[str, Any]
    values: dict[str, npt.NDArray[Any]]

    def plain_values(self) -> dict[str, float | None]:
        """The numbers, None where they are missing."""
        return {
            name: None if np.isnan(column[0]) else float(column[0])
            for name, column in self.values.items()
        }


def read_rows(store: Store, places: Sequence[Place]) -> list[Row]:
    """Read the rows at some places; each shard's scores are read once.

    Raises:
        OutputError: they are missing or damaged.
    """
    found: dict[Place, Row] = {}
    for shard in dict.fromkeys(place.shard for place in places):
        mine = [place for place in places if place.shard == shard]
        table = read_columns(store, shard, None)
        picked = table.take(pa.array([place.row for place in mine]))
        numbers = {
            field.name: column_values(picked[field.name])
            for field in picked.schema
            if field.name not in _PLACES and _is_number(field.type)
        }
        for at, (place, fields) in enumerate(zip(mine, picked.to_pylist(), strict=True)):
            values = {name: column[at : at + 1] for name, column in numbers.items()}
            found[place] = Row(fields, values)
    return [found[place] for place in places]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
