"""Scoring precomputed embeddings, beside reading them, the products alone, and the exact gain.

    python benchmarks/precomputed.py [--rows 100000] [--dim 512]

One core, one process, no start-up: a part of DataComp's layout (Parquet and npz of float16) is
scored as a worker does it. Beside it: `np.load` and a cast of the same arrays to float32; the two
products of a score, ||Lᵀu - Lᵀū||², by themselves; a plain matrix product of the same size; and the
exact Information Gain against 10,000 texts, on fewer rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from curate.config import Config, InputConfig, OutputConfig, ReferenceConfig
from curate.embedding_pools.layouts import list_parts
from curate.embedding_pools.source import find_source
from curate.embedding_pools.task import PartTask, score_part
from curate.manifest import RunDir
from curate.outputs import Store
from curate.reference import fit
from curate.schema import EXACT_COLUMNS
from curate.scorer import Scorer

SAMPLE = 10_000
EXACT_ROWS = 200
ROUNDS = 3


def best(step: Callable[[], object], rounds: int = ROUNDS) -> float:
    """CPU seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(rounds):
        begin = time.process_time()
        step()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def write_part(folder: Path, rows: int, dim: int) -> None:
    """A part of random pairs on a falling spectrum, as embeddings have it."""
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, dim + 1) ** -0.5
    common = rng.normal(size=(rows, dim)) * spectrum
    arrays = {}
    for name in ("l14_img", "l14_txt"):
        own = common + rng.normal(size=(rows, dim)) * spectrum + spectrum[::-1]
        arrays[name] = (own / np.linalg.norm(own, axis=1, keepdims=True)).astype(np.float16)
    np.savez(folder / "part.npz", **arrays)
    uids = [f"{n:032x}" for n in range(rows)]
    texts = [f"a caption of row {n} with some words" for n in range(rows)]
    pq.write_table(pa.table({"uid": uids, "text": texts}), folder / "part.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "pool").mkdir()
        write_part(folder / "pool", options.rows, options.dim)
        report(folder, options.rows, options.dim)


def report(folder: Path, rows: int, dim: int) -> None:
    """Measure and print the table."""
    config = Config(
        input=InputConfig(embeddings=str(folder / "pool")),
        reference=ReferenceConfig(samples=SAMPLE),
        output=OutputConfig(run_dir=str(folder / "run")),
    )
    (part,) = list_parts(str(folder / "pool"), "input.embeddings")
    source = find_source([part], config)
    with np.load(folder / "pool" / "part.npz") as arrays:
        image = arrays["l14_img"][:SAMPLE].astype(np.float32)
        text = arrays["l14_txt"][:SAMPLE].astype(np.float32)
    assert source.model is not None
    reference, sample = fit(image, text, config.reference, source.model)
    scorer = Scorer(reference, "cpu")
    whole = Scorer(reference, "cpu", EXACT_COLUMNS, sample)
    turn = iter(range(1_000_000))

    def score() -> None:
        run = RunDir(Store(str(folder / f"run-{next(turn)}")))
        score_part(run, part, PartTask("id", source, (), scorer), lambda counts: None)

    def read() -> None:
        with np.load(folder / "pool" / "part.npz") as found:
            for name in ("l14_img", "l14_txt"):
                found[name].astype(np.float32)

    blocks = [torch.from_numpy(a[:8192]) for a in (image, text)]
    weights = torch.randn(dim, dim)

    def products() -> None:
        for _ in range(rows // len(blocks[0])):
            scorer(*blocks)

    def gemm() -> None:
        for _ in range(rows // len(blocks[0])):
            for block in blocks:
                block @ weights

    def exact() -> None:
        whole(*(block[:EXACT_ROWS] for block in blocks))

    scale = rows / (rows // len(blocks[0]) * len(blocks[0]))
    times = {
        "curate, a part whole": best(score) / rows,
        "np.load and cast": best(read) / rows,
        "the scores alone": best(products) * scale / rows,
        "one GEMM a modality": best(gemm) * scale / rows,
    }
    times[f"exact Information Gain against {SAMPLE}"] = best(exact, 1) / EXACT_ROWS
    bar = max(times["np.load and cast"], times["one GEMM a modality"])
    print(f"{rows} pairs, float16, d = {dim}, one thread\n")
    print("| | µs a pair | to the larger bound |\n|---|---:|---:|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds * 1e6:.1f} | {seconds / bar:.2f} |")
    flops = 2 * 2 * dim * dim
    rate = flops / times["one GEMM a modality"] / 1e9
    print(f"\nGEMM: {rate:.0f} GFLOP/s. Exact: {SAMPLE / dim:.0f} times the FLOP of the products.")


if __name__ == "__main__":
    main()
