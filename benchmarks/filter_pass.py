"""Writing filtered shards, beside `cp` of the kept bytes and a loop with webdataset's TarWriter.

    python benchmarks/filter_pass.py [--shards 4] [--samples 10000] [--rounds 5] [--command]

The pool is drawn once (60 kB a pair, 600 MB a shard of 10,000) and scored at random, so that a rule
keeps 30 % of it. Contenders, each in a process of its own, without start-up:

- `cp`: of files that hold the kept samples of a shard, one beside the other.
- `cp` + fsync: and each of them brought to the disk, as `curate` does before a marker.
- the disk: as many bytes from memory straight to it, and nothing else: its limit.
- curate: `write_filtered`, one process, everything it does: scores, decisions, sidecars, markers;
  and, of that, the copying alone.
- TarWriter loop: the method of DataComp's resharder. Every sample is read, its uid looked up, and
  written again if it is kept. No sidecars, nothing is brought to the disk.

Everything is read from the page cache, which is warm. With `--command` also what one more GB costs
`curate filter` with Ray and one worker: the difference of two pools, the larger of which has every
shard five times, under five names. Where gigabytes are written, a virtual machine may have to ask
its host for each page of memory, which costs `cp` as much: hence its own difference.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from filter_pool import DRAWN, RULES, pool_of, prepare
from speed import trees
from speed.table import Row, markdown
from speed.trees import Cost

from curate import subsets
from curate.direct_file import BUFFER, DirectFile, aligned_buffer
from curate.filtering import write_filtered
from curate.kept_samples import ScoredSamples
from curate.manifest import RunDir
from curate.output_shards import OutputPlan, begin_outputs, plan_outputs
from curate.outputs import Store
from curate.ranges import copy_ranges, merge_ranges
from curate.shards import open_shard

FOLDER = Path("runs/filter-benchmark")
READ = 1 << 20  # bytes
COPIED = "contiguous"
OUTPUTS = "run/shards/default"
DISK = "brought to the disk"


# --- contenders ---------------------------------------------------------------------------------


def lay_out(folder: Path) -> None:
    """Leave what is kept in files that `cp` can copy."""
    if not (folder / COPIED).exists():
        write_outputs(folder)
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for tar in (folder / OUTPUTS).glob("*.tar"):
            shutil.copy(tar, partial)
        partial.rename(folder / COPIED)


def size_of(folder: Path) -> float:
    """GB of the tars in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.tar")) / 1e9


def planned(folder: Path) -> tuple[Store, ScoredSamples, list[OutputPlan]]:
    """What there is to write."""
    store = Store(str(folder / "run"))
    subset = subsets.load(store, "default")
    if subset is None:
        raise FileNotFoundError(f"{folder} holds no subset; prepare it first")
    kept = ScoredSamples(subset)
    return store, kept, list(plan_outputs(kept.per_shard(store), None))


def write_outputs(folder: Path) -> None:
    """Every output shard, by curate, in this process."""
    store, kept, plans = planned(folder)
    begin_outputs(store, kept.name, kept.identity, None)
    for plan in plans:
        write_filtered(store, kept, plan)


def copying_alone(folder: Path) -> Callable[[Path], None]:
    """The bytes of every output shard, as curate copies them."""
    store, kept, plans = planned(folder)
    tars = []
    for plan in plans:
        rows = kept.rows(store, plan.pieces[0])
        sizes = rows["tar_size"].to_pylist()
        ranges = list(merge_ranges(zip(rows["tar_offset"].to_pylist(), sizes, strict=True)))
        tars.append((kept.source(store, plan.pieces[0].shard), sum(sizes), ranges))

    def copy(folder: Path) -> None:
        target = folder / "copied"
        target.mkdir()
        for shard, size, ranges in tars:
            sink = DirectFile(target / shard.id)
            with open_shard(shard) as source:
                sink.reserve(size)
                copy_ranges(source, ranges, sink.write, "draw the pool again")
            sink.flush()
            sink.close()

    return copy


