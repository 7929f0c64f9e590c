"""How the engine scales: over cores, over shards, and over embedders that only sleep.

    python benchmarks/scaling.py [cores] [shards] [embedders]

- cores: a pool of natural pictures and a model of no size, on one core and on two. Wall time a
  pair is marginal, from two sizes of pool, so that start-up drops out.
- shards: 10, 100 and 1,000 shards of four tiny pairs; the marginal cost of one shard.
- embedders: 1 to 64 actors that answer after 4 s, or CURATE_SCALING_SECONDS
  (`speed/sleepers.py`: real actors, but without torch), behind the real client, workers and driver;
  the CPU time of the driver between the first shards and the last ones. 64 of them and 16 workers
  take 13 GB: with less memory, set CURATE_SCALING_EMBEDDERS=16 (6 GB).

Core-seconds are of the whole process tree, Ray's daemons included. Linux.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from speed import sleepers, trees
from speed.pool import write_pool
from speed.stub import write_stub
from speed.table import Row, markdown

from curate.synthetic.pool import write_plain_shards

PICTURES = 128  # pairs of a shard of natural pictures
TINY = 4  # pairs of a shard that is all overhead
SLEEP_SECONDS = float(os.environ.get("CURATE_SCALING_SECONDS", "4"))  # of a batch
BATCH = 8
MOST_WORKERS = 16  # of 400 MB each; they have 48 batches on their way
TICKS = os.sysconf("SC_CLK_TCK")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Place:
    """Where a benchmark works: its folder, and the names of model, Reference and pool in it."""

    folder: Path
    model: str
    pool: Path

    def score(self, shards: int, name: str, **compute: object) -> list[str]:
        """The command that scores so many shards; the Reference is fitted beforehand."""
        settings = {
            "model": {"name": self.model, "pretrained": None, "device": "cpu"},
            "input": {"shards": [str(p) for p in sorted(self.pool.glob("*.tar"))[:shards]]},
            "reference": {"path": str(self.folder / "fit" / "reference")},
            "compute": compute,
            "output": {"run_dir": str(self.folder / name)},
        }
        return self.command("score", name, settings)

    def fit(self) -> None:
        """Fit the Reference on the first shards."""
        settings = {
            "model": {"name": self.model, "pretrained": None, "device": "cpu"},
            "input": {"shards": [str(p) for p in sorted(self.pool.glob("*.tar"))[:4]]},
            "reference": {"samples": 16},
            "output": {"run_dir": str(self.folder / "fit")},
        }
        trees.run(self.command("fit", "fit", settings), ONE_THREAD)

    def command(self, verb: str, name: str, settings: object) -> list[str]:
        """A command line with its configuration written."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return [sys.executable, "-m", "curate.cli", verb, str(path)]


def over_cores(folder: Path, quick: bool) -> list[Row]:
    """One core and two: marginal cost of a pair."""
    sizes = (4, 12) if quick else (8, 40)
    place = Place(folder, write_stub(folder / "model"), folder / "pool")
    write_pool(place.pool, sizes[1], PICTURES)
    place.fit()
    rows: list[Row] = []
    for cores in (1, 2):
        # Without a model workers limit; by default there is one for two cores.
        actors = {"workers": cores, "embedders": cores}
        pinned = ["taskset", "-c", ",".join(map(str, range(cores)))]
        costs = [
            trees.run([*pinned, *place.score(size, f"cores-{cores}-{size}", **actors)], ONE_THREAD)
            for size in sizes
        ]
        pairs = (sizes[1] - sizes[0]) * PICTURES
        cpu, wall = ((costs[1].cpu - costs[0].cpu), (costs[1].wall - costs[0].wall))
        first = rows[0].wall_ms if rows else wall / pairs * 1e3
        efficiency = first / (wall / pairs * 1e3) / cores
        rows.append(
            Row(
                "1 to 2 cores, a model of no size",
                f"{cores} core{'s' * (cores > 1)}",
                cpu / pairs * 1e3,
                wall / pairs * 1e3,
                "pair",
                memory_bytes=max(cost.memory for cost in costs),
                note=f"efficiency {efficiency:.2f} (bar: 0.95)" if cores > 1 else "",
            )
        )
    return rows


