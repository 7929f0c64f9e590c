"""Noise that is paired at random anew in every epoch, as the web pairs it.

The same placeholder comes with a thousand unrelated captions, so a contrastive model can do no
better than to map it where it says nothing: near the mean. Noise in fixed pairs would be learnt by
heart instead, and the effect would be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.synthetic.placeholders import PLACEHOLDER_DESIGNS
from curate.synthetic.scrubbed import SCRUBBED_FAMILIES, scrubbed_caption

HELD_OUT_DESIGNS: tuple[str, ...] = (
    "picture_torn",
    "picture_query",
    "camera_off",
    "sad_face",
    "warning",
    "question",
    "lock",
    "avatar_disc",
    "text_tilted",
    "error_page",
    "spinner",
    "checkerboard",
    "gradient",
    "two_tones",
)
"""A fifth of the designs: never trained on when a run measures generalisation."""

HELD_OUT_FAMILIES: tuple[str, ...] = ("copyright_lines", "urls", "file_names", "slot_phrases")
"""A quarter of the caption families: never trained on when a run measures generalisation."""


@dataclass(frozen=True)
class Families:
    """What a run may draw."""

    designs: tuple[str, ...]
    captions: tuple[str, ...]


def training_families(hold_out: bool) -> Families:
    """Every family, or those that are not held out."""
    if not hold_out:
        return Families(PLACEHOLDER_DESIGNS, SCRUBBED_FAMILIES)
    return Families(
        tuple(d for d in PLACEHOLDER_DESIGNS if d not in HELD_OUT_DESIGNS),
        tuple(f for f in SCRUBBED_FAMILIES if f not in HELD_OUT_FAMILIES),
    )


@dataclass(frozen=True)
class Epoch:
    """The pairs of one epoch, shuffled.

    Attributes:
        images: row of the feature bank per pair, int64.
        captions: the text per pair.
    """

    images: npt.NDArray[np.int64]
    captions: tuple[str, ...]


def scrubbed_captions(rng: np.random.Generator, count: int, families: Sequence[str]) -> list[str]:
    """Fresh scrubbed captions, each of a random one of ``families``."""
    chosen = rng.integers(0, len(families), count)
    return [scrubbed_caption(rng, family=families[i]) for i in chosen]


def mix_epoch(
    rng: np.random.Generator,
    captions: Sequence[str],
    placeholders: int,
    counts: tuple[int, int],
    families: Sequence[str],
) -> Epoch:
    """All true pairs, plus noise that is paired at random.

    Placeholders and scrubbed captions meet each other as often as independence has it. If they
    never met, the model would learn that they exclude each other, and in a pool with both each
    would be informative about the other.

    Args:
        rng: source of randomness.
        captions: caption of every true pair; the pair's image is the bank's row of equal index.
        placeholders: how many follow the true pairs in the bank.
        counts: placeholders and scrubbed captions in the epoch. Placeholders are drawn without
            replacement while they last.
        families: families of scrubbed captions.
    """
    real = len(captions)
    blank, scrubbed = (counts[0] if placeholders else 0, counts[1])
    both = round(blank * scrubbed / (real + blank + scrubbed))
    rows = np.zeros(0, dtype=np.int64)
    if blank:
        rows = real + rng.choice(placeholders, blank, replace=blank > placeholders)
    images = np.concatenate([np.arange(real), rows, rng.integers(0, real, scrubbed - both)])
    texts = [
        *captions,
        *scrubbed_captions(rng, both, families),
        *(captions[i] for i in rng.integers(0, real, blank - both)),
        *scrubbed_captions(rng, scrubbed - both, families),
    ]
    order = rng.permutation(len(texts))
    return Epoch(images[order].astype(np.int64), tuple(texts[i] for i in order))


def epoch_size(real: int, counts: tuple[int, int]) -> int:
    """Pairs of one epoch of :func:`mix_epoch` with at least one placeholder in the bank."""
    blank, scrubbed = counts
    return real + blank + scrubbed - round(blank * scrubbed / (real + blank + scrubbed))
