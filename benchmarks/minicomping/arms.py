"""The arms: which pairs of the noisy pool each training gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from minicomping.config import EMBEDDED, OWN, MiniCompConfig
from minicomping.filters import FILTERS, kept_uids
from minicomping.noise import CLEAN, KINDS
from minicomping.pool import NoisyPool

Indices = npt.NDArray[np.int64]

NO_FILTER: Final = "no filter"
RANDOM: Final = "random"
ORACLE: Final = "oracle"


@dataclass(frozen=True, eq=False)
class Arm:
    """What is trained on.

    Attributes:
        name: of the filter.
        scorer: the model whose scores it used; empty where it used none.
        rows: of the pool, int64 [k] ascending, for each seed of the trainings: the same ones for
            all but the random arm, which is drawn anew.
    """

    name: str
    scorer: str
    rows: Mapping[int, Indices]

    @property
    def size(self) -> int:
        """Pairs that are kept."""
        return len(next(iter(self.rows.values())))

    def kinds(self, pool: NoisyPool) -> dict[str, float]:
        """How many kept pairs are of each kind of noise; the mean over the seeds."""
        counts = Counter(pool.kinds[row] for rows in self.rows.values() for row in rows.tolist())
        return {kind: counts[kind] / len(self.rows) for kind in KINDS}


def sizes_of(config: MiniCompConfig, pool: NoisyPool) -> tuple[int, ...]:
    """How many pairs the filters keep: as many as are clean, and the larger number."""
    clean = pool.kinds.count(CLEAN)
    larger = () if config.larger is None else (round(config.larger * len(pool.kinds)),)
    return (clean, *larger)


def baseline_arms(config: MiniCompConfig, pool: NoisyPool) -> list[Arm]:
    """Arms without a score: everything, the clean pairs, and random ones of each size."""
    total, sizes = len(pool.kinds), sizes_of(config, pool)
    clean = np.array([row for row, kind in enumerate(pool.kinds) if kind == CLEAN], np.int64)
    same = [(NO_FILTER, np.arange(total)), (ORACLE, clean)]
    arms = [Arm(name, "", dict.fromkeys(config.seeds, rows)) for name, rows in same]
    for size in sizes:
        drawn = {seed: _random(total, size, config.seed, seed) for seed in config.seeds}
        arms.append(Arm(RANDOM, "", drawn))
    return arms


def _random(total: int, size: int, *seeds: int) -> Indices:
    rng = np.random.default_rng([*seeds, 2])
    return np.sort(rng.choice(total, size, replace=False))


def filtered_arms(
    config: MiniCompConfig, pool: NoisyPool, scorer: str, metadata: Path, run_dir: Path
) -> list[Arm]:
    """What curate keeps by the scores of one model; the larger size by the own model's only.

    Args:
        config: the protocol.
        pool: the noisy pool.
        scorer: `own` or `embedded`.
        metadata: what `filters.write_metadata` wrote of the scorer's embeddings.
        run_dir: of curate.
    """
    sizes = sizes_of(config, pool)[: None if scorer == OWN else 1]
    kept = kept_uids(metadata, pool.shards[0].parent, run_dir, sizes)
    at = {uid: row for row, uid in enumerate(pool.uids)}
    return [
        Arm(name, scorer, dict.fromkeys(config.seeds, _rows(at, kept[name, size])))
        for size in sizes
        for name in FILTERS
    ]


def _rows(at: Mapping[str, int], uids: Iterable[str]) -> Indices:
    return np.array(sorted(at[uid] for uid in uids), np.int64)


def in_order(arms: Sequence[Arm]) -> list[Arm]:
    """As they are trained and shown: no filter, then by size, the embedded model's last."""
    return sorted(arms, key=lambda arm: (arm.name != NO_FILTER, arm.scorer == EMBEDDED, arm.size))
