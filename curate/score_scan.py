"""Scanning a few score columns of a whole pool: blocks of rows, and folds over them.

A scan reads what its folds need, and nothing else: uids, which are the largest column, only of
shards in which some row ties with a cut. Columns are read once and kept on the local disk for later
folds, as far as they fit what is set aside for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.column_spool import ColumnSpool
from curate.duplicates import Duplicates
from curate.errors import OutputError, RunDirError
from curate.numerics.cells import Grid
from curate.numerics.keys import UID, UidArray
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.schema import ALL_SCORES, OK
from curate.score_tables import SCORES, read_columns
from curate.uid_columns import uids_of

BLOCK_ROWS: Final = 1 << 16
"""Rows that are worked on at once: many small shards cost no more than a few large ones, and what
folds make of them in between takes some megabytes."""

CACHE_BYTES: Final = 8 << 30
"""Disk for columns that are kept between folds; a pool with more is read again for each."""

UID_SHARDS: Final = 64
"""Shards whose uids are kept for the next look-up: ties of several columns lie side by side."""

FEW: Final = 8
"""A look-up of fewer than one in so many rows of a shard may not be the last one there; of more, it
is a pass over all shards that does not come back."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of some shards, in the order of the scan.

    Attributes:
        columns: name -> float32 or float64 [n]; missing values are NaN.
        eligible: bool [n], rows that rules decide: scored, and the first of their uid.
        shards: int64 [k], numbers of the shards in the scan.
        starts: int64 [k + 1], first row of each shard, and n.
        scan: what looks uids up.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    eligible: npt.NDArray[np.bool_]
    shards: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    scan: ScoreScan

    def __len__(self) -> int:
        return len(self.eligible)

    def sources(self) -> npt.NDArray[np.int64]:
        """Number of the shard of each row, int64 [n]."""
        return np.repeat(self.shards, np.diff(self.starts))

    def uids(self, rows: npt.NDArray[np.int64]) -> UidArray:
        """Uids of some rows, int64 [m], ascending, all of them eligible."""
        found = np.empty(len(rows), dtype=UID)
        bounds = np.searchsorted(rows, self.starts)
        for place in np.flatnonzero(np.diff(bounds)):
            mine = slice(bounds[place], bounds[place + 1])
            at = rows[mine] - self.starts[place]
            found[mine] = self.scan.uids(int(self.shards[place]), at)
        return found


class Fold(Protocol):
    """A sum over blocks."""

    def add(self, block: Block) -> None:
        """Take a block."""

    def merge(self, other: Self) -> None:
        """Take what a fold over other blocks found."""


F = TypeVar("F", bound=Fold)


class Runner(Protocol):
    """Runs folds over a pool, here or on a cluster."""

    precisions: Mapping[str, np.dtype[Any]]

    def run(self, fold: F, shards: Sequence[int] | None = None) -> F:
        """Fold over all shards, or those of some numbers; returns the fold."""
        ...


