from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.informativeness import (
    factorise,
    informativeness,
    metric_matrix,
    quadratic_form,
    sensitivity,
)
from curate.numerics.posterior import Posterior, estimate_priors, log_posterior

SOFTMAX, SIGMOID = Posterior("softmax"), Posterior("sigmoid")
SIGLIP = Posterior("sigmoid", 100.0, -10.0)
LINKS = [SOFTMAX, Posterior("softmax", 7.0), SIGMOID, Posterior("sigmoid", 20.0, -3.0), SIGLIP]


def reference(n=60, d=8, seed=0):
    """(queries, candidates, mean of the queries, prior of the candidates)."""
    u, v = naive.cone(n, d, seed, offset=1.0, spectrum=0.5)
    p_u, p_v = estimate_priors(u, v, SOFTMAX)
    return u, v, p_u @ u, p_v


def random_metric(d, rank, seed):
    half = np.random.default_rng(seed).normal(size=(d, rank))
    return half @ half.T / rank


class TestSensitivity:
    def test_is_the_scale_without_the_correction(self):
        _, v, at, _ = reference()
        for p, covariance in ((LINKS[1], "corrected"), (LINKS[3], "paper")):
            assert (sensitivity(v, at, p, covariance) == p.scale).all()

    def test_equals_the_formula(self):
        _, v, at, _ = reference()
        for p in (SIGMOID, LINKS[3]):
            expected = p.scale * (1 - 1 / (1 + np.exp(-(p.scale * (v @ at) + p.bias))))
            np.testing.assert_allclose(sensitivity(v, at, p), expected, rtol=1e-12)

    @pytest.mark.parametrize("p", LINKS, ids=str)
    def test_of_a_sample_is_the_mean_of_its_queries(self, p):
        _, v, _, _ = reference()
        queries = naive.unit(np.random.default_rng(5).normal(size=(1500, v.shape[1])))
        one_by_one = np.mean([sensitivity(v, u, p) for u in queries], axis=0)
        np.testing.assert_allclose(sensitivity(v, queries, p), one_by_one, rtol=1e-11)

    @pytest.mark.parametrize("p", LINKS, ids=str)
    def test_is_the_gradient_of_the_log_posterior(self, p):
        """d/du log p(t | u) = g_t - mean of g, by central differences."""
        _, v, at, _ = reference(d=6)
        step = 1e-5
        shifts = step * np.eye(6)
        high, low = log_posterior(at + shifts, v, p), log_posterior(at - shifts, v, p)
        numeric = ((high - low) / (2 * step)).T
        g = sensitivity(v, at, p)[:, None] * v
        weights = np.exp(log_posterior(at[None], v, p))[0]
        np.testing.assert_allclose(numeric, g - weights @ g, rtol=1e-5, atol=1e-6 * p.scale)

    def test_saturates_without_cancellation(self):
        v = np.array([[1.0, 0.0]])
        found = sensitivity(v, [1.0, 0.0], Posterior("sigmoid", 60.0))
        assert found[0] == pytest.approx(60 * np.exp(-60.0), rel=1e-12)

    def test_refuses_bad_input(self):
        v = np.eye(3)
        with pytest.raises(NumericsError, match="covariance is 'exact'"):
            sensitivity(v, np.zeros(3), SOFTMAX, "exact")
        with pytest.raises(NumericsError, match="at has shape"):
            sensitivity(v, np.zeros(2), SIGMOID)
        with pytest.raises(NumericsError, match="at has width 2"):
            sensitivity(v, np.zeros((4, 2)), SIGMOID)
        with pytest.raises(NumericsError, match="at holds NaN"):
            sensitivity(v, np.full((4, 3), np.nan), SIGMOID)
        with pytest.raises(NumericsError, match="candidates holds NaN"):
            sensitivity(v * np.nan, np.zeros(3), SIGMOID)


