"""The fitted quadratic form: which correction it keeps, and that order does not matter."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.correction import BLENDS, EXPLAINED, fit_quadratic
from curate.numerics.informativeness import metric_matrix, quadratic_form
from curate.numerics.posterior import Posterior, estimate_priors

SIGMOID = Posterior("sigmoid")
SHARP = Posterior("sigmoid", 30.0)


def cone(n=400, d=24, seed=0):
    return naive.cone(n, d, seed, offset=0.7, spectrum=0.5)


def fitted(u, v, p, covariance="corrected"):
    p_u, p_v = estimate_priors(u, v, p)
    return fit_quadratic(u, v, p_u, p_v, p, covariance), p_u, p_v


@pytest.mark.parametrize(
    ("p", "covariance"),
    [(Posterior("softmax", 3.0), "corrected"), (Posterior("softmax"), "paper"), (SIGMOID, "paper")],
)
def test_without_a_correction_it_is_equation_five(p, covariance):
    u, v = cone()
    found, p_u, p_v = fitted(u, v, p, covariance)
    assert (found.blend, found.unit) == (1.0, 1.0)
    np.testing.assert_allclose(found.mean, p_u @ u, rtol=1e-12)
    np.testing.assert_allclose(
        found.metric, metric_matrix(v, p_v, found.mean, p, covariance), rtol=1e-10, atol=1e-14
    )


def test_at_scale_one_the_correction_is_whole_and_its_unit_right():
    u, v = cone(800, 128)
    found, _, p_v = fitted(u, v, SIGMOID)
    assert found.blend == 1.0
    assert found.unit == pytest.approx(1, abs=0.1)
    theory = found.unit * metric_matrix(v, p_v, u, SIGMOID)
    np.testing.assert_allclose(found.metric, theory, rtol=1e-10, atol=1e-14)
    slope, r2 = naive.slope_and_r2(
        quadratic_form(u, found.mean, found.metric), naive.information_gain(u, v, SIGMOID)
    )
    assert slope == pytest.approx(1, abs=0.03)
    assert r2 > 0.98


def test_without_a_mean_posterior_theory_decides():
    u, v = cone()
    uniform = np.full(len(u), 1 / len(u))
    found = fit_quadratic(u, v, uniform, uniform, SHARP, calibrate=False)
    assert (found.blend, found.unit) == (1.0, 1.0)
    theory = metric_matrix(v, uniform, u, SHARP)
    np.testing.assert_allclose(found.metric, theory, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("p", [SIGMOID, SHARP, Posterior("sigmoid", 10.0, -10.0)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_it_explains_no_less_than_the_paper_s_form(p, seed):
    u, v = cone(seed=seed)
    exact = naive.information_gain(u, v, p)
    ours, paper = fitted(u, v, p)[0], fitted(u, v, p, "paper")[0]
    assert ours.blend in BLENDS
    r2 = [naive.slope_and_r2(quadratic_form(u, q.mean, q.metric), exact)[1] for q in (ours, paper)]
    assert r2[0] > r2[1] - 0.005
    if r2[0] > EXPLAINED + 0.05:
        slope = naive.slope_and_r2(quadratic_form(u, ours.mean, ours.metric), exact)[0]
        assert slope == pytest.approx(1, abs=0.05)
    elif r2[0] < EXPLAINED - 0.05:
        assert ours.unit == 1.0


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([SIGMOID, SHARP]))
def test_order_does_not_matter(random, p):
    u, v = cone(60, 8)
    of_u, of_v = (random.sample(range(60), 60) for _ in range(2))
    once, again = fitted(u, v, p)[0], fitted(u[of_u], v[of_v], p)[0]
    assert again.blend == once.blend
    np.testing.assert_allclose(again.mean, once.mean, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(again.metric, once.metric, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("n", [1, 2])
def test_one_query_or_equal_ones_still_have_a_form(n):
    u, v = np.eye(4)[[0] * n], np.eye(4)[1:]
    found = fit_quadratic(u, v, np.full(n, 1 / n), np.full(3, 1 / 3), SIGMOID)
    assert (found.blend, found.unit) == (1.0, 1.0)
    assert np.isfinite(found.metric).all()


def test_more_dimensions_than_candidates():
    u, v = cone(6, 40)
    found, _, _ = fitted(u, v, SIGMOID)
    assert np.linalg.matrix_rank(found.metric) < 6


def test_what_is_no_prior_is_refused():
    with pytest.raises(NumericsError, match="prior"):
        fit_quadratic(np.eye(3), np.eye(3), np.full(3, 1 / 3), np.full(3, 1.0), SIGMOID)
    with pytest.raises(NumericsError, match="NaN"):
        fit_quadratic(np.eye(3), np.eye(3) * np.nan, np.full(3, 1 / 3), np.full(3, 1 / 3), SIGMOID)
