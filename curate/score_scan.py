"""Scanning a few score columns of a whole pool: blocks of rows, and folds over them.

A scan reads what its folds need, and nothing else: uids, which are the largest column, only of
shards in which some row ties with a cut. Columns that fit the memory set aside for them are read
once and kept for later folds.
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

from curate.duplicates import Duplicates
from curate.errors import OutputError, RunDirError
from curate.numerics.cells import Grid
from curate.numerics.keys import UID, UidArray
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.schema import ALL_SCORES, OK
from curate.score_tables import SCORES, read_columns
from curate.uid_columns import uids_of

BLOCK_ROWS: Final = 1 << 20
"""Rows that are worked on at once: many small shards cost no more than a few large ones."""

CACHE_BYTES: Final = 3 << 30
"""Memory for columns that are kept between folds; a pool with more is read again for each."""

UID_SHARDS: Final = 64
"""Shards whose uids are kept for the next look-up: ties of several columns lie side by side."""


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

    @property
    def bytes(self) -> int:
        """Memory that the rows take."""
        return self.eligible.nbytes + sum(values.nbytes for values in self.columns.values())

    def sources(self) -> npt.NDArray[np.int64]:
        """Number of the shard of each row, int64 [n]."""
        return np.repeat(self.shards, np.diff(self.starts))

    def uids(self, rows: npt.NDArray[np.int64]) -> UidArray:
        """Uids of some rows, int64 [m], all of them eligible."""
        found = np.empty(len(rows), dtype=UID)
        at = np.searchsorted(self.starts, rows, side="right") - 1
        for place in np.unique(at):
            mine = at == place
            held = self.scan.uids(int(self.shards[place]))
            found[mine] = held[rows[mine] - self.starts[place]]
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
        cache_bytes: memory for columns that are kept between folds.

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
        self._cache: list[Block] | None = []
        self._cache_bytes = cache_bytes
        self._uids: OrderedDict[int, UidArray] = OrderedDict()

    def run(self, fold: F, shards: Sequence[int] | None = None) -> F:
        """Fold over all shards, or those of some numbers."""
        for block in self.blocks(shards):
            fold.add(block)
        return fold

    def blocks(self, shards: Sequence[int] | None = None) -> Iterator[Block]:
        """The rows of all shards, or of those of some numbers."""
        everything = range(len(self._shards))
        whole = shards is None
        if self._cache and self._cache[-1].shards[-1] == len(self._shards) - 1:
            yield from self._cache if shards is None else _having(self._cache, shards)
            return
        kept: list[Block] | None = [] if whole else None
        for block in self._read_blocks(everything if shards is None else shards):
            if kept is not None:
                kept.append(block)
                if sum(one.bytes for one in kept) > self._cache_bytes:
                    kept = None
            yield block
        if kept is not None:
            self._cache = kept

    def uids(self, number: int) -> UidArray:
        """The uids of a shard's rows; those that are not eligible hold zeros."""
        if number not in self._uids:
            shard = self._shards[number]
            table = read_rule_columns(self._store, shard, ["uid"])
            ok = is_eligible(table["status"], self._duplicates.get(shard))
            found = np.zeros(table.num_rows, dtype=UID)
            found[ok] = uids_of(table["uid"].filter(pa.array(ok)))
            self._uids[number] = found
            if len(self._uids) > UID_SHARDS:
                self._uids.popitem(last=False)
        self._uids.move_to_end(number)
        return self._uids[number]

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
    return read_columns(store, shard, list(dict.fromkeys(["status", *columns])))


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
    usable = np.array(pc.equal(status, OK).to_numpy(zero_copy_only=False), dtype=np.bool_)
    if duplicates is not None:
        usable[duplicates] = False
    return usable


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


def _having(blocks: Iterable[Block], shards: Sequence[int]) -> Iterator[Block]:
    """Blocks that hold a row of some shards; the other rows of these come with it."""
    wanted = np.array(sorted(shards), dtype=np.int64)
    return (block for block in blocks if np.isin(block.shards, wanted).any())
