from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.errors import NumericsError
from curate.numerics import moments as module
from curate.numerics.moments import Moments, merge, merge_all, moments_of

VALUES = st.floats(-100, 100, width=32)


def close(a: Moments, b: Moments, size: float = 100.0) -> None:
    assert a.weight == pytest.approx(b.weight, rel=1e-12)
    np.testing.assert_allclose(a.mean, b.mean, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(
        a.scatter, b.scatter, rtol=0, atol=1e-12 * size**2 * max(a.weight, 1)
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_naive_sums(weighted, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(loc=3.0, size=(57, 5)).astype(dtype)
    weights = rng.uniform(size=57) if weighted else None
    mean, covariance = naive.weighted_covariance(x, np.ones(57) if weights is None else weights)
    found = moments_of(x, weights)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-11, atol=1e-14)
    assert found.weight == pytest.approx(57 if weights is None else weights.sum(), rel=1e-14)
    assert found.dim == 5


def test_float32_far_from_the_origin_loses_nothing():
    x = (1000 + np.random.default_rng(1).normal(size=(4000, 3))).astype(np.float32)
    expected = np.cov(x.astype(np.float64), rowvar=False, bias=True)
    np.testing.assert_allclose(moments_of(x).covariance, expected, rtol=1e-10, atol=1e-10)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(100, 4)), rng.uniform(size=100)
    weights[14:21] = 0  # a block of weight 0 in the middle
    whole = moments_of(x, weights)
    monkeypatch.setattr(module, "_BLOCK_ROWS", 7)
    close(moments_of(x, weights), whole, 10)


@given(data=st.data())
def test_merge_equals_one_pass_in_any_partition_and_order(data):
    n = data.draw(st.integers(1, 30))
    d = data.draw(st.integers(1, 4))
    x = data.draw(hnp.arrays(np.float32, (n, d), elements=VALUES))
    weights = data.draw(hnp.arrays(np.float64, n, elements=st.floats(0.01, 10)))
    groups = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    parts = [moments_of(x[groups == g], weights[groups == g]) for g in np.unique(groups)]
    order = data.draw(st.permutations(range(len(parts))))
    close(merge_all(parts[i] for i in order), moments_of(x, weights))


@given(data=st.data())
def test_merge_is_associative_and_commutative(data):
    shape = st.tuples(st.integers(1, 6), st.just(3))
    a, b, c = (
        moments_of(data.draw(hnp.arrays(np.float32, shape, elements=VALUES))) for _ in range(3)
    )
    close(merge(a, b), merge(b, a))
    close(merge(merge(a, b), c), merge(a, merge(b, c)))


def test_empty_is_the_identity():
    a, empty = moments_of([[1.0, 2.0], [3.0, 5.0]]), Moments.empty(2)
    assert merge(a, empty) is a
    assert merge(empty, a) is a
    assert merge(empty, empty).weight == 0
    with pytest.raises(NumericsError, match="empty sample has no covariance"):
        _ = empty.covariance


def test_one_row_has_no_scatter():
    assert moments_of([[1.5, -2.0]]).scatter.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_weights_scale_and_counts_agree():
    x = np.random.default_rng(3).normal(size=(6, 3))
    counts = np.array([1, 2, 3, 1, 1, 4])
    close(moments_of(x, counts), moments_of(np.repeat(x, counts, axis=0)), 10)


def test_extreme_weights_neither_overflow_nor_vanish():
    for weight in (1e-300, 1e300):
        merged = merge(moments_of([[0.0]], [weight]), moments_of([[2.0]], [weight]))
        assert merged.mean[0] == pytest.approx(1)
        assert merged.covariance[0, 0] == pytest.approx(1)


def test_scatter_is_symmetric_to_the_bit_and_read_only():
    rng = np.random.default_rng(4)
    found = moments_of(rng.normal(size=(200, 30)), rng.uniform(size=200))
    assert np.array_equal(found.scatter, found.scatter.T)
    with pytest.raises(ValueError, match="read-only"):
        found.mean[0] = 1


@pytest.mark.parametrize(
    ("x", "weights", "message"),
    [
        ([1.0, 2.0], None, "expected \\[n, d\\]"),
        (np.zeros((0, 3)), None, "n, d >= 1"),
        ([[1.0, np.nan]], None, "NaN or infinity in rows 0 to 0"),
        ([[np.inf, 1.0]], None, "NaN or infinity"),
        ([[1.0], [2.0]], [1.0], "expected \\(2,\\)"),
        ([[1.0], [2.0]], [1.0, -1.0], ">= 0"),
        ([[1.0], [2.0]], [1.0, np.nan], "finite"),
        ([[1.0], [2.0]], [0.0, 0.0], "sum to 0"),
    ],
)
def test_refuses_bad_input(x, weights, message):
    with pytest.raises(NumericsError, match=message):
        moments_of(x, weights)


def test_refuses_what_does_not_fit():
    with pytest.raises(NumericsError, match="widths 1 and 2"):
        merge(Moments.empty(1), Moments.empty(2))
    with pytest.raises(NumericsError, match="nothing to merge"):
        merge_all([])
    with pytest.raises(NumericsError, match="do not fit"):
        Moments(1.0, np.zeros(2), np.zeros((3, 3)))
    with pytest.raises(NumericsError, match="weight is -1"):
        Moments(-1.0, np.zeros(1), np.zeros((1, 1)))
    with pytest.raises(NumericsError, match="NaN"):
        Moments(1.0, np.array([np.nan]), np.zeros((1, 1)))
    with pytest.raises(NumericsError, match="width is 0"):
        Moments.empty(0)
