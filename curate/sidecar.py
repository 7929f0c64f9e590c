"""The table beside a shard: img2dataset's columns, joined to the scores of the kept samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
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
    own = rows.select([name for name in OWN_COLUMNS if name in rows.column_names])
    try:
        data = read_beside(shard, ENDING)
        if data is None:
            return own, "there is none"
        table = pq.read_table(pa.BufferReader(data))
    except (ShardError, pa.ArrowException, OSError, ValueError) as exc:
        return own, f"cannot be read: {exc}"
    if "key" not in table.column_names:
        return own, "has no `key` column"
    if not (pa.types.is_string(table["key"].type) or pa.types.is_large_string(table["key"].type)):
        return own, f"its `key` is {table['key'].type}, expected string"
    return _join(own, table)


def _join(own: pa.Table, table: pa.Table) -> tuple[pa.Table, str | None]:
    position = {key: i for i, key in reversed(list(enumerate(table["key"].to_pylist())))}
    at = [position.get(key) for key in own["key"].to_pylist()]
    joined = table.take(pa.array(at, pa.int64()))
    notes = []
    if missing := sum(i is None for i in at):
        notes.append(f"{missing} kept samples are not in it")
    if "uid" in joined.column_names:
        pairs = zip(own["uid"].to_pylist(), joined["uid"].to_pylist(), strict=True)
        if differing := sum(theirs not in (None, ours) for ours, theirs in pairs):
            notes.append(f"{differing} uids differ from the tar's")
    columns = {name: own[name] for name in ("key", "uid")}
    columns |= {name: joined[name] for name in joined.column_names if name not in own.column_names}
    columns |= {name: own[name] for name in own.column_names if name not in columns}
    return pa.table(columns), "; ".join(notes) or None


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
