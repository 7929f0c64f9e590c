"""Weighted k-means of embeddings, for the landmarks of a Reference."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

ITERATIONS: Final = 30
"""Of Lloyd's algorithm at most: what later ones move is far below what another seed would."""


def kmeans_labels(
    rows: npt.NDArray[Any], weights: npt.NDArray[np.float64], clusters: int, seed: int
) -> npt.NDArray[np.int64]:
    """Assign rows to clusters by k-means (scikit-learn: k-means++ start, Lloyd's algorithm).

    One thread, since sums over threads come in any order: the same rows give the same labels.

    Args:
        rows: [m, d].
        weights: how much each row counts, [m], >= 0.
        clusters: asked for; with fewer rows, every row is a cluster.
        seed: of the start.

    Returns:
        int64 [m], each in [0, clusters).
    """
    if len(rows) <= clusters:
        return np.arange(len(rows), dtype=np.int64)
    # Both take a second to import, and most commands never cluster.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    means = KMeans(clusters, n_init=1, max_iter=ITERATIONS, random_state=seed, copy_x=True)
    with threadpool_limits(limits=1):
        means.fit(np.asarray(rows, dtype=np.float32), sample_weight=weights * len(rows))
    return np.asarray(means.labels_, dtype=np.int64)
