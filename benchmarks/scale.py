"""Time and memory of the driver for pools of a million shards, without their images.

    python benchmarks/scale.py --shards 10000 100000 1300000

Manifest, markers and failures are those of a real run; only what they tell of is made up. Every
measurement is a process of its own, whose peak memory (VmHWM) is that of this step alone. `map`
starts a local Ray and hands one row per shard to a worker that does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import fsspec
from scale_s3 import serving

from curate.manifest import IDENTITY, Counts, Marker, RunDir
from curate.outputs import Store, Written
from curate.serialised import json_bytes
from curate.shards import Shard, list_shards

SAMPLES: Final = 10_000
"""Pairs per shard: 1,280,000 shards are 12.8 billion pairs."""

SCORED: Final = 0.9
"""Share of the shards that are committed when a run is resumed."""

BUCKET: Final = "s3://laion-pool/shards"

Step = Callable[[Path, int], Any]


def spec_of(shards: int) -> str:
    """A pool on S3 as a brace expression."""
    return f"{BUCKET}/{{{0:07d}..{shards - 1:07d}}}.tar"


# --- what is simulated ------------------------------------------------------------------------


def write_run(folder: Path, shards: int, *, markers: bool) -> None:
    """A run directory with a manifest and, unless it is to lie on S3, markers of nine tenths."""
    run = RunDir(Store(str(folder)))
    identity = run.claim(IDENTITY, {"model": "ViT-L-14"})
    listed = list_shards(spec_of(shards))
    run.write_manifest(listed)
    state = folder / "state"
    state.mkdir()
    for shard in listed[: int(shards * SCORED) if markers else 0]:
        # Not by `commit`, whose fsync would take hours for nothing.
        content = json_bytes(marker_of(shard, identity).to_json())
        with open(f"{state}/{shard.id}.json", "wb") as file:  # noqa: PTH123 - pathlib is slower
            file.write(content)


def marker_of(shard: Shard, identity: str) -> Marker:
    """A marker as scoring writes it."""
    hashed = hashlib.sha256(shard.id.encode()).hexdigest()
    return Marker(
        shard=shard.id,
        url=shard.url,
        size=300 << 20,
        sha256=hashed,
        identity=identity,
        counts=Counts(SAMPLES, {"empty_caption": int(hashed[:2], 16)}),
        damage=(),
        notes={},
        outputs=(Written(f"scores/{shard.id}.parquet", 650_000, hashed),),
    )


# --- steps ------------------------------------------------------------------------------------


def list_braces(folder: Path, shards: int) -> Any:
    """Expand a brace expression to shards with ids."""
    return len(list_shards(spec_of(shards)))


def list_folder(folder: Path, shards: int) -> Any:
    """List a folder of empty tars by a glob."""
    return len(list_shards(f"{folder}/pool/*.tar"))


@contextmanager
def on_s3(folder: Path, shards: int) -> Iterator[RunDir]:
    """The run as it would lie on S3: its files from the folder, its markers made up."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    with serving(folder, int(shards * SCORED)) as address:
        fsspec.config.conf["s3"] = {"endpoint_url": address, "config_kwargs": {"region_name": "x"}}
        yield RunDir(Store("s3://b/run"))


def list_s3(folder: Path, shards: int) -> Any:
    """List the markers of a run on S3 page after page."""
    with on_s3(folder, shards) as run:
        return len(run.committed())


def list_s3_in_parts(folder: Path, shards: int) -> Any:
    """The same, in parts side by side."""
    with on_s3(folder, shards) as run:
        return len(run.committed([f"{n:07d}" for n in range(shards)]))


def resume_s3(folder: Path, shards: int) -> Any:
    """All that `curate score` does before it starts workers, where the run lies on S3."""
    with on_s3(folder, shards) as run:
        return _resume(run, shards)


def manifest_anew(folder: Path, shards: int) -> Any:
    """Write the manifest of a new run."""
    RunDir(Store(f"{folder}/new")).write_manifest(list_shards(spec_of(shards)))


def resume(folder: Path, shards: int) -> Any:
    """All that `curate score` does before it starts workers: clean, list, compare, decide."""
    return _resume(RunDir(Store(f"{folder}/run")), shards)


def _resume(run: RunDir, shards: int) -> int:
    from curate.commands import _left_to_score
    from curate.config import parse_config
    from curate.workspace import Workspace

    config = parse_config(
        {
            "model": {"name": "ViT-L-14", "device": "cpu"},
            "input": {"shards": spec_of(shards)},
            "output": {"run_dir": run.store.url},
        }
    )
    work = Workspace(config, run)
    work.store.sweep()
    listed = list_shards(spec_of(shards))
    work.store.write_json(IDENTITY, {"identity": "x", "parts": _parts_of(config)})
    left = _left_to_score(work, listed)
    todo = [shard for shard in listed if shard.id in left]
    return len(todo)


