"""Sweeps on Ray's workers give the bytes of sweeps in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_run import fabricate, tree
from test_subsets import all_of, pool_of

from curate.config import Rules
from curate.duplicates import find_duplicates
from curate.outputs import Store
from curate.pipeline.cluster import cluster
from curate.pipeline.scan_stage import ClusterScan
from curate.pool_quantiles import CountFold, Population
from curate.sweep.run import sweep
from curate.sweep.tables import RuleSet

SETS = [
    RuleSet("clip", all_of(clip_score={"keep_highest": 0.3}), baseline=True),
    # Widths all tie, so that uids decide.
    RuleSet("ties", all_of(width={"drop_lowest": 0.25}, clip_score={"min": 0})),
    RuleSet("theirs", all_of(clip_score={"keep_highest": 0.3, "method": "datacomp"})),
    RuleSet("all", Rules(all=())),
]


@pytest.mark.ray
def test_a_sweep_on_a_cluster_is_the_sweep_of_one_process(local_ray: None, tmp_path: Path) -> None:
    pool = pool_of(500, shards=3)
    here = fabricate(Store(str(tmp_path / "here")), pool)
    there = fabricate(Store(str(tmp_path / "there")), pool)
    sweep(here, SETS, None)
    with cluster("auto") as ray:
        tables = sweep(there, SETS, None, make_runner=lambda *pool: ClusterScan(ray, *pool))
        assert tables.subsets["kept"].to_pylist()[:2] == [150, 187]
        scan = ClusterScan(ray, there.store, [], ["width"], find_duplicates(there.store, []))
        empty = scan.run(CountFold([Population("width", False)], scan.precisions))
        assert [counts.total for counts in empty.counts.values()] == [0]
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
