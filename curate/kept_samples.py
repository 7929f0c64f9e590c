"""Which samples of the input shards are kept: what writing filtered shards has to know of a subset.

Where the pool was scored from its images, score columns and decisions tell it. Where it was scored
from metadata, `image_subsets` does, from the index of the shards that were downloaded later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from curate import subsets
from curate.errors import AccountingError
from curate.manifest import RunDir
from curate.output_shards import Piece
from curate.outputs import Store
from curate.score_tables import read_scores
from curate.shards import Shard
from curate.subsets import Subset


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
        """The score rows of a piece."""
        decisions = subsets.read_decisions(store, self.subset, piece.shard)
        return take_kept(read_scores(store, piece.shard), decisions, piece, self.name)

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
    kept = np.flatnonzero(decisions["kept"].to_numpy(zero_copy_only=False))
    if piece.last > len(kept):
        raise AccountingError(
            f"shard {piece.shard}: {len(kept)} samples are kept, the plan asks for {piece.last}"
        )
    return rows.take(pa.array(kept[piece.first : piece.last]))
