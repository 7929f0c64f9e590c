"""`curate demo`: a drawn pool with known noise, the whole run on it, and what was caught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from curate import subsets
from curate.config import Config, parse_config, to_yaml
from curate.errors import ConfigError, RunDirError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.synthetic.pool import GOOD, PLACEHOLDER, SCRUBBED, PoolSpec, write_pool

DROPPED_SHARE: Final = 0.07
"""Share of images, and of captions, that the demo drops: the pool holds 6 % noise of each kind."""

SHARDS: Final = 4

CAUGHT: Final = {PLACEHOLDER: "placeholders caught", SCRUBBED: "scrubbed captions caught"}


@dataclass(frozen=True)
class Prepared:
    """A drawn pool: its configuration, and the file that holds the ground truth."""

    config: Config
    config_path: Path
    truth: Path


def prepare(folder: Path, pairs: int, seed: int, out: Console) -> Prepared:
    """Draw the pool, unless it is there already, and write the demo's configuration beside it.

    Raises:
        ConfigError: the folder holds a pool of another size or seed.
    """
    spec = PoolSpec(pairs=pairs, shards=SHARDS, seed=seed)
    truth, note = folder / "truth.parquet", folder / "pool.txt"
    if not note.exists():
        out.print(f"drawing {pairs} pairs into {folder / 'pool'} ...", soft_wrap=True)
        write_pool(folder / "pool", spec, truth)
        note.write_text(repr(spec), encoding="utf-8")
    elif note.read_text(encoding="utf-8") != repr(spec):
        raise ConfigError(
            f"{folder} holds the demo of another size or seed; give another --folder or delete it"
        )
    config = demo_config(folder)
    path = folder / "demo.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    return Prepared(config, path, truth)


def demo_config(folder: Path) -> Config:
    """The configuration of the demo's run; nothing in it knows the ground truth."""
    cut = {"drop_lowest": DROPPED_SHARE}
    return parse_config(
        {
            "model": {"name": "embedded"},
            "input": {"shards": str(folder.resolve() / "pool" / "*.tar"), "verify_sha256": True},
            "rules": {"all": [{"image_informativeness": cut}, {"text_informativeness": cut}]},
            "output": {"run_dir": str(folder.resolve() / "run")},
        },
        source="the demo's configuration",
    )


def report(prepared: Prepared, out: Console) -> None:
    """Compare the decisions with the ground truth, which only this function reads."""
    tally = tally_labels(prepared)
    table = Table(title="what the filter did", title_justify="left", show_edge=False)
    for name in ("ground truth", "pairs", "dropped", "share"):
        table.add_column(name, justify="left" if name == "ground truth" else "right")
    for label, (total, dropped) in tally.items():
        name = "good pairs lost" if label == GOOD else CAUGHT[label]
        table.add_row(name, str(total), str(dropped), f"{100 * dropped / max(total, 1):.1f} %")
    out.print(table)
    out.print(
        f"change a threshold: curate select {prepared.config_path} --set output.subset=mine"
        " --set 'rules={all: [{clip_score: {min: 0.1}}]}'",
        soft_wrap=True,
    )


def tally_labels(prepared: Prepared) -> dict[str, tuple[int, int]]:
    """Label -> (pairs, dropped or rejected pairs). Raises RunDirError without a subset."""
    run = RunDir(Store(prepared.config.output.run_dir))
    subset = subsets.load(run.store, prepared.config.output.subset)
    if subset is None:
        raise RunDirError(f"{run.store} has no subset; run the demo again")
    kept: dict[str, bool] = {}
    for shard, _ in subsets.kept_per_shard(run.store, subset):
        table = run.store.read_table(f"{subset.folder}/decisions/{shard}.parquet")
        kept |= dict(zip(table["uid"].to_pylist(), table["kept"].to_pylist(), strict=True))
    tally: dict[str, tuple[int, int]] = {}
    for row in pq.read_table(prepared.truth).to_pylist():
        total, dropped = tally.get(row["label"], (0, 0))
        tally[row["label"]] = (total + 1, dropped + (not kept[row["uid"]]))
    return dict(sorted(tally.items(), key=lambda item: item[0] != GOOD))
