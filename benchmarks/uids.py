"""A top-fraction subset to a sorted uids.npy, beside the method of DataComp's `apply_filter`.

    python benchmarks/uids.py [--rows 10000000 50000000] [--folder runs/uids-benchmark]

The method, in its own libraries, one process: every file's scores are read by pandas and put
together, the threshold is taken from all of them sorted, then every file is read once more with
its uids; those of the rows that reach the threshold become pairs of Python integers, one array of
structures that is sorted and saved (`baselines/apply_filter.py`, `baselines/utils.py`). It reads
the same files of scores as `curate` does, a column of scores and one of uids.

`curate sweep` is measured for one rule set, twice: from nothing, where it also looks whether a uid
is repeated, which a pool is asked once; and again for another fraction. Both are compared with the
same call of the method. The files must be equal byte for byte. Time is of all cores, of processes
that do nothing else, imports included; so is memory. The pool is drawn once, 75 bytes of disk a
row, and found again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from speed.table import Row, markdown
from speed.trees import Cost

SCORE = "clip_score"
FRACTION = 0.3
CONTENDERS = ("method", "first", "again", "select")
BARS = (0.2, 0.3)  # of the method's time, of its memory


def method(folder: Path) -> None:
    """DataComp's way, without its pool of processes."""
    import numpy as np

    pd = importlib.import_module("pandas")  # it comes without types
    files = sorted((folder / "scores").glob("*.parquet"))
    frames = pd.concat([pd.read_parquet(file, columns=[SCORE]) for file in files])
    threshold = -np.sort(-frames[SCORE].values)[int(len(frames) * FRACTION)]
    found = []
    for file in files:
        frame = pd.read_parquet(file, columns=["uid", SCORE])
        kept = frame[frame[SCORE] >= threshold]["uid"].values
        pairs = [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in kept]
        found.append(np.array(pairs, np.dtype("u8,u8")))
    uids = np.concatenate(found)
    uids.sort()
    np.save(folder / "method.npy", uids)


def swept(folder: Path) -> None:
    """`curate sweep` of one rule set."""
    from curate.config import Rules
    from curate.manifest import RunDir
    from curate.outputs import Store
    from curate.sweep.run import sweep
    from curate.sweep.tables import RuleSet

    rules = Rules.model_validate({"all": [{SCORE: _top()}]})
    sweep(RunDir(Store(str(folder))), [RuleSet("top", rules)], None)


def selected(folder: Path) -> None:
    """`curate select`, which also writes a reason for every row."""
    from curate.config import Rules
    from curate.manifest import RunDir
    from curate.outputs import Store
    from curate.subsets import select

    rules = Rules.model_validate({"all": [{SCORE: _top()}]})
    select(RunDir(Store(str(folder))), "top", rules, None)


def _top() -> dict[str, object]:
    return {"keep_highest": FRACTION, "method": "datacomp"}


WORK: dict[str, Callable[[Path], None]] = {
    "method": method,
    "first": swept,
    "again": swept,
    "select": selected,
}


def measured(folder: Path, contender: str) -> Cost:
    """Run one contender in a process of its own."""
    for left in ("sweep", "subsets"):
        shutil.rmtree(folder / left, ignore_errors=True)
    if contender == "first":
        (folder / "state" / "duplicates.npz").unlink(missing_ok=True)
    command = [sys.executable, __file__, "--one", str(folder), contender]
    begin = time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpu, memory = json.loads(output.splitlines()[-1])
    return Cost(cpu, time.perf_counter() - begin, memory)


def as_the_command_line() -> None:
    """What `curate` does with its process before a sweep."""
    from curate.own_process import keep_imports, leave_out_pandas

    leave_out_pandas()
    importlib.import_module("curate.sweep.run")
    keep_imports()


def one(folder: Path, contender: str) -> tuple[float, int]:
    """What this process took: CPU seconds, and bytes at the peak."""
    if contender != "method":
        as_the_command_line()
    WORK[contender](folder)
    told = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()
    return time.process_time(), int(told[0]) * 1024


def compare(folder: Path, rows: int, contenders: tuple[str, ...]) -> list[Row]:
    """The rows of one pool."""
    from sweeps import make_pool

    place = folder / str(rows)
    make_pool(place, rows, repeated=False)
    costs = {}
    for contender in contenders:
        costs[contender] = measured(place, contender)
        uids = place / ("method.npy" if contender == "method" else "subsets/top/uids.npy")
        if uids.read_bytes() != (place / "method.npy").read_bytes():
            raise SystemExit(f"{contender}: {uids} differs from the method's")
    names = {
        "method": "DataComp's method (pandas, structured sort)",
        "first": "curate sweep, repeated uids looked for",
        "again": "curate sweep, another fraction",
        "select": "curate select, with a reason per row",
    }
    base = costs["method"]
    return [
        Row(
            f"top {FRACTION:.0%} of {rows:,} rows to sorted uids.npy",
            names[contender],
            cost.cpu * 1e3,
            cost.wall * 1e3,
            "subset",
            cost.cpu / base.cpu,
            BARS[0] if contender in ("first", "again") else None,
            cost.memory,
            f"memory {cost.memory / base.memory:.2f} of the method's (bar: {BARS[1]})",
        )
        for contender, cost in costs.items()
    ]


def rows(
    quick: bool,
    sizes: tuple[int, ...] = (10_000_000,),
    folder: Path = Path("runs/uids-benchmark"),
    contenders: tuple[str, ...] = CONTENDERS,
) -> list[Row]:
    """The rows of the table."""
    found: list[Row] = []
    for size in (1_000_000,) if quick else sizes:
        found += compare(folder.resolve(), size, contenders)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000_000])
    parser.add_argument("--folder", type=Path, default=Path("runs/uids-benchmark"))
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one(Path(options.one[0]), options.one[1])))
        return
    contenders = tuple(dict.fromkeys(["method", *options.only]))
    print(markdown(rows(False, tuple(options.rows), options.folder, contenders)))


if __name__ == "__main__":
    main()