class ScoreScan:
    """Scans columns of the scores of some shards in this process.

    Args:
        store: the run directory.
        shards: ids, in the order of the run.
        columns: to read, besides the status.
        duplicates: rows that are not the first of their uid.
        precisions: column -> what it is compared in; None reads it off the first shard.
        cache_bytes: disk for columns that are kept between folds.

    Raises:
        OutputError: scores are missing or damaged, or lack a column.
    """

    def __init__(
        self,
        store: Store,
        shards: Sequence[str],
        columns: Sequence[str],
        duplicates: Duplicates,
        precisions: Mapping[str, np.dtype[Any]] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._store = store
        self._shards = tuple(shards)
        self._columns = tuple(columns)
        self._duplicates = duplicates
        self.precisions = precisions if precisions is not None else self._find_precisions()
        self._cache: ColumnSpool | None = None
        self._cache_bytes = cache_bytes
        self._uids: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def run(self, fold: F, shards: Sequence[int] | None = None) -> F:
        """Fold over all shards, or those of some numbers."""
        for block in self.blocks(shards):
            fold.add(block)
        return fold

    def blocks(self, shards: Sequence[int] | None = None) -> Iterator[Block]:
        """The rows of all shards, or of those of some numbers."""
        if self._cache is not None:
            for shards_of, starts, (eligible, *columns) in self._cache.read(shards):
                named = dict(zip(self._columns, columns, strict=True))
                yield Block(named, eligible, shards_of, starts, self)
            return
        everything = range(len(self._shards))
        kept = ColumnSpool(self._cache_bytes) if shards is None else None
        for block in self._read_blocks(everything if shards is None else shards):
            if kept is not None:
                arrays = [block.eligible, *(block.columns[name] for name in self._columns)]
                if not kept.add(block.shards, block.starts, arrays):
                    kept = None
            yield block
        self._cache = kept

    def uids(self, number: int, rows: npt.NDArray[np.int64]) -> UidArray:
        """The uids of some rows of a shard, all of them eligible."""
        column = self._uids.get(number)
        if column is None:
            column = read_columns(self._store, self._shards[number], ["uid"])["uid"]
            if FEW * len(rows) < len(column):
                self._uids[number] = column
                if len(self._uids) > UID_SHARDS:
                    self._uids.popitem(last=False)
        else:
            self._uids.move_to_end(number)
        return uids_of(column.take(pa.array(rows)))

    def _find_precisions(self) -> dict[str, np.dtype[Any]]:
        if not self._shards:
            return dict.fromkeys(self._columns, np.dtype(np.float32))
        table = read_rule_columns(self._store, self._shards[0], self._columns)
        return {name: column_values(table[name]).dtype for name in self._columns}

    def _read_blocks(self, shards: Iterable[int]) -> Iterator[Block]:
        held: list[tuple[int, pa.Table]] = []
        rows = 0

        def read(number: int) -> tuple[int, pa.Table]:
            return number, read_rule_columns(self._store, self._shards[number], self._columns)

        for number, table in prefetched(read, shards):
            held.append((number, table))
            rows += table.num_rows
            if rows >= BLOCK_ROWS:
                yield self._block(held)
                held, rows = [], 0
        if held:
            yield self._block(held)

    def _block(self, held: Sequence[tuple[int, pa.Table]]) -> Block:
        eligible = np.concatenate(
            [
                is_eligible(table["status"], self._duplicates.get(self._shards[number]))
                for number, table in held
            ]
        )
        columns = {}
        for name in self._columns:
            values = np.concatenate([self._values(name, *one) for one in held])
            if name in ALL_SCORES and np.isnan(values[eligible]).any():
                raise OutputError(
                    f"{self._store.path(SCORES)}: {name} is missing on scored rows of"
                    f" {self._shards[held[0][0]]}.parquet or one of the next {len(held)} files;"
                    " `curate verify` names it"
                )
            columns[name] = values
        sizes = [table.num_rows for _, table in held]
        return Block(
            columns=columns,
            eligible=eligible,
            shards=np.array([number for number, _ in held], dtype=np.int64),
            starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            scan=self,
        )

    def _values(self, name: str, number: int, table: pa.Table) -> npt.NDArray[Any]:
        values = column_values(table[name])
        if values.dtype == self.precisions[name]:
            return values
        if values.dtype == np.float64:
            raise OutputError(
                f"{self._store.path(SCORES)}/{self._shards[number]}.parquet holds {name} in float64"
                f" and {self._shards[0]}.parquet in float32; the pool's metadata must agree"
            )
        return values.astype(self.precisions[name])


def read_rule_columns(store: Store, shard: str, columns: Sequence[str]) -> pa.Table:
    """Read the status and some columns of one shard's scores. Raises OutputError."""
    names = list(dict.fromkeys(["status", *columns]))
    return read_columns(store, shard, names, read_dictionary=["status"])


def check_columns(store: Store, shards: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse rules on columns that the run did not compute. Raises RunDirError naming them."""
    if not shards or not columns:
        return
    found = read_columns(store, shards[0], None).column_names
    if lacking := sorted(set(columns) - set(found)):
        raise RunDirError(
            f"{store}: the rules use {', '.join(lacking)}, which the scores of this run lack; list"
            " it under `scores`, or under input.columns if it is metadata of the pool, and score"
            " into another output.run_dir"
        )


def is_eligible(
    status: pa.ChunkedArray, duplicates: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.bool_]:
    """Which rows rules decide: scored, and the first of their uid; bool [n]."""
    usable = np.concatenate([np.zeros(0, np.bool_), *map(_is_ok, status.chunks)])
    if duplicates is not None:
        usable[duplicates] = False
    return usable


def _is_ok(status: pa.Array) -> npt.NDArray[np.bool_]:
    if pa.types.is_dictionary(status.type) and not status.null_count:
        # Compared once for each of the few statuses.
        known = np.array([one == OK for one in status.dictionary.to_pylist()], dtype=np.bool_)
        return np.asarray(known[status.indices.to_numpy()])
    same = pc.equal(status.cast(pa.string()), OK)
    return np.array(same.to_numpy(zero_copy_only=False), dtype=np.bool_)


def column_values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A numeric column as rules compare it: float64 if it is that, else float32; nulls are NaN."""
    kind = pa.float64() if pa.types.is_float64(column.type) else pa.float32()
    if column.type != kind:
        column = pc.cast(column, kind, safe=False)
    values: npt.NDArray[Any] = column.to_numpy()
    return values


def cells_of(block: Block, grid: Grid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The eligible rows of a block, and the cell of each."""
    rows = np.flatnonzero(block.eligible)
    whole = len(rows) == len(block)
    columns = {
        column.name: block.columns[column.name] if whole else block.columns[column.name][rows]
        for column in grid.columns
    }
    return rows, grid.code(columns, len(rows), lambda at: block.uids(rows[at]))
