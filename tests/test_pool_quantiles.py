"""Cuts of pool fractions against sorting, ties by uid included, however the pool is divided."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import fabricate

from curate.duplicates import find_duplicates
from curate.numerics.keys import DROP_ALL, KEEP_ALL, Cut, below, parse_uids
from curate.outputs import Store
from curate.pool_quantiles import PoolQuantile, find_cuts
from curate.score_scan import ScoreScan

FEW = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 1.0 + 2**-20])
FRACTIONS = st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.5, 0.99, 1.0])


class Split:
    """Runs a fold in parts that are pickled and merged, as on a cluster."""

    def __init__(self, scan: ScoreScan, shards: int) -> None:
        self.precisions = scan.precisions
        self._scan = scan
        self._shards = range(shards)

    def run(self, fold: Any, shards: Any = None) -> Any:
        initial = pickle.dumps(fold)
        for number in self._shards if shards is None else shards:
            part = pickle.loads(initial)
            fold.merge(pickle.loads(pickle.dumps(self._scan.run(part, [number]))))
        return fold


def write_pool(folder: Path, scores: list[tuple[float, int]], shards: int) -> Any:
    """A run directory whose shards share samples of (clip score, width) among them."""
    rows = [
        {"uid": f"{i * 0x9E3779B97F4A7C15 % 2**128:032x}", "clip_score": s, "width": w}
        for i, (s, w) in enumerate(scores)
    ]
    parts = {f"{n:05d}": rows[n::shards] for n in range(shards)}
    return fabricate(Store(str(folder)), parts), rows


@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(st.tuples(FEW, st.integers(1, 3)), min_size=1, max_size=40),
    fraction=FRACTIONS,
    shards=st.integers(1, 4),
    split=st.booleans(),
)
def test_cuts_drop_exactly_their_share(
    tmp_path_factory: pytest.TempPathFactory, scores: Any, fraction: float, shards: int, split: bool
) -> None:
    run, rows = write_pool(tmp_path_factory.mktemp("pool"), scores, shards)
    names = [f"{n:05d}" for n in range(shards)]
    columns = ["clip_score", "width"]
    duplicates = find_duplicates(run.store, names)
    scan = ScoreScan(run.store, names, columns, duplicates, cache_bytes=0 if split else 1 << 20)
    quantiles = [
        PoolQuantile("clip_score", fraction, "drop_lowest", "exact"),
        PoolQuantile("width", fraction, "keep_highest", "exact"),
        PoolQuantile("clip_score", fraction, "keep_highest", "datacomp"),
    ]
    cuts = find_cuts(quantiles, Split(scan, shards) if split else scan)
    uids = parse_uids([row["uid"] for row in rows])
    table = {name: np.array([row[name] for row in rows], dtype=np.float32) for name in columns}
    n, share = len(rows), round(fraction * 100) * len(rows) // 100
    low = below(cuts[quantiles[0]], table["clip_score"], uids)
    assert low.sum() == share
    assert (~below(cuts[quantiles[1]], table["width"], uids)).sum() == share
    order = np.lexsort((uids["f1"], uids["f0"], table["clip_score"] + np.float32(0)))
    assert low[order].tolist() == sorted(low.tolist(), reverse=True)
    if int(n * fraction) < n:
        threshold = -np.sort(-table["clip_score"])[int(n * fraction)]
        expected = table["clip_score"] >= threshold
    else:
        expected = np.ones(n, dtype=bool)
    assert (~below(cuts[quantiles[2]], table["clip_score"], uids)).tolist() == expected.tolist()


def test_rejected_and_repeated_rows_count_for_datacomp_only(tmp_path: Path) -> None:
    uid = "{:032x}".format
    rows = [
        {"uid": uid(1), "clip_score": 0.1, "width": 9},
        {"uid": uid(2), "clip_score": 0.2, "width": None},
        {"uid": uid(2), "clip_score": 0.3, "width": 8},
        {"uid": uid(3), "status": "missing_text", "clip_score": None, "width": 7},
    ]
    run = fabricate(Store(str(tmp_path)), {"00000": rows})
    scan = ScoreScan(run.store, ["00000"], ["width"], find_duplicates(run.store, ["00000"]))
    exact = [PoolQuantile("width", f, "keep_highest", "exact") for f in (0.5, 0.0, 1.0)]
    theirs = [PoolQuantile("width", f, "keep_highest", "datacomp") for f in (0.25, 0.5, 0.75, 1)]
    cuts = find_cuts([*exact, *theirs], scan)
    # Two rows are decided, one of them without a width, which ranks lowest.
    assert [cuts[q] for q in exact] == [Cut(9.0), DROP_ALL, KEEP_ALL]
    # Four rows count; the threshold of 0.75 is the missing one: nothing is >= NaN.
    assert [cuts[q] for q in theirs] == [Cut(8.0), Cut(7.0), DROP_ALL, KEEP_ALL]


def test_nothing_asked_scans_nothing(tmp_path: Path) -> None:
    run, _ = write_pool(tmp_path, [(0.5, 1)], 1)
    scan = ScoreScan(run.store, ["00000"], [], find_duplicates(run.store, ["00000"]))
    assert find_cuts([], scan) == {}
