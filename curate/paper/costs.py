"""Table 5: measured time and memory of both methods against the sample size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.config import PaperConfig
from curate.errors import WorkerError
from curate.paper.cost_figure import cost_figure
from curate.paper.sample import PaperSample, Section
from curate.paper.tables import Table, show

TITLE: Final = "Table 5: time and memory against sample size"

PRIOR_SECONDS: Final = 60.0
"""Beyond this, by the square law from the size before, the exact prior is not measured."""

PROBE_SECONDS: Final = 600.0
QUERIES: Final = 256
NOISE: Final = 0.05
"""Length of the noise on resampled embeddings, relative to theirs: copies differ, the spectrum of
the covariance stays."""

DOMINATES: Final = 3.0
"""A cost counts as grown when it is this many times that of the smallest size."""

RESOLUTION: Final = 1 << 20
"""Bytes; below, allocators and page tables tell more than the method."""


@dataclass(frozen=True)
class Method:
    """A method's part that is measured; `law` is what the paper, or its algorithm, says."""

    method: str
    part: str
    task: str
    time_law: str
    memory_law: str


METHODS: Final = (
    Method("exact", "pre-inference (prior)", "prepare_exact", "n² d", "n d"),
    Method("norm", "pre-inference (mean, covariance)", "prepare_norm", "n d²", "n d + d²"),
    Method("exact", "inference, a query", "query_exact", "n d", "n d"),
    Method("norm", "inference, a query", "query_norm", "d²", "d²"),
)


@dataclass(frozen=True)
class Cost:
    """One measurement: n, seconds (a query, or in all), bytes at the peak."""

    n: int
    seconds: float
    bytes: int


def study(sample: PaperSample, settings: PaperConfig) -> Section:
    """Measure both methods on resampled embeddings of a sample.

    Raises:
        WorkerError: a measurement failed.
    """
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        request = _write_arrays(sample, max(settings.sizes), settings.seed, Path(folder))
        costs = {m: list(measure_costs(m, settings.sizes, request)) for m in METHODS}
    return report(costs, settings, sample)