def _parts_of(config: Any) -> Mapping[str, Any]:
    from curate.workspace import configured_parts

    return configured_parts(config)


def resume_grown(folder: Path, shards: int) -> Any:
    """The same where one more shard was added: each is compared with what it was."""
    run = RunDir(Store(f"{folder}/run"))
    before = run.store.read_bytes("manifest.parquet")
    run.write_manifest([*list_shards(spec_of(shards)), Shard("z", f"{BUCKET}/z.tar", None)])
    run.store.write_bytes("manifest.parquet", before)


def identity_cold(folder: Path, shards: int) -> Any:
    """The identity of all scores, with no cache of markers."""
    run = RunDir(Store(f"{folder}/run"))
    run.store.remove_file("state/markers.cache")
    return _identity(run, shards)


def identity_warm(folder: Path, shards: int) -> Any:
    """The same with the cache that the step before left."""
    return _identity(RunDir(Store(f"{folder}/run")), shards)


def _identity(run: RunDir, shards: int) -> str:
    from curate.subsets import scores_identity

    done = run.committed()
    return scores_identity(run, [shard for shard in run.shard_ids() if shard in done])[:8]


def status(folder: Path, shards: int) -> Any:
    """`curate status`, with the cache."""
    from curate.reporting import console
    from curate.status import look
    from curate.status_page import print_status

    with Path(os.devnull).open("w") as sink:
        print_status(console(file=sink), look(RunDir(Store(f"{folder}/run"))))


def map_rows_on_ray(folder: Path, shards: int) -> Any:
    """Hand a row per shard to Ray Data; the first result is what is timed."""
    import ray

    from curate.pipeline.mapping import map_rows, shard_rows

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    listed = list_shards(spec_of(shards))
    begin = time.monotonic()
    rows = map_rows(shard_rows(listed), _Idle, {}, workers=2, cpus=1.0)
    next(iter(rows))
    return f"first result after {time.monotonic() - begin:.1f} s"


class _Idle:
    """Does nothing to a batch."""

    def __call__(self, batch: Any) -> Any:
        return {"id": batch["id"]}


STEPS: Final[Mapping[str, Step]] = {
    "list, braces": list_braces,
    "list, folder": list_folder,
    "manifest, new run": manifest_anew,
    "resume": resume,
    "resume, one shard added": resume_grown,
    "scores_identity, cold": identity_cold,
    "scores_identity, warm": identity_warm,
    "status": status,
    "resume, S3": resume_s3,
    "list markers, S3": list_s3,
    "list markers, S3 in parts": list_s3_in_parts,
    "map on Ray": map_rows_on_ray,
}


# --- measuring --------------------------------------------------------------------------------


def measure(step: str, folder: Path, shards: int) -> dict[str, Any]:
    """One step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--shards", str(shards)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_step(step: str, folder: Path, shards: int) -> None:
    """Do a step in this process and print what it took."""
    before = _memory("VmRSS")
    began, cpu = time.monotonic(), time.process_time()
    told = STEPS[step](folder, shards)
    took = {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": _memory("VmHWM"),  # unlike ru_maxrss, not that of the parent
        "before_mb": before,
        "told": str(told),
    }
    sys.stdout.write(json.dumps(took) + "\n")
    sys.stdout.flush()
    os._exit(0)  # not Ray's business how long it takes to end


def _memory(name: str) -> float:
    text = Path("/proc/self/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def make_pool(folder: Path, shards: int) -> None:
    """Empty tars, to be listed."""
    (folder / "pool").mkdir()
    for number in range(shards):
        with open(f"{folder}/pool/{number:07d}.tar", "wb"):  # noqa: PTH123 - pathlib is slower
            pass


def main() -> None:
    """Measure all steps at all sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where run directories are made")
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder, arguments.shards[0])
    sys.stdout.write("| shards | step | s | CPU s | peak MB | |\n|---:|---|---:|---:|---:|---|\n")
    for shards in arguments.shards:
        with tempfile.TemporaryDirectory(prefix="curate-scale-", dir=arguments.folder) as name:
            folder = Path(name)
            on_disk = any("S3" not in step for step in arguments.steps)
            write_run(folder / "run", shards, markers=on_disk)
            if "list, folder" in arguments.steps:
                make_pool(folder, shards)
            for step in arguments.steps:
                took = measure(step, folder, shards)
                sys.stdout.write(
                    f"| {shards:,} | {step} | {took['seconds']:.1f} | {took['cpu_seconds']:.1f} |"
                    f" {took['peak_mb']:.0f} | {took['told']} |\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
