"""The table beside a shard: img2dataset's columns, joined to the scores of the kept samples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import ShardError
from curate.schema import RULE_COLUMNS
from curate.shards import Shard, read_beside

ENDING: Final = ".parquet"
"""What img2dataset calls a shard's table."""

OWN_COLUMNS: Final = ("key", "uid", *RULE_COLUMNS)
"""As far as the run has computed them."""


def join_sidecar(rows: pa.Table, shard: Shard) -> tuple[pa.Table, str | None]:
    """Join the input sidecar to score rows by key; the tar is trusted where they differ.

    Args:
        rows: of `scores_schema`, the kept samples.
        shard: the input shard, beside which the sidecar lies.

    Returns:
        One row per score row, in order: `key`, `uid`, the sidecar's other columns (null where it
        lacks the key), and the score columns, which replace any of the same name. And a note on
        what did not fit, or None.
    """
    there = set(rows.column_names)  # asked for each name, Arrow would list them each time
    own = rows.select([name for name in OWN_COLUMNS if name in there])
    try:
        data = read_beside(shard, ENDING)
        if data is None:
            return own, "there is none"
        table = _read(data)
    except (ShardError, pa.ArrowException, OSError, ValueError) as exc:
        return own, f"cannot be read: {exc}"
    if "key" not in table.column_names:
        return own, "has no `key` column"
    if not _is_text(table["key"].type):
        return own, f"its `key` is {table['key'].type}, expected string"
    return _join(own, table)


def _read(data: bytes) -> pa.Table:
    # Not by `pq.read_table`, which imports pandas, and takes twice as long.
    with pq.ParquetFile(pa.BufferReader(data)) as parquet:
        table = parquet.read(use_threads=False)
    if repeated := [name for name, n in Counter(table.column_names).items() if n > 1]:
        raise ValueError(f"columns of the same name: {', '.join(map(repr, repeated))}")
    return table


def _join(own: pa.Table, table: pa.Table) -> tuple[pa.Table, str | None]:
    theirs = table["key"]
    # Of a key that occurs twice, the first row.
    at = pc.index_in(own["key"].cast(theirs.type), value_set=theirs)
    joined = table.take(at)
    notes = []
    if at.null_count:
        notes.append(f"{at.null_count} kept samples are not in it")
    if "uid" in joined.column_names and (differing := _differing(own["uid"], joined["uid"])):
        notes.append(f"{differing} uids differ from the tar's")
    ours = dict(zip(own.column_names, own.columns, strict=True))
    columns = {name: ours[name] for name in ("key", "uid")}
    carried = zip(joined.column_names, joined.columns, strict=True)
    columns |= {name: column for name, column in carried if name not in ours}
    columns |= {name: column for name, column in ours.items() if name not in columns}
    return pa.table(columns), "; ".join(notes) or None


def _differing(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> int:
    """Rows where theirs are not null, and not ours."""
    if not _is_text(theirs.type):
        return int(len(theirs) - theirs.null_count)
    differing: int | None = pc.sum(pc.not_equal(ours.cast(theirs.type), theirs)).as_py()
    return differing or 0


def _is_text(found: pa.DataType) -> bool:
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found))


def concat_sidecars(tables: Sequence[pa.Table]) -> pa.Table:
    """Put the sidecars of several input shards under each other.

    Columns that some shard lacks are null there. A column whose types do not go together, a
    number here and a text there, becomes text: its JSON.
    """
    types: dict[str, list[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, []).append(field.type)
    torn = {name for name, found in types.items() if not _go_together(found)}
    plain = [
        pa.table({n: _as_text(t[n]) if n in torn else t[n] for n in t.column_names}) for t in tables
    ]
    return pa.concat_tables(plain, promote_options="permissive")


def _go_together(types: Sequence[pa.DataType]) -> bool:
    if all(one == types[0] for one in types):
        return True
    schemas = [pa.schema([("x", one)]) for one in types]
    try:
        pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def _as_text(column: pa.ChunkedArray) -> pa.Array:
    def text(value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, default=str, ensure_ascii=False)

    return pa.array([text(value) for value in column.to_pylist()], pa.string())
