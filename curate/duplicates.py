"""Samples whose uid occurred before: found by external sorting, in bounded memory.

Most pools hold few: 64 bits of every uid are sorted first, a third of what a uid and its place
take, and only uids of which these occur twice are looked at again.

Of several samples of one uid the first in the order of (shard, index) counts. The order is that
of the shards' names, so that listing them differently keeps the same samples.
"""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import NumericsError, OutputError
from curate.external_sort import MEMORY_BYTES, ExternalSorter
from curate.numerics.keys import UidArray
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.schema import OK
from curate.score_tables import read_columns
from curate.uid_columns import uids_of

CACHE: Final = "state/duplicates.npz"

CHECKSUM_BYTES: Final = 32

RECORD: Final = np.dtype([("f0", "<u8"), ("f1", "<u8"), ("ordinal", "<u8")])
"""A uid and the position of its sample in the whole pool."""

ORDINAL: Final = np.dtype("<u8")

HASH: Final = np.dtype("<u8")

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that uids which differ in their low half alone have different hashes: 2^64 by the golden
ratio, as in Fibonacci hashing."""

MOST_SUSPECTS: Final = 1 << 22
"""Hashes that occur twice, up to which only rows that have one of them are looked at: 32 MiB."""

Positions = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
ScoredUids = tuple[Positions, UidArray, int]
"""Rows with scores, their uids, and how many rows there are in all."""

ReadColumns = Callable[[Store, str, list[str]], pa.Table]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Which samples repeat the uid of an earlier one.

    Attributes:
        shards: in the order of their names.
        starts: int64 [shards + 1], where in `positions` those of a shard begin and end.
        positions: int32, ascending within a shard: 4 bytes per repeated sample, whatever the pool.
    """

    shards: tuple[str, ...]
    starts: Positions
    positions: npt.NDArray[np.int32]

    @property
    def total(self) -> int:
        """Samples that repeat a uid."""
        return len(self.positions)

    def get(self, shard: str) -> Positions | None:
        """Positions (`index`) in a shard, ascending; None if there are none."""
        at = bisect_left(self.shards, shard)
        if at == len(self.shards) or self.shards[at] != shard:
            return None
        found = self.positions[self.starts[at] : self.starts[at + 1]]
        return found.astype(np.int64) if len(found) else None

    def to_bytes(self, identity: str) -> bytes:
        """Serialise as npz, with what the scores were and, behind it, the SHA-256 of it all.

        The same content gives the same bytes.
        """
        buffer = io.BytesIO()
        np.savez(
            buffer,
            identity=np.array(identity),
            starts=self.starts.astype("<i8"),
            positions=self.positions.astype("<i4"),
        )
        return buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest()


def find_duplicates(
    store: Store,
    shards: Sequence[str],
    identity: str | None = None,
    memory_bytes: int = MEMORY_BYTES,
    read: ReadColumns = read_columns,
    *,
    keep: bool = True,
) -> Duplicates:
    """Samples whose uid occurs earlier in the pool, in the order of (shard, index).

    Args:
        store: a run directory.
        shards: whose scores are looked at; only samples with status `ok` count.
        identity: of these scores; the result is kept under it in the run directory and taken from
            there the next time. None neither reads nor writes there.
        memory_bytes: for sorting.
        read: store, shard and columns -> table; by default score columns.
        keep: whether what had to be looked for is written there.

    Raises:
        OutputError: scores are missing or damaged, or a temporary folder is full.
    """
    names = tuple(sorted(shards))
    if identity is not None and (cached := _read_cache(store, names, identity)) is not None:
        return cached
    found = _search(lambda shard: _scored_uids(store, shard, read), names, memory_bytes)
    if identity is not None and keep:
        store.write_bytes(CACHE, found.to_bytes(identity))
    return found