class TestMetric:
    def test_is_the_covariance_of_equation_five(self):
        _, v, at, prior = reference()
        _, expected = naive.weighted_covariance(v, prior)
        for p, covariance in ((SOFTMAX, "corrected"), (SOFTMAX, "paper"), (SIGMOID, "paper")):
            found = metric_matrix(v, prior, at, p, covariance)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)

    @pytest.mark.parametrize("p", LINKS, ids=str)
    def test_is_the_covariance_of_the_gradients(self, p):
        _, v, at, prior = reference()
        g = np.array([s * row for s, row in zip(sensitivity(v, at, p), v, strict=True)])
        _, expected = naive.weighted_covariance(g, prior)
        found = metric_matrix(v, prior, at, p)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * p.scale**2)

    @pytest.mark.parametrize("p", LINKS, ids=str)
    def test_is_the_curvature_of_the_divergence(self, p):
        """KL(p(.|at + h) || p(.|at)) -> h^T G h / 2 as h -> 0, whatever the link and scale."""
        _, v, at, _ = reference()
        prior = np.exp(log_posterior(at[None], v, p))[0]
        metric = metric_matrix(v, prior, at, p)
        h = naive.unit(np.random.default_rng(1).normal(size=(5, 8))) * 1e-3 / p.scale
        log = log_posterior(at + h, v, p)
        # sum p log(p/q) with p - q summing to 0: log1p keeps the digits that the sum would lose.
        excess = np.expm1(log - np.log(prior))
        divergence = (prior * ((1 + excess) * np.log1p(excess) - excess)).sum(axis=1)
        np.testing.assert_allclose(
            divergence, quadratic_form(at + h, at, metric), rtol=2e-2 if p is SIGLIP else 5e-3
        )

    def test_refuses_what_is_no_prior(self):
        _, v, at, prior = reference()
        for bad in (prior * 2, prior[:-1], -prior, np.log(prior), prior[:, None], prior * np.nan):
            with pytest.raises(NumericsError):
                metric_matrix(v, bad, at, SOFTMAX)


class TestQuadraticForm:
    def test_equals_the_double_sum(self):
        u, v, at, prior = reference(n=20)
        metric = metric_matrix(v, prior, at, SIGLIP)
        np.testing.assert_allclose(
            quadratic_form(u, at, metric), naive.quadratic_form(u, at, metric), rtol=1e-11
        )

    def test_is_half(self):
        assert quadratic_form([[3.0, 0.0]], [1.0, 0.0], np.eye(2))[0] == 2.0

    def test_refuses_bad_shapes(self):
        with pytest.raises(NumericsError, match="mean has shape"):
            quadratic_form(np.ones((2, 3)), np.zeros(2), np.eye(3))
        with pytest.raises(NumericsError, match="expected width 3"):
            quadratic_form(np.ones((2, 3)), np.zeros(3), np.eye(2))
        with pytest.raises(NumericsError, match="u has shape"):
            quadratic_form(np.ones(3), np.zeros(3), np.eye(3))


