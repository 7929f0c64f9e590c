"""How long until the first pair is embedded, and where that time goes.

    python benchmarks/startup.py [--model ViT-B-32] [--rounds 3]

Compared with a process that does nothing but import torch and open_clip, load the model and embed
one pair. Both begin from nothing: `curate score` starts Ray, an embedder a core and its workers.
Wall times; the best of the rounds, so that files lie in the page cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import end_to_end
from speed import marks
from speed.pool import write_pool
from speed.stub import write_stub
from speed.table import Row, markdown

HERE = Path(__file__).resolve().parent
ALLOWED_SECONDS = 15.0  # beyond the bare process
SAMPLES = 64  # two batches: what starts up is measured, not what scores
ALONE = """
import sys, time
sys.path.insert(0, sys.argv[2])
import numpy, torch
from speed.contenders import load
model, preprocess, tokenizer = load(sys.argv[1])
with torch.inference_mode():
    model.encode_image(torch.zeros(1, 3, 224, 224))
    model.encode_text(tokenizer(["a cat"]))
print(time.time())
"""


def alone(model: str) -> float:
    """Seconds until a bare process has embedded a pair."""
    begin = time.time()
    command = [sys.executable, "-c", ALONE, model, str(HERE)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) - begin


def timeline(model: str, pool: Path) -> list[marks.Mark]:
    """Marks of `curate score` until its first batch is scored, in seconds since it was started."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(pool / "reference", folder / "reference")
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(marks.SITECUSTOMIZE)
        found = folder / "marks.jsonl"
        path = os.pathsep.join([str(folder / "site"), str(HERE), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {marks.VARIABLE: str(found), "PYTHONPATH": path}
        shards = sorted(pool.glob("*.tar"))[:1]
        begin = time.time()
        subprocess.run(
            end_to_end.command("curate", model, shards, folder),
            check=True, capture_output=True, env=environment, cwd=folder,
        )  # fmt: skip
        seen = [marks.Mark(m.what, m.pid, m.at - begin, m.cpu) for m in marks.read(found)]
    last = next(i for i, mark in enumerate(seen) if mark.what == "embedder: batch scored")
    return seen[: last + 1]


def measure(name: str, folder: Path, rounds: int) -> tuple[float, list[marks.Mark]]:
    """The best of some rounds: seconds of the bare process, and curate's marks."""
    pool = folder / "small"
    write_pool(pool, 1, SAMPLES)
    model = write_stub(folder / "stub") if name == "stub" else name
    end_to_end.fit_into(pool, model)
    bare = min(alone(model) for _ in range(rounds))
    runs = [timeline(model, pool) for _ in range(rounds)]
    return bare, min(runs, key=lambda run: run[-1].at)


def rows(quick: bool) -> list[Row]:
    """The rows of `make bench`."""
    bare, seen = measure("ViT-B-32", Path("runs/speed").resolve(), 1 if quick else 3)
    return rows_of(bare, seen)


def rows_of(bare: float, seen: list[marks.Mark]) -> list[Row]:
    """The bare process, and curate against what it may take more."""
    work = "start-up to the first embedding, ViT-B-32"
    more = seen[-1].at - bare
    cpu = sum({mark.pid: mark.cpu for mark in seen}.values())
    note = f"{more:+.1f} s of {ALLOWED_SECONDS:.0f} allowed: the ratio is of these"
    return [
        Row(work, "import torch and open_clip, load, embed", bare * 1e3, bare * 1e3, "run"),
        Row(work, "curate", cpu * 1e3, seen[-1].at * 1e3, "run", more / ALLOWED_SECONDS, 1.0,
            note=note),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32", help="of open_clip, or stub")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/speed"))
    options = parser.parse_args()
    bare, seen = measure(options.model, options.folder.resolve(), options.rounds)
    print("| s | process | of its CPU | what was reached |\n|---:|---:|---:|---|")
    for mark in seen:
        print(f"| {mark.at:.1f} | {mark.pid} | {mark.cpu:.1f} | {mark.what} |")
    print(f"\n{markdown(rows_of(bare, seen))}")


if __name__ == "__main__":
    main()
