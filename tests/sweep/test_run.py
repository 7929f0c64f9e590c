"""Sweeps against selecting every rule set by itself: subsets, reasons, overlaps, resumption."""

from __future__ import annotations

import csv
import io
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import decisions, fabricate, load_uids, recommit, score_rows, tree, uid
from test_subsets import all_of, pool_of, pools, rules, trees

from curate import subsets
from curate.config import Rules
from curate.errors import AccountingError, RunDirError
from curate.manifest import IDENTITY, RunDir
from curate.outputs import Store
from curate.sweep.run import sweep
from curate.sweep.tables import RuleSet, SweepTables


def pairs_of(tables: SweepTables) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["a"], row["b"]): row for row in tables.overlaps.to_pylist()}


def uid_set(run: RunDir, name: str) -> set[tuple[int, int]]:
    return {tuple(pair) for pair in load_uids(run.store, name).tolist()}


@settings(max_examples=25, deadline=None)
@given(pools, st.lists(trees, min_size=1, max_size=4))
def test_every_subset_is_what_select_makes(pool: Any, chosen: list[Any]) -> None:
    run = fabricate(Store(f"memory://{uuid.uuid4().hex}"), pool)
    sets = [RuleSet(f"s{i}", rules(one)) for i, one in enumerate(chosen)]
    tables = sweep(run, sets, None)
    rows = tables.subsets.to_pylist()
    for one, row in zip(sets, rows, strict=True):
        swept = subsets.load(run.store, one.name)
        alone = subsets.select(run, "alone", one.rules, None)
        assert swept is not None
        assert swept.counts == alone.counts
        assert swept.identity == alone.identity
        assert swept.summary["tests"] == alone.summary["tests"]
        assert row["kept"] == alone.counts.kept
        rejected = {f"rejected:{name}": n for name, n in alone.counts.rejected.items()}
        assert dict(row["reasons"]) == dict(alone.counts.dropped) | rejected
        assert run.store.read_bytes(f"subsets/{one.name}/uids.npy") == run.store.read_bytes(
            "subsets/alone/uids.npy"
        )
    for (a, b), row in pairs_of(tables).items():
        one, other = uid_set(run, a), uid_set(run, b)
        assert (row["kept_a"], row["kept_b"]) == (len(one), len(other))
        assert row["kept_both"] == len(one & other)
        assert (row["a_not_b"], row["b_not_a"]) == (len(one - other), len(other - one))
        assert row["jaccard"] == (len(one & other) / len(one | other) if one | other else 1.0)
    run.store.remove("")


SETS = [
    RuleSet("clip", all_of(clip_score={"keep_highest": 0.3}), baseline=True),
    RuleSet("loose", all_of(clip_score={"drop_lowest": 0.1})),
    RuleSet("all", Rules(all=())),
]


def test_more_subsets_than_bits_in_a_word(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(300))
    sets = [RuleSet(f"s{i}", all_of(clip_score={"drop_lowest": i / 100})) for i in range(70)]
    tables = sweep(run, sets, None)
    assert tables.subsets["kept"].to_pylist() == [300 - 3 * i for i in range(70)]
    for i in (0, 63, 64, 69):
        assert len(load_uids(run.store, f"s{i}")) == 300 - 3 * i


def test_the_tables_are_written_and_read_back(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(100))
    first = sweep(run, SETS, None)
    before = tree(tmp_path)
    phases: list[str] = []
    again = sweep(run, SETS, None, observe=phases.append)
    assert phases == []
    assert again.subsets.equals(first.subsets)
    assert again.overlaps.equals(first.overlaps)
    assert tree(tmp_path) == before
    lines = list(csv.DictReader(io.StringIO((tmp_path / "sweep/subsets.csv").read_text())))
    assert [line["subset"] for line in lines] == ["clip", "loose", "all"]
    assert [int(line["kept"]) for line in lines] == [30, 90, 100]
    assert lines[0]["baseline"] == "true"
    assert lines[1]["reasons"] == "clip_score.drop_lowest=0.1: 10"
    overlaps = list(csv.DictReader(io.StringIO((tmp_path / "sweep/overlaps.csv").read_text())))
    assert [(one["a"], one["b"]) for one in overlaps] == [
        ("clip", "loose"),
        ("clip", "all"),
        ("loose", "all"),
    ]


