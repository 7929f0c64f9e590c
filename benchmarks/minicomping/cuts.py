"""Cuts of equal severity on several columns that together keep an exact number of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import UidArray

Ranks = npt.NDArray[np.int64]


def ranks(values: npt.NDArray[Any], uids: UidArray) -> Ranks:
    """Position of every pair from the lowest, 0 to n - 1; ties by uid, as curate breaks them."""
    places = np.empty(len(values), np.int64)
    places[np.lexsort((uids["f1"], uids["f0"], values))] = np.arange(len(values))
    return places


def dropped_at(step: int, columns: int) -> list[int]:
    """How many of the lowest each column drops after so many steps, one column a step in turn."""
    return [(step + columns - 1 - column) // columns for column in range(columns)]


def cuts_keeping(columns: Sequence[Ranks], keep: int) -> list[int]:
    """Numbers of the lowest to drop, equal to within one, such that `keep` pairs pass all columns.

    A step drops one more pair of one column, and so at most one pair more in all: every number
    can be met.

    Args:
        columns: ranks [n] by each column.
        keep: how many pairs are to be left.

    Raises:
        NumericsError: `keep` is not between 0 and n.
    """
    total = len(columns[0])
    if not 0 <= keep <= total:
        raise NumericsError(f"keep is {keep}; expected 0 to {total}, the number of scored pairs")
    low, high = 0, total * len(columns)
    while low < high:  # the number kept falls with the step
        middle = (low + high) // 2
        if _kept(columns, dropped_at(middle, len(columns))) <= keep:
            high = middle
        else:
            low = middle + 1
    return dropped_at(low, len(columns))


def _kept(columns: Sequence[Ranks], drops: Sequence[int]) -> int:
    passing = [places >= drop for places, drop in zip(columns, drops, strict=True)]
    return int(np.logical_and.reduce(passing).sum())


def rules_of(drops: Mapping[str, int], total: int) -> dict[str, Any]:
    """The rules, as curate takes them, that drop so many of the lowest by each column.

    Half a pair is added before the number becomes a fraction: curate takes floor(n x fraction),
    and the quotient of two integers may be rounded down.
    """
    return {
        "all": [
            {column: {"drop_lowest": min(1.0, (drop + 0.5) / total)}}
            for column, drop in drops.items()
            if drop
        ]
    }