class TestFactorise:
    @given(d=st.integers(1, 12), rank=st.integers(1, 12), seed=st.integers(0, 999))
    def test_gives_the_metric_back(self, d, rank, seed):
        metric = random_metric(d, rank, seed)
        factor = factorise(metric)
        assert factor.matrix.shape == (d, min(d, rank))
        assert factor.kept == pytest.approx(1, abs=1e-10)
        np.testing.assert_allclose(
            factor.matrix @ factor.matrix.T, metric, rtol=0, atol=1e-12 * np.abs(metric).max() * d
        )

    @given(share=st.floats(0.01, 1.0), seed=st.integers(0, 999))
    def test_takes_the_smallest_rank_that_reaches_the_share(self, share, seed):
        metric = random_metric(9, 20, seed)
        values = np.sort(np.linalg.eigvalsh(metric))[::-1] / np.trace(metric)
        factor = factorise(metric, share)
        rank = factor.matrix.shape[1]
        assert factor.kept == pytest.approx(values[:rank].sum(), rel=1e-10)
        assert factor.kept >= share - 1e-10
        assert values[: rank - 1].sum() < share + 1e-10

    def test_truncation_loses_the_share_it_states(self):
        """On u with isotropic spread about the mean the expected score is half the trace."""
        metric = random_metric(16, 40, 0)
        factor = factorise(metric, 0.7)
        u = np.random.default_rng(0).normal(size=(40_000, 16))
        full = quadratic_form(u, np.zeros(16), metric)
        short = quadratic_form(u, np.zeros(16), factor.matrix @ factor.matrix.T)
        assert (short <= full + 1e-9).all()
        assert short.mean() / full.mean() == pytest.approx(factor.kept, abs=0.01)

    def test_order_and_signs_are_fixed(self):
        factor = factorise(random_metric(10, 30, 3)).matrix
        norms = (factor**2).sum(axis=0)
        assert (np.diff(norms) < 0).all()
        peaks = factor[np.abs(factor).argmax(axis=0), np.arange(10)]
        assert (peaks > 0).all()

    def test_zero_metric_has_rank_zero(self):
        factor = factorise(np.zeros((3, 3)))
        assert factor.matrix.shape == (3, 0)
        assert factor.kept == 1
        scores = informativeness(
            torch.ones(2, 3), torch.zeros(0), torch.from_numpy(factor.matrix).float()
        )
        assert scores.tolist() == [0, 0]

    def test_rounding_below_zero_passes_and_negative_does_not(self):
        assert factorise(np.diag([1.0, -1e-14])).matrix.shape == (2, 1)
        for metric in (np.diag([1.0, -1e-6]), -np.eye(2)):
            with pytest.raises(NumericsError, match="not positive semi-definite"):
                factorise(metric)

    @pytest.mark.parametrize(
        ("metric", "share", "message"),
        [
            (np.array([[1.0, 0.5], [0.0, 1.0]]), 1.0, "not symmetric"),
            (np.ones((2, 3)), 1.0, "expected \\[d, d\\]"),
            (np.full((2, 2), np.nan), 1.0, "NaN"),
            (np.eye(2), 0.0, "share is 0"),
            (np.eye(2), 1.5, "share is 1.5"),
        ],
    )
    def test_refuses_bad_input(self, metric, share, message):
        with pytest.raises(NumericsError, match=message):
            factorise(metric, share)


def tensors(metric, mean, device, dtype=torch.float32):
    factor = factorise(metric).matrix
    return (
        torch.from_numpy(factor.T @ mean).to(device, dtype),
        torch.from_numpy(factor).to(device, dtype),
    )


