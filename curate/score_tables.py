"""The score columns of a run, as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from curate.errors import OutputError
from curate.outputs import Store

SCORES: Final = "scores"


def read_scores(store: Store, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read identifiers, status and some columns, or all of them, of one shard's scores.

    Raises:
        OutputError: they are missing or damaged.
    """
    if columns is None:
        return read_columns(store, shard, None)
    return read_columns(
        store, shard, list(dict.fromkeys(["index", "key", "uid", "status", *columns]))
    )


def read_columns(
    store: Store, shard: str, columns: list[str] | None, *, strict: bool = True, **options: Any
) -> pa.Table:
    """Read these columns, or all of them, of one shard's scores, and nothing else of the file.

    Args:
        store: the run directory.
        shard: id.
        columns: names.
        strict: whether every one of them must be there.
        **options: of `pq.ParquetFile`.

    Raises:
        OutputError: they are missing or damaged.
    """
    try:
        return store.read_table(f"{SCORES}/{shard}.parquet", columns, strict=strict, **options)
    except FileNotFoundError as exc:
        raise OutputError(
            f"{store.path(SCORES)}/{shard}.parquet is missing although the shard is committed;"
            f" delete state/{shard}.json and run `curate score` again"
        ) from exc
