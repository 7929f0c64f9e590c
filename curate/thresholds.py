"""What the Reference's sample says of the rules' fractions: thresholds, and how sure they are.

A fraction `of: reference` is cut where the sample's quantile lies, so its error is the decision's.
A fraction `of: pool` is cut exactly, over the scored pool: here it is only previewed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from curate.config import Rules
from curate.numerics.quantile_error import QuantileError, quantile_error, sample_needed
from curate.rules import FRACTIONS, leaves, quantile_name

LARGEST_RELATIVE_ERROR: Final = 0.1
"""Standard error of a dropped or kept share, relative to it, above which a sample is called too
small: a cut at 5 % then drops between 4 and 6 %, with 95 % confidence."""

_UNITS: Final = {
    "informativeness": "nats",
    "information_gain": "nats",
    "width": "pixels",
    "height": "pixels",
    "caption_chars": "characters",
    "caption_words": "words",
}
"""Part of a column's name -> its unit; similarities and norms have none."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One fraction of the rules on the Reference's sample.

    Attributes:
        name: of the test, as in the reasons.
        column: what it compares.
        of: whose fraction it is.
        error: the cut and its error; None if the sample's scores lack the column.
    """

    name: str
    column: str
    of: Literal["pool", "reference"]
    error: QuantileError | None


def sample_thresholds(rules: Rules, sample: pa.Table) -> tuple[Threshold, ...]:
    """Find the thresholds of every fraction in the rules, each once, in the order written.

    Args:
        rules: the rule tree.
        sample: scores of the Reference's sample.

    Raises:
        NumericsError: a score of the sample is not finite.
    """
    found: dict[str, Threshold] = {}
    for column, criteria in leaves(rules):
        for rule in FRACTIONS:
            fraction = getattr(criteria, rule)
            if fraction is None:
                continue
            name = quantile_name(column, criteria, rule)
            error = None
            if column in sample.column_names and not sample[column].null_count:
                error = quantile_error(sample[column].to_numpy(), fraction, rule)
            found.setdefault(name, Threshold(name, column, criteria.of, error))
    return tuple(found.values())


def fixed_by(thresholds: Iterable[Threshold]) -> tuple[Threshold, ...]:
    """The thresholds that the sample decides, not only previews."""
    return tuple(threshold for threshold in thresholds if threshold.of == "reference")


def warning(threshold: Threshold) -> str | None:
    """What is wrong with a sample that is too small for a fraction, and the remedy; else None.

    The dropped share of n pairs cut at p has the standard error sqrt(p (1 - p) / n), which must
    not exceed a tenth of the smaller part, p or 1 - p. A preview decides nothing: no warning.
    """
    error = threshold.error
    if error is None or threshold.of == "pool" or not _too_small(error):
        return None
    return (
        f"rules: {threshold.name}: a Reference of {error.n:,} pairs places this cut with a relative"
        f" error of {_percent(error.relative_error)}; set reference.samples: at least"
        f" {sample_needed(error.dropped, LARGEST_RELATIVE_ERROR)}"
        f" ({_percent(LARGEST_RELATIVE_ERROR)}), or `of: pool`, which cuts exactly"
    )


def explain(threshold: Threshold) -> Iterator[str]:
    """Lines that tell a threshold: its value, its error, and the share that it drops."""
    error = threshold.error
    if error is None:
        yield "unknown: the sample's scores lack this column, or some of its values"
        return
    if math.isfinite(error.value):
        unit = unit_of(threshold.column)
        low, high = (_rounded(bound, error.standard_error) for bound in (error.low, error.high))
        yield (
            f"cut at {_rounded(error.value, error.standard_error)}{unit}, standard error"
            f" {_rounded(error.standard_error, error.standard_error)} ({low} to {high})"
        )
        yield (
            f"drops {_percent(error.dropped)} of such pairs, standard error"
            f" {_percent(error.dropped_error)} ({_percent(error.dropped_low)} to"
            f" {_percent(error.dropped_high)})"
        )
    else:
        what = "nothing" if error.value < 0 else "everything"
        yield f"drops {what}: the cut lies beyond all {error.n:,} pairs of the sample"
    if threshold.of == "pool":
        rough = ", a rough one" if _too_small(error) else ""
        yield f"a preview{rough}: `of: pool` cuts exactly, once the pool is scored"


def unit_of(column: str) -> str:
    """The unit of a column, behind a space; empty for what has none."""
    return next((f" {unit}" for part, unit in _UNITS.items() if part in column), "")


def _too_small(error: QuantileError) -> bool:
    return error.relative_error > LARGEST_RELATIVE_ERROR


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rounded(number: float, error: float) -> str:
    """A number to two digits of its error, as measurements are written."""
    if not math.isfinite(number):
        return "no bound"
    if not error > 0:
        return f"{number:.6g}"
    return f"{number:.{max(0, 1 - math.floor(math.log10(error)))}f}"
