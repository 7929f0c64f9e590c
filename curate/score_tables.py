"""The score columns of a run: reading them, and finding uids that occur more than once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow.dataset import dataset
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

from curate.errors import OutputError
from curate.outputs import Store
from curate.schema import OK, SCORES_SCHEMA

SCORES: Final = "scores"

DUCKDB_MEMORY: Final = "2GB"
"""Enough to group the uids of a few ten million samples; beyond it DuckDB spills to disk."""

Duplicates = Mapping[str, npt.NDArray[np.int64]]
"""Shard -> positions of samples whose uid occurred earlier in the order of (shard, index)."""


def read_scores(store: Store, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read identifiers, status and some columns, or all of them, of one shard's scores.

    Raises:
        OutputError: they are missing or damaged.
    """
    wanted = None
    if columns is not None:
        wanted = list(dict.fromkeys(["index", "key", "uid", "status", *columns]))
    try:
        return store.read_table(f"{SCORES}/{shard}.parquet", columns=wanted)
    except FileNotFoundError as exc:
        raise OutputError(
            f"{store.path(SCORES)}/{shard}.parquet is missing although the shard is committed;"
            f" delete state/{shard}.json and run `curate score` again"
        ) from exc


def find_duplicates(store: Store, shards: Sequence[str]) -> Duplicates:
    """Samples whose uid occurs earlier in the pool, in the order of (shard, index).

    The order is that of the names, so that listing shards differently keeps the same samples.

    Raises:
        OutputError: scores are missing or damaged.
    """
    if not shards:
        return {}
    try:
        rows = _query_duplicates(store, shards)
    except (duckdb.Error, pa.ArrowException, OSError) as exc:
        for shard in shards:  # names the file, if it is one
            read_scores(store, shard, [])
        raise OutputError(f"{store.path(SCORES)} cannot be read: {exc}; run again") from exc
    found: dict[str, list[int]] = {}
    previous = None
    for uid, shard, index in rows:
        if uid == previous:
            found.setdefault(shard, []).append(index)
        previous = uid
    return {shard: np.array(sorted(at), dtype=np.int64) for shard, at in found.items()}


def _query_duplicates(store: Store, shards: Sequence[str]) -> list[tuple[str, str, int]]:
    # DuckDB's own reader takes paths for patterns, and `uid=7` in one for a column.
    filesystem = LocalFileSystem() if store.is_local else PyFileSystem(FSSpecHandler(store.fs))
    files = [store.path(f"{SCORES}/{shard}.parquet") for shard in shards]
    scores = dataset(files, schema=SCORES_SCHEMA, format="parquet", filesystem=filesystem)
    with (
        tempfile.TemporaryDirectory(prefix="curate-") as spill,
        duckdb.connect(
            config={"memory_limit": DUCKDB_MEMORY, "temp_directory": spill}
        ) as connection,
    ):
        connection.register("scores", scores)
        return connection.execute(_DUPLICATES_QUERY, [OK]).fetchall()


_DUPLICATES_QUERY: Final = """
    WITH scored AS (SELECT uid, shard, "index" FROM scores WHERE status = $1),
         repeated AS (SELECT uid FROM scored GROUP BY uid HAVING count(*) > 1)
    SELECT uid, shard, "index" FROM scored SEMI JOIN repeated USING (uid)
    ORDER BY uid, shard, "index"
"""
