"""What makes the landmark form good: its parts, one by one, against the exact Information Gain.

Needs a run directory in which `curate fit` (or `curate paper`, under models/NAME) left its sample:

    python benchmarks/landmarks.py runs/dev
    python benchmarks/landmarks.py runs/paper/models/main --scale 30

A fifth of the sample is held out and scored; the rest is what the landmarks are fitted on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from curate.clustering import kmeans_labels
from curate.numerics.agreement import agreement
from curate.numerics.correction import fit_quadratic
from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import quadratic_form
from curate.numerics.landmarks import LandmarkGain, Landmarks, fit_landmarks
from curate.numerics.posterior import Posterior, estimate_priors
from curate.outputs import Store
from curate.reference_files import load, load_sample

HELD_OUT = 5  # every fifth pair
NO_CAP = 1e9  # nats
Array = Any


@dataclass(frozen=True)
class Side:
    """Queries u with their prior, candidates v with theirs, and held-out queries."""

    u: Array
    v: Array
    p_u: Array
    p_v: Array
    queries: Array
    posterior: Posterior

    def exact(self, rows: Array) -> Array:
        """Exact Information Gain of queries."""
        gain = InformationGain(self.v, self.p_v, self.posterior, dtype=torch.float64)
        return gain(torch.from_numpy(rows.astype(np.float64))).numpy()

    def score(self, landmarks: Landmarks, rows: Array) -> Array:
        """The landmark form of queries."""
        gain = LandmarkGain(landmarks, self.posterior, dtype=torch.float64)
        return gain(torch.from_numpy(rows.astype(np.float64))).numpy()

    def quadratic(self, rows: Array) -> Array:
        """The corrected quadratic form of queries."""
        found = fit_quadratic(self.u, self.v, self.p_u, self.p_v, self.posterior)
        return quadratic_form(rows, found.mean, found.metric)

    def landmarks(self, clusters: int) -> tuple[Landmarks, Array]:
        """Landmarks and the clusters that they stand for."""
        labels = kmeans_labels(self.v, self.p_v, clusters, seed=0)
        return fit_landmarks(self.u, self.v, self.p_v, labels, self.posterior), labels


def variants(side: Side, clusters: int) -> Iterator[tuple[str, Array]]:
    """Name and scores of the held-out queries, from the plainest form to the whole."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(side.v), clusters, replace=False)
    prior = estimate_priors(side.u, side.v[chosen], side.posterior)[1]
    few = InformationGain(side.v[chosen], prior, side.posterior, dtype=torch.float64)
    yield "random candidates", few(torch.from_numpy(side.queries.astype(np.float64))).numpy()

    whole, labels = side.landmarks(clusters)
    counts = np.unique(labels, return_counts=True)[1]
    none = np.zeros_like(whole.spread)
    counted = replace(whole, bias=np.log(counts), spread=none)
    yield "centroids, weights by count", side.score(counted, side.queries)
    yield "centroids, weights by scaling", side.score(replace(whole, spread=none), side.queries)
    loose = replace(whole, cap=np.full_like(whole.cap, NO_CAP))
    yield "+ isotropic inner form", side.score(isotropic(loose), side.queries)
    one = replace(loose, spread=np.ones_like(whole.spread))
    yield "+ pooled inner covariance", side.score(one, side.queries)
    yield "+ each cluster's own spread", side.score(loose, side.queries)
    yield "+ cap (the landmark form)", side.score(whole, side.queries)
    yield "+ quadratic form as control variate", control_variate(side, whole)


def isotropic(landmarks: Landmarks) -> Landmarks:
    """The same inner variance, spread evenly over all directions."""
    factor = landmarks.factor
    tilt = np.linalg.lstsq(factor.T, landmarks.offset.T, rcond=None)[0].T
    even = np.sqrt((factor**2).sum() / len(factor)) * np.eye(len(factor))
    return replace(landmarks, factor=even, offset=tilt @ even)


def control_variate(side: Side, landmarks: Landmarks) -> Array:
    """Least squares of the exact value on both forms, fitted on 1,000 queries of the sample."""
    fitted = side.u[:: max(1, len(side.u) // 1000)]

    def columns(rows: Array) -> Array:
        forms = side.score(landmarks, rows), side.quadratic(rows), np.ones(len(rows))
        return np.stack(forms, axis=1)

    weights = np.linalg.lstsq(columns(fitted), side.exact(fitted), rcond=None)[0]
    return columns(side.queries) @ weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir")
    parser.add_argument("--scale", type=float, help="of a bias 0; the model's own when omitted")
    parser.add_argument("--per-width", type=int, nargs="+", default=[1, 2, 4, 8])
    args = parser.parse_args()
    store = Store(args.run_dir)
    reference = load(store, "reference")
    model = reference.description["model"]
    posterior = Posterior(model["link"], model["logit_scale"], model["logit_bias"])
    if args.scale:
        posterior = Posterior(model["link"], args.scale)
    sample = load_sample(store, "reference", reference)
    out = np.arange(len(sample.image)) % HELD_OUT == 0
    image, text = sample.image[~out], sample.text[~out]
    p_image, p_text = estimate_priors(image, text, posterior)
    sides = {
        "image": Side(image, text, p_image, p_text, sample.image[out], posterior),
        "text": Side(text, image, p_text, p_image, sample.text[out], posterior),
    }
    width = image.shape[1]
    print(f"{posterior}, {len(image):,} pairs, {int(out.sum()):,} held out, width {width}\n")
    for name, side in sides.items():
        exact = side.exact(side.queries)
        print(f"| {name}: form | K | R² | slope | intercept |\n| --- | ---: | ---: | ---: | ---: |")
        line("quadratic form", 0, side.quadratic(side.queries), exact)
        for factor in args.per_width:
            for label, scores in variants(side, factor * width):
                line(label, factor * width, scores, exact)
        print()


def line(label: str, clusters: int, scores: Array, exact: Array) -> None:
    found = agreement(scores, exact)
    print(
        f"| {label} | {clusters or '-'} | {found.r2:.4f} | {found.slope:.3f}"
        f" | {found.intercept:.3f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
