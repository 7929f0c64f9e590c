"""Filtered shards: byte ranges of kept samples, copied from the input tars, never re-encoded.

An output shard is a pure function of its input shards and the committed decisions. Ranges come
from the score columns, so that nothing is parsed; neighbours are merged into one copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa

from curate.errors import AccountingError, OutputError, ShardError
from curate.outputs import Store, Written, json_bytes
from curate.score_tables import read_scores
from curate.shards import Shard, open_shard, read_range
from curate.sidecar import concat_sidecars, join_sidecar
from curate.subsets import Subset, read_decisions
from curate.tar_headers import parse_header

COPY_BYTES: Final = 8 * 1024 * 1024
"""Largest piece read at once: large enough to amortise requests, small beside a worker's memory."""

SIZES: Final = "sizes.json"

TAR_BLOCK: Final = 512
TAR_RECORD: Final = 10_240
"""Archives end with two zero blocks and are padded to whole records, as tar writes them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Kept samples number `first` to `last` (exclusive) of one input shard."""

    shard: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One output shard: its number and where its samples come from, in order."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """File stem, as img2dataset writes it."""
        return f"{self.number:05d}"

    @property
    def samples(self) -> int:
        """Samples in the shard."""
        return sum(piece.last - piece.first for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class FilterMarker:
    """The commit marker of one output shard."""

    name: str
    identity: str
    samples: int
    pieces: tuple[Piece, ...]
    notes: dict[str, Any]
    outputs: tuple[Written, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)


def plan_outputs(
    kept: Iterable[tuple[str, int]], samples_per_shard: int | None
) -> Iterator[OutputPlan]:
    """Number the output shards contiguously from 0, without empty ones.

    Args:
        kept: (input shard, kept samples), in the order of the run.
        samples_per_shard: repack to this size (the last may be smaller); None keeps one output
            shard per input shard that has kept samples.
    """
    number, room, pieces = 0, samples_per_shard or 0, []
    for shard, count in kept:
        if samples_per_shard is None:
            if count:
                yield OutputPlan(number, (Piece(shard, 0, count),))
                number += 1
            continue
        first = 0
        while first < count:
            last = min(count, first + room)
            pieces.append(Piece(shard, first, last))
            room -= last - first
            first = last
            if room == 0:
                yield OutputPlan(number, tuple(pieces))
                number, room, pieces = number + 1, samples_per_shard, []
    if pieces:
        yield OutputPlan(number, tuple(pieces))


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join (offset, size) ranges, in order, where one begins at the end of the one before it."""
    start, size = 0, 0
    for offset, length in ranges:
        if size and offset == start + size:
            size += length
            continue
        if size:
            yield start, size
        start, size = offset, length
    if size:
        yield start, size


def filtered_folder(subset: str) -> str:
    """The folder of a subset's filtered shards."""
    return f"shards/{subset}"


def marker_path(subset: str, name: str) -> str:
    """Where the marker of an output shard lies."""
    return f"state/shards/{subset}/{name}.json"


def write_filtered(
    store: Store,
    subset: Subset,
    plan: OutputPlan,
    shards: Mapping[str, Shard],
    expected_sizes: Mapping[str, int],
) -> FilterMarker:
    """Write one output shard, its sidecar and stats, and commit it with a marker.

    Args:
        store: the run directory.
        subset: whose decisions are applied.
        plan: which samples, in which order.
        shards: the input shards by id.
        expected_sizes: bytes of each input shard when it was scored.

    Raises:
        ShardError: an input shard cannot be read, or changed since it was scored.
        AccountingError: decisions and scores do not match.
    """
    name = subset.summary["name"]
    stem = f"{filtered_folder(name)}/{plan.name}"
    tables: list[pa.Table] = []
    notes: dict[str, Any] = {}
    with store.create(f"{stem}.tar") as sink:
        for piece in plan.pieces:
            rows = kept_rows(store, subset, piece)
            shard = shards[piece.shard]
            ranges = zip(rows["tar_offset"].to_pylist(), rows["tar_size"].to_pylist(), strict=True)
            with open_shard(shard) as source:
                check_unchanged(source, shard, expected_sizes[piece.shard])
                for data in _copy(source, merge_ranges(ranges), shard):
                    sink.write(data)
            table, note = join_sidecar(rows, shard)
            tables.append(table)
            notes |= {f"{piece.shard}: sidecar": note} if note else {}
        sink.write(bytes(2 * TAR_BLOCK))
        sink.write(bytes(-sink.size % TAR_RECORD))
    sidecar = concat_sidecars(tables)
    outputs = (
        Written(f"{stem}.tar", sink.size, sink.hexdigest()),
        store.write_table(f"{stem}.parquet", sidecar),
        store.write_json(f"{stem}_stats.json", stats_of(plan.samples)),
    )
    marker = FilterMarker(plan.name, subset.identity, plan.samples, plan.pieces, notes, outputs)
    if sidecar.num_rows != plan.samples:
        raise AccountingError(
            f"{stem}: {plan.samples} samples were planned, {sidecar.num_rows} written"
        )
    store.write_json(marker_path(name, plan.name), marker.to_json())
    return marker


