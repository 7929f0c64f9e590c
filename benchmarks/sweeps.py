"""Fifty rule sets over pools of three sizes: time, memory, and one plain scan of the same columns.

Generates the score columns of a pool (DataComp's size of files: 10,000 rows), then sweeps it in a
process of its own for each size, so that peak memory is that of the sweep:

    python benchmarks/sweeps.py --rows 5000000 15000000 50000000 --folder runs/sweep-benchmark

About 70 bytes of disk a row. A second call finds the pools again.
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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from curate.config import Rules
from curate.manifest import IDENTITY, Counts, Marker, RunDir
from curate.outputs import Store
from curate.schema import SCORE_COLUMNS, scores_schema
from curate.shards import Shard
from curate.sweep.run import sweep
from curate.sweep.tables import RuleSet

ROWS_PER_FILE = 10_000
DUPLICATES = 1_000  # one uid in a thousand occurs twice
PHASES = {
    "looking for repeated uids": "uids",
    "finding cuts": "cuts",
    "deciding": "decisions",
    "writing subsets": "subsets",
}
USED = ["image_informativeness", "text_informativeness", "clip_score", "aspect_ratio"]


def hex_strings(octets: np.ndarray[Any, Any]) -> pa.Array:
    """uint8 [n, 16] as an Arrow array of 32 hexadecimal digits each."""
    n = len(octets)
    offsets = np.arange(0, 32 * (n + 1), 32, dtype=np.int32)
    data = octets.tobytes().hex().encode()
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(data))


def scores(shard: str, number: int, rows: int, repeated: bool = True) -> pa.Table:
    """Scores as a run leaves them: three of a hundred rejected, the rest of natural shape."""
    rng = np.random.default_rng(number)
    octets = rng.integers(0, 256, (rows, 16), dtype=np.uint8)
    if repeated:
        octets[:: rows // max(1, rows // DUPLICATES)][1:] = octets[0]
    uids = hex_strings(octets)
    rejected = rng.random(rows) < 0.03
    width, height = rng.integers(100, 2000, (2, rows))
    values = {
        "image_informativeness": rng.gamma(4, 0.01, rows),
        "text_informativeness": rng.gamma(5, 0.008, rows),
        "clip_score": rng.normal(0.24, 0.06, rows),
        "image_norm": rng.normal(10, 1, rows),
        "text_norm": rng.normal(9, 1, rows),
    }
    columns: dict[str, Any] = {
        "shard": pa.array([shard]).take(pa.array(np.zeros(rows, np.int8))),
        "index": np.arange(rows, dtype=np.int32),
        "key": uids,
        "uid": uids,
        "uid_derived": np.zeros(rows, dtype=bool),
        "status": pa.array(["ok", "nonfinite_embedding"]).take(pa.array(rejected.astype(np.int8))),
        "error": pa.nulls(rows, pa.string()),
        **{name: pa.array(v.astype(np.float32), mask=rejected) for name, v in values.items()},
        "width": width.astype(np.int32),
        "height": height.astype(np.int32),
        "shorter_side": np.minimum(width, height).astype(np.int32),
        "aspect_ratio": (np.maximum(width, height) / np.minimum(width, height)).astype(np.float32),
        "caption_chars": rng.integers(5, 200, rows).astype(np.int32),
        "caption_words": rng.integers(1, 40, rows).astype(np.int32),
    }
    schema = scores_schema(SCORE_COLUMNS, located=False)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def make_pool(folder: Path, rows: int, repeated: bool = True) -> RunDir:
    """A scored run directory of so many rows, with repeated uids; left alone if it is there."""
    run = RunDir(Store(str(folder)))
    names = [f"{n:08d}" for n in range(-(-rows // ROWS_PER_FILE))]
    if len(run.committed()) == len(names):
        return run
    run.write_manifest([Shard(name, f"/pool/{name}.parquet", 1) for name in names])
    identity = run.claim(IDENTITY, {"reference_sha256": "benchmark"})
    for number, name in enumerate(names):
        count = min(ROWS_PER_FILE, rows - number * ROWS_PER_FILE)
        table = scores(name, number, count, repeated)
        written = run.store.write_table(f"scores/{name}.parquet", table)
        lost = table.num_rows - table["status"].to_pylist().count("ok")
        counts = Counts(table.num_rows, {"nonfinite_embedding": lost} if lost else {})
        url = f"/pool/{name}.parquet"
        run.commit(Marker(name, url, 1, "0" * 64, identity, counts, (), {}, (written,)))
    return run


def rule_sets() -> list[RuleSet]:
    """A grid of 48 and two baselines."""
    sets = []
    for image in (0.0, 0.05, 0.1, 0.2):
        for text in (0.0, 0.05, 0.1, 0.2):
            for clip in (0.2, 0.3, 0.5):
                tree = {
                    "all": [
                        {"image_informativeness": {"drop_lowest": image}},
                        {"text_informativeness": {"drop_lowest": text}},
                        {"clip_score": {"keep_highest": clip}},
                        {"aspect_ratio": {"max": 3}},
                    ]
                }
                sets.append(RuleSet(f"{image}-{text}-{clip}", Rules.model_validate(tree)))
    top = {"all": [{"clip_score": {"keep_highest": 0.3, "method": "datacomp"}}]}
    fixed = {"all": [{"clip_score": {"min": 0.28}}, {"aspect_ratio": {"max": 3}}]}
    return [
        *sets,
        RuleSet("clip-30", Rules.model_validate(top), baseline=True),
        RuleSet("clip-0.28", Rules.model_validate(fixed), baseline=True),
    ]


def plain_scan(folder: Path) -> float:
    """Seconds of one scan of the used columns by pyarrow, without keeping anything."""
    begin = time.perf_counter()
    data = ds.dataset(str(folder / "scores"), format="parquet")
    rows = sum(batch.num_rows for batch in data.to_batches(columns=USED, use_threads=True))
    assert rows
    return time.perf_counter() - begin


def measure(folder: Path, write_uids: bool) -> dict[str, Any]:
    """Sweep a pool from nothing; seconds of each phase and peak memory of this process."""
    run = RunDir(Store(str(folder)))
    shutil.rmtree(folder / "sweep", ignore_errors=True)
    shutil.rmtree(folder / "subsets", ignore_errors=True)
    (folder / "state" / "duplicates.npz").unlink(missing_ok=True)
    marks: list[tuple[str, float]] = [("markers", time.perf_counter())]
    tables = sweep(
        run,
        rule_sets(),
        None,
        write_uids=write_uids,
        observe=lambda phase: marks.append((PHASES[phase], time.perf_counter())),
    )
    ends = [at for _, at in marks[1:]] + [time.perf_counter()]
    return {
        "rows": int(tables.subsets["read"][0].as_py()),
        "seconds": {name: end - at for (name, at), end in zip(marks, ends, strict=True)},
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "user_seconds": sum(os.times()[:2]),
        "kept": tables.subsets["kept"].to_pylist()[:3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, default=Path("runs/sweep-benchmark"))
    parser.add_argument("--uids", action="store_true", help="write uids.npy of every subset too")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one, arguments.uids)))
        return
    print("rows         scan s  sweep s  ratio  of it: markers  uids  cuts  decisions  subsets  GB")
    for rows in sorted(arguments.rows):
        folder = arguments.folder / str(rows)
        make_pool(folder, rows)
        plain_scan(folder)  # the page cache is warm for both
        scan = plain_scan(folder)
        command = [sys.executable, __file__, "--one", str(folder)]
        command += ["--uids"] if arguments.uids else []
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(output)
        seconds = found["seconds"]
        columns = seconds["cuts"] + seconds["decisions"]
        print(
            f"{rows:<12,} {scan:6.1f}  {columns:7.1f}  {columns / scan:5.2f}         "
            f" {seconds['markers']:7.1f} {seconds['uids']:5.1f} {seconds['cuts']:5.1f}"
            f" {seconds['decisions']:10.1f} {seconds['subsets']:8.1f}"
            f"  {found['peak_bytes'] / 1e9:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
