from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.posterior import Posterior, estimate_priors, log_posterior

LINKS = [
    Posterior("softmax"),
    Posterior("softmax", 100.0),
    Posterior("sigmoid"),
    Posterior("sigmoid", 100.0, -10.0),
]
POSTERIORS = st.builds(
    Posterior, st.sampled_from(["softmax", "sigmoid"]), st.floats(0.01, 200), st.floats(-20, 20)
)


def embeddings(n, m, d=16, seed=0):
    rng = np.random.default_rng(seed)
    return naive.unit(rng.normal(size=(n, d))), naive.unit(rng.normal(size=(m, d)))


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_log_posterior_equals_the_loops(p):
    u, v = embeddings(7, 11)
    expected = naive.posterior(u, v, p)
    np.testing.assert_allclose(np.exp(log_posterior(u, v, p)), expected, rtol=1e-11)
    np.testing.assert_allclose(naive.fast_posterior(u, v, p), expected, rtol=1e-11)


def test_softmax_at_scale_one_is_equation_one():
    u, v = embeddings(3, 4)
    weights = np.exp(u @ v.T)
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(log_posterior(u, v, Posterior("softmax"))), expected)


@given(p=POSTERIORS, n=st.integers(1, 5), m=st.integers(1, 9), seed=st.integers(0, 99))
def test_rows_and_priors_sum_to_one(p, n, m, seed):
    u, v = embeddings(n, m, seed=seed)
    log = log_posterior(u, v, p)
    assert log.shape == (n, m)
    assert log.dtype == np.float64
    np.testing.assert_allclose(np.exp(log).sum(axis=1), 1, rtol=1e-12)
    for prior, size in zip(estimate_priors(u, v, p), (n, m), strict=True):
        assert prior.shape == (size,)
        assert (prior >= 0).all()
        assert prior.sum() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("bias", [-2000.0, 2000.0])
def test_no_overflow_where_the_plain_formula_has_no_value(link, bias):
    u, v = embeddings(3, 5)
    log = log_posterior(u, v, Posterior(link, 5000.0, bias))
    assert np.isfinite(log).all()
    np.testing.assert_allclose(np.exp(log).sum(axis=1), 1, rtol=1e-10)


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_priors_equal_the_mean_of_the_loops(p):
    image, text = embeddings(9, 13)
    p_image, p_text = estimate_priors(image, text, p)
    np.testing.assert_allclose(p_text, naive.posterior(image, text, p).mean(axis=0), rtol=1e-11)
    np.testing.assert_allclose(p_image, naive.posterior(text, image, p).mean(axis=0), rtol=1e-11)


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_float32_input_is_not_rounded_any_further(p):
    """At s = 100 a float32 product would be 1e-5 off; the bound asked for is 1e-6."""
    image, text = (x.astype(np.float32) for x in embeddings(300, 400, d=512))
    p_image, p_text = estimate_priors(image, text, p, chunk=64)
    expected_text = naive.fast_posterior(image, text, p).mean(axis=0)
    expected_image = naive.fast_posterior(text, image, p).mean(axis=0)
    np.testing.assert_allclose(p_text, expected_text, rtol=1e-11)
    np.testing.assert_allclose(p_image, expected_image, rtol=1e-11)


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_chunks_do_not_matter(chunk):
    image, text = embeddings(50, 33)
    for p in LINKS:
        for found, whole in zip(
            estimate_priors(image, text, p, chunk), estimate_priors(image, text, p), strict=True
        ):
            np.testing.assert_allclose(found, whole, rtol=1e-12)


def test_order_of_the_reference_does_not_matter():
    image, text = embeddings(40, 30)
    order = np.random.default_rng(1).permutation(40)
    p_image, p_text = estimate_priors(image, text, LINKS[3])
    q_image, q_text = estimate_priors(image[order], text, LINKS[3])
    np.testing.assert_allclose(q_image, p_image[order], rtol=1e-12)
    np.testing.assert_allclose(q_text, p_text, rtol=1e-12)


def test_inputs_are_left_alone():
    u, v = embeddings(4, 4)
    before = u.copy(), v.copy()
    log_posterior(u, v, LINKS[3])
    estimate_priors(u, v, LINKS[3])
    assert np.array_equal(u, before[0])
    assert np.array_equal(v, before[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hinge",), "link is 'hinge'"),
        (("softmax", 0.0), "scale is 0"),
        (("softmax", float("nan")), "scale is nan"),
        (("softmax", float("inf")), "scale is inf"),
        (("sigmoid", 1.0, float("inf")), "bias is inf"),
    ],
)
def test_refuses_bad_links(arguments, message):
    with pytest.raises(NumericsError, match=message):
        Posterior(*arguments)


def test_refuses_bad_arrays():
    u, v = embeddings(2, 2)
    with pytest.raises(NumericsError, match="queries has shape"):
        log_posterior(u[0], v, LINKS[0])
    with pytest.raises(NumericsError, match="candidates has shape"):
        log_posterior(u, v[:0], LINKS[0])
    with pytest.raises(NumericsError, match="widths differ: 16 and 15"):
        log_posterior(u, v[:, 1:], LINKS[0])
    with pytest.raises(NumericsError, match="text holds NaN"):
        estimate_priors(u, np.full_like(v, np.nan), LINKS[0])
    with pytest.raises(NumericsError, match="chunk is 0"):
        estimate_priors(u, v, LINKS[0], chunk=0)
