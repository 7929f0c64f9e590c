"""The exact Information Gain against loops, and what must not change it."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.information_gain import InformationGain, information_gain
from curate.numerics.posterior import Posterior, estimate_priors

LINKS = [
    Posterior("softmax"),
    Posterior("softmax", 15.9),
    Posterior("softmax", 100.0),
    Posterior("sigmoid"),
    Posterior("sigmoid", 10.0, -10.0),
    Posterior("sigmoid", 100.0, -10.0),
]
POSTERIORS = st.builds(
    Posterior, st.sampled_from(["softmax", "sigmoid"]), st.floats(0.01, 120), st.floats(-20, 20)
)


def sample(n=30, m=40, d=8, seed=0):
    rng = np.random.default_rng(seed)
    return naive.unit(rng.normal(size=(n, d)) + 0.5), naive.unit(rng.normal(size=(m, d)) - 0.5)


def in_loops(u, v, prior, p):
    """Eq. 2, one logarithm at a time."""
    gains = []
    for row in naive.posterior(u, v, p):
        terms = (a * (math.log(a) - math.log(b)) for a, b in zip(row, prior, strict=True) if a > 0)
        gains.append(math.fsum(terms))
    return np.array(gains)


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_it_equals_the_loops(p):
    u, v = sample()
    prior = naive.posterior(u, v, p).mean(axis=0)
    expected = in_loops(u, v, prior, p)
    np.testing.assert_allclose(information_gain(u, v, prior, p), expected, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(naive.information_gain(u, v, p), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_float32_is_within_a_ten_thousandth(p, device):
    # Narrow cones give the small values at s = 1 in which float32 has most to lose.
    image, text = naive.cone(600, 64, seed=1, offset=2.0, spectrum=0.5)
    _, prior = estimate_priors(image, text, p)
    exact = information_gain(image, text, prior, p)
    gain = InformationGain(text, prior, p, device=device)
    found = gain(torch.tensor(image, dtype=torch.float32, device=device)).cpu().numpy()
    assert found.dtype == np.float32
    # The inputs are rounded too, which alone moves the smallest values a little.
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6 * exact.mean())


@given(
    p=POSTERIORS,
    n=st.integers(1, 6),
    m=st.integers(1, 9),
    d=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_it_is_never_negative_and_at_most_the_surprise_of_one_candidate(p, n, m, d, seed):
    u, v = sample(n, m, d, seed)
    _, prior = estimate_priors(u, v, p)
    gain = information_gain(u, v, prior, p)
    assert gain.shape == (n,)
    assert (gain >= -1e-12).all()
    assert (gain <= -np.log(prior.min()) + 1e-9).all()


@given(p=POSTERIORS, seed=st.integers(0, 99), data=st.data())
def test_order_and_chunks_do_not_matter(p, seed, data):
    u, v = sample(7, 11, 5, seed)
    prior = estimate_priors(u, v, p)[1]
    gain = information_gain(u, v, prior, p)
    of_u, of_v = data.draw(st.permutations(range(7))), data.draw(st.permutations(range(11)))
    shuffled = information_gain(u[of_u], v[of_v], prior[of_v], p)
    np.testing.assert_allclose(shuffled, gain[of_u], rtol=1e-9, atol=1e-13)
    size = data.draw(st.integers(1, 2000))
    chunked = InformationGain(v, prior, p, dtype=torch.float64, chunk_bytes=size)
    np.testing.assert_allclose(chunked(torch.from_numpy(u)), gain, rtol=1e-9, atol=1e-13)


@given(p=POSTERIORS, seed=st.integers(0, 99), data=st.data())
@settings(max_examples=50)
def test_a_weight_stands_for_duplicates(p, seed, data):
    u, v = sample(6, 5, 4, seed)
    of_u = np.array(data.draw(st.lists(st.integers(1, 3), min_size=6, max_size=6)))
    of_v = np.array(data.draw(st.lists(st.integers(1, 3), min_size=5, max_size=5)))
    p_u, p_v = estimate_priors(u, v, p, image_weights=of_u, text_weights=of_v)
    every_u, every_v = np.repeat(u, of_u, axis=0), np.repeat(v, of_v, axis=0)
    all_u, all_v = estimate_priors(every_u, every_v, p)
    np.testing.assert_allclose(p_u, np.add.reduceat(all_u, np.cumsum(of_u) - of_u), rtol=1e-10)
    np.testing.assert_allclose(p_v, np.add.reduceat(all_v, np.cumsum(of_v) - of_v), rtol=1e-10)
    np.testing.assert_allclose(
        information_gain(u, v, p_v, p, weights=of_v),
        information_gain(u, every_v, all_v, p),
        rtol=1e-8,
        atol=1e-12,
    )


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_one_candidate_or_equal_ones_tell_nothing(p):
    u, v = sample(4, 1)
    assert np.abs(information_gain(u, v, [1.0], p)).max() < 1e-12
    equal = np.repeat(v, 6, axis=0)
    assert np.abs(information_gain(u, equal, np.full(6, 1 / 6), p)).max() < 1e-12


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_fewer_rows_than_dimensions_and_rank_deficient_ones(p):
    u, v = sample(5, 7, 40)
    flat = v * np.r_[np.ones(2), np.zeros(38)]
    for candidates in (v, flat):
        prior = naive.posterior(u, candidates, p).mean(axis=0)
        np.testing.assert_allclose(
            information_gain(u, candidates, prior, p), in_loops(u, candidates, prior, p), rtol=1e-9
        )


def test_no_overflow_where_the_ratio_has_no_float32():
    # p / prior of e^300 and more: the plain ratio has no float32, its logarithm has.
    v = np.eye(3)
    prior = np.array([1.0 - 2e-200, 1e-200, 1e-200])
    gain = InformationGain(v, prior, Posterior("softmax", 80.0))
    found = float(gain(torch.tensor([[0.0, 1.0, 0.0]]))[0])
    assert found == pytest.approx(200 * math.log(10), rel=1e-5)


def test_no_queries_no_values():
    gain = InformationGain(np.eye(3), np.full(3, 1 / 3), Posterior("softmax"))
    assert gain(torch.zeros(0, 3)).shape == (0,)


@pytest.mark.parametrize(
    ("candidates", "prior", "weights", "message"),
    [
        (np.zeros((0, 3)), [], None, "candidates has shape"),
        (np.full((2, 3), np.nan), [0.5, 0.5], None, "candidates holds NaN"),
        (np.ones((2, 3)), [0.5, 0.4], None, "prior sums to 0.9"),
        (np.ones((2, 3)), [1.0, 0.0], None, "prior: shape"),
        (np.ones((2, 3)), [0.5, np.nan], None, "prior: shape"),
        (np.ones((2, 3)), [1.0], None, "prior: shape"),
        (np.ones((2, 3)), [0.5, 0.5], [1, -1], "weights: shape"),
    ],
)
def test_what_is_no_reference_is_refused(candidates, prior, weights, message):
    with pytest.raises(NumericsError, match=message):
        information_gain(np.ones((1, 3)), candidates, prior, Posterior("softmax"), weights)


def test_queries_that_do_not_fit_are_refused():
    gain = InformationGain(np.eye(3), np.full(3, 1 / 3), Posterior("softmax"))
    with pytest.raises(NumericsError, match="queries have shape"):
        gain(torch.zeros(2, 4))
    with pytest.raises(NumericsError, match=r"float64 on cpu, candidates torch\.float32"):
        gain(torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(NumericsError, match="chunk_bytes is 0"):
        InformationGain(np.eye(3), np.full(3, 1 / 3), Posterior("softmax"), chunk_bytes=0)
    with pytest.raises(NumericsError, match="queries holds NaN"):
        information_gain([[np.inf, 0, 0]], np.eye(3), np.full(3, 1 / 3), Posterior("softmax"))
