"""Feed mutated shards and parts of pools to the readers, and see that nothing bad happens.

Usage: python benchmarks/fuzz.py --cases 100000 [--seed 0] [--processes 2] [--minutes 30]
       python benchmarks/fuzz.py --seed 0 --replay 1234

Every case goes the way of a run: tar reader, samples, decoding, tokenizer, score table and marker,
with sums in the place of the model. It fails if anything but curate's own ShardError (or, of the
first part of a pool, ConfigError) escapes, if it takes too long or too much memory, if it writes
outside of its run directory, unpickles, executes or connects, or if the accounts do not balance.
Cases that fail are kept with their bytes in --out. Linux; no network. Exit code 1 after a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from fuzzing.checks import Result, make_case, ready_sandbox, run_case
from fuzzing.workers import Limits, run_cases

SHOWN_SECONDS = 30.0
"""Between two lines of progress."""


@dataclass
class Tally:
    """What became of the cases so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="limit of one case")
    parser.add_argument("--megabytes", type=int, default=Limits.megabytes, help="ceiling, MiB")
    parser.add_argument("--minutes", type=float, default=None, help="stop in time, cases or not")
    parser.add_argument("--replay", type=int, metavar="CASE", help="run one case, here")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    return parser.parse_args()


def prepare(seed: int, folder: Path) -> Callable[[int], Result]:
    """Make a worker ready to run cases of a seed in a folder of its own."""
    sandbox = ready_sandbox(folder / "sandbox")
    return lambda number: run_case(sandbox, number, make_case(seed, number))


def numbers(options: argparse.Namespace, begin: float) -> Iterator[int]:
    """The cases to run, until the time is up."""
    for number in range(options.first, options.first + options.cases):
        if options.minutes and time.monotonic() - begin > 60 * options.minutes:
            return
        yield number


def fuzz(options: argparse.Namespace) -> int:
    limits = Limits(options.seconds, options.megabytes)
    begin = shown = time.monotonic()
    tally = Tally()
    ready = partial(prepare, options.seed)
    cases = numbers(options, begin)
    for number, result, trouble in run_cases(cases, ready, options.processes, limits):
        violation = trouble or result.violation
        if result is not None:
            tally.statuses.update(result.statuses)
            tally.mutations.update(result.mutations)
        tally.outcomes["FAILED" if violation else result.outcome] += 1
        if violation:
            tally.failed.append(number)
            print(f"case {number}: {violation}\n", flush=True)
            keep(options, number, violation)
        if time.monotonic() - shown > SHOWN_SECONDS:
            shown = time.monotonic()
            print(f"{tally.cases:,} cases, {len(tally.failed)} failed", flush=True)
    report(tally, time.monotonic() - begin)
    return 1 if tally.failed else 0


def keep(options: argparse.Namespace, number: int, violation: str) -> None:
    """Keep a failed case: its bytes, what was done to them, and how to run it again."""
    case = make_case(options.seed, number)
    folder = options.out / f"{options.seed}-{number}"
    for name, data in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    told = {
        "seed": options.seed,
        "case": number,
        "mutations": case.mutations,
        "violation": violation,
        "replay": f"python benchmarks/fuzz.py --seed {options.seed} --replay {number}",
    }
    (folder / "case.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def report(tally: Tally, seconds: float) -> None:
    """Print what became of the cases, as Markdown."""
    rate = tally.cases / max(seconds, 1e-9)
    print(f"\n{tally.cases:,} cases in {seconds:,.0f} s, {rate:.1f} cases/s\n")
    for title, counts in (
        ("outcome", tally.outcomes),
        ("samples", tally.statuses),
        ("mutation", tally.mutations),
    ):
        print(f"| {title} | number |\n|---|---|")
        for name, number in counts.most_common():
            print(f"| {name} | {number:,} |")
        print()
    if tally.failed:
        print(f"failed: {tally.failed}")


def replay(options: argparse.Namespace) -> int:
    case = make_case(options.seed, options.replay)
    print(f"{case.layout}: {', '.join(case.mutations)}")
    with tempfile.TemporaryDirectory(prefix="curate-fuzz-") as folder:
        result = run_case(ready_sandbox(Path(folder) / "sandbox"), options.replay, case)
    print(result.violation or f"{result.outcome} {result.statuses}")
    return 1 if result.violation else 0


if __name__ == "__main__":
    chosen = arguments()
    sys.exit(fuzz(chosen) if chosen.replay is None else replay(chosen))