def _search(
    uids_of_shard: Callable[[str], ScoredUids], shards: tuple[str, ...], memory_bytes: int
) -> Duplicates:
    firsts = np.zeros(len(shards) + 1, np.int64)
    with ExternalSorter(HASH, memory_bytes // 2) as hashes:
        for at, (_, uids, total) in enumerate(prefetched(uids_of_shard, shards)):
            hashes.add(_hashed(uids))
            firsts[at + 1] = firsts[at] + total
        suspects = _occurring_twice(hashes.merged())
    if suspects is not None and not len(suspects):
        nowhere = np.zeros(len(shards) + 1, np.int64)
        return Duplicates(shards, nowhere, np.zeros(0, np.int32))
    with (
        ExternalSorter(RECORD, memory_bytes) as records,
        ExternalSorter(ORDINAL, memory_bytes // 4) as repeats,
    ):
        for at, (rows, uids, _) in enumerate(prefetched(uids_of_shard, shards)):
            if suspects is not None:
                there = np.flatnonzero(_among(_hashed(uids), suspects))
                rows, uids = rows[there], np.take(uids, there)
            block = np.empty(len(uids), RECORD)
            block["f0"], block["f1"] = uids["f0"], uids["f1"]
            block["ordinal"] = firsts[at] + rows
            records.add(block)
        for ordinals in _repeated(records.merged()):
            repeats.add(ordinals)
        counts = np.zeros(len(shards), np.int64)
        positions = [np.zeros(0, np.int32)]
        for ordinals in repeats.merged():
            at_shard = np.searchsorted(firsts, ordinals.astype(np.int64), side="right") - 1
            positions.append((ordinals.astype(np.int64) - firsts[at_shard]).astype(np.int32))
            counts += np.bincount(at_shard, minlength=len(shards))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Duplicates(shards, starts, np.concatenate(positions))


def _hashed(uids: UidArray) -> Hashes:
    """64 bits of each uid: those of equal uids are equal, those of others almost never."""
    with np.errstate(over="ignore"):
        return np.asarray(uids["f0"] ^ (uids["f1"] * MULTIPLIER))


def _occurring_twice(blocks: Iterator[Hashes]) -> Hashes | None:
    """The hashes that occur more than once, ascending; None if there are too many to hold."""
    found, held = [np.zeros(0, HASH)], 0
    last = np.zeros(0, HASH)
    for block in blocks:
        rows = np.concatenate([last, block])
        found.append(np.unique(rows[1:][rows[1:] == rows[:-1]]))
        held += len(found[-1])
        if held > MOST_SUSPECTS:
            return None
        last = block[-1:].copy()
    return np.unique(np.concatenate(found))


def _among(hashes: Hashes, suspects: Hashes) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(suspects, hashes), len(suspects) - 1)
    return np.asarray(suspects[at] == hashes)


def _scored_uids(store: Store, shard: str, read: ReadColumns) -> ScoredUids:
    """Rows with scores, their uids, and how many rows there are in all."""
    table = read(store, shard, ["uid", "status"])
    scored = pc.equal(table["status"], OK)
    rows = np.flatnonzero(scored.to_numpy())
    column = table["uid"] if len(rows) == table.num_rows else table["uid"].filter(scored)
    try:
        return rows, uids_of(column), table.num_rows
    except NumericsError as exc:
        raise OutputError(
            f"{store}: shard {shard}: {exc}; delete state/{shard}.json there and run again"
        ) from exc


def _repeated(blocks: Iterator[npt.NDArray[np.void]]) -> Iterator[npt.NDArray[np.uint64]]:
    """Ordinals of the records that are not the first of their uid."""
    last = np.zeros(0, RECORD)
    for block in blocks:
        rows = np.concatenate([last, block])
        again = (rows["f0"][1:] == rows["f0"][:-1]) & (rows["f1"][1:] == rows["f1"][:-1])
        yield rows["ordinal"][1:][again]
        last = block[-1:].copy()


def cached_identity(store: Store) -> str | None:
    """The identity that the kept result is of; None if there is none, or it is damaged."""
    content = _cache_content(store)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return str(arrays["identity"])


def _read_cache(store: Store, shards: tuple[str, ...], identity: str) -> Duplicates | None:
    """What was found before, if it was in these scores and is undamaged."""
    # It only saves time: what is missing or cannot be read is made again.
    content = _cache_content(store)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if str(arrays["identity"]) != identity:
            return None
        return Duplicates(shards, arrays["starts"], arrays["positions"])


def _cache_content(store: Store) -> bytes | None:
    data = store.read_bytes(CACHE) if store.exists(CACHE) else b""
    content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if not content or hashlib.sha256(content).digest() != checksum:
        return None
    return content
