"""Scoring a pool end to end, beside the same work without a framework and in other frameworks.

    python benchmarks/end_to_end.py [--model ViT-B-32] [--samples 128 384] [--rounds 1]
    python benchmarks/end_to_end.py --model stub --samples 2000 8000

Prints core-seconds and wall time per pair, as ratios to the bare loop: `python` with open_clip and
nothing else. Costs are marginal: two sizes of pool are run, and the difference is divided by the
difference in pairs, so that imports and start-up drop out; they are shown beside. `stub` is a model
of no size: what is left is everything that is not the model. All contenders compute on one thread
a process; `curate` and Ray may use all cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from speed import trees
from speed.pool import write_pool
from speed.stub import write_stub
from speed.table import Row, markdown

SHARD_SAMPLES = 128
CONTENDERS = ("bare loop", "improved loop", "all savings", "Ray recipe", "curate")
AGAINST_BARE = 0.75  # of its core-seconds: a faster exact decode and shorter captions pay for Ray
AGAINST_IMPROVED = 1.05  # of its core-seconds: what a framework may cost
LOOPS = {
    "improved loop": "the improved loop",  # exact decoding, captions without padding
    "all savings": "the loop with all savings",  # and oneDNN, and the last block's one row
}


@dataclass(frozen=True)
class Marginal:
    """What a pair costs, in milliseconds, and the start-up in seconds; memory in bytes."""

    cpu: float
    wall: float
    start: float
    memory: int


Command = Callable[[str, str, list[Path], Path], list[str]]
"""Contender, model, shards and a folder to work in, to a command line."""


def command(contender: str, model: str, shards: list[Path], folder: Path) -> list[str]:
    """The command line that runs a contender over some shards."""
    if contender != "curate":
        script = Path(__file__).parent / "speed" / "contenders.py"
        return [sys.executable, str(script), contender, model, "1", *map(str, shards)]
    settings = {
        "model": {
            "name": model,
            "pretrained": None if model.startswith("local-dir:") else "random",
        },
        "input": {"shards": [str(shard) for shard in shards]},
        "reference": {"path": str(folder / "reference")},
        "output": {"run_dir": str(folder / "run")},
    }
    path = folder / "curate.yaml"
    path.write_text(yaml.safe_dump(settings))
    return [sys.executable, "-m", "curate.cli", "score", str(path)]


def fit(model: str, shards: list[Path], folder: Path) -> None:
    """Fit the Reference beforehand: it is done once, whatever the size of a pool."""
    settings = {
        "model": {
            "name": model,
            "pretrained": None if model.startswith("local-dir:") else "random",
        },
        "input": {"shards": [str(shard) for shard in shards]},
        "reference": {"samples": 64},
        "output": {"run_dir": str(folder / "fit")},
    }
    path = folder / "fit.yaml"
    path.write_text(yaml.safe_dump(settings))
    trees.run([sys.executable, "-m", "curate.cli", "fit", str(path)])
    shutil.copytree(folder / "fit" / "reference", folder / "reference")


def fit_into(pool: Path, model: str) -> None:
    """Fit a Reference on the first shard, and leave it beside the shards."""
    shutil.rmtree(pool / "reference", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        fit(model, sorted(pool.glob("*.tar"))[:1], Path(scratch))
        shutil.copytree(Path(scratch) / "reference", pool / "reference")


def run(
    contender: str, model: str, pool: Path, samples: int, command_of: Command = command
) -> trees.Cost:
    """Run a contender over some pairs of the pool."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if contender == "curate":
            shutil.copytree(pool / "reference", folder / "reference")
        shards = sorted(pool.glob("*.tar"))[: samples // SHARD_SAMPLES]
        os.chdir(folder)
        cost = trees.run(command_of(contender, model, shards, folder), {"OMP_NUM_THREADS": "1"})
        os.chdir(pool)
    return cost


def marginal(costs: Mapping[int, Sequence[trees.Cost]]) -> Marginal:
    """What a pair costs, from the cheapest run of each of two sizes.

    A start-up of ten seconds differs by more than some pairs cost: the cheapest of several
    differences would be the one whose smaller run happened to start slowly.
    """
    (few, small), (many, large) = (
        (samples, min(rounds, key=lambda cost: cost.cpu))
        for samples, rounds in sorted(costs.items())
    )
    wall = (large.wall - small.wall) / (many - few)
    return Marginal(
        (large.cpu - small.cpu) / (many - few) * 1e3,
        wall * 1e3,
        small.wall - wall * few,
        max(cost.memory for rounds in costs.values() for cost in rounds),
    )


def measure(
    model_name: str,
    sizes: tuple[int, int],
    rounds: int,
    folder: Path,
    only: Sequence[str],
    command_of: Command = command,
) -> dict[str, Marginal]:
    """The marginal cost of every contender over some rounds, in which they take turns."""
    first, second = (-(-n // SHARD_SAMPLES) * SHARD_SAMPLES for n in sizes)
    pool = folder / "pool"
    write_pool(pool, second // SHARD_SAMPLES, SHARD_SAMPLES)
    model = write_stub(folder / "stub") if model_name == "stub" else model_name
    fit_into(pool, model)
    print(f"{model_name}, {first} and {second} pairs, {os.cpu_count()} cores")
    costs: dict[str, dict[int, list[trees.Cost]]] = {
        contender: {first: [], second: []} for contender in only
    }
    for turn in range(rounds):
        for contender, ran in costs.items():
            for samples in (first, second):
                ran[samples].append(run(contender, model, pool, samples, command_of))
            spent = " and ".join(f"{runs[-1].cpu:.1f}" for runs in ran.values())
            print(f"  round {turn + 1}: {contender}: {spent} core-s", flush=True)
    return {contender: marginal(ran) for contender, ran in costs.items()}


def rows(quick: bool) -> list[Row]:
    """The rows of `make bench`."""
    folder = Path("runs/speed").resolve()
    sizes = {"ViT-B-32": (128, 384), "stub": (512, 2048)}
    if not quick:
        sizes = {"ViT-B-32": (256, 768), "stub": (1024, 4096)}
    table: list[Row] = []
    for model, pairs in sizes.items():
        found = measure(model, pairs, 1 if quick or model != "stub" else 3, folder, CONTENDERS)
        table += rows_of(model, found)
    return table


def rows_of(model: str, found: Mapping[str, Marginal]) -> list[Row]:
    """Every contender against the bare loop, and curate against the improved ones besides."""
    work = f"score end to end, {'no model' if model == 'stub' else model}"
    bare = found.get("bare loop")
    table = [
        Row(
            work,
            contender,
            cost.cpu,
            cost.wall,
            "pair",
            None if bare is None else cost.cpu / bare.cpu,
            AGAINST_BARE if contender == "curate" else None,
            cost.memory,
            f"{cost.start:.1f} s before the first pair",
        )
        for contender, cost in found.items()
    ]
    for loop in ("improved loop", "all savings"):
        if model != "stub" and {loop, "curate"} <= found.keys():
            ours, ratio = found["curate"], found["curate"].cpu / found[loop].cpu
            against = f"{work}, against {LOOPS[loop]}"
            table.append(
                Row(against, "curate", ours.cpu, ours.wall, "pair", ratio, AGAINST_IMPROVED)
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32", help="of open_clip, or stub")
    parser.add_argument("--samples", type=int, nargs=2, default=[256, 768])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--folder", type=Path, default=Path("runs/speed"))
    options = parser.parse_args()
    first, second = options.samples
    folder = options.folder.resolve()
    found = measure(options.model, (first, second), options.rounds, folder, options.only)
    print(f"\n{markdown(rows_of(options.model, found))}")


if __name__ == "__main__":
    main()