def kept_rows(store: Store, subset: Subset, piece: Piece) -> pa.Table:
    """The score rows of a piece.

    Raises:
        AccountingError: decisions and scores disagree.
        OutputError: one of them is missing or damaged.
    """
    scores = read_scores(store, piece.shard)
    decisions = read_decisions(store, subset, piece.shard)
    if not (scores["index"].equals(decisions["index"]) and scores["key"].equals(decisions["key"])):
        raise AccountingError(
            f"shard {piece.shard}: the decisions of subset {subset.summary['name']} belong to other"
            " scores; run `curate select` again"
        )
    kept = np.flatnonzero(decisions["kept"].to_numpy(zero_copy_only=False))
    if piece.last > len(kept):
        raise AccountingError(
            f"shard {piece.shard}: {len(kept)} samples are kept, the plan asks for {piece.last}"
        )
    return scores.take(pa.array(kept[piece.first : piece.last]))


def check_unchanged(source: BinaryIO, shard: Shard, expected: int) -> None:
    """Refuse an input shard whose size is not what it was. Raises ShardError."""
    size = source.seek(0, 2)
    if size != expected:
        raise ShardError(
            f"{shard.url} has {size} bytes, but had {expected} when it was scored: it changed."
            f" Restore it, or delete state/{shard.id}.json and score it again"
        )


def _copy(source: BinaryIO, ranges: Iterable[tuple[int, int]], shard: Shard) -> Iterator[bytes]:
    for offset, size in ranges:
        done = 0
        while done < size:
            try:
                data = read_range(source, offset + done, min(COPY_BYTES, size - done))
            except ShardError as exc:
                raise ShardError(f"{shard.url}: {exc}") from exc
            if done == 0 and parse_header(data[:TAR_BLOCK]) is None:
                raise ShardError(
                    f"{shard.url}: no tar header at byte {offset}, where one was when it was"
                    f" scored; delete state/{shard.id}.json and score it again"
                )
            yield data
            done += len(data)


def stats_of(samples: int) -> dict[str, Any]:
    """The `_stats.json` of an output shard, with img2dataset's fields and no clock in it."""
    return {
        "count": samples,
        "successes": samples,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "duration": 0.0,
        "start_time": 0.0,
        "end_time": 0.0,
        "status_dict": {"success": samples},
    }


# --- the folder -------------------------------------------------------------------------------


def begin_outputs(store: Store, subset: Subset, samples_per_shard: int | None) -> frozenset[str]:
    """Prepare the folder of filtered shards and tell which output shards are committed.

    Shards of an older subset of the same name, or of another size, are removed first.
    """
    name = subset.summary["name"]
    header = f"state/shards/{name}/identity.json"
    parts = {"subset": subset.identity, "samples_per_shard": samples_per_shard}
    if not store.exists(header) or store.read_json(header) != parts:
        store.remove(f"state/shards/{name}")
        store.remove(filtered_folder(name))
        store.write_json(header, parts)
    names = store.names(f"state/shards/{name}", ".json")
    return frozenset(n.removesuffix(".json") for n in names if n != "identity.json")


def write_sizes(store: Store, subset: str, plans: Sequence[OutputPlan]) -> None:
    """Write sizes.json, file name -> samples, which trainers read beside the shards."""
    sizes = {f"{plan.name}.tar": plan.samples for plan in plans}
    store.write_if_changed(f"{filtered_folder(subset)}/{SIZES}", json_bytes(sizes))


def read_marker(store: Store, subset: str, name: str) -> FilterMarker | None:
    """The marker of an output shard, or None. Raises OutputError if it is incomplete."""
    path = marker_path(subset, name)
    try:
        value = dict(store.read_json(path))
        value["pieces"] = tuple(Piece(**p) for p in value["pieces"])
        value["outputs"] = tuple(Written(**w) for w in value["outputs"])
        return FilterMarker(**value)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as exc:
        raise OutputError(
            f"{store.path(path)} is incomplete ({exc}); delete it and run again"
        ) from exc
