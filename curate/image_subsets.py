"""A subset of a pool of metadata, cut out of its images: which samples of their shards are kept.

Shards hold the pairs in another order than the metadata, some of them not at all. A sample is kept
if its uid is in the subset's uids.npy and it is the first of that uid in the order of (shard,
index). Decisions lie in subsets/NAME/images/, their totals in subsets/NAME/images.json, which is
written last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import subsets
from curate.config import digest
from curate.deciding import count_decisions
from curate.duplicates import Duplicates, find_duplicates
from curate.image_index import IMAGES, images_of, read_index
from curate.kept_samples import DECIDED, take_kept
from curate.manifest import Counts, RunDir
from curate.numerics.keys import UidArray
from curate.numerics.selection import KEPT
from curate.output_shards import Piece
from curate.outputs import Store
from curate.schema import DECISIONS_SCHEMA, DUPLICATE_UID, OK, SUMMARY_OF_REJECTED
from curate.shards import Shard
from curate.subsets import UIDS, Subset
from curate.uid_columns import uids_of
from curate.uids_file import contains, read_uids

NOT_IN_SUBSET: Final = "not_in_subset"


@dataclass(frozen=True, slots=True)
class ImageSubset:
    """The kept images of a subset; `kept_samples.KeptSamples` describes the methods.

    Attributes:
        name: of the subset.
        identity: of subset and index together.
        counts: over all image shards.
        missing_images: uids of the subset that no usable sample has.
    """

    name: str
    identity: str
    counts: Counts
    missing_images: int

    def per_shard(self, store: Store) -> list[tuple[str, int]]:
        """Image shard and number of kept samples, in the order of names."""
        table = store.read_table(_counts_path(self.name))
        return list(zip(table["shard"].to_pylist(), table["kept"].to_pylist(), strict=True))

    def source(self, store: Store, shard: str) -> Shard:
        """The shard as it was indexed."""
        marker = images_of(RunDir(store)).require_marker(shard)
        return Shard(shard, marker.url, marker.size)

    def rows(self, store: Store, piece: Piece) -> pa.Table:
        """The index rows of a piece."""
        decisions = store.read_table(decisions_path(self.name, piece.shard), list(DECIDED))
        index = read_index(images_of(RunDir(store)).store, piece.shard)
        return take_kept(index, decisions, piece, self.name)

    def remedy(self, shard: str) -> str:
        """What to do if an image shard is not what was indexed."""
        return f"restore it, or delete {IMAGES}/state/{shard}.json and run `curate filter` again"


def summary_path(name: str) -> str:
    """Where the totals of a subset's images lie."""
    return f"{subsets.folder_of(name)}/images.json"


def decisions_path(name: str, shard: str) -> str:
    """Where the decisions on an image shard lie."""
    return f"{subsets.folder_of(name)}/images/{shard}.parquet"


def _counts_path(name: str) -> str:
    return f"{subsets.folder_of(name)}/image_shards.parquet"


_COUNTS: Final = pa.schema([("shard", pa.string()), ("read", pa.int64()), ("kept", pa.int64())])


def load(store: Store, name: str) -> ImageSubset | None:
    """Read what `cut_images` wrote; None if it did not, or not to its end."""
    try:
        found = store.read_json(summary_path(name))
    except FileNotFoundError:
        return None
    return ImageSubset(name, found["identity"], Counts(**found["counts"]), found["missing_images"])


def find(run: RunDir, subset: Subset) -> ImageSubset | None:
    """The subset's images, if they are what `cut_images` would make now."""
    found = load(run.store, str(subset.summary["name"]))
    _, indexed = indexed_shards(run)
    return found if found is not None and found.identity == identity_of(subset, indexed) else None


def identity_of(subset: Subset, indexed: str) -> str:
    """What a subset's images are a function of: its own identity, and that of the index."""
    return digest([subset.identity, indexed])


def cut_images(
    run: RunDir,
    subset: Subset,
    observe: Callable[[str, Counts], None] = lambda shard, counts: None,
) -> ImageSubset:
    """Decide which samples of the indexed shards are kept; nothing happens if that is done.

    Args:
        run: of the pool, whose image shards are indexed.
        subset: with uids.npy.
        observe: called after each shard with its id and counts.

    Raises:
        AccountingError: the counts of a shard do not balance.
        OutputError: uids.npy or an index is missing or damaged.
    """
    if (found := find(run, subset)) is not None:
        return found
    store, name = run.store, str(subset.summary["name"])
    shards, indexed = indexed_shards(run)
    for left in (summary_path(name), decisions_path(name, "x").rpartition("/")[0]):
        store.remove(left)
    uids = read_uids(store, f"{subset.folder}/{UIDS}")
    rows, total = [], Counts(kept=0)
    for shard, table in decide_images(run, shards, uids, indexed):
        counts = count_decisions(table)
        counts.check(f"image shard {shard}, subset {name}")
        store.write_table(decisions_path(name, shard), table)
        rows.append({"shard": shard, "read": counts.read, "kept": counts.kept})
        total += counts
        observe(shard, counts)
    store.write_table(_counts_path(name), pa.Table.from_pylist(rows, _COUNTS))
    # A uid is kept once, so that what is left of the subset has no image.
    identity = identity_of(subset, indexed)
    made = ImageSubset(name, identity, total, len(uids) - (total.kept or 0))
    store.write_json(summary_path(name), _summary(made))
    return made


def _summary(made: ImageSubset) -> dict[str, Any]:
    counts = made.counts
    return {
        "identity": made.identity,
        "missing_images": made.missing_images,
        "counts": {
            "read": counts.read,
            "kept": counts.kept,
            "dropped": dict(counts.dropped),
            "rejected": dict(counts.rejected),
        },
    }


def indexed_shards(run: RunDir) -> tuple[list[str], str]:
    """Image shards that are indexed, in the order of names, and the identity of their index."""
    images = images_of(run)
    done = images.committed()
    shards = sorted(shard.id for shard in images.read_manifest() if shard.id in done)
    return shards, subsets.scores_identity(images, shards)


def decide_images(
    run: RunDir, shards: list[str], uids: UidArray, indexed: str | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Decide every sample of some image shards; writes nothing but the cache of duplicates.

    Args:
        run: of the pool.
        shards: indexed ones.
        uids: of the subset, UID [n], ascending.
        indexed: identity of the index, under which repeated uids are kept; None keeps nothing.

    Returns:
        Shard and DECISIONS_SCHEMA table, one by one.
    """
    images = images_of(run).store
    repeated = find_duplicates(images, shards, indexed, read=read_index)
    for shard in shards:
        yield shard, _decide(read_index(images, shard), shard, uids, repeated)


def _decide(table: pa.Table, shard: str, uids: UidArray, repeated: Duplicates) -> pa.Table:
    statuses = table["status"].to_pylist()
    usable = np.array([status == OK for status in statuses], dtype=bool)
    wanted = contains(uids, uids_of(table["uid"]))
    again = np.zeros(len(statuses), dtype=bool)
    at: npt.NDArray[np.int64] | None = repeated.get(shard)
    if at is not None:
        again[at] = True
    reasons = np.array([f"{SUMMARY_OF_REJECTED}{status}" for status in statuses], dtype=object)
    reasons[usable] = NOT_IN_SUBSET
    reasons[usable & wanted] = KEPT
    reasons[usable & wanted & again] = DUPLICATE_UID
    columns = [
        table["index"],
        table["key"],
        table["uid"],
        pa.array(reasons == KEPT, pa.bool_()),
        pa.array(reasons, pa.string()),
    ]
    return pa.table(columns, schema=DECISIONS_SCHEMA)
