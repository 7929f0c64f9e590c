"""How much labelled noise each score catches on the dev shards, beside the CLIP score.

Usage: curate run configs/dev.yaml && python benchmarks/recall.py runs/dev

The labels stand in the json field `noise` of the shards, which curate never reads; this script
reads them itself, after the run. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.evaluation import catch_lowest
from curate.manifest import RunDir
from curate.outputs import Store
from curate.score_tables import SCORES

CUTS = (0.05, 0.10)
PAIRINGS = (
    ("placeholder", "image_informativeness"),
    ("placeholder", "clip_score"),
    ("caption", "text_informativeness"),
    ("caption", "clip_score"),
)


def read_labels(url: str) -> dict[str, str | None]:
    """Key -> the ground truth of a shard."""
    labels: dict[str, str | None] = {}
    with tarfile.open(url) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                file = tar.extractfile(member)
                assert file is not None, f"{url}: {member.name} is not a regular file"
                labels[member.name.removesuffix(".json")] = json.load(file)["noise"]
    return labels


def load(run: RunDir) -> tuple[pa.Table, np.ndarray]:
    """All score rows of a run, and the label of each."""
    tables, labels = [], []
    for shard in run.read_manifest():
        table = run.store.read_table(f"{SCORES}/{shard.id}.parquet")
        truth = read_labels(shard.url)
        tables.append(table)
        labels += [truth[key] or "" for key in table["key"].to_pylist()]
    return pa.concat_tables(tables), np.array(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    run = RunDir(Store(str(parser.parse_args().run_dir)))
    table, labels = load(run)
    out = sys.stdout
    out.write(f"{table.num_rows} pairs, {(labels != '').sum()} with labelled noise\n\n")
    out.write(
        "| noise | score | cut | caught | recall | clean pairs lost |\n|---|---|---|---|---|---|\n"
    )
    for noise, column in PAIRINGS:
        values = table[column].to_numpy(zero_copy_only=False).astype(np.float64)
        for cut in CUTS:
            found = catch_lowest(values, labels == noise, cut)
            out.write(
                f"| {noise} | {column} | {100 * cut:.0f} % | {found.lowest}"
                f"{f' + {found.rejected} rejected' if found.rejected else ''} of {found.noise}"
                f" | {100 * found.recall:.1f} % | {100 * found.clean_lost:.1f} % |\n"
            )


if __name__ == "__main__":
    main()
