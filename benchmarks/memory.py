"""How much memory scoring takes, and whether that depends on the number of shards.

Usage: python benchmarks/memory.py [--shards 50 100 200] [--samples 1000]

Scores pools of small pictures with a tiny random model, so that the engine is what is measured,
and meanwhile reads the memory of the whole process tree (driver, Ray, workers, embedders) from
/proc. Prints a table as Markdown; writes every measurement as CSV and the curves as PNG. Linux.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import yaml
from speed.stub import write_stub

from curate.synthetic.pool import write_plain_shards

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
MEGABYTE = 1e6
SECONDS_BETWEEN = 2.0  # walking the page tables of a dozen processes takes a tenth of that


@dataclass(frozen=True)
class Process:
    """One process's share of the memory, bytes.

    Attributes:
        role: driver, workers, embedders or ray (everything else).
        rss: resident set, shared pages in full.
        pss: resident set, each shared page divided by the number of processes that map it; sums
            over processes count every page once.
        shared: the part of ``pss`` in shared memory: Ray's object store.
    """

    role: str
    rss: int
    pss: int
    shared: int


@dataclass(frozen=True)
class Reading:
    """The process tree at one moment; memory in MB (10^6 bytes).

    Attributes:
        run: shards of the run that this reading belongs to.
        seconds: since the start of the command.
        done: shards committed so far.
        driver: resident set of the driver.
        total: proportional set of all processes, object store included once.
        store: the object store alone.
        workers, embedders, ray: proportional sets without the object store, by role.
        processes: their number.
    """

    run: int
    seconds: float
    done: int
    driver: float
    total: float
    store: float
    workers: float
    embedders: float
    ray: float
    processes: int


@dataclass(frozen=True)
class Summary:
    """One line of the table."""

    shards: int
    pairs_per_second: float
    driver_peak: float
    total_peak: float
    driver_slope: float
    total_slope: float


# --- /proc ----------------------------------------------------------------------------------


def parents() -> dict[int, int]:
    """Every process on the machine -> its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name may hold blanks and brackets; the parent is second after the last one.
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            found[int(entry.name)] = int(stat[1])
    return found


def family(root: int, parent_of: dict[int, int]) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for child, parent in parent_of.items():
        children.setdefault(parent, []).append(child)
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def role_of(command: str) -> str:
    """What a process of ours is for: actors carry their class in their title."""
    if "curate.cli" in command:
        return "driver"
    if command.startswith("ray::"):
        return "embedders" if "Embedder" in command else "workers" if "Worker" in command else "ray"
    return "ray"


