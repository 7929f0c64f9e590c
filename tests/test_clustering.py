"""Weighted k-means: what the landmarks rely on."""

from __future__ import annotations

import numpy as np

from curate.clustering import kmeans_labels


def groups(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three tight groups, and which row is of which."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 3, n)
    return np.eye(3)[of] + 0.01 * rng.normal(size=(n, 3)), of


def test_groups_are_found() -> None:
    rows, of = groups()
    labels = kmeans_labels(rows, np.full(len(rows), 1 / len(rows)), 3, 0)
    assert labels.dtype == np.int64
    assert len({(int(a), int(b)) for a, b in zip(labels, of, strict=True)}) == 3


def test_the_same_seed_gives_the_same_labels() -> None:
    rows = np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32)
    weights = np.full(200, 1 / 200)
    once = kmeans_labels(rows, weights, 20, 3)
    assert np.array_equal(once, kmeans_labels(rows, weights, 20, 3))
    assert not np.array_equal(once, kmeans_labels(rows, weights, 20, 4))


def test_rows_without_weight_do_not_pull() -> None:
    rows = np.array([[0.0], [0.1], [1.0], [1.1], [9.0]])
    weights = np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    labels = kmeans_labels(rows, weights, 2, 0)
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_no_more_clusters_than_rows() -> None:
    assert kmeans_labels(np.eye(3), np.ones(3), 5, 0).tolist() == [0, 1, 2]