@pytest.mark.parametrize("lost", ["sweep/sweep.json", "subsets/loose/summary.json", "sweep"])
def test_what_is_missing_is_made_again_and_nothing_else(tmp_path: Path, lost: str) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(100))
    sweep(run, SETS, None)
    before = tree(tmp_path)
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "subsets/clip").iterdir()}
    run.store.remove(lost)
    sweep(run, SETS, None)
    assert tree(tmp_path) == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "subsets/clip").iterdir()} == stamps


def test_a_wider_sweep_adds_to_the_subsets(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(100))
    sweep(run, SETS[:2], None)
    tables = sweep(run, SETS, None)
    assert tables.subsets["kept"].to_pylist() == [30, 90, 100]


def test_without_uids_they_are_written_when_the_subset_is_materialised(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(100))
    sweep(run, SETS, None, write_uids=False)
    light = subsets.load(run.store, "clip")
    assert light is not None
    assert not light.summary["uids"]
    assert not run.store.exists("subsets/clip/uids.npy")
    full = subsets.materialise(run, light, None)
    assert full.summary["decisions"]
    assert full.identity == light.identity
    assert full.counts == light.counts
    assert len(load_uids(run.store, "clip")) == 30
    assert (
        sum(
            decisions(run.store, f"{n:05d}", "clip")["kept"].to_pylist().count(True)
            for n in range(3)
        )
        == 30
    )
    # The sweep leaves it as it is.
    sweep(run, SETS, None)
    assert subsets.load(run.store, "clip") == full


def test_a_subset_of_older_scores_is_not_materialised(tmp_path: Path) -> None:
    pool = pool_of(30)
    run = fabricate(Store(str(tmp_path)), pool)
    sweep(run, SETS, None, write_uids=False)
    light = subsets.load(run.store, "clip")
    assert light is not None
    identity = run.store.read_json(IDENTITY)["identity"]
    recommit(run, "00001", score_rows("00001", pool["00001"][:3]), identity)
    with pytest.raises(RunDirError, match="sweep or select it again"):
        subsets.materialise(run, light, None)


def test_rules_on_columns_that_were_not_computed_are_refused(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(10))
    with pytest.raises(RunDirError, match="the rules use vas, which the scores of this run lack"):
        sweep(run, [RuleSet("a", all_of(vas={"min": 0}))], None)


def test_scores_that_do_not_match_the_markers_are_noticed(tmp_path: Path) -> None:
    pool = pool_of(30)
    run = fabricate(Store(str(tmp_path)), pool)
    run.store.write_table("scores/00001.parquet", score_rows("00001", pool["00001"][:3]))
    with pytest.raises(AccountingError, match="the markers tell of 30 scored samples"):
        sweep(run, SETS, None)


def test_repeated_uids_and_rejections_balance(tmp_path: Path) -> None:
    pool = {
        "00000": [{"uid": uid(1)}, {"uid": uid(2), "status": "empty_caption"}, {"uid": uid(1)}],
        "00001": [{"uid": uid(3)}, {"uid": uid(1)}, {"uid": uid(2)}],
    }
    run = fabricate(Store(str(tmp_path)), pool)
    row = sweep(run, [RuleSet("a", Rules(all=()))], None).subsets.to_pylist()[0]
    assert dict(row["reasons"]) == {"duplicate_uid": 2, "rejected:empty_caption": 1}
    assert (row["read"], row["kept"], row["dropped"], row["rejected"]) == (6, 3, 2, 1)


def test_float_columns_of_another_precision_are_swept_in_it(tmp_path: Path) -> None:
    """A difference that float32 does not see decides."""
    store = Store(str(tmp_path))
    rows = [{"uid": uid(i)} for i in range(4)]
    run = fabricate(store, {"00000": rows})
    table = score_rows("00000", rows)
    values = 0.3 + np.array([3, 1, 0, 2]) * 1e-12
    table = table.append_column("clip_l14_similarity_score", [values])
    recommit(run, "00000", table, store.read_json(IDENTITY)["identity"])
    chosen = all_of(clip_l14_similarity_score={"keep_highest": 0.5})
    sweep(run, [RuleSet("a", chosen)], None)
    assert [low for _, low in load_uids(store, "a").tolist()] == [0, 3]
    subsets.select(run, "b", chosen, None)
    assert load_uids(store, "b").tolist() == load_uids(store, "a").tolist()
