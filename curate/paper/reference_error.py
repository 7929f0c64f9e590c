"""The error of a Reference, and of its ranking, against the size of its sample.

Pairs of disjoint random subsets of each size are fitted as `curate fit` would, and compared with
the Reference of all pairs and with each other. A subset of n out of N pairs is nearer to all N
than to the population that these were drawn from: errors are divided by sqrt(1 - n / N), the
finite population correction, which makes them errors of a sample of n. Rankings have no such
correction; there, two subsets that share no pair tell the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.agreement import lowest_overlap, spearman
from curate.numerics.correction import fit_quadratic
from curate.numerics.informativeness import quadratic_form
from curate.numerics.moments import moments_of
from curate.numerics.posterior import Posterior, estimate_priors

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

DRAWS: Final = 5
"""Pairs of disjoint subsets of each size: ten values for each error."""

LOWEST: Final = 0.05
"""Share of the pairs whose membership is compared: what a filter would drop."""

CLOSE: Final = 1.25
"""Ratio of sizes below which one tells nothing that the other does not."""

TYPICAL: Final = 10_000
"""The default of reference.samples, which the fitted powers are evaluated at."""

ERRORS: Final = ("mean", "covariance", "operator")
RANKINGS: Final = ("spearman", "lowest")
_EXPECTED: Final = {"mean": -0.5, "covariance": -0.5, "operator": -0.5, "spearman": -1.0}
"""Exponents of theory. 1 - Spearman goes with the variance of the scores' error; what is among
the lowest changes by as many pairs as the error carries across the cut."""


@dataclass(frozen=True, eq=False)
class Side:
    """What scores one modality, as in the Reference, and how far its embeddings scatter.

    Attributes:
        mean: float64 [d].
        metric: float64 [d, d], G of the other modality.
        spread: root of the trace of this modality's covariance.
    """

    mean: Float64
    metric: Float64
    spread: float


@dataclass(frozen=True)
class Draw:
    """One subset against all pairs, or (rankings only) against a disjoint one.

    Attributes:
        mean: |mean - mean of all| / spread.
        covariance: |G - G of all| / |G of all|, Frobenius norm.
        operator: the same in the operator norm: the largest error in any direction.
        spearman, lowest: rank correlation of the scores, and overlap of their lowest
            5 %, with those under the Reference of all.
        spearman_apart, lowest_apart: the same with those under the disjoint subset's.
    """

    mean: float
    covariance: float
    operator: float
    spearman: float
    lowest: float
    spearman_apart: float
    lowest_apart: float


def fit_sides(image: Float32, text: Float32, posterior: Posterior) -> dict[str, Side]:
    """The default Reference of some pairs: prior `model`, covariance `corrected` (Eq. 5).

    Args:
        image, text: float32 [n, d], L2-normalised.
        posterior: link and temperature.

    Returns:
        `image` and `text`.
    """
    p_image, p_text = estimate_priors(image, text, posterior)
    image_side, text_side = (image, p_image), (text, p_text)
    return {
        "image": _fit_side(image_side, text_side, posterior),
        "text": _fit_side(text_side, image_side, posterior),
    }


def _fit_side(
    own: tuple[Float32, Float64], other: tuple[Float32, Float64], posterior: Posterior
) -> Side:
    found = fit_quadratic(own[0], other[0], own[1], other[1], posterior)
    spread = math.sqrt(float(np.trace(moments_of(*own).covariance)))
    return Side(found.mean, found.metric, spread)


def usable_sizes(sizes: Sequence[int], n: int) -> list[int]:
    """The sizes of which n pairs hold two disjoint samples; growing, distinct.

    What is larger than n // 2 is replaced by n // 2, unless another size comes close to it.

    Raises:
        NumericsError: not even two of the smallest size can be drawn.
    """
    if not sizes or n < 2 * min(sizes):
        raise NumericsError(
            f"sample sizes: {n} pairs hold no two disjoint samples of {min(sizes, default=0)};"
            " fit on more pairs, or lower paper.sample_sizes"
        )
    usable = {size for size in sizes if size <= n // 2}
    if max(sizes) > n // 2 > CLOSE * max(usable):
        usable.add(n // 2)
    return sorted(usable)


def draw_sizes(
    image: Float32,
    text: Float32,
    posterior: Posterior,
    sizes: Sequence[int],
    *,
    scored: tuple[Float32, Float32] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Iterator[tuple[int, str, Draw]]:
    """Fit two disjoint random subsets of each size, `draws` times.

    The subsets depend on the seed and the size alone, whichever other sizes are asked for.

    Args:
        image, text: float32 [n, d], L2-normalised, row i of both from pair i.
        posterior: link and temperature.
        sizes: as `usable_sizes` returns them.
        scored: images and texts [m, d] whose scores are compared; the sample's own if None.
        draws: pairs of subsets of each size.
        seed: of the draws.

    Yields:
        (size, modality, what was found); 2 x draws of each size and modality.
    """
    embeddings = dict(zip(("image", "text"), scored or (image, text), strict=True))
    whole = fit_sides(image, text, posterior)
    truth = {name: _scores(embeddings[name], side) for name, side in whole.items()}
    for size in sizes:
        rng = np.random.default_rng([seed, size])
        for _ in range(draws):
            chosen = rng.permutation(len(image))[: 2 * size]
            # Sorted, since sums are taken in this order.
            halves = [np.sort(chosen[:size]), np.sort(chosen[size:])]
            fitted = [fit_sides(image[half], text[half], posterior) for half in halves]
            for name, values in truth.items():
                sides = [fit[name] for fit in fitted]
                scores = [_scores(embeddings[name], side) for side in sides]
                apart = _ranking(scores[0], scores[1])
                for side, score in zip(sides, scores, strict=True):
                    errors = _errors(side, whole[name], math.sqrt(1 - size / len(image)))
                    yield size, name, Draw(*errors, *_ranking(score, values), *apart)


def summarise(found: Sequence[tuple[int, str, Draw]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the draws, by modality and size; `X` and `X_sd`."""
    rows = []
    for name, size in sorted({(name, size) for size, name, _ in found}):
        draws = [asdict(draw) for at, who, draw in found if (at, who) == (size, name)]
        row: dict[str, Any] = {"modality": name, "pairs": size, "draws": len(draws)}
        for measure in draws[0]:
            values = np.array([draw[measure] for draw in draws])
            row[measure] = float(values.mean())
            row[f"{measure}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        rows.append(row)
    return rows


def powers(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Fit error = c n^exponent to each measure of `summarise`; NaN with a single size.

    Of rankings, what is missing to 1 between disjoint subsets is fitted.
    """
    found = []
    for name in sorted({row["modality"] for row in rows}):
        mine = [row for row in rows if row["modality"] == name]
        sizes = np.array([row["pairs"] for row in mine], dtype=np.float64)
        for measure in (*ERRORS, *RANKINGS):
            ranks = measure in RANKINGS
            values = np.array([1 - r[f"{measure}_apart"] if ranks else r[measure] for r in mine])
            exponent, typical = _power(sizes, values)
            found.append(
                {
                    "modality": name,
                    "measure": f"1 - {measure}, disjoint" if ranks else f"{measure} error",
                    "exponent": exponent,
                    "expected": _EXPECTED.get(measure, -0.5),
                    f"at {TYPICAL} pairs": typical,
                }
            )
    return found


# --- parts ------------------------------------------------------------------------------------


def _scores(embeddings: Float32, side: Side) -> Float64:
    return quadratic_form(embeddings, side.mean, side.metric)


def _errors(side: Side, whole: Side, correction: float) -> tuple[float, float, float]:
    shift = np.linalg.norm(side.mean - whole.mean) / whole.spread
    difference = side.metric - whole.metric
    frobenius = np.linalg.norm(difference) / np.linalg.norm(whole.metric)
    operator = np.linalg.norm(difference, 2) / np.linalg.norm(whole.metric, 2)
    return float(shift) / correction, float(frobenius) / correction, float(operator) / correction


def _ranking(a: Float64, b: Float64) -> tuple[float, float]:
    return spearman(a, b), lowest_overlap(a, b, LOWEST)


def _power(sizes: Float64, values: Float64) -> tuple[float, float]:
    """The exponent of values = c sizes^exponent, by logarithms, and the value at TYPICAL."""
    if len(sizes) < 2 or not (values > 0).all():
        return math.nan, math.nan
    exponent, constant = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(exponent), float(np.exp(constant + exponent * math.log(TYPICAL)))
