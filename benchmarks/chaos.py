"""Break a cluster and its storage while curate runs on it, resume, and compare every byte.

Usage: python benchmarks/chaos.py --points 24 --seed 7 [--only node] [--minutes 40]
       python benchmarks/chaos.py --seed 7 --only-point 11

Starts several Ray nodes on this machine and runs `curate run` on them, once undisturbed and once
per point: actors, nodes, the head and the driver are killed, the driver is told to stop, the disk
is full, the store fails, shards kill who reads them. After each, the run is resumed until it ends
well; its directory must then equal the undisturbed one, byte for byte, and the accounts must
balance. A point that fails keeps its folder in --out. Linux. Exit code 1 after a failure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

os.environ.setdefault("OMP_NUM_THREADS", "1")

from chaosing import pool
from chaosing.nodes import Nodes, environment
from chaosing.orders import Board
from chaosing.plan import Point, make_point, plan
from chaosing.trial import Ended, Suite


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="number of the first point")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds of faults with it")
    parser.add_argument("--only-point", type=int, metavar="N", help="one point of the seed")
    parser.add_argument("--nodes", type=int, default=2, help="beside the head")
    parser.add_argument("--cpus", type=int, default=1, help="logical CPUs of a node")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--minutes", type=float, help="begin no point later")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"), help="for what failed")
    return parser.parse_args()


def points_of(options: argparse.Namespace) -> Iterator[Point]:
    if options.only_point is not None:
        return iter((make_point(options.seed, options.only_point, pool.SHARDS),))
    return plan(options.seed, options.points, pool.SHARDS, options.only, options.first)


@contextmanager
def suite(options: argparse.Namespace) -> Iterator[Suite]:
    """A cluster and a pool; whatever was started has ended when the block has."""
    work = Path(tempfile.mkdtemp(prefix="curate-chaos-"))
    nodes = Nodes(options.nodes, options.cpus)
    try:
        variables = environment(work / "site", work / "board")
        os.environ.update(variables)
        print(f"drawing {pool.PAIRS} pairs in {pool.SHARDS} shards", flush=True)
        shards = pool.draw(work, seed=0)
        nodes.start()
        board = Board(work / "board")
        yield Suite(work / "runs", nodes, board, shards, {"model": options.model}, variables)
    finally:
        nodes.close()
        shutil.rmtree(work, ignore_errors=True)


def line_of(ended: Ended) -> str:
    exits = ",".join("hung" if code is None else str(code) for code in ended.exits)
    verdict = "FAILED" if ended.problems else "equal"
    point = ended.point
    return (
        f"{point.number:>3}  {point.kind.name:<22}  {point.when:<52}  seed {point.seed}"
        f"  exits {exits:<8}  {ended.seconds:5.1f} s  {verdict}"
    )


def keep(options: argparse.Namespace, work: Path, ended: Ended) -> None:
    """Keep the folder of a failed point, and say how to run it again."""
    target = options.out / f"{ended.point.seed}-{ended.point.number}"
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(work / target.name, target)
    for problem in ended.problems:
        print(f"       {problem}")
    repeat = f"--seed {ended.point.seed} --only-point {ended.point.number}"
    print(f"       kept in {target}; again: python benchmarks/chaos.py {repeat}", flush=True)


def report(all_ended: list[Ended], seconds: float) -> None:
    """Print what came of the points by kind, as Markdown."""
    kinds: dict[str, list[Ended]] = defaultdict(list)
    for ended in all_ended:
        kinds[ended.point.kind.name].append(ended)
    print(f"\n{len(all_ended)} points in {seconds:,.0f} s\n")
    print(
        "| fault | points | equal | runs of the driver | seconds, median |\n|---|---|---|---|---|"
    )
    for name, found in sorted(kinds.items()):
        equal = sum(not ended.problems for ended in found)
        runs = sorted({len(ended.exits) for ended in found})
        median = sorted(ended.seconds for ended in found)[len(found) // 2]
        span = str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
        print(f"| {name} | {len(found)} | {equal} | {span} | {median:.0f} |")


def chaos(options: argparse.Namespace) -> int:
    begin = time.monotonic()
    all_ended: list[Ended] = []
    with suite(options) as running:
        for point in points_of(options):
            if options.minutes and time.monotonic() - begin > 60 * options.minutes:
                print("the time is up")
                break
            ended = running.run(point)
            all_ended.append(ended)
            print(line_of(ended), flush=True)
            if ended.note:
                print(f"       {ended.note}")
            if ended.problems:
                keep(options, running.folder, ended)
    report(all_ended, time.monotonic() - begin)
    return 1 if any(ended.problems for ended in all_ended) else 0


def stop(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that nothing that was started stays."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A shell lets its background jobs ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(chaos(arguments()))
    except KeyboardInterrupt:
        sys.exit(130)
