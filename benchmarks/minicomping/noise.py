"""What is done to a pool of clean pairs: drawn once, then fixed, as a crawl is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from curate.synthetic.scrubbed import SCRUBBED_FAMILIES
from curate.training.noise import scrubbed_captions
from minicomping.config import PoolNoise

CLEAN: Final = "clean"
PLACEHOLDER: Final = "placeholder"
SCRUBBED: Final = "scrubbed caption"
BOTH: Final = "placeholder and scrubbed caption"
MISMATCHED: Final = "mismatched"

KINDS: Final = (CLEAN, PLACEHOLDER, SCRUBBED, BOTH, MISMATCHED)
OWN_PICTURE: Final = -1


@dataclass(frozen=True, eq=False)
class NoisePlan:
    """The noisy pool, pair by pair.

    Attributes:
        pictures: number of the placeholder in the stock, or OWN_PICTURE, int64 [n].
        captions: n texts.
        kinds: one of KINDS for each pair.
    """

    pictures: npt.NDArray[np.int64]
    captions: tuple[str, ...]
    kinds: tuple[str, ...]


def plan_noise(captions: Sequence[str], noise: PoolNoise, seed: int) -> NoisePlan:
    """Decide what becomes of every pair.

    Placeholders and scrubbed captions are drawn independently, to the nearest pair; mismatched
    pairs exchange captions in a circle. One that thereby gets the very text it had stays clean.
    """
    rng = np.random.default_rng([seed, 0])
    total = len(captions)
    blank = _chosen(rng, np.arange(total), total, noise.placeholders)
    scrubbed = _chosen(rng, np.arange(total), total, noise.captions)
    sound = np.setdiff1d(np.arange(total), np.union1d(blank, scrubbed))
    mismatched = _chosen(rng, sound, total, noise.mismatched)
    pictures = np.full(total, OWN_PICTURE, np.int64)
    pictures[blank] = _popular(rng, noise.stock, len(blank))
    texts = list(captions)
    for at, text in zip(
        scrubbed, scrubbed_captions(rng, len(scrubbed), SCRUBBED_FAMILIES), strict=True
    ):
        texts[at] = text
    for at, other in zip(mismatched, np.roll(mismatched, 1), strict=True):
        texts[at] = captions[other]
    is_blank, is_scrubbed, is_mismatched = (
        np.isin(np.arange(total), some) for some in (blank, scrubbed, mismatched)
    )
    kinds = np.select(
        [
            is_blank & is_scrubbed,
            is_blank,
            is_scrubbed,
            is_mismatched & (np.array(texts, object) != np.array(captions, object)),
        ],
        [BOTH, PLACEHOLDER, SCRUBBED, MISMATCHED],
        CLEAN,
    )
    return NoisePlan(pictures, tuple(texts), tuple(kinds.tolist()))


def _chosen(
    rng: np.random.Generator, candidates: npt.NDArray[np.int64], total: int, share: float
) -> npt.NDArray[np.int64]:
    """A share of `total`, drawn from the candidates without replacement, in random order."""
    return rng.choice(candidates, min(round(share * total), len(candidates)), replace=False)


def _popular(rng: np.random.Generator, stock: int, count: int) -> npt.NDArray[np.int64]:
    """Numbers below `stock`, the r-th most popular with weight 1 / r (Zipf's law)."""
    weights = 1 / np.arange(1, stock + 1)
    return rng.permutation(stock)[rng.choice(stock, count, p=weights / weights.sum())]
