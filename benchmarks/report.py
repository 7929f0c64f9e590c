"""Reports of synthetic pools: core-seconds by phase, memory, and size of the folder.

Generates the score columns of a pool as `benchmarks/sweeps.py` does, selects a subset, and makes
its report in a process of its own for each size, without pictures, which these pools have none of:

    python benchmarks/report.py --rows 1000000 5000000 10000000 --folder runs/report-benchmark

About 70 bytes of disk a row. A second call finds the pools again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sweeps import make_pool

from curate import subsets
from curate.config import Rules
from curate.manifest import RunDir
from curate.outputs import Store
from curate.report.build import FOLDER, build_report, write_report

RULES = {
    "all": [
        {"image_informativeness": {"drop_lowest": 0.05}},
        {"any": [{"text_informativeness": {"drop_lowest": 0.1}}, {"clip_score": {"min": 0.3}}]},
        {"aspect_ratio": {"max": 3}},
    ]
}


def measure(folder: Path) -> dict[str, Any]:
    """Make a report of a pool in this process."""
    run = RunDir(Store(str(folder)))
    begin, marks = time.perf_counter(), list[tuple[str, float]]()
    built = build_report(run, observe=lambda phase: marks.append((phase, time.process_time())))
    marks.append(("writing", time.process_time()))
    write_report(built, run.store)
    ends = [at for _, at in marks[1:]] + [time.process_time()]
    files = [path for path in (folder / FOLDER).rglob("*") if path.is_file()]
    return {
        "wall_seconds": time.perf_counter() - begin,
        "seconds": {name: end - at for (name, at), end in zip(marks, ends, strict=True)},
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cells": built.cells["n"],
        "samples": len(built.payload["samples"]),
        "cells_bytes": (folder / FOLDER / "data/cells.js").stat().st_size,
        "bytes": sum(path.stat().st_size for path in files),
    }


def main() -> None:
    """Measure pools of the given sizes and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--folder", type=Path, default=Path("runs/report-benchmark"))
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return
    for rows in sorted(arguments.rows):
        folder = arguments.folder / str(rows)
        run = make_pool(folder, rows)
        subsets.select(run, "default", Rules.model_validate(RULES), None)
        command = [sys.executable, __file__, "--one", str(folder)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(output)
        phases = ", ".join(f"{name} {s:.1f}" for name, s in found["seconds"].items())
        print(
            f"{rows:,} rows: {sum(found['seconds'].values()):.1f} core-seconds ({phases}),"
            f" {found['wall_seconds']:.1f} s; {found['peak_bytes'] / 1e9:.2f} GB of memory;"
            f" {found['samples']:,} samples, {found['cells']:,} cells,"
            f" {found['bytes'] / 1e6:.1f} MB,"
            f" {found['cells_bytes'] / 1e6:.1f} of it cells.js",
            flush=True,
        )


if __name__ == "__main__":
    main()