def resample(
    rows: npt.NDArray[np.float32], n: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.float32]]:
    """Draw n rows with replacement, add noise, normalise: float32, in blocks of 8192 rows."""
    scale = NOISE / np.sqrt(rows.shape[1])
    for begin in range(0, n, 8192):
        count = min(8192, n - begin)
        drawn = rows[rng.integers(0, len(rows), count)]
        drawn = drawn + scale * rng.standard_normal(drawn.shape, dtype=np.float32)
        yield (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def _write_arrays(sample: PaperSample, n: int, seed: int, folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    request: dict[str, Any] = {"dim": int(sample.image.shape[1]), "link": sample.link}
    for name, rows in (("image", sample.image), ("text", sample.text)):
        path = folder / f"{name}.f32"
        with path.open("wb") as file:
            for block in resample(rows, max(n, QUERIES), rng):
                file.write(block.tobytes())
        request[name] = str(path)
    return request


def measure_costs(
    method: Method, sizes: Sequence[int], request: Mapping[str, Any]
) -> Iterator[Cost]:
    """One measurement for each size; those of the exact prior stop before they take too long."""
    last = Cost(1, 0.0, 0)
    for n in sizes:
        expected = last.seconds * (n / last.n) ** 2
        if method.task == "prepare_exact" and expected > PRIOR_SECONDS:
            return
        units = QUERIES if method.task.startswith("query") else 1
        answer = probe({**request, "task": method.task, "n": n, "units": units})
        last = Cost(n, answer["seconds"], answer["bytes"])
        yield last


def probe(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run one measurement in a fresh process, one thread.

    Raises:
        WorkerError: it failed.
    """
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    settings = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    # glibc keeps smaller freed arrays for later; given back, the peak is what is in use.
    settings["MALLOC_MMAP_THRESHOLD_"] = str(1 << 16)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "curate.paper.probe"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_SECONDS,
            env={**os.environ, **settings, "PYTHONPATH": path},
        )
    except (subprocess.SubprocessError, OSError) as exc:
        detail = str(getattr(exc, "stderr", "") or "")[-500:]
        raise WorkerError(f"measuring {request['task']}: {exc}; {detail}") from exc
    return dict(json.loads(done.stdout))


# --- exponents --------------------------------------------------------------------------------


def exponent(sizes: Sequence[int], costs: Sequence[float], floor: float) -> tuple[float, int]:
    """Exponent of a cost in n, by least squares of its logarithm.

    Sizes count whose cost is at least DOMINATES times that of the smallest size, where fixed
    costs weigh most; if fewer than two have grown as much, all sizes are fitted.

    Args:
        sizes: growing.
        costs: seconds or bytes.
        floor: what cannot be told from zero; smaller costs are taken for it.

    Returns:
        (exponent, sizes that were fitted); NaN with fewer than two sizes.
    """
    n, values = np.asarray(sizes, dtype=np.float64), np.maximum(costs, floor)
    if len(n) < 2:
        return float("nan"), len(n)
    chosen = values >= DOMINATES * values[0]
    if chosen.sum() < 2:
        chosen = np.ones(len(n), dtype=bool)
    slope = np.polyfit(np.log(n[chosen]), np.log(values[chosen]), 1)[0]
    return round(float(slope), 4), int(chosen.sum())


# --- report -----------------------------------------------------------------------------------


def report(
    costs: Mapping[Method, Sequence[Cost]], settings: PaperConfig, sample: PaperSample
) -> Section:
    """The tables, the figure and the sentence of measured costs."""
    rows = [
        {"method": m.method, "part": m.part, **asdict(cost)} | {"mib": cost.bytes / 2**20}
        for m, its in costs.items()
        for cost in its
    ]
    fitted = [_fitted(m, its) for m, its in costs.items()]
    return Section(
        name="table5",
        title=TITLE,
        reading=_reading(fitted, costs),
        tables=(
            Table.of("table5", "Exponents of time and memory in n", _FITTED_NOTE, fitted),
            Table.of("table5-costs", "Measured costs", _COSTS_NOTE, rows),
        ),
        figures={"table5": cost_figure({(m.method, m.part): its for m, its in costs.items()})},
        missing=tuple(_left_out(costs, settings.sizes)),
        notes=(
            f"Embeddings of width d = {sample.image.shape[1]}: rows of the sample drawn with"
            f" replacement, with seeded noise of length {NOISE} added, normalised.",
        ),
    )


_FITTED_NOTE: Final = (
    "Least squares of log cost on log n over `fitted` sizes: those whose cost is at least"
    f" {DOMINATES:g} times that of the smallest size; where fewer than two are, all"
    " sizes are fitted. Memory below 1 MiB counts as 1 MiB, the resolution. The norm's"
    " pre-inference is that of Eq. 5 with `prior: uniform`; `prior: model` adds the exact prior,"
    " and with sigmoid `covariance: corrected` a pass of the same order."
)
_COSTS_NOTE: Final = (
    "Each row is a fresh process on one CPU thread. Seconds: the fastest pass, of the whole"
    f" pre-inference, or a query in passes of 16 out of {QUERIES}. Bytes: peak resident memory"
    " of the pass above that of the same process before any array was there, held embeddings,"
    " priors, means and factors included."
)


def _fitted(method: Method, costs: Sequence[Cost]) -> dict[str, Any]:
    sizes = [cost.n for cost in costs]
    seconds, timed = exponent(sizes, [cost.seconds for cost in costs], 0.0)
    memory, weighed = exponent(sizes, [float(cost.bytes) for cost in costs], RESOLUTION)
    return {
        "method": method.method,
        "part": method.part,
        "time law": method.time_law,
        "time exponent": seconds,
        "fitted (time)": timed,
        "memory law": method.memory_law,
        "memory exponent": memory,
        "fitted (memory)": weighed,
        "largest n": max(sizes, default=0),
    }


def _left_out(costs: Mapping[Method, Sequence[Cost]], sizes: Sequence[int]) -> Iterator[str]:
    for method, its in costs.items():
        left = [n for n in sizes if n not in {cost.n for cost in its}]
        if left:
            yield (
                f"{method.method} {method.part} at n = {', '.join(f'{n:,}' for n in left)}: not"
                f" run: it would take over {PRIOR_SECONDS:g} s, growing as n²"
            )


def _reading(fitted: Sequence[Mapping[str, Any]], costs: Mapping[Method, Sequence[Cost]]) -> str:
    last = {method.task: its[-1] for method, its in costs.items()}
    exact, norm = last["query_exact"], last["query_norm"]
    grown = {(f["method"], f["part"]): f for f in fitted}
    per_query = [grown[m, METHODS[2].part] for m in ("exact", "norm")]
    return (
        f"At n = {exact.n:,} a query takes {show(1e6 * exact.seconds)} µs and"
        f" {show(exact.bytes / 2**20)} MiB exactly, {show(1e6 * norm.seconds)} µs and"
        f" {show(norm.bytes / 2**20)} MiB by the norm; exponents in n: time"
        f" {show(per_query[0]['time exponent'])} against {show(per_query[1]['time exponent'])},"
        f" memory {show(per_query[0]['memory exponent'])} against"
        f" {show(per_query[1]['memory exponent'])}."
    )
