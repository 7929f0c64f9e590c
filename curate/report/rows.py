"""The rows that a report shows: their scores, their reasons, and what the samples hold.

Rows are asked for in a few rounds, each of which reads the shards that it needs, several at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate.errors import CurateError
from curate.listing import REQUESTS_AT_ONCE
from curate.manifest import RunDir
from curate.originals import Place
from curate.outputs import Store
from curate.prefetch import THREADS, prefetched
from curate.redact import redact
from curate.report.captions import read_captions
from curate.report.extremes import POSITION_BITS, split_rows
from curate.report.thumbnails import Content, read_contents, unread
from curate.score_tables import read_columns
from curate.shards import Shard

LOCATED: Final = ("tar_offset", "tar_size")
IDENTIFIED: Final = ("index", "key", "uid", "status", "error")

GIVE_UP: Final = 8
"""Shards that cannot be opened, none in between, before the others are not tried: a store that is
gone would be asked for minutes each time."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample that may be shown: its row of the scores, and its content."""

    shard: str
    scores: Mapping[str, Any]
    content: Content


@dataclass
class ShownRows:
    """Reads rows once each.

    Attributes:
        run: the run directory.
        shards: ids, in the order of the scan.
        columns: of the scores that are shown.
        kind: what the pool is made of: `shards`, or what metadata there is.
        image_pixels: of a picture that is decoded.
        pictures: whether thumbnails are made.
        known: row -> what is shown of it.
        unopened: shard -> error.
        incomplete: shard -> why it does not give all of its samples.
    """

    run: RunDir
    shards: Sequence[str]
    columns: Sequence[str]
    kind: str
    image_pixels: int
    pictures: bool
    known: dict[int, Shown] = field(default_factory=dict)
    unopened: dict[str, str] = field(default_factory=dict)
    incomplete: dict[str, str] = field(default_factory=dict)
    _failed_in_row: int = 0

    def read(self, rows: Iterable[int]) -> None:
        """Read those of some rows that are not known yet.

        Raises:
            OutputError: scores are missing or damaged.
        """
        missing = np.array(sorted(set(rows) - set(self.known)), dtype=np.int64)
        numbers, positions = split_rows(missing)
        asked = [
            (int(number), positions[numbers == number]) for number in np.unique(numbers).tolist()
        ]
        threads = THREADS if self.run.store.is_local else REQUESTS_AT_ONCE
        for found in prefetched(lambda one: self._read_shard(*one), asked, threads):
            self.known |= found

    def _read_shard(self, number: int, positions: Any) -> dict[int, Shown]:
        shard = self.shards[number]
        table = _rows(self.run.store, shard, self.columns, positions)
        rows = ((number << POSITION_BITS) | positions).tolist()
        scores = table.to_pylist()
        contents = dict(self._contents(shard, rows, scores))
        return {
            row: Shown(shard, one, contents.get(row, Content()))
            for row, one in zip(rows, scores, strict=True)
        }

    def _contents(
        self, shard: str, rows: Sequence[int], scores: Sequence[Mapping[str, Any]]
    ) -> Iterable[tuple[int, Content]]:
        marker = self.run.require_marker(shard)
        source = Shard(shard, marker.url, marker.size)
        if self.kind != "shards" or not set(LOCATED) <= set(scores[0]):
            captions = read_captions(source, dict(zip(rows, scores, strict=True)))
            return self._noted(shard, list(captions))
        places = {row: Place.of(one) for row, one in zip(rows, scores, strict=True)}
        if self._failed_in_row >= GIVE_UP:
            note = f"not read, since {GIVE_UP} shards before it could not be opened"
            return unread(places, note)
        try:
            found = list(read_contents(source, places, self.image_pixels, pictures=self.pictures))
        except CurateError as exc:
            self.unopened[shard] = redact(str(exc))
            self._failed_in_row += 1
            return unread(places, self.unopened[shard])
        self._failed_in_row = 0
        return self._noted(shard, found)

    def _noted(self, shard: str, found: list[tuple[int, Content]]) -> list[tuple[int, Content]]:
        lost = next((content.note for _, content in found if content.is_lost), None)
        if lost is not None:
            self.incomplete.setdefault(shard, lost)
        return found


def _rows(store: Store, shard: str, columns: Sequence[str], positions: Any) -> pa.Table:
    wanted = [*IDENTIFIED, *columns, *LOCATED]
    table = read_columns(store, shard, wanted, strict=False)
    return table.take(pa.array(positions))
