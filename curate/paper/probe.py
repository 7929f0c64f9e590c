"""One measurement of time and memory, in a process of its own: `python -m curate.paper.probe`.

Reads a JSON request on standard input and prints a JSON answer. Peak memory is a high-water mark
that no process can lower by freeing: only a fresh one tells what a method takes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from curate.numerics.information_gain import InformationGain
from curate.numerics.informativeness import factorise, informativeness, metric_matrix
from curate.numerics.moments import moments_of
from curate.numerics.posterior import Posterior, estimate_priors

MIN_SECONDS: Final = 0.3
"""Cheap work is repeated for this long; the fastest pass counts, as the least disturbed."""

MIN_PASSES: Final = 3
LONG_SECONDS: Final = 5.0
"""The first pass pays for pages and threads that the next ones find; of a long one that is
nothing, and it is not repeated."""

QUERIES_AT_ONCE: Final = 16
"""Queries of one pass: their posteriors, 16 n float32, stay below the n d of the candidates."""

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def main() -> None:
    """Answer the request on standard input."""
    torch.set_num_threads(1)
    request = json.load(sys.stdin)
    _warm_up()
    baseline = current_bytes()
    work, release = TASKS[request["task"]](request)
    reset_peak()
    seconds = fastest(work, request["units"])
    print(json.dumps({"seconds": seconds, "bytes": max(0, peak_bytes() - baseline)}))
    release()


def fastest(work: Callable[[], Any], units: int) -> float:
    """Seconds a unit of the fastest pass: at least MIN_PASSES of work that is not long."""
    passes: list[float] = []
    while sum(passes) < MIN_SECONDS or (len(passes) < MIN_PASSES and max(passes) < LONG_SECONDS):
        start = time.perf_counter()
        work()
        passes.append(time.perf_counter() - start)
    return min(passes) / units


# --- tasks ------------------------------------------------------------------------------------

Work = tuple[Callable[[], Any], Callable[[], Any]]
"""What is timed, and what keeps its arrays alive until the peak has been read."""


def prepare_exact(request: dict[str, Any]) -> Work:
    """The priors: mean posteriors of all against all, O(n^2 d)."""
    image, text = _load(request, "image"), _load(request, "text")
    posterior = Posterior(request["link"])
    return lambda: estimate_priors(image, text, posterior), lambda: (image, text)


def prepare_norm(request: dict[str, Any]) -> Work:
    """Mean, covariance and factor of one modality as in Eq. 5, uniform prior: O(n d^2)."""
    image, text = _load(request, "image"), _load(request, "text")
    prior = np.full(len(text), 1 / len(text))
    posterior = Posterior(request["link"])

    def work() -> Any:
        mean = moments_of(image).mean
        return factorise(metric_matrix(text, prior, mean, posterior, "paper"))

    return work, lambda: (image, text)


def query_exact(request: dict[str, Any]) -> Work:
    """Exact Information Gain of queries against n candidates that are held: O(n d) each."""
    text = _load(request, "text")
    prior = np.full(len(text), 1 / len(text))
    chunk = QUERIES_AT_ONCE * len(text) * text.itemsize
    gain = InformationGain(text, prior, Posterior(request["link"]), chunk_bytes=chunk)
    del text, prior
    queries = torch.from_numpy(_load(request, "image", request["units"]))
    return lambda: gain(queries), lambda: (gain, queries)


def query_norm(request: dict[str, Any]) -> Work:
    """Norms of queries by a factor that is held, whatever n was: O(d^2) each."""
    queries = torch.from_numpy(_load(request, "image", request["units"]))
    width = queries.shape[1]
    factor, offset = torch.eye(width), torch.zeros(width)

    parts = [queries[at : at + QUERIES_AT_ONCE] for at in range(0, len(queries), QUERIES_AT_ONCE)]

    def work() -> Any:
        return [informativeness(part, offset, factor) for part in parts]

    return work, lambda: (queries, factor, offset)


TASKS: Final[dict[str, Callable[[dict[str, Any]], Work]]] = {
    "prepare_exact": prepare_exact,
    "prepare_norm": prepare_norm,
    "query_exact": query_exact,
    "query_norm": query_norm,
}


def _load(request: dict[str, Any], name: str, rows: int | None = None) -> Any:
    """The first rows of an array file, read into memory of exactly their size."""
    count = request["n"] if rows is None else rows
    flat = np.fromfile(request[name], dtype=np.float32, count=count * request["dim"])
    return flat.reshape(count, request["dim"])


def _warm_up() -> None:
    """Let the libraries allocate what they keep, so that it is part of the baseline."""
    rng = np.random.default_rng(0)
    image, text = (rng.normal(size=(64, 8)).astype(np.float32) for _ in range(2))
    _, prior = estimate_priors(image, text, Posterior("sigmoid"))
    factorise(metric_matrix(text, prior, moments_of(image).mean, Posterior("sigmoid")))
    InformationGain(text, prior, Posterior("sigmoid"))(torch.from_numpy(image))


# --- memory -----------------------------------------------------------------------------------


def peak_bytes() -> int:
    """The largest resident memory since the last reset; since the start where none is possible."""
    found = _status("VmHWM")
    if found is not None:
        return found
    # A child starts with the mark of its parent here, hence Linux's own account is preferred.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def current_bytes() -> int:
    """Resident memory now; its peak where the system does not tell."""
    found = _status("VmRSS")
    return peak_bytes() if found is None else found


def reset_peak() -> bool:
    """Begin a new high-water mark, where the system can; tells whether it did."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{field}:")), None)
    return None if found is None else 1024 * int(found.split()[1])


if __name__ == "__main__":
    main()
