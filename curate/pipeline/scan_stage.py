"""Folds over score columns on a cluster: the same scan as in one process, shared out by shards.

A group of shards is folded by one worker, and what it found travels back: counts, not rows. The
driver adds them up, so that its memory is that of one fold, whatever the size of the pool.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from curate.duplicates import Duplicates
from curate.outputs import Store
from curate.pipeline.cluster import Cluster
from curate.pipeline.light import Batch
from curate.pipeline.mapping import map_rows
from curate.score_scan import F, ScoreScan

GROUPS_PER_WORKER: Final = 4
"""So that the last groups are not waited for long, and few results travel."""


@dataclass
class FoldWorker:
    """Folds groups of shards; one row per group in, one pickled fold per row out."""

    store: Store
    shards: tuple[str, ...]
    columns: tuple[str, ...]
    duplicates: Duplicates
    precisions: Mapping[str, np.dtype[Any]]
    fold: bytes

    def __call__(self, batch: Batch) -> Batch:
        """Fold the shards of some groups."""
        folded = []
        for first, last in zip(batch["first"], batch["last"], strict=True):
            # Each group is scanned once per fold: nothing is kept for a second one.
            scan = ScoreScan(
                self.store, self.shards, self.columns, self.duplicates, self.precisions, 0
            )
            fold = scan.run(pickle.loads(self.fold), range(int(first), int(last)))  # noqa: S301 - ours
            folded.append(pickle.dumps(fold))
        return {"fold": np.array(folded, dtype=object)}


class ClusterScan:
    """Runs folds over the scores of some shards on the workers of a cluster.

    Args:
        ray: connected when the first fold runs.
        store: the run directory, which all nodes see.
        shards, columns, duplicates: as `ScoreScan`.
    """

    def __init__(
        self,
        ray: Cluster,
        store: Store,
        shards: Sequence[str],
        columns: Sequence[str],
        duplicates: Duplicates,
    ) -> None:
        self._ray = ray
        self._store = store
        self._shards = tuple(shards)
        self._columns = tuple(columns)
        self._duplicates = duplicates
        # Found once, on the driver, so that all workers agree.
        self.precisions = ScoreScan(store, shards, columns, duplicates).precisions

    def run(self, fold: F, shards: Sequence[int] | None = None) -> F:
        """Fold over all shards, or from the first to the last of some numbers."""
        chosen = range(len(self._shards)) if shards is None else sorted(shards)
        if not chosen:
            return fold
        cpus, _ = self._ray.resources()
        workers = max(1, int(cpus))
        bounds = np.linspace(chosen[0], chosen[-1] + 1, 1 + workers * GROUPS_PER_WORKER)
        edges = np.unique(bounds.astype(np.int64)).tolist()
        rows = [{"first": a, "last": b} for a, b in itertools.pairwise(edges)]
        arguments = {
            "store": self._store,
            "shards": self._shards,
            "columns": self._columns,
            "duplicates": self._duplicates,
            "precisions": self.precisions,
            "fold": pickle.dumps(fold),
        }
        for row in map_rows(rows, FoldWorker, arguments, workers, 1.0):
            fold.merge(pickle.loads(row["fold"]))  # noqa: S301 - made by our own workers
        return fold
