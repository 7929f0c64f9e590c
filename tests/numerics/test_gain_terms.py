"""The Information Gain term by term, against the sum written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curate.errors import NumericsError
from curate.numerics.gain_terms import gain_terms, largest
from curate.numerics.information_gain import information_gain
from curate.numerics.posterior import Posterior, estimate_priors


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    "posterior",
    [Posterior("softmax"), Posterior("softmax", 100.0), Posterior("sigmoid", 10.0, -5.0)],
    ids=lambda p: f"{p.link}-{p.scale:g}",
)
def test_terms_are_the_sum_written_out(posterior: Posterior) -> None:
    rng = np.random.default_rng(0)
    u, v = unit(rng.normal(size=(5, 8))), unit(rng.normal(size=(11, 8)))
    _, prior = estimate_priors(u, v, posterior)
    found = gain_terms(u, v, prior, posterior)
    for i in range(5):
        logits = [posterior.scale * float(u[i] @ v[t]) for t in range(11)]
        weights = [math.exp(x) for x in logits]
        if posterior.link == "sigmoid":
            weights = [1 / (1 + math.exp(-x - posterior.bias)) for x in logits]
        for t in range(11):
            p = weights[t] / sum(weights)
            assert found.posterior[i, t] == pytest.approx(p, rel=1e-9)
            assert found.terms[i, t] == pytest.approx(
                p * math.log(p / prior[t]), rel=1e-7, abs=1e-15
            )
            assert found.cosine[i, t] == pytest.approx(float(u[i] @ v[t]))
    np.testing.assert_allclose(found.gains, information_gain(u, v, prior, posterior), rtol=1e-9)
    np.testing.assert_array_equal(found.prior, prior)


def test_a_prior_must_be_one() -> None:
    with pytest.raises(NumericsError, match="prior"):
        gain_terms(np.ones((1, 2)), np.ones((3, 2)), np.ones(3), Posterior("softmax"))


def test_the_largest_come_first_and_ties_in_order() -> None:
    assert largest(np.array([1.0, 3.0, 3.0, -2.0]), 3).tolist() == [1, 2, 0]
    assert largest(np.array([1.0]), 5).tolist() == [0]
