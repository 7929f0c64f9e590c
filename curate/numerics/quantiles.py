"""Exact order statistics of a column of any length, in two scans and bounded memory.

The first scan counts the values by their leading bits, which orders them into bins; every rank
then lies in a known bin. The second one holds what the bins in question contain, as distinct
values with their counts. Both are sums over chunks: order and partition of the stream do not
matter, and parts that were scanned on different machines are merged.

Memory, for one column: 8 MiB of counts in float32, where a bin holds 4,096 distinct values at
most, whatever the number of rows and ties. In float64 the counts take 128 MiB, and a bin, 1/4,096
of an octave, as many distinct values as it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import as_comparable, bits_dtype, ordered_bits, value_of_bits

LEAD_BITS: Final = {np.dtype(np.float32): 20, np.dtype(np.float64): 24}
"""Sign, exponent, and 11 or 12 bits of the fraction: a bin is 1/2,048 or 1/4,096 of an octave."""

PENDING: Final = 2_000_000
"""Values held before they are put together with their equals: 24 MB."""

MOST_SOURCES: Final = 2_000_000
"""Pairs of value and source that are remembered; beyond, ties may be in any source."""

Keys = npt.NDArray[np.uint64]
Sources = npt.NDArray[np.int64]


class LeadCounts:
    """The first scan: how many values of a column begin with which bits.

    Attributes:
        precision: float32 or float64, what the column is compared in.
        lead_bits: bits that are counted.
        missing: NaNs, which are counted among the lowest values.
    """

    def __init__(self, precision: npt.DTypeLike, lead_bits: int | None = None) -> None:
        self.precision = np.dtype(precision)
        self.lead_bits = LEAD_BITS[self.precision] if lead_bits is None else lead_bits
        self.missing = 0
        self._counts = np.zeros(1 << self.lead_bits, dtype=np.int64)

    @property
    def total(self) -> int:
        """Values counted, missing ones included."""
        return int(self._counts.sum())

    @property
    def low_bits(self) -> int:
        """Bits of a value that are not counted."""
        return 8 * bits_dtype(self.precision).itemsize - self.lead_bits

    def add(self, values: npt.ArrayLike) -> None:
        """Count a chunk, real [n]. Raises NumericsError for another precision."""
        leads = lead_of(_checked(values, self.precision), self.low_bits)
        self.missing += int(np.isnan(np.asarray(values, dtype=self.precision)).sum())
        # Faster than `bincount`, which makes another array of all bins, whatever the chunk's size.
        np.add.at(self._counts, leads, 1)

    def merge(self, other: LeadCounts) -> None:
        """Add the counts of another part of the stream."""
        if (other.precision, other.lead_bits) != (self.precision, self.lead_bits):
            raise NumericsError(f"{other.precision} counts cannot go with {self.precision} ones")
        self._counts += other._counts
        self.missing += other.missing

    def bins_of(self, ranks: Sequence[int]) -> dict[int, tuple[int, int]]:
        """For each rank (0-based), the leading bits of its element, and how many lie below them.

        Raises:
            NumericsError: a rank lies beyond the stream.
        """
        leads = np.flatnonzero(self._counts)
        upto = np.concatenate([[0], np.cumsum(self._counts[leads])])
        if beyond := [rank for rank in ranks if not 0 <= rank < upto[-1]]:
            raise NumericsError(f"rank {beyond[0]} (0-based) is beyond the {upto[-1]} elements")
        at = np.searchsorted(upto, list(ranks), side="right") - 1
        return dict(
            zip(ranks, zip(leads[at].tolist(), upto[at].tolist(), strict=True), strict=True)
        )

    def __getstate__(self) -> dict[str, Any]:
        at = np.flatnonzero(self._counts)
        return {
            "precision": self.precision.str,
            "lead_bits": self.lead_bits,
            "missing": self.missing,
            "at": at,
            "counts": self._counts[at],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.precision = np.dtype(state["precision"])
        self.lead_bits = state["lead_bits"]
        self.missing = state["missing"]
        self._counts = np.zeros(1 << self.lead_bits, dtype=np.int64)
        self._counts[state["at"]] = state["counts"]


@dataclass(frozen=True, slots=True)
class Place:
    """The element of a rank.

    Attributes:
        value: its value.
        within: its rank (0-based) among those that tie with it.
        ties: elements of that value, itself included.
        sources: where those are, ascending; None if they may be anywhere.
    """

    value: float
    within: int
    ties: int
    sources: tuple[int, ...] | None


class Refinement:
    """The second scan: what the bins of some ranks hold.

    Args:
        counts: of the first scan, over the same stream.
        ranks: 0-based.

    Raises:
        NumericsError: a rank lies beyond the stream.
    """

    def __init__(self, counts: LeadCounts, ranks: Sequence[int]) -> None:
        self._precision = counts.precision
        self._low_bits = counts.low_bits
        self._lead_bits = counts.lead_bits
        self._bins = counts.bins_of(ranks)
        leads = [lead for lead, _ in self._bins.values()]
        self._leads = np.unique(np.array(leads, dtype=np.int64))
        self._table: npt.NDArray[np.int16] | None = None
        self._pending: list[tuple[Keys, Sources]] = []
        self._held = 0
        self._keys = np.zeros(0, dtype=np.uint64)
        self._counts = np.zeros(0, dtype=np.int64)
        self._pairs: tuple[Keys, Sources] | None = (self._keys, np.zeros(0, dtype=np.int64))

    def add(self, values: npt.ArrayLike, sources: npt.ArrayLike) -> None:
        """Take a chunk of the stream.

        Args:
            values: real [n].
            sources: int [n], where each value is, such as the number of its file.
        """
        if self._table is None:
            self._table = np.full(1 << self._lead_bits, -1, dtype=np.int16)
            self._table[self._leads] = np.arange(len(self._leads))
        bits = _checked(values, self._precision)
        which = self._table[lead_of(bits, self._low_bits)]
        at = np.flatnonzero(which >= 0)
        low = bits[at].astype(np.uint64) & np.uint64((1 << self._low_bits) - 1)
        keys = (which[at].astype(np.uint64) << np.uint64(self._low_bits)) | low
        self._hold(keys, np.asarray(sources, dtype=np.int64)[at])

    def merge(self, other: Refinement) -> None:
        """Take over what another part of the stream held, for the same ranks."""
        self._compact()
        other._compact()
        keys = np.concatenate([self._keys, other._keys])
        self._keys, at = np.unique(keys, return_inverse=True)
        counts = np.concatenate([self._counts, other._counts])
        self._counts = np.zeros(len(self._keys), dtype=np.int64)
        np.add.at(self._counts, at, counts)
        if self._pairs is not None and other._pairs is not None:
            both = [np.concatenate(pair) for pair in zip(self._pairs, other._pairs, strict=True)]
            self._pairs = _unique_pairs(both[0], both[1])
        else:
            self._pairs = None

    def place(self, rank: int) -> Place:
        """The element of one of the ranks, once the whole stream was added.

        Raises:
            NumericsError: the stream was not the one that was counted.
        """
        self._compact()
        lead, before = self._bins[rank]
        first = np.uint64(int(np.searchsorted(self._leads, lead)) << self._low_bits)
        last = np.uint64(int(first) + (1 << self._low_bits) - 1)
        start, stop = np.searchsorted(self._keys, [first, last], side="left")
        stop += int(stop < len(self._keys) and self._keys[stop] == last)
        upto = np.cumsum(self._counts[start:stop])
        at = int(np.searchsorted(upto, rank - before, side="right"))
        if at == len(upto):
            raise NumericsError("a later scan held fewer values: every scan takes the same stream")
        key, ties = self._keys[start + at], int(self._counts[start + at])
        bits = (lead << self._low_bits) | (int(key) & ((1 << self._low_bits) - 1))
        within = rank - before - (int(upto[at]) - ties)
        return Place(value_of_bits(bits, self._precision), within, ties, self._sources_of(key))

    def _sources_of(self, key: np.uint64) -> tuple[int, ...] | None:
        if self._pairs is None:
            return None
        return tuple(self._pairs[1][self._pairs[0] == key].tolist())

    def _hold(self, keys: Keys, sources: Sources) -> None:
        self._pending.append((keys, sources))
        self._held += len(keys)
        if self._held > PENDING:
            self._compact()

    def _compact(self) -> None:
        if not self._pending:
            return
        keys = np.concatenate([pair[0] for pair in self._pending])
        sources = np.concatenate([pair[1] for pair in self._pending])
        self._pending, self._held = [], 0
        found, counts = np.unique(keys, return_counts=True)
        merged, at = np.unique(np.concatenate([self._keys, found]), return_inverse=True)
        total = np.zeros(len(merged), dtype=np.int64)
        np.add.at(total, at, np.concatenate([self._counts, counts]))
        self._keys, self._counts = merged, total
        if self._pairs is not None:
            both = np.concatenate([self._pairs[0], keys]), np.concatenate([self._pairs[1], sources])
            self._pairs = _unique_pairs(*both)

    def __getstate__(self) -> dict[str, Any]:
        self._compact()
        return self.__dict__ | {"_table": None}


def lead_of(bits: npt.NDArray[Any], low_bits: int) -> npt.NDArray[np.int64]:
    """Leading bits of `ordered_bits`."""
    leads: npt.NDArray[np.int64] = (bits >> bits.dtype.type(low_bits)).astype(np.int64)
    return leads


def _checked(values: npt.ArrayLike, precision: np.dtype[Any]) -> npt.NDArray[Any]:
    array = as_comparable(values)
    if array.dtype != precision:
        raise NumericsError(f"values are {array.dtype}; expected {precision}, as counted before")
    return ordered_bits(array)


def _unique_pairs(keys: Keys, sources: Sources) -> tuple[Keys, Sources] | None:
    """Each pair once, by key and source; None if there are too many to remember."""
    order = np.lexsort((sources, keys))
    keys, sources = keys[order], sources[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = (keys[1:] != keys[:-1]) | (sources[1:] != sources[:-1])
    return (keys[new], sources[new]) if int(new.sum()) <= MOST_SOURCES else None
