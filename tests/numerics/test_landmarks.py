"""The landmark form against its formula in loops, its limits, and the exact value."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.agreement import agreement
from curate.numerics.information_gain import information_gain
from curate.numerics.informativeness import metric_matrix, quadratic_form
from curate.numerics.landmarks import LandmarkGain, fit_landmarks
from curate.numerics.posterior import Posterior, estimate_priors

LINKS = [
    Posterior("softmax"),
    Posterior("softmax", 12.0),
    Posterior("sigmoid"),
    Posterior("sigmoid", 10.0, -10.0),
]


def sample(n=60, m=80, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return naive.unit(rng.normal(size=(n, d)) + 0.5), naive.unit(rng.normal(size=(m, d)) - 0.5)


def gain_of(u, landmarks, p):
    return LandmarkGain(landmarks, p, dtype=torch.float64)(torch.from_numpy(u)).numpy()


def log_link(x, p):
    return x if p.link == "softmax" else -math.log1p(math.exp(-x))


def slope(x, p):
    return 1.0 if p.link == "softmax" else 1 / (1 + math.exp(x))


def in_loops(queries, u, v, prior, labels, p):
    """The formula of `fit_landmarks` written out, one cluster and query at a time."""
    clusters = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    mass = [math.fsum(prior[c]) for c in clusters]
    centres = [prior[c] @ v[c] / m for c, m in zip(clusters, mass, strict=True)]
    pooled, variances = np.zeros((v.shape[1],) * 2), []
    for c, m, centre in zip(clusters, mass, centres, strict=True):
        inner = sum(prior[t] * np.outer(v[t] - centre, v[t] - centre) for t in c)
        pooled += inner
        variances.append(np.trace(inner) / m)
    spread = [variance / np.trace(pooled) for variance in variances]
    caps = [
        -sum(prior[t] / m * math.log(prior[t] / m) for t in c)
        for c, m in zip(clusters, mass, strict=True)
    ]

    def posterior(row, bias):
        x = [p.scale * (centre @ row) + p.bias for centre in centres]
        logs = [log_link(a, p) + b for a, b in zip(x, bias, strict=True)]
        top = max(logs)
        weights = [math.exp(a - top) for a in logs]
        return np.array(weights) / math.fsum(weights), [slope(a, p) for a in x]

    fitted = fit_landmarks(u, v, prior, labels, p)
    bias = fitted.bias
    mean, tilt = np.zeros(len(mass)), np.zeros((len(mass), v.shape[1]))
    for row in u:
        share, w = posterior(row, bias)
        mean += share / len(u)
        tilt += np.outer(share * w, row) / len(u)
    np.testing.assert_allclose(mean, mass, rtol=2e-3)
    tilt /= mean[:, None]
    values = []
    for row in queries:
        share, w = posterior(row, bias)
        total = 0.0
        for k in range(len(mass)):
            c = p.scale * (w[k] * row - tilt[k])
            half = 0.5 * spread[k] * (c @ pooled @ c)
            inner = -caps[k] * math.expm1(-half / caps[k]) if caps[k] > 1e-9 else 0.0
            total += share[k] * (math.log(share[k] / mass[k]) + inner)
        values.append(total)
    return np.array(values)


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_it_equals_the_loops(p):
    u, v = sample()
    prior = estimate_priors(u, v, p)[1]
    labels = np.random.default_rng(1).integers(0, 9, len(v))
    labels[:2] = [50, 60]  # clusters of one, and gaps in the numbering
    queries = sample(20, 1, seed=3)[0]
    found = gain_of(queries, fit_landmarks(u, v, prior, labels, p), p)
    expected = in_loops(queries, u, v, prior, labels, p)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=2e-3 * np.abs(expected).mean())


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_as_many_landmarks_as_candidates_are_exact(p):
    u, v = sample()
    prior = estimate_priors(u, v, p)[1]
    landmarks = fit_landmarks(u, v, prior, np.arange(len(v)), p)
    exact = information_gain(u, v, prior, p)
    np.testing.assert_allclose(gain_of(u, landmarks, p), exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_one_landmark_is_the_quadratic_form(link):
    p = Posterior(link, 0.05)
    u, v = sample(200, 300)
    p_u, p_v = estimate_priors(u, v, p)
    landmarks = fit_landmarks(u, v, p_v, np.zeros(len(v), dtype=int), p)
    mean = p_u @ u
    quadratic = quadratic_form(u, mean, metric_matrix(v, p_v, mean, p))
    np.testing.assert_allclose(
        gain_of(u, landmarks, p), quadratic, rtol=2e-2, atol=1e-3 * quadratic.mean()
    )


def test_more_landmarks_come_closer():
    p = Posterior("softmax", 12.0)
    u, v = naive.cone(1500, 16, seed=2, offset=1.0, spectrum=0.5)
    prior = estimate_priors(u, v, p)[1]
    exact = information_gain(u, v, prior, p)
    found = []
    for clusters in (1, 16, 128):
        labels = nearest(v, v[:: len(v) // clusters][:clusters])
        landmarks = fit_landmarks(u, v, prior, labels, p)
        found.append(agreement(gain_of(u, landmarks, p), exact))
    assert found[0].r2 < found[1].r2 < found[2].r2
    assert found[2].r2 > 0.97
    assert found[2].slope == pytest.approx(1, abs=0.05)


def nearest(v, centres):
    return (v @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)


@settings(max_examples=40)
@given(st.data(), st.sampled_from(LINKS))
def test_order_and_numbering_do_not_matter(data, p):
    u, v = sample(12, 20, 4)
    prior = estimate_priors(u, v, p)[1]
    labels = np.array(data.draw(st.lists(st.integers(0, 4), min_size=20, max_size=20)))
    once = gain_of(u, fit_landmarks(u, v, prior, labels, p), p)
    of_u, of_v = data.draw(st.permutations(range(12))), data.draw(st.permutations(range(20)))
    names = np.array(data.draw(st.permutations(range(10, 15))))
    again = fit_landmarks(u[of_u], v[of_v], prior[of_v], names[labels[of_v]], p)
    np.testing.assert_allclose(gain_of(u, again, p), once, rtol=1e-7, atol=1e-10)
    assert (once >= -1e-9).all()


@pytest.mark.parametrize("p", LINKS, ids=str)
def test_float32_and_chunks_change_rounding_only(p, device):
    u, v = naive.cone(300, 32, seed=4, offset=2.0, spectrum=0.5)
    prior = estimate_priors(u, v, p)[1]
    labels = nearest(v, v[:20])
    landmarks = fit_landmarks(u, v, prior, labels, p)
    exact = gain_of(u, landmarks, p)
    rows = torch.tensor(u, dtype=torch.float32, device=device)
    for size in (1, 10_000, 2**26):
        found = LandmarkGain(landmarks, p, device=device, chunk_bytes=size)(rows).cpu().numpy()
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6 * exact.mean())


def test_equal_candidates_tell_nothing():
    u, v = sample(9, 1)
    equal = np.repeat(v, 8, axis=0)
    prior = np.full(8, 1 / 8)
    for labels in (np.zeros(8, dtype=int), np.arange(8)):
        landmarks = fit_landmarks(u, equal, prior, labels, Posterior("softmax", 20.0))
        assert np.abs(gain_of(u, landmarks, Posterior("softmax", 20.0))).max() < 1e-9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.ones((2, 4))}, "widths differ: 4 and 3"),
        ({"queries": np.full((2, 3), np.nan)}, "queries holds NaN"),
        ({"candidates": np.zeros((0, 3))}, "candidates has shape"),
        ({"prior": [0.5, 0.2]}, "prior sums to"),
        ({"labels": [0]}, "labels have shape"),
        ({"labels": [0.0, 1.0]}, "expected .2,. integers"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    whole = {"queries": np.ones((2, 3)), "candidates": np.eye(3)[:2], "prior": [0.5, 0.5]}
    arguments = whole | {"labels": [0, 1], "posterior": Posterior("softmax")} | change
    with pytest.raises(NumericsError, match=message):
        fit_landmarks(**arguments)


def test_queries_that_do_not_fit_are_refused():
    landmarks = fit_landmarks(
        np.ones((2, 3)), np.eye(3), np.full(3, 1 / 3), [0, 1, 2], Posterior("softmax")
    )
    gain = LandmarkGain(landmarks, Posterior("softmax"))
    assert gain(torch.zeros(0, 3)).shape == (0,)
    with pytest.raises(NumericsError, match="queries have shape"):
        gain(torch.zeros(2, 4))
    with pytest.raises(NumericsError, match="float64"):
        gain(torch.zeros(2, 3, dtype=torch.float64))
