"""Errors of quantiles against exact sums, brute-force resampling and simulated samples."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.quantile_error import (
    CONFIDENCE,
    QuantileError,
    beta_quantile,
    binomial,
    order_statistic_error,
    order_statistic_weights,
    quantile_error,
    relative_error,
    sample_needed,
)
from curate.numerics.selection import Rule, quantile_cut

RULES: tuple[Rule, ...] = ("drop_lowest", "keep_highest")

sizes = st.integers(2, 400)
fractions = st.integers(1, 999).map(lambda thousandths: thousandths / 1000)


def exact_binomial(n: int, p: Fraction) -> list[Fraction]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def at_least(n: int, p: Fraction, k: int) -> Fraction:
    return sum(exact_binomial(n, p)[k:], Fraction(0))


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (7, 0.25), (60, 0.03125), (300, 0.9375)])
def test_binomial_is_exact(n: int, p: float) -> None:
    first, found = binomial(n, p)
    expected = [float(q) for q in exact_binomial(n, Fraction(p))]
    assert sum(expected[:first]) + sum(expected[first + len(found) :]) < 1e-15
    np.testing.assert_allclose(found, expected[first : first + len(found)], rtol=1e-12, atol=0)


def test_a_large_binomial_is_poisson_or_normal() -> None:
    first, found = binomial(10**7, 1e-6)
    poisson = [math.exp(-10) * 10.0**k / math.factorial(k) for k in range(30)]
    assert first == 0
    np.testing.assert_allclose(found[:30], poisson, rtol=1e-4)
    first, found = binomial(10**6, 0.5)
    counts = first + np.arange(len(found))
    assert float(found @ counts) == pytest.approx(5e5, rel=1e-12)
    assert float(found @ (counts - 5e5) ** 2) == pytest.approx(2.5e5, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 40), (40, 1), (3, 8), (20, 80)])
@pytest.mark.parametrize("level", [0.025, 0.5, 0.975])
def test_beta_quantiles_invert_the_exact_distribution(a: int, b: int, level: float) -> None:
    x = Fraction(beta_quantile(a, b, level))
    assert float(at_least(a + b - 1, x, a)) == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize(("n", "rank"), [(1, 0), (2, 1), (9, 0), (9, 8), (80, 3), (80, 40)])
def test_the_weights_are_the_bootstraps(n: int, rank: int) -> None:
    upto = [at_least(n, Fraction(i, n), rank + 1) for i in range(n + 1)]
    expected = [float(upto[i + 1] - upto[i]) for i in range(n)]
    first, found = order_statistic_weights(n, rank)
    padded = np.zeros(n)
    padded[first : first + len(found)] = found
    np.testing.assert_allclose(padded, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("rank", [2, 40, 196])
def test_the_standard_error_is_that_of_a_brute_force_bootstrap(rank: int) -> None:
    rng = np.random.default_rng(rank)
    values = np.sort(rng.lognormal(size=200))
    resamples = np.sort(rng.choice(values, (20_000, 200)), axis=1)[:, rank]
    assert order_statistic_error(values, rank) == pytest.approx(resamples.std(), rel=0.03)


@pytest.mark.parametrize(("n", "p"), [(60, 0.5), (400, 0.05), (400, 0.9)])
def test_intervals_cover_what_they_promise(n: int, p: float) -> None:
    # Uniform draws: the p-quantile is p, and the share below a cut is the cut.
    rng = np.random.default_rng(n)
    found = [quantile_error(rng.random(n), p, "drop_lowest") for _ in range(500)]
    covered = np.mean([e.low <= p <= e.high for e in found])
    noise = 3 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / len(found))
    assert CONFIDENCE - noise <= covered <= CONFIDENCE + 0.04  # discrete: it promises "at least"
    dropped = np.mean([e.dropped_low <= e.value <= e.dropped_high for e in found])
    assert abs(dropped - CONFIDENCE) <= noise


def test_errors_are_the_spread_over_samples() -> None:
    rng = np.random.default_rng(5)
    found = [quantile_error(rng.random(2000), 0.05, "drop_lowest") for _ in range(300)]
    spread = np.std([e.value for e in found])
    assert found[0].dropped_error == pytest.approx(spread, rel=0.1)
    assert np.mean([e.standard_error for e in found]) == pytest.approx(spread, rel=0.1)
    assert found[0].relative_error == pytest.approx(spread / 0.05, rel=0.1)


@settings(max_examples=60, deadline=None)
@given(sizes, fractions, st.sampled_from(RULES), st.integers(0, 99))
def test_the_cut_is_the_rules_own(n: int, fraction: float, rule: Rule, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    found = quantile_error(values, fraction, rule)
    assert found.value == quantile_cut(values, fraction, rule).value
    assert found.low <= found.value <= found.high
    assert 0 <= found.dropped_low <= found.dropped_high <= 1
    assert found == quantile_error(values[::-1], fraction, rule) or math.isnan(found.standard_error)


@settings(max_examples=60, deadline=None)
@given(sizes, fractions, fractions, st.integers(0, 99))
def test_everything_grows_with_the_fraction(n: int, f: float, g: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    a, b = (quantile_error(values, x, "drop_lowest") for x in sorted((f, g)))
    for name in ("value", "low", "high", "dropped", "dropped_low", "dropped_high"):
        assert getattr(a, name) <= getattr(b, name), name


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, fractions)
def test_more_pairs_tell_more(n: int, m: int, fraction: float) -> None:
    small, large = (
        quantile_error(np.arange(size), fraction, "drop_lowest") for size in sorted((n, m))
    )
    assert small.dropped_error >= large.dropped_error
    assert small.relative_error >= large.relative_error


@settings(max_examples=60, deadline=None)
@given(sizes, fractions, st.integers(0, 99))
def test_a_unit_changes_the_unit_only(n: int, fraction: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    a, b = (quantile_error(v, fraction, "keep_highest") for v in (values, values * 4))
    for name in ("value", "standard_error", "low", "high"):
        assert getattr(b, name) == pytest.approx(4 * getattr(a, name), rel=1e-9, nan_ok=True)
    assert (a.dropped_low, a.dropped_high) == (b.dropped_low, b.dropped_high)


@settings(max_examples=100, deadline=None)
@given(fractions, st.sampled_from([0.05, 0.1, 0.3]))
def test_as_many_pairs_are_needed_as_it_says(share: float, relative: float) -> None:
    n = sample_needed(share, relative)
    assert relative_error(share, n) <= relative * (1 + 1e-9)
    assert n == 1 or relative_error(share, n - 1) > relative
    assert n == sample_needed(1 - share, relative)


def test_known_sizes() -> None:
    assert sample_needed(0.05, 0.1) == 1900
    assert sample_needed(0.1, 0.1) == 900
    assert sample_needed(0.0, 0.1) == sample_needed(1.0, 0.1) == 0
    assert relative_error(0.05, 1900) == pytest.approx(0.1)
    assert relative_error(1.0, 5) == 0.0


def test_a_cut_beyond_the_sample_has_no_error() -> None:
    for rule, cut, share in (("drop_lowest", -math.inf, 0.0), ("keep_highest", math.inf, 1.0)):
        found = quantile_error([3.0, 1.0, 2.0], 0.25, rule)  # type: ignore[arg-type]
        assert (found.value, found.low, found.high) == (cut, cut, cut)
        assert (found.dropped_low, found.dropped_high) == (share, share)
        assert math.isnan(found.standard_error)
        assert found.relative_error == pytest.approx(1.0)  # sqrt(0.75 / (0.25 x 3))


def test_too_small_a_sample_bounds_nothing() -> None:
    found = quantile_error(np.arange(20), 0.05, "drop_lowest")
    assert found.value == 1.0
    assert found.low == -math.inf
    assert found.high == 3.0  # P(B >= 4) = 0.016, P(B >= 3) = 0.075, B ~ Binomial(20, 0.05)
    found = quantile_error(np.arange(20), 0.05, "keep_highest")
    assert (found.low, found.high) == (16.0, math.inf)


def test_equal_values_have_no_spread() -> None:
    found = quantile_error(np.full(100, 7, dtype=np.int32), 0.3, "drop_lowest")
    assert (found.value, found.standard_error, found.low, found.high) == (7.0, 0.0, 7.0, 7.0)
    assert isinstance(found, QuantileError)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [-math.inf, 0.0]])
def test_unusable_samples_are_refused(values: list[float]) -> None:
    with pytest.raises(NumericsError, match="values"):
        quantile_error(values, 0.5, "drop_lowest")
