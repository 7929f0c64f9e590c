"""All markers of a run as one table, so that a million small files are read once.

The table is kept in the run directory, as a cache: a row is used as long as a listing shows the
marker with the size and the stamp (time of modification, or ETag) that it had when it was read.
Only new and changed markers are read. It may be deleted at any time; `curate verify` reads the
markers themselves.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import OutputError, RunDirError
from curate.listing import REQUESTS_AT_ONCE
from curate.manifest import STATE, Counts, Marker, RunDir
from curate.outputs import Store, Written
from curate.prefetch import prefetched
from curate.serialised import table_bytes

LOGGER: Final = logging.getLogger(__name__)

CACHE: Final = f"{STATE}/markers.cache"

CHECKSUM_BYTES: Final = 32

READ_AT_ONCE: Final = 256
"""Markers that one thread reads before it hands over what they say."""

LOCAL_THREADS: Final = 2
"""Small files of a disk are read as fast as one interpreter can parse them."""

ROWS: Final = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("stamp", pa.string()),
        pa.field("read", pa.int64(), nullable=False),
        pa.field("rejected", pa.string()),
        pa.field("damage", pa.string()),
        pa.field("notes", pa.string()),
        pa.field("outputs", pa.string(), nullable=False),
    ],
    metadata={"curate": "markers 1"},
)
"""What readers of many markers ask for. `size` and `stamp` are of the marker; `rejected`, `damage`
and `notes` are JSON, null where there are none; `outputs` is canonical JSON of (path, sha256)."""


@dataclass(frozen=True)
class Markers:
    """What the markers of some shards say, in their order."""

    table: pa.Table

    @cached_property
    def counts(self) -> Counts:
        """Totals."""
        rejected = Counts()
        for group in pc.value_counts(self.table["rejected"]).to_pylist():
            if group["values"] is not None:
                reasons = json.loads(group["values"])
                times = {reason: n * group["counts"] for reason, n in reasons.items()}
                rejected += Counts(rejected=times)
        return Counts(pc.sum(self.table["read"]).as_py() or 0, rejected.rejected)

    def outputs(self) -> Iterator[str]:
        """Canonical JSON of the (path, sha256) of each shard's outputs."""
        return _values(self.table["outputs"])

    def damage(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Shard and what was wrong with its tar, of the shards that are damaged."""
        return _parsed(self.table, "damage")

    def notes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Shard and its notes, of the shards that have some."""
        return _parsed(self.table, "notes")


def read_markers(
    run: RunDir,
    shards: Sequence[str],
    *,
    trust: bool = True,
    keep: bool = True,
    found: pa.Table | None = None,
) -> Markers:
    """What the markers of some shards say: from the cache, and from markers that it lacks.

    Args:
        run: the run directory.
        shards: ids of committed shards, distinct.
        trust: use the cache; without, it is neither read nor written.
        keep: write the cache again if it lacked some. What cannot be written is left.
        found: the listing of the markers, if they were listed just before.

    Raises:
        RunDirError: a shard has no marker.
        OutputError: a marker is damaged.
    """
    listed = _listed(run, shards, found)
    known = _fitting(_load(run.store) if trust else ROWS.empty_table(), listed)
    fresh = listed.filter(pc.invert(pc.is_in(listed["shard"], known["shard"])))
    if not len(fresh):
        return Markers(_in_order(known, listed["shard"]))
    tables = [known, *_read(run, fresh)]
    table = _in_order(pa.concat_tables(tables), listed["shard"])
    if trust and keep:
        _save(run.store, table)
    return Markers(table)


def wrong_rows(run: RunDir) -> list[str]:
    """Shards of which the cache says what their markers do not; markers that are damaged apart.

    Raises:
        OutputError: the cache is damaged.
    """
    try:
        cached = _decode(run.store)
    except FileNotFoundError:
        return []
    found = run.store.entries(STATE, ".json")
    there = set(found["name"].to_pylist())
    shards = [shard for shard in cached["shard"].to_pylist() if f"{shard}.json" in there]
    known = _fitting(cached, _listed(run, shards, found))

    def differs(rows: pa.Table) -> list[str]:
        said = rows.to_pylist()
        return [row["shard"] for row in said if _row_of(run, row) not in (row, None)]

    threads = LOCAL_THREADS if run.store.is_local else REQUESTS_AT_ONCE
    return [shard for shards in prefetched(differs, _parts(known), threads) for shard in shards]


def identity_of_outputs(scored_as: str, shards: Sequence[str], outputs: Iterable[str]) -> str:
    """`config.digest` of [how they were scored, shards, outputs], without holding all that JSON.

    Args:
        scored_as: identity of model, Reference and configuration.
        shards: ids.
        outputs: canonical JSON of the (path, sha256) of each shard's outputs.
    """
    running = hashlib.sha256(f"[{json.dumps(scored_as)},[".encode())
    for separator, shard in zip(_commas(), shards, strict=False):
        running.update(f"{separator}{json.dumps(shard)}".encode())
    running.update(b"],[")
    for separator, written in zip(_commas(), outputs, strict=False):
        running.update(f"{separator}{written}".encode())
    running.update(b"]]")
    return running.hexdigest()


def _commas() -> Iterator[str]:
    return itertools.chain([""], itertools.repeat(","))


# --- the cache ------------------------------------------------------------------------------


def _load(store: Store) -> pa.Table:
    """The cache; without rows if there is none, or it is damaged, or of another version."""
    try:
        return _decode(store)
    except FileNotFoundError:
        return ROWS.empty_table()
    except OutputError as exc:
        LOGGER.warning("%s; the markers are read again", exc)
        return ROWS.empty_table()


def _decode(store: Store) -> pa.Table:
    data = store.read_bytes(CACHE)
    content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if hashlib.sha256(content).digest() != checksum:
        raise OutputError(f"{store.path(CACHE)} is damaged; delete it")
    with pq.ParquetFile(pa.BufferReader(content)) as parquet:  # `read_table` imports much more
        table = parquet.read(use_threads=False)
    return table if table.schema.equals(ROWS, check_metadata=True) else ROWS.empty_table()


def _save(store: Store, table: pa.Table) -> None:
    usable = table.filter(pc.is_valid(table["stamp"]))
    if not len(usable):
        return  # a store that does not tell what changed
    content = table_bytes(usable)
    try:
        store.write_bytes(CACHE, content + hashlib.sha256(content).digest())
    except OutputError as exc:
        LOGGER.warning("the markers will be read again the next time: %s", exc)


# --- listing and reading --------------------------------------------------------------------


def _listed(run: RunDir, shards: Sequence[str], found: pa.Table | None = None) -> pa.Table:
    """Shard, size and stamp of their markers, in the order of the shards."""
    names = pa.array([f"{shard}.json" for shard in shards], pa.string())
    if found is None:
        found = run.store.entries(STATE, ".json", run.marker_names(shards))
    at = pc.index_in(names, found["name"])
    if at.null_count:
        missing = shards[pc.index(pc.is_null(at), True).as_py()]
        raise RunDirError(
            f"{run.store}: shard {missing!r} has no marker in {STATE}/; run `curate score` again"
        )
    columns = [pa.array(shards, pa.string()), found["size"].take(at), found["stamp"].take(at)]
    return pa.table(columns, names=["shard", "size", "stamp"])


def _fitting(cached: pa.Table, listed: pa.Table) -> pa.Table:
    """The rows of the cache whose markers are listed as they were."""
    at = pc.index_in(cached["shard"], listed["shard"])
    same = [pc.equal(cached[name], listed[name].take(at)) for name in ("size", "stamp")]
    return cached.filter(pc.fill_null(pc.and_(*same), False))


def _in_order(rows: pa.Table, shards: pa.ChunkedArray) -> pa.Table:
    if rows["shard"].equals(shards):
        return rows
    return rows.take(pc.index_in(shards, rows["shard"]))


def _read(run: RunDir, listed: pa.Table) -> Iterator[pa.Table]:
    def read(rows: pa.Table) -> pa.Table:
        said = [_said(row, run.require_marker(row["shard"])) for row in rows.to_pylist()]
        return pa.Table.from_pylist(said, ROWS)

    threads = LOCAL_THREADS if run.store.is_local else REQUESTS_AT_ONCE
    return prefetched(read, _parts(listed), threads)


def _parts(table: pa.Table) -> Iterator[pa.Table]:
    return (table.slice(at, READ_AT_ONCE) for at in range(0, len(table), READ_AT_ONCE))


def _row_of(run: RunDir, row: dict[str, Any]) -> dict[str, Any] | None:
    """What a row should be; None if that cannot be told."""
    try:
        marker = run.marker(row["shard"])
    except OutputError:
        return None
    return None if marker is None else _said(row, marker)


def _said(row: dict[str, Any], marker: Marker) -> dict[str, Any]:
    counts = marker.counts
    return {
        **{name: row[name] for name in ("shard", "size", "stamp")},
        "read": counts.read,
        "rejected": _json_or_none(counts.rejected),
        "damage": _json_or_none(marker.damage),
        "notes": _json_or_none(marker.notes),
        "outputs": outputs_json(marker.outputs),
    }


def outputs_json(outputs: Iterable[Written]) -> str:
    """Canonical JSON of the (path, sha256) of a shard's outputs."""
    return _json([[written.path, written.sha256] for written in outputs])


def _json(value: Any) -> str:
    # As `config.digest` takes it, so that pieces can be hashed one after the other.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _json_or_none(value: Any) -> str | None:
    return _json(value) if value else None


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    for batch in pa.table([column], names=["value"]).to_batches(max_chunksize=1 << 14):
        yield from batch.column(0).to_pylist()


def _parsed(table: pa.Table, name: str) -> Iterator[tuple[str, Any]]:
    there = table.select(["shard", name]).filter(pc.is_valid(table[name]))
    pairs = zip(_values(there["shard"]), _values(there[name]), strict=True)
    return ((shard, json.loads(text)) for shard, text in pairs)
