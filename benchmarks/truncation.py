"""What a truncated covariance gains, and what it costs: `reference.trace_share: 0.999` against 1.

    python benchmarks/truncation.py [--sample runs/paper/models/main/reference/sample.npz]

The Reference is fitted on one half of the pairs and scores the other half, with the whole
covariance and with the smallest rank that holds 99.9 % of its trace. Beside CPU time of the scores
alone (images and texts): the relative error of a score, and how much of the lowest 10 % stays the
same. Embeddings are drawn with eigenvalues that fall as a power of their rank, in 512 dimensions;
those of a trained model are taken from the sample of a Reference, where there is one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from precomputed import Step, best
from speed.table import Row, markdown

from curate.config import ReferenceConfig
from curate.embedding_pools.rows import PIECE_ROWS
from curate.embedding_pools.source import Precomputed
from curate.reference import Reference, fit
from curate.schema import IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS
from curate.scorer import Scorer

SHARE = 0.999  # of the trace
LOWEST = 0.1  # of the pool
UNCHANGED = 0.999  # of the lowest, for the truncation to become the default
DIM = 512
EXPONENTS = (1.0, 2.0)  # of eigenvalues; a trained model's fall by 2 to 3, behind the first ones
SAMPLE = Path("runs/paper/models/main/reference/sample.npz")
COLUMNS = (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS)

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pairs:
    """Normalised embeddings, float32 [n, d], and what they are."""

    name: str
    image: Float32
    text: Float32


@dataclass(frozen=True)
class Loss:
    """What truncation does to scores: ranks, relative errors, and what the lowest share."""

    ranks: tuple[int, int]
    mean: float
    largest: float
    unchanged: float


def drawn(exponent: float, rows: int) -> Pairs:
    """Pairs of which half the variance is common, on axes of falling variance."""
    rng = np.random.default_rng(0)
    deviation = np.arange(1, DIM + 1) ** (-exponent / 2)
    common = rng.normal(size=(rows, DIM))
    sides = []
    for _ in range(2):
        side = (common + rng.normal(size=(rows, DIM))) * deviation + deviation.max()
        sides.append((side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32))
    return Pairs(f"d = {DIM}, eigenvalues k^-{exponent:g}", sides[0], sides[1])


def stored(path: Path) -> Pairs:
    """The pairs of a Reference's sample."""
    with np.load(path) as arrays:
        image, text = arrays["image"], arrays["text"]
    return Pairs(f"d = {image.shape[1]}, a trained model's, {len(image):,} pairs", image, text)


def references(pairs: Pairs) -> tuple[Reference, Reference]:
    """Fitted on every second pair: whole and truncated."""
    model = Precomputed("drawn", "0" * 64, "softmax", None, 0.0, pairs.image.shape[1])
    whole, cut = (
        fit(pairs.image[::2], pairs.text[::2], ReferenceConfig(trace_share=share), model)[0]
        for share in (1.0, SHARE)
    )
    return whole, cut


def loss(pairs: Pairs, whole: Reference, cut: Reference) -> Loss:
    """Errors on the other pairs; the worse of the two columns."""
    others = [torch.from_numpy(side[1::2]) for side in (pairs.image, pairs.text)]
    full, short = (Scorer(reference)(*others) for reference in (whole, cut))
    means, largest, same = [], [], []
    for name in COLUMNS:
        a, b = full[name].numpy(), short[name].numpy()
        error = np.abs(a - b) / a
        means.append(float(error.mean()))
        largest.append(float(error.max()))
        count = int(len(a) * LOWEST)
        lowest = (set(np.argsort(scores, kind="stable")[:count].tolist()) for scores in (a, b))
        same.append(len(set.intersection(*lowest)) / count)
    ranks = (cut.image.factor.shape[1], cut.text.factor.shape[1])
    return Loss(ranks, max(means), max(largest), min(same))


def rows(
    quick: bool, sample: Path = SAMPLE, drawn_rows: int = 40_000, rounds: int = 15
) -> list[Row]:
    """The rows of the table: the scores alone, a pair."""
    torch.set_num_threads(1)
    count = 8_000 if quick else drawn_rows
    found = [stored(sample)] if sample.exists() else []
    table: list[Row] = []
    for pairs in [*found, *(drawn(exponent, count) for exponent in EXPONENTS)]:
        table += compared(pairs, 5 if quick else rounds)
    return table


def compared(pairs: Pairs, rounds: int) -> list[Row]:
    """The two rows of one set of pairs."""
    whole, cut = references(pairs)
    pieces = [torch.from_numpy(side[:PIECE_ROWS]) for side in (pairs.image, pairs.text)]

    def step(reference: Reference) -> Step:
        scorer = Scorer(reference)
        # Some tens of milliseconds: the clock of CPU time is no finer than that of some systems.
        return Step(lambda: [scorer(*pieces) for _ in range(4)], 4 * PIECE_ROWS)

    times = best({"whole": step(whole), "truncated": step(cut)}, rounds)
    lost = loss(pairs, whole, cut)
    name = f"truncated covariance: {pairs.name}"
    verdict = "enough" if lost.unchanged >= UNCHANGED else "too little"
    note = (
        f"ranks {lost.ranks[0]}, {lost.ranks[1]}; a score is off by {lost.mean:.1e} of it on"
        f" average, {lost.largest:.1e} at most; {lost.unchanged:.2%} of the lowest {LOWEST:.0%}"
        f" unchanged: {verdict} for a default"
    )
    base, other = times["whole"], times["truncated"]

    def row(contender: str, key: str, ratio: float, told: str) -> Row:
        cpu, wall = times[key]
        return Row(name, contender, cpu * 1e3, wall * 1e3, "pair", ratio, note=told)

    return [
        row("whole, the default", "whole", 1.0, ""),
        row("99.9 % of the trace", "truncated", other[0] / base[0], note),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=SAMPLE, help="sample.npz of a Reference")
    parser.add_argument("--rows", type=int, default=40_000, help="pairs that are drawn")
    options = parser.parse_args()
    print(markdown(rows(quick=False, sample=options.sample, drawn_rows=options.rows)))


if __name__ == "__main__":
    main()