def look_at(pid: int) -> Process | None:
    """The memory of a process, or nothing if it has ended."""
    folder = Path("/proc") / str(pid)
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        rollup = (folder / "smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in rollup}
    return Process(role_of(command), sizes["Rss"], sizes["Pss"], sizes["Pss_Shmem"])


def read_tree(root: int, run: int, seconds: float, done: int) -> Reading:
    """Measure the process tree now."""
    members = [look_at(pid) for pid in family(root, parents())]
    alive = [p for p in members if p is not None]

    def own(role: str) -> float:
        return sum(p.pss - p.shared for p in alive if p.role == role) / MEGABYTE

    return Reading(
        run=run,
        seconds=round(seconds, 2),
        done=done,
        driver=max((p.rss - p.shared for p in alive if p.role == "driver"), default=0) / MEGABYTE,
        total=sum(p.pss for p in alive) / MEGABYTE,
        store=sum(p.shared for p in alive) / MEGABYTE,
        workers=own("workers"),
        embedders=own("embedders"),
        ray=own("ray"),
        processes=len(alive),
    )


# --- one run --------------------------------------------------------------------------------


def write_config(folder: Path, model: str, shards: int) -> Path:
    """The configuration that scores the first ``shards`` shards of the pool."""
    path = folder / f"memory-{shards}.yaml"
    settings = {
        "model": {"name": model, "pretrained": None, "device": "cpu"},
        "input": {"shards": f"{folder}/pool/{{00000..{shards - 1:05d}}}.tar"},
        "reference": {"samples": 2000},
        "output": {"run_dir": f"{folder}/run-{shards}"},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def measure(folder: Path, model: str, shards: int, samples: int) -> tuple[list[Reading], float]:
    """Score ``shards`` shards in a process of its own; all readings, and pairs per second.

    Raises:
        SystemExit: the run failed; its output has been printed.
    """
    config = write_config(folder, model, shards)
    run_dir = folder / f"run-{shards}"
    log = folder / f"run-{shards}.log"
    command = [sys.executable, "-m", "curate.cli", "score", str(config)]
    readings: list[Reading] = []
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(SECONDS_BETWEEN)
            done = sum(1 for _ in (run_dir / "state").glob("*.json"))
            reading = read_tree(process.pid, shards, time.monotonic() - begin, done)
            if reading.processes:
                readings.append(reading)
    if process.returncode != 0:
        sys.stderr.write(log.read_text(errors="replace"))
        raise SystemExit(f"scoring {shards} shards failed with {process.returncode}")
    seconds = json.loads((run_dir / "run.json").read_text())["seconds"]["score"]
    return readings, shards * samples / seconds


def slope(readings: Sequence[Reading], of: str) -> float:
    """Growth in MB per 100 shards, by least squares over the second half of the shards."""
    last = max(r.done for r in readings)
    half = [r for r in readings if last / 2 <= r.done < last]
    if len(half) < 3:
        return float("nan")
    return float(np.polyfit([r.done for r in half], [getattr(r, of) for r in half], 1)[0]) * 100


def summarise(readings: Sequence[Reading], shards: int, rate: float) -> Summary:
    """The line of the table for one run."""
    return Summary(
        shards=shards,
        pairs_per_second=rate,
        driver_peak=max(r.driver for r in readings),
        total_peak=max(r.total for r in readings),
        driver_slope=slope(readings, "driver"),
        total_slope=slope(readings, "total"),
    )


# --- output ---------------------------------------------------------------------------------


def write_csv(path: Path, readings: Iterable[Reading]) -> None:
    """Every reading, one line each."""
    with path.open("w", newline="") as file:
        names = [f.name for f in fields(Reading)]
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for reading in readings:
            row = asdict(reading)
            writer.writerow({k: round(v, 1) if isinstance(v, float) else v for k, v in row.items()})


def draw(path: Path, readings: Sequence[Reading], samples: int) -> None:
    """Memory against shards done, one panel for the totals and one for the parts."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    runs = sorted({r.run for r in readings})
    colours = plt.colormaps["viridis"](np.linspace(0.75, 0.1, len(runs)))
    for run, colour in zip(runs, colours, strict=True):
        rows = [r for r in readings if r.run == run and r.done > 0]
        done = [r.done for r in rows]
        left.plot(done, [r.total for r in rows], color=colour, label=f"{run} shards, all processes")
        left.plot(done, [r.driver for r in rows], color=colour, ls="--", label=f"{run}, driver")
    longest = [r for r in readings if r.run == runs[-1]]
    for part in ("workers", "embedders", "ray", "driver", "store"):
        label = {"store": "object store", "ray": "Ray's own processes"}.get(part, part)
        right.plot([r.seconds for r in longest], [getattr(r, part) for r in longest], label=label)
    left.set(xlabel=f"shards scored ({samples} pairs each)", ylabel="MB", title="in all")
    right.set(xlabel="seconds", ylabel="MB", title=f"by part, {runs[-1]} shards")
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def table(summaries: Iterable[Summary]) -> str:
    """The summaries as Markdown."""
    lines = [
        "| shards | pairs/s | driver, peak MB | all, peak MB | driver, MB per 100 shards"
        " | all, MB per 100 shards |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.shards} | {s.pairs_per_second:.0f} | {s.driver_peak:.0f} | {s.total_peak:.0f}"
        f" | {s.driver_slope:+.1f} | {s.total_slope:+.1f} |"
        for s in summaries
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--samples", type=int, default=1000, help="pairs per shard")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where CSV and PNG go")
    arguments = parser.parse_args()
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark reads /proc/*/smaps_rollup, which only Linux has")
    arguments.figures.mkdir(parents=True, exist_ok=True)
    readings: list[Reading] = []
    summaries = []
    with tempfile.TemporaryDirectory(prefix="curate-memory-") as name:
        folder = Path(name)
        write_plain_shards(folder / "pool", max(arguments.shards), arguments.samples)
        model = write_stub(folder / "model")
        for shards in sorted(arguments.shards):
            taken, rate = measure(folder, model, shards, arguments.samples)
            readings += taken
            summaries.append(summarise(taken, shards, rate))
            sys.stderr.write(f"{summaries[-1]}\n")
    write_csv(arguments.figures / "memory.csv", readings)
    draw(arguments.figures / "memory.png", readings, arguments.samples)
    sys.stdout.write(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}\n\n")
    sys.stdout.write(table(summaries) + "\n")


if __name__ == "__main__":
    main()
