"""Scoring precomputed embeddings, beside reading them, the products alone, and the exact gain.

    python benchmarks/precomputed.py [--rows 65536] [--dim 512] [--rounds 5]

One core, one process, no start-up: a part of DataComp's layout (Parquet and npz of float16) is
scored as a worker does it. Beside it: `np.load` and a cast of the same arrays to float32; a plain
matrix product of the same size for each modality, by torch and by oneDNN; the scores alone, of
embeddings that are normalised already; and the exact Information Gain against 10,000 pairs, on
fewer rows. All take turns, and the fastest round of each counts. Memory is what each takes at its
peak besides what the process held before: imports and the Reference.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from speed.table import Row, markdown

from curate.config import Config, InputConfig, OutputConfig, ReferenceConfig
from curate.embedding_pools.layouts import Part, list_parts
from curate.embedding_pools.source import Source, find_source
from curate.embedding_pools.task import PartTask, score_part
from curate.manifest import RunDir
from curate.numerics.products import product
from curate.outputs import Store
from curate.reference import fit
from curate.schema import EXACT_COLUMNS
from curate.scorer import Scorer

SAMPLE = 10_000
EXACT_ROWS = 1024
BLOCK = 8192  # rows of a product that is measured by itself
SQUARE = 2048  # of the product that tells the peak of the core
PART, READ, GEMM, FAST, SCORES, EXACT, PEAK = (
    "curate, a part whole",
    "np.load and cast",
    "one GEMM a modality",
    "the same by oneDNN",
    "curate's scores alone",
    f"exact Information Gain, n = {SAMPLE:,}",
    "square GEMM",
)


@dataclass(frozen=True)
class Step:
    """Something to measure, and how many pairs it takes in one go."""

    run: Callable[[], object]
    pairs: int


def best(steps: Mapping[str, Step], rounds: int) -> dict[str, tuple[float, float]]:
    """Seconds a pair of CPU and of the clock of the fastest of some rounds, in turns."""
    found: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for name, step in steps.items():
            cpu, wall = time.process_time(), time.perf_counter()
            step.run()
            cost = time.process_time() - cpu, time.perf_counter() - wall
            one = cost[0] / step.pairs, cost[1] / step.pairs
            known = found.get(name, one)
            found[name] = min(known[0], one[0]), min(known[1], one[1])
    return found


def write_part(folder: Path, rows: int, dim: int) -> None:
    """A part of random pairs on a falling spectrum, as embeddings have it."""
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, dim + 1) ** -0.5
    common = rng.normal(size=(rows, dim)) * spectrum
    arrays = {}
    for name in ("l14_img", "l14_txt"):
        own = common + rng.normal(size=(rows, dim)) * spectrum + spectrum[::-1]
        arrays[name] = (own / np.linalg.norm(own, axis=1, keepdims=True)).astype(np.float16)
    folder.mkdir(parents=True)
    np.savez(folder / "part.npz", **arrays)
    uids = [f"{n:032x}" for n in range(rows)]
    texts = [f"a caption of row {n} with some words" for n in range(rows)]
    pq.write_table(pa.table({"uid": uids, "text": texts}), folder / "part.parquet")


def steps_of(folder: Path, rows: int, wanted: Iterable[str]) -> dict[str, Step]:
    """What is measured, made ready; only what the wanted ones need is held."""
    npz = folder / "pool" / "part.npz"

    def read() -> None:
        with np.load(npz) as arrays:
            for name in arrays.files:
                arrays[name].astype(np.float32)

    found = {}
    for name in wanted:
        if name == READ:
            found[name] = Step(read, rows)
        elif name == PART:
            found[name] = Step(_part(folder), rows)
        elif name == PEAK:
            found[name] = Step(partial(product, *torch.randn(2, SQUARE, SQUARE)), 1)
        else:
            found[name] = _products(name, folder, *map(torch.from_numpy, _sample(folder, BLOCK)))
    return found


def _source(folder: Path) -> tuple[Config, tuple[Part, ...], Source]:
    config = Config(
        input=InputConfig(embeddings=str(folder / "pool")),
        reference=ReferenceConfig(samples=SAMPLE),
        output=OutputConfig(run_dir=str(folder / "run")),
    )
    parts = list_parts(str(folder / "pool"), "input.embeddings")
    return config, parts, find_source(parts, config)


def _sample(folder: Path, count: int) -> list[npt.NDArray[np.float32]]:
    with np.load(folder / "pool" / "part.npz") as arrays:
        return [arrays[name][:count].astype(np.float32) for name in arrays.files]


def _scorer(folder: Path, exact: bool = False) -> Scorer:
    config, _, source = _source(folder)
    assert source.model is not None
    image, text = _sample(folder, SAMPLE)
    reference, held = fit(image, text, config.reference, source.model)
    return Scorer(reference, "cpu", EXACT_COLUMNS, held) if exact else Scorer(reference, "cpu")


def _part(folder: Path) -> Callable[[], object]:
    _, (part,), source = _source(folder)
    task = PartTask("id", source, (), _scorer(folder))
    turn = iter(range(1_000_000))

    def score() -> None:
        # Into the same folder: a run directory that grows is no part of this.
        place = folder / "scored" / str(next(turn))
        score_part(RunDir(Store(str(place))), part, task, lambda counts: None)
        shutil.rmtree(place)

    return score


def _products(name: str, folder: Path, image: torch.Tensor, text: torch.Tensor) -> Step:
    u, v = (torch.nn.functional.normalize(block) for block in (image, text))
    if name == GEMM:
        weights = torch.randn(u.shape[1], u.shape[1])
        return Step(lambda: (u @ weights, v @ weights), len(u))
    if name == FAST:
        weights = torch.randn(u.shape[1], u.shape[1]).T
        return Step(lambda: (product(u, weights), product(v, weights)), len(u))
    scorer = _scorer(folder, name == EXACT)
    if name == SCORES:
        return Step(lambda: scorer(u, v), len(u))
    few = u[:EXACT_ROWS], v[:EXACT_ROWS]
    return Step(lambda: scorer(*few), EXACT_ROWS)


def peak_memory(folder: Path, rows: int, name: str) -> int:
    """What one thing takes besides what its process held before, bytes at the peak."""
    command = [sys.executable, __file__, "--rows", str(rows), "--one", str(folder), name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(json.loads(output))


def rows(quick: bool, pairs: int | None = None, dim: int = 512, rounds: int = 5) -> list[Row]:
    """The rows of the table: costs of one core, a pair."""
    torch.set_num_threads(1)
    pairs = pairs or (16_384 if quick else 65_536)
    names = (PART, READ, GEMM, FAST, SCORES, EXACT)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_part(folder / "pool", pairs, dim)
        times = best(steps_of(folder, pairs, (*names, PEAK)), 2 if quick else rounds)
        memory = {name: peak_memory(folder, pairs, name) for name in (PART, READ, SCORES, EXACT)}
    return table(times, memory, pairs, dim)


def table(
    times: Mapping[str, tuple[float, float]], memory: Mapping[str, int], pairs: int, dim: int
) -> list[Row]:
    """The measurements as rows."""
    of_gemm, of_exact = times[GEMM][0], times[EXACT][0]
    bound = max(times[READ][0], of_gemm)
    rates = {name: 4 * dim * dim / times[name][0] / 1e9 for name in (GEMM, FAST)}
    faster = times[PART][0] / max(times[READ][0], times[FAST][0])
    share = 4 * dim * dim / times[SCORES][0] / (2 * SQUARE**3 / times[PEAK][0])
    work = f"score embeddings, float16, d = {dim}"
    exact = "a score from the Reference or exactly"
    notes = {
        PART: f"{of_exact / times[PART][0]:.0f}x the exact gain; {pairs:,} rows; {faster:.2f} of"
        " the larger of reading and oneDNN's GEMM",
        **{name: f"{rate:.0f} GFLOP/s" for name, rate in rates.items()},
    }

    def row(name: str, contender: str, ratio: float, bar: float | None, note: str) -> Row:
        cpu, wall = times[contender]
        held = memory.get(contender)
        return Row(name, contender, cpu * 1e3, wall * 1e3, "pair", ratio, bar, held, note)

    first = [
        row(work, name, times[name][0] / bound, 1.5 if name == PART else None, notes.get(name, ""))
        for name in (PART, READ, GEMM, FAST)
    ]
    gain = times[SCORES][0] / of_exact
    told = f"{1 / gain:.0f}x (bar: 35x); {share:.0%} of the peak of a {SQUARE}² product"
    flop = f"{SAMPLE / dim:.0f} times the FLOP of the products"
    return [
        *first,
        row(exact, SCORES, gain, 1 / 35, told),
        row(exact, EXACT, 1.0, None, flop),
    ]


def _status(field: str) -> int:
    told = Path("/proc/self/status").read_text().partition(field)[2].split()
    return int(told[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        torch.set_num_threads(1)
        folder, name = options.one
        step = steps_of(Path(folder), options.rows, [name])[name]
        ctypes.CDLL(None).malloc_trim(0)  # of what fitting left behind
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _status("VmRSS:")
        step.run()
        print(json.dumps(_status("VmHWM:") - before))
        return
    print(markdown(rows(quick=False, pairs=options.rows, dim=options.dim, rounds=options.rounds)))


if __name__ == "__main__":
    main()
