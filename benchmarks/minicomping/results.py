"""The outcome as plain numbers: what `results.json` holds, and what is computed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from minicomping.arms import NO_FILTER, Arm
from minicomping.config import MiniCompConfig
from minicomping.noise import CLEAN
from minicomping.pool import NoisyPool

Results = dict[str, Any]

WITHOUT_SCORES: Final = ""


def results(
    config: MiniCompConfig,
    pool: NoisyPool,
    arms: Sequence[Arm],
    trainings: Sequence[Sequence[Mapping[str, Any]]],
    evaluated: int,
) -> Results:
    """Everything that was found, JSON-ready.

    Args:
        config: the protocol.
        pool: the noisy pool.
        arms: what was trained on.
        trainings: for each arm, the outcome under each seed: see `trainings.run_trainings`.
        evaluated: number of clean pairs that were retrieved.
    """
    protocol = config.model_dump(mode="json", exclude={"work_dir"})
    return {
        "protocol": protocol,
        "pool": {kind: pool.kinds.count(kind) for kind in sorted(set(pool.kinds))},
        "evaluated": evaluated,
        "arms": [
            {
                "name": arm.name,
                "scorer": arm.scorer,
                "pairs": arm.size,
                "kinds": arm.kinds(pool),
                "passes": round(config.budget.samples_seen / arm.size, 2),
                "trainings": [
                    {"seed": seed, **one} for seed, one in zip(config.seeds, found, strict=True)
                ],
            }
            for arm, found in zip(arms, trainings, strict=True)
        ],
    }


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and how far it can be trusted.

    Attributes:
        mean: over the seeds.
        deviation: standard deviation over the seeds, of n - 1.
        error: standard error of the mean, deviation / sqrt(n).
    """

    mean: float
    deviation: float
    error: float


def spread(values: Sequence[float]) -> Spread:
    """Mean, deviation and standard error of at least two values."""
    deviation = float(np.std(values, ddof=1))
    return Spread(float(np.mean(values)), deviation, deviation / len(values) ** 0.5)


def figures(arm: Mapping[str, Any], name: str) -> list[float]:
    """A figure of an arm under every seed, in the seeds' order."""
    return [float(one["figures"][name]) for one in arm["trainings"]]


def gain(found: Results, arm: Mapping[str, Any], name: str) -> Spread:
    """What an arm has more than training on everything, seed by seed: both began alike."""
    base = next(one for one in found["arms"] if one["name"] == NO_FILTER)
    pairs = zip(figures(arm, name), figures(base, name), strict=True)
    return spread([ours - theirs for ours, theirs in pairs])


def noise_left(arm: Mapping[str, Any]) -> float:
    """Share of an arm's pairs that are not clean."""
    return 1 - float(arm["kinds"][CLEAN]) / float(arm["pairs"])
