"""The target set that VAS and NormSim compare with: what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.numerics.alignment import second_moment

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

BLOCK_ROWS: Final = 8192
"""Rows that are widened to float64 at a time: 50 MB at 768 dimensions."""


@dataclass(frozen=True, slots=True)
class Target:
    """What scoring takes of a target set of m embeddings.

    Attributes:
        size: m.
        image_moment: float64 [d, d], mean of t t^T over its images.
        text_moment: the same of its texts; None where it has none.
        cross_moment: float64 [d, d], mean of t s^T over its pairs of image and text; None likewise.
        image: float32 [m, d], L2-normalised; None where no score needs the members themselves.
    """

    size: int
    image_moment: Float64
    text_moment: Float64 | None = None
    cross_moment: Float64 | None = None
    image: Float32 | None = None


def target_of(image: Float32, text: Float32 | None, *, members: bool) -> Target:
    """Take the moments of a target set.

    Args:
        image, text: float32 [m, d], L2-normalised, row-aligned, m > 0.
        members: whether the images themselves are kept, for NormSim with p = infinity.
    """
    return Target(
        size=len(image),
        image_moment=second_moment(_blocks(image, image)),
        text_moment=None if text is None else second_moment(_blocks(text, text)),
        cross_moment=None if text is None else second_moment(_blocks(image, text)),
        image=image if members else None,
    )


def _blocks(
    x: npt.NDArray[Any], y: npt.NDArray[Any]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    for start in range(0, len(x), BLOCK_ROWS):
        yield x[start : start + BLOCK_ROWS], y[start : start + BLOCK_ROWS]
