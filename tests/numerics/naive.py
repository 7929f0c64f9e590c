"""The formulas written out in float64 loops, slow and plain: what the numerics must equal."""

from __future__ import annotations

import math

import numpy as np

from curate.numerics.posterior import Posterior


def posterior(u, v, p: Posterior):
    """p(v_j | u_i), [n, m], one number at a time."""
    rows = []
    for query in np.asarray(u, dtype=np.float64):
        logits = [
            p.scale * math.fsum(float(a) * float(b) for a, b in zip(query, c, strict=True)) + p.bias
            for c in np.asarray(v, dtype=np.float64)
        ]
        if p.link == "softmax":
            top = max(logits)
            weights = [math.exp(x - top) for x in logits]
        else:
            weights = [1 / (1 + math.exp(-x)) for x in logits]
        total = math.fsum(weights)
        rows.append([w / total for w in weights])
    return np.array(rows)


def fast_posterior(u, v, p: Posterior):
    """The same in plain array arithmetic, for simulations; checked against the loops."""
    logits = p.scale * (u.astype(np.float64) @ v.astype(np.float64).T) + p.bias
    if p.link == "softmax":
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    else:
        weights = 1 / (1 + np.exp(-logits))
    return weights / weights.sum(axis=1, keepdims=True)


def information_gain(u, v, p: Posterior):
    """Exact KL(p(. | u_i) || p(.)), [n], nats, the prior being the mean posterior (Eq. 2)."""
    given = fast_posterior(u, v, p)
    prior = given.mean(axis=0)
    ratio = np.log(np.where(given > 0, given, 1.0)) - np.log(np.where(given > 0, prior, 1.0))
    return (given * ratio).sum(axis=1)


def quadratic_form(u, mean, metric):
    """Half of sum_jk c_j G_jk c_k, term by term."""
    out = []
    for row in np.asarray(u, dtype=np.float64):
        c = row - mean
        terms = (c[j] * metric[j, k] * c[k] for j in range(len(c)) for k in range(len(c)))
        out.append(0.5 * math.fsum(terms))
    return np.array(out)


def weighted_covariance(x, weights):
    """(mean, covariance) of the rows of x, accumulated row by row about the mean."""
    x, weights = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    total = math.fsum(weights)
    mean = np.array([math.fsum(weights * column) / total for column in x.T])
    scatter = np.zeros((x.shape[1], x.shape[1]))
    for w, row in zip(weights, x, strict=True):
        scatter += w * np.outer(row - mean, row - mean)
    return mean, scatter / total


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cone(n, d, seed, offset, spectrum):
    """Paired embeddings as contrastive models give them: two narrow cones, a modality gap.

    Queries differ in how far they lie from their mean: that is what informativeness measures.
    `offset` is how far the cone's axis exceeds the spread, `spectrum` how fast variances fall.
    """
    rng = np.random.default_rng(seed)
    scale = np.arange(1, d + 1) ** -float(spectrum)

    def noise():
        z = rng.normal(size=(n, d)) * scale
        return z / np.sqrt((z**2).sum(axis=1).mean())

    axes = unit(rng.normal(size=(2, d)))
    meaning, reach = noise(), rng.uniform(0.2, 1.2, size=(n, 1))
    image = unit(offset * axes[0] + reach * (meaning + 0.7 * noise()))
    text = unit(offset * axes[1] + reach * (meaning + 0.7 * noise()))
    return image, text


def slope_and_r2(x, y):
    """Least-squares slope of y on x, and the coefficient of determination."""
    covariance = np.cov(x, y)
    return covariance[0, 1] / covariance[0, 0], np.corrcoef(x, y)[0, 1] ** 2
