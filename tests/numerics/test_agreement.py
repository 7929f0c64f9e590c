"""Agreement against numpy's least squares, a plain bootstrap and hand-made ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.agreement import agreement, lowest_overlap, ranks, spearman

NUMBERS = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


def points(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, 3 * x - 2 + rng.normal(size=n)


def test_the_line_is_that_of_least_squares():
    x, y = points()
    found = agreement(x, y)
    slope, intercept = np.polyfit(x, y, 1)
    assert found.slope == pytest.approx(slope)
    assert found.intercept == pytest.approx(intercept)
    residual = ((y - slope * x - intercept) ** 2).sum()
    assert found.r2 == pytest.approx(1 - residual / ((y - y.mean()) ** 2).sum())
    assert found.n == 200
    assert math.isnan(found.r2_low)


def test_large_offsets_do_not_cancel():
    x, y = points()
    assert agreement(x + 1e7, y - 1e7).r2 == pytest.approx(agreement(x, y).r2, rel=1e-6)


def test_the_interval_is_that_of_a_plain_bootstrap():
    x, y = points(60)
    found = agreement(x, y, resamples=4000, seed=1)
    rng = np.random.default_rng(2)
    slopes, r2s = [], []
    for _ in range(4000):
        at = rng.integers(0, 60, 60)
        slopes.append(np.polyfit(x[at], y[at], 1)[0])
        r2s.append(np.corrcoef(x[at], y[at])[0, 1] ** 2)
    # Two bootstraps of 4,000 differ by a few hundredths of the interval.
    width = np.quantile(slopes, 0.975) - np.quantile(slopes, 0.025)
    assert found.slope_low == pytest.approx(np.quantile(slopes, 0.025), abs=0.06 * width)
    assert found.slope_high == pytest.approx(np.quantile(slopes, 0.975), abs=0.06 * width)
    spread = np.quantile(r2s, 0.975) - np.quantile(r2s, 0.025)
    assert found.r2_low == pytest.approx(np.quantile(r2s, 0.025), abs=0.1 * spread)
    assert found.r2_high == pytest.approx(np.quantile(r2s, 0.975), abs=0.1 * spread)
    assert found == agreement(x, y, resamples=4000, seed=1)
    assert found.as_dict()["n"] == 60


def test_a_constant_has_no_r2():
    found = agreement(np.ones(5), np.arange(5))
    assert math.isnan(found.r2)
    assert math.isnan(found.slope)
    assert math.isnan(spearman(np.ones(5), np.arange(5)))


@given(NUMBERS)
def test_ranks_share_ties(values):
    expected = [
        sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values
    ]
    assert ranks(values).tolist() == expected


def test_spearman_is_blind_to_monotone_maps():
    x, y = points()
    assert spearman(np.exp(x), y**3) == pytest.approx(spearman(x, y))
    assert spearman(x, x) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)


@given(NUMBERS, st.floats(0.5, 1))
def test_equal_scores_overlap_wholly(values, share):
    assert lowest_overlap(values, values, share) == 1
    assert 0 <= lowest_overlap(values, values[::-1], share) <= 1


def test_overlap_counts_the_lowest():
    assert lowest_overlap([1, 2, 3, 4], [2, 9, 1, 9], 0.5) == 0.5


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0], [1.0], "expected"),
        ([1.0, 2.0], [1.0], "expected"),
        ([1.0, math.nan], [1.0, 2.0], "NaN"),
    ],
)
def test_what_is_no_set_of_points_is_refused(x, y, message):
    with pytest.raises(NumericsError, match=message):
        agreement(x, y)


def test_no_lowest_is_refused():
    with pytest.raises(NumericsError, match="nothing to compare"):
        lowest_overlap([1, 2], [1, 2], 0.1)
