"""Rows that no rule decides, for the galleries: rejected samples, and repetitions of a uid.

Their shards are known without a scan: markers count what each of them rejected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.duplicates import Duplicates
from curate.markers import Markers
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.report.extremes import POSITION_BITS, Lowest, random_keys
from curate.report.scan import SEED
from curate.score_tables import read_columns

MOST_SHARDS: Final = 64
"""Shards that are looked into for the rejected samples of one reason."""

PIECE: Final = 1 << 20
"""Repeated samples that are looked at together."""


def rejected_rows(
    store: Store, shards: Sequence[str], markers: Markers, wanted: int
) -> dict[str, list[int]]:
    """Rejected rows of each reason, chosen at random from shards that are.

    Args:
        store: the run directory.
        shards: ids, in the order of the scan and of the markers.
        markers: of these shards.
        wanted: rows of each reason.

    Raises:
        OutputError: scores are missing or damaged.
    """
    counts = rejections_of(markers)
    chosen: dict[str, list[int]] = {}
    for reason, per_shard in sorted(counts.items()):
        numbers = np.array(sorted(per_shard), dtype=np.int64)
        order = numbers[np.argsort(random_keys(numbers, SEED), kind="stable")]
        upto = np.cumsum([per_shard[number] for number in order.tolist()])
        enough = int(np.searchsorted(upto, wanted)) + 1
        chosen[reason] = order[: min(enough, MOST_SHARDS)].tolist()
    needed = sorted({number for numbers in chosen.values() for number in numbers})

    def statuses(number: int) -> tuple[int, npt.NDArray[Any]]:
        table = read_columns(store, shards[number], ["status"])
        return number, np.array(table["status"].to_pylist(), dtype=object)

    lots = {reason: Lowest(1, wanted) for reason in chosen}
    for number, found in prefetched(statuses, needed):
        for reason, held in lots.items():
            at = np.flatnonzero(found == reason)
            rows = (number << POSITION_BITS) | at
            held.add(np.zeros(len(rows), dtype=np.int64), random_keys(rows, SEED), rows)
    return {reason: held.rows(0) for reason, held in lots.items()}


def rejections_of(markers: Markers) -> dict[str, dict[int, int]]:
    """Reason -> number of the shard -> rejected samples."""
    found: dict[str, dict[int, int]] = {}
    for number, text in enumerate(markers.table["rejected"].to_pylist()):
        if text is not None:
            for reason, count in json.loads(text).items():
                found.setdefault(reason, {})[number] = count
    return found


def repeated_rows(duplicates: Duplicates, shards: Sequence[str], wanted: int) -> list[int]:
    """Rows that repeat a uid, chosen at random.

    Args:
        duplicates: of the pool.
        shards: ids, in the order of the scan.
        wanted: how many.
    """
    number_of: Mapping[str, int] = {shard: number for number, shard in enumerate(shards)}
    numbers = np.array([number_of[shard] for shard in duplicates.shards], dtype=np.int64)
    held = Lowest(1, wanted)
    for first in range(0, duplicates.total, PIECE):
        last = min(first + PIECE, duplicates.total)
        at = np.arange(first, last)
        shard = np.searchsorted(duplicates.starts, at, side="right") - 1
        rows = (numbers[shard] << POSITION_BITS) | duplicates.positions[first:last].astype(np.int64)
        held.add(np.zeros(len(rows), dtype=np.int64), random_keys(rows, SEED), rows)
    return held.rows(0)
