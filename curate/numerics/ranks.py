"""Which element of a sorted sample or pool a fraction means."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import DROP_ALL, KEEP_ALL, Cut, as_present

Rule = Literal["drop_lowest", "keep_highest"]


def rank_of(n: int, fraction: float, rule: Rule) -> int:
    """How many of `n` samples a fraction drops; the rank (0-based) of the first one kept.

    `drop_lowest` f drops floor(n f); `keep_highest` f keeps floor(n f). The fraction is taken as
    the decimal that it prints as: 0.29 of 100 is 29, although the float times 100 is below.

    Raises:
        NumericsError: n < 0, a fraction outside of [0, 1], or an unknown rule.
    """
    if rule not in get_args(Rule):
        raise NumericsError(f"rule is {rule!r}; expected one of {get_args(Rule)}")
    if n < 0 or not (math.isfinite(fraction) and 0 <= fraction <= 1):
        raise NumericsError(f"fraction {fraction} of {n}: expected a fraction in [0, 1] and n >= 0")
    share = math.floor(Fraction(str(fraction)) * n)
    return share if rule == "drop_lowest" else n - share


def datacomp_rank(n: int, fraction: float) -> int:
    """The rank (0-based, ascending) of the value that DataComp's baselines keep a fraction from.

    Their threshold is `-np.sort(-x)[int(n * fraction)]`, and what is `>=` it stays: the product is
    taken in float64 and cut off, and one sample more than the fraction is kept, and all its ties
    (baselines/apply_filter.py, `get_threshold`).

    Returns:
        n - 1 - int(n x fraction); -1 for a fraction of 1, where DataComp's index is out of range
        and nothing is dropped here.

    Raises:
        NumericsError: n < 0, or a fraction outside of [0, 1].
    """
    if n < 0 or not 0 <= fraction <= 1:
        raise NumericsError(f"fraction {fraction} of {n}: expected a fraction in [0, 1] and n >= 0")
    return n - 1 - int(n * fraction)


def quantile_cut(sample_values: npt.ArrayLike, fraction: float, rule: Rule) -> Cut:
    """Find the cut that a fraction means on a sample in memory, such as the Reference.

    Its value is the k-th smallest (0-based), k = `rank_of`, and it has no uid: values that tie
    with it stay. k = 0 gives -inf (nothing is dropped, out of the sample or in it), k = n +inf.

    Args:
        sample_values: real [n], in any order, n >= 1.
        fraction: in [0, 1].
        rule: `drop_lowest` or `keep_highest`.

    Raises:
        NumericsError: no values, NaN, or as `rank_of`.
    """
    values = as_present(sample_values, "sample values")
    if len(values) == 0:
        raise NumericsError("sample values are empty; a fraction needs a sample to refer to")
    rank = rank_of(len(values), fraction, rule)
    if rank == 0:
        return KEEP_ALL
    if rank == len(values):
        return DROP_ALL
    # + 0.0: which of -0.0 and 0.0 a partition puts first is not defined.
    return Cut(float(np.partition(values, rank)[rank]) + 0.0)
