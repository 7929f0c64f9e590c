"""What curate keeps of the noisy pool: scored and swept as an entrant of DataComp does it.

The pool's embeddings lie beside its metadata, as DataComp publishes them, and `curate score` and
`curate sweep` do the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from curate.commands import run_score
from curate.config import Config, parse_config
from curate.errors import AccountingError
from curate.numerics.keys import UidArray, format_uids, parse_uids
from curate.outputs import Store
from curate.schema import CLIP_SCORE, IMAGE_INFORMATIVENESS, OK, TEXT_INFORMATIVENESS
from curate.sweep.command import run_sweep
from curate.uids_file import read_uids
from minicomping.cuts import cuts_keeping, ranks, rules_of
from minicomping.metrics import Rows
from minicomping.pool import NoisyPool

FILTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "CLIP score": (CLIP_SCORE,),
    "informativeness": (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS),
    "informativeness and CLIP score": (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS, CLIP_SCORE),
}
"""Columns of which each filter drops the lowest; where there are several, equally many by each."""


def write_metadata(pool: NoisyPool, images: Rows, texts: Rows, folder: Path) -> None:
    """Write a file of metadata and one of embeddings for every shard, in DataComp's layout.

    Args:
        pool: the pairs.
        images, texts: their embeddings, [n, d] each, in the pool's order.
        folder: receives STEM.parquet and STEM.npz; created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    at = 0
    for shard in pool.shards:
        sidecar = pq.read_table(shard.with_suffix(".parquet"))
        part = slice(at, at := at + sidecar.num_rows)
        image, text = (rows[part].astype(np.float32) for rows in (images, texts))
        np.savez(folder / f"{shard.stem}.npz", image=image, text=text)
        pq.write_table(
            sidecar.rename_columns({"caption": "text"}), folder / f"{shard.stem}.parquet"
        )


def filter_config(metadata: Path, shards: Path, run_dir: Path, sweep: Any = None) -> Config:
    """The run: the Reference is fitted on the noisy pool itself, as one has to on a real pool."""
    return parse_config(
        {
            "input": {
                "embeddings": str(metadata),
                "embedding_keys": {"image": "image", "text": "text"},
                "shards": str(shards / "*.tar"),
            },
            "output": {"run_dir": str(run_dir)},
            "sweep": sweep,
        },
        source="the comparison's filter",
    )


def kept_uids(
    metadata: Path, shards: Path, run_dir: Path, sizes: Sequence[int]
) -> dict[tuple[str, int], list[str]]:
    """Score the pool and keep so many pairs by each filter; what is there already stays.

    Args:
        metadata: what `write_metadata` wrote.
        shards: folder of the pool's shards, from which `curate filter` can cut a subset's.
        run_dir: of curate.
        sizes: how many pairs to keep.

    Returns:
        (filter, size) -> uids, hexadecimal.

    Raises:
        AccountingError: curate kept another number than was asked for.
    """
    run_score(filter_config(metadata, shards, run_dir))
    scores = read_scores(run_dir)
    names = {
        (name, size): f"{name.replace(' ', '-').lower()}-{size}"
        for name in FILTERS
        for size in sizes
    }
    sets = {names[name, size]: _rules(scores, FILTERS[name], size) for name, size in names}
    run_sweep(filter_config(metadata, shards, run_dir, {"rules": sets}))
    store, found = Store(str(run_dir)), {}
    for (name, size), subset in names.items():
        uids = read_uids(store, f"subsets/{subset}/uids.npy")
        if len(uids) != size:
            raise AccountingError(f"{run_dir}: {subset} keeps {len(uids)} pairs, expected {size}")
        found[name, size] = format_uids(np.array(uids))
    return found


def read_scores(run_dir: Path) -> pa.Table:
    """Uid and scores of the pairs that could be scored."""
    columns = ["uid", *FILTERS["informativeness and CLIP score"]]
    table: pa.Table = ds.dataset(run_dir / "scores", format="parquet").to_table(
        columns=columns, filter=ds.field("status") == OK
    )
    return table


def _rules(scores: pa.Table, columns: Sequence[str], size: int) -> dict[str, Any]:
    uids: UidArray = parse_uids(scores["uid"].to_pylist())
    places = [ranks(scores[column].to_numpy(), uids) for column in columns]
    drops = cuts_keeping(places, size)
    return rules_of(dict(zip(columns, drops, strict=True)), len(uids))
