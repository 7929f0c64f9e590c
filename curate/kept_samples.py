"""Which samples of the input shards are kept: what writing filtered shards has to know of a subset.

Where the pool was scored from its images, score columns and decisions tell it. Where it was scored
from metadata, `image_subsets` does, from the index of the shards that were downloaded later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from curate import subsets
from curate.errors import AccountingError
from curate.manifest import RunDir
from curate.output_shards import Piece
from curate.outputs import Store
from curate.score_tables import read_columns
from curate.shards import Shard
from curate.sidecar import OWN_COLUMNS
from curate.subsets import Subset

DECIDED: Final = ("index", "key", "kept")
"""Columns of decisions that `take_kept` looks at."""


class KeptSamples(Protocol):
    """The kept samples of a subset, by input shard; cheap to pickle."""

    @property
    def name(self) -> str:
        """Of the subset."""
        ...

    @property
    def identity(self) -> str:
        """What they are a function of: other samples have another one."""
        ...

    def per_shard(self, store: Store) -> list[tuple[str, int]]:
        """Input shard and number of kept samples, in the order in which they are written."""
        ...

    def source(self, store: Store, shard: str) -> Shard:
        """Where an input shard lies, with the size that it had when it was read."""
        ...

    def rows(self, store: Store, piece: Piece) -> pa.Table:
        """The rows of a piece: `key`, `uid`, `tar_offset`, `tar_size`, and columns to carry over.

        Raises:
            AccountingError: the decisions are of other rows.
            OutputError: something is missing or damaged.
        """
        ...

    def remedy(self, shard: str) -> str:
        """What to do if an input shard is not what it was."""
        ...


@dataclass(frozen=True, slots=True)
class ScoredSamples:
    """Kept samples of a pool that was scored from its images."""

    subset: Subset

    @property
    def name(self) -> str:
        """Of the subset."""
        return str(self.subset.summary["name"])

    @property
    def identity(self) -> str:
        """Of the subset."""
        return self.subset.identity

    def per_shard(self, store: Store) -> list[tuple[str, int]]:
        """Input shard and number of kept samples, in the order of the run."""
        return subsets.kept_per_shard(store, self.subset)

    def source(self, store: Store, shard: str) -> Shard:
        """The shard as it was scored."""
        marker = RunDir(store).require_marker(shard)
        return Shard(shard, marker.url, marker.size)

    def rows(self, store: Store, piece: Piece) -> pa.Table:
        """The score rows of a piece, as far as a filtered shard needs them."""
        decisions = subsets.read_decisions(store, self.subset, piece.shard, list(DECIDED))
        wanted = ["index", "tar_offset", "tar_size", *OWN_COLUMNS]
        rows = read_columns(store, piece.shard, wanted, strict=False)
        return take_kept(rows, decisions, piece, self.name)

    def remedy(self, shard: str) -> str:
        """What to do if an input shard is not what was scored."""
        return f"restore it, or delete state/{shard}.json and score it again"


def take_kept(rows: pa.Table, decisions: pa.Table, piece: Piece, subset: str) -> pa.Table:
    """The rows of a piece, by the decisions that belong to them.

    Raises:
        AccountingError: the decisions are of other rows, or keep fewer than the piece asks for.
    """
    if not (rows["index"].equals(decisions["index"]) and rows["key"].equals(decisions["key"])):
        raise AccountingError(
            f"shard {piece.shard}: the decisions of subset {subset} belong to other rows; run"
            " `curate select` again"
        )
    # All in Arrow: a numpy array would make it import pandas, a quarter of a second per worker.
    kept = rows.filter(decisions["kept"])
    if piece.last > kept.num_rows:
        raise AccountingError(
            f"shard {piece.shard}: {kept.num_rows} samples are kept, the plan asks for {piece.last}"
        )
    return kept.slice(piece.first, piece.last - piece.first)