def disk_alone(folder: Path) -> Callable[[Path], None]:
    """As many bytes as are kept, from one buffer straight to the disk."""
    sizes = [path.stat().st_size for path in (folder / COPIED).glob("*.tar")]
    buffer = aligned_buffer(BUFFER)
    buffer[:] = memoryview(os.urandom(BUFFER))

    def write(folder: Path) -> None:
        target = folder / "copied"
        target.mkdir()
        for number, size in enumerate(sizes):
            sink = DirectFile(target / str(number))
            sink.reserve(size)
            for _ in range(size // BUFFER):
                sink.write(buffer)
            sink.write(bytes(size % BUFFER))
            sink.flush()
            os.fsync(sink.fileno())
            sink.close()

    return write


def tar_writer_loop(folder: Path) -> Callable[[Path], None]:
    """Every output shard, by reading all samples and writing those that are kept."""
    import webdataset

    store, samples, _ = planned(folder)
    kept: set[str] = set()  # faster than the sorted array that DataComp searches
    for shard in RunDir(store).shard_ids():
        table = subsets.read_decisions(store, samples.subset, shard)
        kept.update(table.filter(table["kept"])["uid"].to_pylist())

    def loop(folder: Path) -> None:
        target = folder / "loop"
        target.mkdir()
        for source in RunDir(store).read_manifest():
            with webdataset.TarWriter(str(target / f"{source.id}.tar")) as writer:
                for sample in webdataset.WebDataset(source.url, shardshuffle=False):
                    if json.loads(sample["json"])["uid"] in kept:
                        writer.write({n: v for n, v in sample.items() if n != "__url__"})

    return loop


INSIDE: dict[str, Callable[[Path], Callable[[Path], None]]] = {
    "curate": lambda folder: write_outputs,
    "copying": copying_alone,
    "disk": disk_alone,
    "TarWriter loop": tar_writer_loop,
}
"""What readies each contender, which is not counted, and returns it."""


def copy(folder: Path, durable: bool) -> Cost:
    """`cp` of the kept bytes; with `durable` also `sync`, which brings files to the disk."""
    target = folder / "copied"
    target.mkdir()
    files = sorted(map(str, (folder / COPIED).iterdir()))
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(["cp", *files, str(target)], check=True)
    if durable:
        subprocess.run(["sync", *map(str, target.iterdir()), str(target)], check=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, 0)


def inside(name: str, folder: Path) -> Cost:
    """A contender in a process of its own, from after its imports on."""
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder)]
    return Cost(*json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def measure(name: str, folder: Path) -> None:
    """Run a contender in this process and print what it took."""
    contender = INSIDE[name](folder)
    usage, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    contender(folder)
    wall, now = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    print(json.dumps((cpu, wall, now.ru_maxrss * 1024)))


def clean(folder: Path) -> None:
    """Remove what contenders wrote, leave the disk nothing to do, and have all inputs cached."""
    for name in ("copied", "loop", "run/shards", "run/state/shards"):
        shutil.rmtree(folder / name, ignore_errors=True)
    os.sync()
    shards = [Path(shard.url) for shard in RunDir(Store(str(folder / "run"))).read_manifest()]
    for path in (*shards[:DRAWN], *(folder / COPIED).glob("*")):
        with path.open("rb", buffering=0) as file:
            while file.read(READ):
                pass


def filter_command(folder: Path, samples: int) -> Cost:
    """`curate filter` on a prepared pool, the whole process tree."""
    clean(folder)
    config = folder / "filter.yaml"
    tree = {
        "input": {"shards": str(pool_of(folder, samples).resolve() / "*.tar")},
        "output": {"run_dir": str((folder / "run").resolve())},
        "compute": {"workers": 1},
        "rules": RULES.model_dump(mode="json", exclude_none=True),
    }
    config.write_text(yaml.safe_dump(tree))
    return trees.run([sys.executable, "-m", "curate.cli", "filter", str(config)])


# --- rows ---------------------------------------------------------------------------------------


def best(found: Sequence[Cost]) -> Cost:
    """The least of each quantity: everything else a machine does only adds."""
    columns = zip(*((one.cpu, one.wall, one.memory) for one in found), strict=True)
    return Cost(*(min(column) for column in columns))


def compare(folder: Path, shards: int, samples: int, rounds: int) -> list[Row]:
    """All contenders in turn, so many rounds; a row each."""
    prepare(folder, shards, samples)
    lay_out(folder)
    contenders: dict[str, Callable[[], Cost]] = {
        "cp": lambda: copy(folder, durable=False),
        "cp + fsync": lambda: copy(folder, durable=True),
        "the disk": lambda: inside("disk", folder),
        "curate": lambda: inside("curate", folder),
        "of that, copying": lambda: inside("copying", folder),
        "TarWriter loop": lambda: inside("TarWriter loop", folder),
    }
    found: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            clean(folder)
            found[name].append(contender())
    clean(folder)
    spent = {name: best(each) for name, each in found.items()}
    copied, durable, disk, own, copying, loop = spent.values()
    notes = {
        "cp + fsync": DISK,
        "the disk": f"from memory; {DISK}; wall {disk.wall / copied.wall:.2f}x cp",
        "curate": f"one process; {DISK}; CPU {own.cpu / durable.cpu:.2f}x cp + fsync, wall"
        f" {own.wall / copied.wall:.2f}x cp, {own.wall / durable.wall:.2f}x cp + fsync,"
        f" {own.wall / disk.wall:.2f}x the disk",
        "of that, copying": f"not waited for; wall {copying.wall / copied.wall:.2f}x cp",
        "TarWriter loop": f"{loop.cpu / own.cpu:.1f}x curate's CPU; the bar: at least 20x",
    }
    bars = {"curate": 1.3, "of that, copying": 1.3}
    kept = size_of(folder / COPIED)
    return [
        row(name, one, kept, copied, bars.get(name), notes.get(name, ""))
        for name, one in spent.items()
    ]


def row(name: str, one: Cost, kept: float, copied: Cost, bar: float | None, note: str) -> Row:
    """What a contender spent on each GB that is kept."""
    cpu, wall = one.cpu * 1e3 / kept, one.wall * 1e3 / kept
    ratio, memory = one.cpu / copied.cpu, one.memory or None
    return Row("filter, 30 % kept", name, cpu, wall, "GB kept", ratio, bar, memory, note)


def compare_command(folder: Path, sizes: tuple[int, int], samples: int, rounds: int) -> list[Row]:
    """What one more GB costs `curate filter`, and `cp`, by the difference of two pools."""
    kept, costs, copies = list[float](), list[Cost](), list[Cost]()
    for size in sizes:
        each = folder / f"{size}"
        prepare(each, size, samples)
        lay_out(each)
        found = [filter_command(each, samples) for _ in range(rounds)]
        costs.append(best(found))
        copies.append(best([copy_afresh(each) for _ in range(rounds)]))
        kept.append(size_of(each / COPIED))
        clean(each)
    copied, own = (between(*pair) for pair in (copies, costs))
    note = (
        f"one worker; {costs[0].cpu:.1f} s of CPU for {kept[0]:.1f} GB, {costs[1].cpu:.1f} s for"
        f" {kept[1]:.1f} GB; wall {own.wall / copied.wall:.2f}x cp"
    )
    more = kept[1] - kept[0]
    return [
        row("cp, marginal", copied, more, copied, None, ""),
        row("curate filter, marginal", own, more, copied, None, note),
    ]


def between(small: Cost, large: Cost) -> Cost:
    """What the larger work took longer."""
    return Cost(large.cpu - small.cpu, large.wall - small.wall, large.memory)


def copy_afresh(folder: Path) -> Cost:
    """`cp` into an empty folder."""
    clean(folder)
    return copy(folder, durable=False)


def rows(quick: bool) -> list[Row]:
    """For the table of all benchmarks."""
    if quick:
        return compare(FOLDER / "1", 1, 10_000, 3)
    return compare(FOLDER / "4", 4, 10_000, 5) + compare_command(FOLDER, (4, 20), 10_000, 3)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--command", action="store_true", help="`curate filter` with Ray as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        measure(arguments.one, arguments.folder)
        return
    shards, samples, rounds = arguments.shards, arguments.samples, arguments.rounds
    found = compare(arguments.folder / str(shards), shards, samples, rounds)
    if arguments.command:
        found += compare_command(arguments.folder, (shards, 5 * shards), samples, min(3, rounds))
    print(markdown(found))


if __name__ == "__main__":
    main()