class TestInformativeness:
    @given(d=st.integers(1, 20), n=st.integers(0, 9), seed=st.integers(0, 999))
    def test_equals_the_quadratic_form_in_float64(self, d, n, seed):
        rng = np.random.default_rng(seed)
        u, mean, metric = rng.normal(size=(n, d)), rng.normal(size=d), random_metric(d, 30, seed)
        offset, factor = tensors(metric, mean, torch.device("cpu"), torch.float64)
        found = informativeness(torch.from_numpy(u), offset, factor).numpy()
        expected = quadratic_form(u, mean, metric) if n else np.zeros(0)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("p", LINKS, ids=str)
    def test_float32_error(self, device, p):
        """Relative error below 2e-5 of the score, on unit embeddings of width 512."""
        u, v = naive.cone(700, 512, 0, offset=1.0, spectrum=0.5)
        p_u, p_v = estimate_priors(u, v, p)
        mean = p_u @ u
        metric = metric_matrix(v, p_v, mean, p)
        u32 = torch.from_numpy(u).float()
        expected = quadratic_form(u32.numpy(), mean, metric)
        offset, factor = tensors(metric, mean, device)
        found = informativeness(u32.to(device), offset, factor)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.double().cpu().numpy(), expected, rtol=2e-5)

    def test_other_rows_do_not_matter(self, device):
        u, v, mean, prior = reference(n=257, d=64)
        offset, factor = tensors(metric_matrix(v, prior, mean, SOFTMAX), mean, device)
        rows = torch.from_numpy(u).float().to(device)
        whole = informativeness(rows, offset, factor)
        order = torch.randperm(257, generator=torch.Generator().manual_seed(0))
        for size in (1, 2, 31, 256):
            parts = [informativeness(part, offset, factor) for part in rows.split(size)]
            torch.testing.assert_close(torch.cat(parts), whole, rtol=5e-6, atol=0)
        shuffled = informativeness(rows[order], offset, factor)
        torch.testing.assert_close(shuffled, whole[order], rtol=5e-6, atol=0)

    def test_is_zero_at_the_mean_and_never_negative(self):
        u, v, mean, prior = reference()
        offset, factor = tensors(
            metric_matrix(v, prior, mean, SOFTMAX), mean, torch.device("cpu"), torch.float64
        )
        assert informativeness(torch.from_numpy(mean)[None], offset, factor)[0] < 1e-30
        assert (informativeness(torch.from_numpy(u), offset, factor) > 0).all()

    def test_inputs_are_left_alone(self):
        u = torch.randn(4, 3)
        before = u.clone()
        informativeness(u, torch.ones(2), torch.ones(3, 2))
        assert torch.equal(u, before)

    def test_refuses_what_does_not_fit(self):
        u, offset, factor = torch.zeros(4, 3), torch.zeros(2), torch.zeros(3, 2)
        with pytest.raises(NumericsError, match="do not fit"):
            informativeness(u[:, :2], offset, factor)
        with pytest.raises(NumericsError, match="do not fit"):
            informativeness(u[0], offset, factor)
        with pytest.raises(NumericsError, match="offset has shape"):
            informativeness(u, offset[:1], factor)
        with pytest.raises(NumericsError, match="differ in dtype or device"):
            informativeness(u, offset.double(), factor)


def against_exact(p, covariance, image, text):
    """Slope and R² of the exact Information Gain on the norm-based one, images then texts."""
    p_image, p_text = estimate_priors(image, text, p)
    results = []
    for u, p_u, v, p_v in ((image, p_image, text, p_text), (text, p_text, image, p_image)):
        mean = p_u @ u
        form = quadratic_form(u, mean, metric_matrix(v, p_v, mean, p, covariance))
        results.append(naive.slope_and_r2(form, naive.information_gain(u, v, p)))
    return results


class TestAgainstExactInformationGain:
    @pytest.mark.parametrize("p", [SOFTMAX, SIGMOID], ids=str)
    def test_slope_one_at_scale_one(self, p):
        for slope, r2 in against_exact(p, "corrected", *naive.cone(1200, 256, 0, 0.7, 0.5)):
            assert slope == pytest.approx(1, abs=0.03)
            assert r2 > 0.99

    def test_the_paper_form_is_a_quarter_with_sigmoid(self):
        """w = 1 - sigmoid(<v, mean>) ~ 1/2, and G takes its square: why there is a correction."""
        for slope, r2 in against_exact(SIGMOID, "paper", *naive.cone(1200, 256, 0, 0.7, 0.5)):
            assert slope == pytest.approx(0.25, abs=0.02)
            assert r2 > 0.99  # a constant factor: the ranking is not the paper's problem at s = 1

    def test_the_correction_matters_at_the_scale_of_siglip(self):
        """In a narrow isotropic cone, where w varies between candidates; not a law of nature:
        with a falling spectrum s = 100 is out of reach of any second-order form."""
        pairs = naive.cone(1500, 512, 0, 1.5, 0)
        corrected = against_exact(SIGLIP, "corrected", *pairs)
        paper = against_exact(SIGLIP, "paper", *pairs)
        for (slope, r2), (_, paper_r2) in zip(corrected, paper, strict=True):
            assert 0.7 < slope < 1.4
            assert r2 > 0.8
            assert paper_r2 < 0.4
