"""Keeping a few rows of many: the lowest of each group, and the lowest distinct values.

A row is an int64: the number of its shard in the scan, and its position there. Ties go to the
earlier row, so that what is kept does not depend on how the pool is cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.float64]

POSITION_BITS: Final = 32
NO_ROW: Final = -1

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def rows_of(shards: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Rows:
    """The rows of a block.

    Args:
        shards: int64 [k], number of each shard.
        starts: int64 [k + 1], first row of each, and n.
    """
    sizes = np.diff(starts)
    first = np.repeat((shards << POSITION_BITS) - starts[:-1], sizes)
    return np.asarray(first + np.arange(starts[-1]))


def split_rows(rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number of the shard, and position in it, of each row."""
    return rows >> POSITION_BITS, rows & ((1 << POSITION_BITS) - 1)


def random_keys(rows: Rows, seed: int) -> Keys:
    """A number in [0, 1) for each row, as good as random: SplitMix64 of the row and a seed."""
    with np.errstate(over="ignore"):
        mixed = rows.astype(np.uint64) + np.uint64(seed + 1) * _GOLDEN
        for shift, factor in _MIX:
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53)


class Lowest:
    """The k rows of the lowest keys of each group.

    Args:
        groups: how many there are.
        k: rows kept of each.
    """

    def __init__(self, groups: int, k: int) -> None:
        self.k = k
        self._keys = np.full((groups, k), np.inf)
        self._rows = np.full((groups, k), NO_ROW, dtype=np.int64)

    def add(self, groups: npt.NDArray[np.int64], keys: npt.ArrayLike, rows: Rows) -> None:
        """Take rows in; of equal keys, those taken in earlier stay.

        Args:
            groups: int64 [n].
            keys: real [n]; rows with NaN or infinity are passed over.
            rows: int64 [n].
        """
        values = np.asarray(keys, dtype=np.float64)
        found = np.flatnonzero(values < self._keys[groups, -1])
        if not len(found):
            return
        groups, values, rows = groups[found], values[found], rows[found]
        touched = np.unique(groups)
        place = np.searchsorted(touched, groups)
        held = np.repeat(np.arange(len(touched)), self.k)
        all_groups = np.concatenate([held, place])
        all_keys = np.concatenate([self._keys[touched].ravel(), values])
        all_rows = np.concatenate([self._rows[touched].ravel(), rows])
        order = np.lexsort((all_rows, all_keys, all_groups))
        starts = np.searchsorted(all_groups[order], np.arange(len(touched)))
        taken = order[starts[:, None] + np.arange(self.k)]
        self._keys[touched], self._rows[touched] = all_keys[taken], all_rows[taken]

    def rows(self, group: int) -> list[int]:
        """The rows of a group, by key."""
        found = self._rows[group]
        return [int(row) for row in found[np.isfinite(self._keys[group])]]


@dataclass(frozen=True, slots=True)
class ValueGroup:
    """Rows of one value: how many there are in all, and the first few of them."""

    value: float
    count: int
    rows: tuple[int, ...]


class LowestValues:
    """The k lowest distinct values of a column, how many rows have each, and a few of those.

    A pool in which one picture occurs a thousand times has a thousand rows of the same lowest
    value; here they take one place.

    Args:
        k: distinct values kept.
        examples: rows kept of each.
    """

    def __init__(self, k: int, examples: int) -> None:
        self.k = k
        self.examples = examples
        self._held: dict[float, ValueGroup] = {}
        self._highest = np.inf  # of the kept values, once there are k

    def add(self, keys: npt.ArrayLike, rows: Rows) -> None:
        """Take rows in, ascending: keys real [n], NaN passed over, and rows int64 [n]."""
        values = np.asarray(keys, dtype=np.float64)
        found = np.flatnonzero(values <= self._highest)
        if len(found) > 8 * self.k:
            distinct = np.unique(values[found])
            if len(distinct) > self.k:
                found = found[values[found] <= distinct[self.k - 1]]
        if not len(found):
            return
        order = found[np.argsort(values[found], kind="stable")]
        distinct, starts, counts = np.unique(values[order], return_index=True, return_counts=True)
        for value, start, count in zip(distinct, starts, counts, strict=True):
            few = rows[order[start : start + min(count, self.examples)]]
            self._put(ValueGroup(float(value), int(count), tuple(map(int, few))))
        if len(self._held) >= self.k:
            kept = sorted(self._held)[: self.k]
            self._held = {value: self._held[value] for value in kept}
            self._highest = kept[-1]

    def _put(self, group: ValueGroup) -> None:
        known = self._held.get(group.value)
        if known is not None:
            rows = (known.rows + group.rows)[: self.examples]
            group = ValueGroup(group.value, known.count + group.count, rows)
        self._held[group.value] = group

    def groups(self) -> list[ValueGroup]:
        """What is kept, by value."""
        return [self._held[value] for value in sorted(self._held)]
