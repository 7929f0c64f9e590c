"""How much labelled noise a cut catches. Used on pools whose ground truth is kept aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.selection import rank_of


@dataclass(frozen=True, slots=True)
class Catch:
    """What dropping the lowest share of a score catches.

    Attributes:
        noise: labelled samples.
        rejected: of those, never scored (an empty caption, say); they are out in any case.
        lowest: of those, among the lowest share of the scored samples.
        clean_lost: share of the unlabelled scored samples that the cut drops.
    """

    noise: int
    rejected: int
    lowest: int
    clean_lost: float

    @property
    def recall(self) -> float:
        """Share of the labelled samples that do not get through."""
        return (self.lowest + self.rejected) / self.noise


def catch_lowest(
    values: npt.NDArray[np.floating], is_noise: npt.NDArray[np.bool_], fraction: float
) -> Catch:
    """Count the labelled samples among the lowest share of a score.

    Args:
        values: float [n], NaN for rejected samples.
        is_noise: bool [n], the label.
        fraction: share of the scored samples that is dropped; exactly floor(scored x fraction).

    Raises:
        NumericsError: shapes differ, or nothing is labelled.
    """
    if values.shape != is_noise.shape or values.ndim != 1:
        raise NumericsError(f"values {values.shape} and labels {is_noise.shape}; expected [n] each")
    if not is_noise.any():
        raise NumericsError("no sample is labelled as noise: there is no recall to measure")
    scored = np.flatnonzero(np.isfinite(values))
    rank = rank_of(len(scored), fraction, "drop_lowest")
    lowest = scored[np.argsort(values[scored], kind="stable")[:rank]]
    clean = len(scored) - int(is_noise[scored].sum())
    caught = int(is_noise[lowest].sum())
    return Catch(
        noise=int(is_noise.sum()),
        rejected=int(is_noise.sum() - is_noise[scored].sum()),
        lowest=caught,
        clean_lost=(len(lowest) - caught) / clean if clean else 0.0,
    )
