"""Output shards: how kept samples are dealt out to them, and what their folder holds besides.

Beside NNNNN.tar, NNNNN.parquet and NNNNN_stats.json lie `sizes.json`, from which the trainer of
open_clip reads the number of samples, and `meta.json`, from which that of DataComp reads the names
of the shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from curate.errors import OutputError
from curate.outputs import Store, Written
from curate.serialised import json_bytes

SIZES: Final = "sizes.json"
META: Final = "meta.json"

DIGITS: Final = 5
"""Digits of an output shard's number at least, as img2dataset writes them. The names of one folder
have the same length, since trainers put them into one brace pattern."""


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
    digits: int = DIGITS

    @property
    def name(self) -> str:
        """File stem, as img2dataset writes it."""
        return f"{self.number:0{self.digits}d}"

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


def digits_for(shards: int) -> int:
    """Digits of the numbers of so many output shards."""
    return max(DIGITS, len(str(shards - 1)))


def plan_outputs(
    kept: Sequence[tuple[str, int]], samples_per_shard: int | None
) -> Iterator[OutputPlan]:
    """Number the output shards contiguously from 0, without empty ones.

    Args:
        kept: (input shard, kept samples), in the order of the run.
        samples_per_shard: repack to this size (the last may be smaller); None keeps one output
            shard per input shard that has kept samples.
    """
    if samples_per_shard is None:
        total = sum(count > 0 for _, count in kept)
    else:
        total = -(-sum(count for _, count in kept) // samples_per_shard)
    digits = digits_for(total)
    number, room, pieces = 0, samples_per_shard or 0, []
    for shard, count in kept:
        if samples_per_shard is None:
            if count:
                yield OutputPlan(number, (Piece(shard, 0, count),), digits)
                number += 1
            continue
        first = 0
        while first < count:
            last = min(count, first + room)
            pieces.append(Piece(shard, first, last))
            room -= last - first
            first = last
            if room == 0:
                yield OutputPlan(number, tuple(pieces), digits)
                number, room, pieces = number + 1, samples_per_shard, []
    if pieces:
        yield OutputPlan(number, tuple(pieces), digits)


def filtered_folder(subset: str) -> str:
    """The folder of a subset's filtered shards."""
    return f"shards/{subset}"


def marker_path(subset: str, name: str) -> str:
    """Where the marker of an output shard lies."""
    return f"state/shards/{subset}/{name}.json"


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


def begin_outputs(
    store: Store, subset: str, identity: str, samples_per_shard: int | None
) -> frozenset[str]:
    """Prepare the folder of filtered shards and tell which output shards are committed.

    Shards of an older subset of the same name, or of another size, are removed first.

    Args:
        store: the run directory.
        subset: name.
        identity: of what is kept.
        samples_per_shard: as in `plan_outputs`.
    """
    header = f"state/shards/{subset}/identity.json"
    parts = {"subset": identity, "samples_per_shard": samples_per_shard}
    if not store.exists(header) or store.read_json(header) != parts:
        store.remove(f"state/shards/{subset}")
        store.remove(filtered_folder(subset))
        store.write_json(header, parts)
    return frozenset(committed_outputs(store, subset))


def committed_outputs(store: Store, subset: str) -> list[str]:
    """Names of the output shards that have a marker, sorted."""
    names = store.names(f"state/shards/{subset}", ".json")
    return [n.removesuffix(".json") for n in names if n != "identity.json"]


def finish_outputs(store: Store, subset: str, plans: Sequence[OutputPlan]) -> None:
    """Write what trainers read beside the shards, once all of them are there."""
    sizes = {f"{plan.name}.tar": plan.samples for plan in plans}
    folder = filtered_folder(subset)
    store.write_if_changed(f"{folder}/{SIZES}", json_bytes(sizes))
    store.write_if_changed(f"{folder}/{META}", json_bytes(meta_of(sizes)))


def meta_of(sizes: Mapping[str, int]) -> dict[str, Any]:
    """The `meta.json` of a folder of shards, with the fields that DataComp's train.py reads.

    Source: `get_input_shards` in train.py of github.com/mlfoundations/datacomp, which formats the
    numbers 0 and `output_shard_count` - 1 with `output_shard_format`.
    """
    return {
        "output_shard_count": len(sizes),
        "output_shard_format": f"{{:0{digits_for(len(sizes))}d}}.tar",
        "samples": sum(sizes.values()),
    }


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