def over_shards(folder: Path, quick: bool) -> list[Row]:
    """Marginal cost of a shard of a few tiny pairs."""
    sizes = (5, 20, 80) if quick else (10, 100, 1000)
    place = Place(folder, write_stub(folder / "model"), folder / "pool")
    write_plain_shards(place.pool, sizes[-1], TINY)
    place.fit()
    costs = [trees.run(place.score(size, f"shards-{size}"), ONE_THREAD) for size in sizes]
    rows: list[Row] = []
    for (less, cheap), (more, dear) in zip(
        zip(sizes, costs, strict=True), list(zip(sizes, costs, strict=True))[1:], strict=False
    ):
        cpu = (dear.cpu - cheap.cpu) / (more - less) * 1e3
        rows.append(
            Row(
                f"shards of {TINY} tiny pairs",
                f"{less} to {more} shards",
                cpu,
                (dear.wall - cheap.wall) / (more - less) * 1e3,
                "shard",
                cpu / rows[0].cpu_ms if rows else 1.0,
                1.05 if rows else None,
                dear.memory,
            )
        )
    return rows


@dataclass(frozen=True)
class Driven:
    """What the driver took while `shards` of them were scored: seconds, and the tree's memory."""

    shards: int
    wall: float
    cpu: float
    memory: int


def over_embedders(folder: Path, quick: bool) -> list[Row]:
    """The driver's share of a core, with embedders that only sleep."""
    most = int(os.environ.get("CURATE_SCALING_EMBEDDERS", "64"))
    numbers = (1, 4) if quick else tuple(n for n in (1, 4, 16, 64) if n <= most)
    place = Place(folder, write_stub(folder / "model"), folder / "pool")
    write_plain_shards(place.pool, 6 * numbers[-1], 4 * BATCH)
    place.fit()
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(sleepers.HOOK)
    sleepers.write_answers(folder / "answers", place.model, folder / "fit", BATCH, SLEEP_SECONDS)
    rows = []
    for embedders in numbers:
        found = driven(place, embedders)
        share = found.cpu / found.wall
        rows.append(
            Row(
                f"embedders that answer in {SLEEP_SECONDS:g} s",
                f"{embedders} embedder{'s' * (embedders > 1)}",
                found.cpu / found.shards * 1e3,
                found.wall / found.shards * 1e3,
                "shard of 32",
                share,
                0.1 if embedders == numbers[-1] else None,
                found.memory,
                "core-ms and ratio are of the driver alone: its share of a core; "
                f"{found.shards * 4 * SLEEP_SECONDS / found.wall / embedders:.0%} of the embedders'"
                " time used",
            )
        )
    return rows


def driven(place: Place, embedders: int) -> Driven:
    """Score six shards an embedder; look at the driver once all of them work."""
    name, shards = f"embedders-{embedders}", 6 * embedders
    workers = max(1, min(embedders // 2, MOST_WORKERS))
    command = place.score(shards, name, embedders=embedders, workers=workers, batch_size=BATCH)
    # Each of them takes half a CPU.
    told = os.environ | ONE_THREAD | {"RAY_OVERRIDE_RESOURCES": f'{{"CPU": {embedders + workers}}}'}
    told[sleepers.ANSWERS] = str(place.folder / "answers")
    modules = (place.folder / "hook", Path(__file__).parent, os.environ.get("PYTHONPATH", ""))
    told["PYTHONPATH"] = os.pathsep.join(map(str, modules))
    log = place.folder / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=told, stdout=output, stderr=output)
        readings: list[tuple[int, float, float]] = []
        peak = 0
        while process.poll() is None:
            done = sum(1 for _ in (place.folder / name / "state").glob("*.json"))
            readings.append((done, time.monotonic(), _cpu_seconds(process.pid)))
            if done and len(readings) % 20 == 0:
                peak = max(peak, sum(map(trees.memory_of, trees.children(process.pid))))
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(log.read_text())
    first = next(reading for reading in readings if reading[0] >= shards // 6)
    last = next(reading for reading in readings if reading[0] >= shards * 5 // 6)
    return Driven(last[0] - first[0], last[1] - first[1], last[2] - first[2], peak)


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it ended while we looked
    return (int(fields[11]) + int(fields[12])) / TICKS


PARTS: dict[str, Callable[[Path, bool], list[Row]]] = {
    "cores": over_cores,
    "shards": over_shards,
    "embedders": over_embedders,
}


def rows(quick: bool, parts: Sequence[str] = tuple(PARTS)) -> list[Row]:
    """The rows of the table."""
    found: list[Row] = []
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="curate-scaling-") as scratch:
            found += PARTS[part](Path(scratch), quick)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(markdown(rows(options.quick, options.parts or list(PARTS))))


if __name__ == "__main__":
    main()
