"""Verification of what a sweep left, of remembered repetitions, and of pools without images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_run import LocalRun, fabricate, filter_locally, pool_with_twins, uid

from curate import duplicates, subsets
from curate.config import Rules
from curate.duplicates import CACHE
from curate.embedding_pools.parquet import checksum
from curate.manifest import IDENTITY, Marker, RunDir, counts_of_statuses
from curate.outputs import Store
from curate.schema import scores_schema
from curate.shards import Shard
from curate.sweep.run import sweep
from curate.sweep.tables import RuleSet
from curate.uids_file import read_uids, write_uids
from curate.verification import verify
from curate.verification.run import TARGET

HALF = Rules.model_validate({"all": [{"clip_score": {"drop_lowest": 0.5}}]})
LENIENT = Rules.model_validate({"all": [{"width": {"min": 1}}]})


def problems(run: RunDir, deep: bool = False) -> str:
    return "\n".join(verify(run, deep).problems)


@pytest.fixture(params=[True, False], ids=["uids", "no uids"])
def swept(request: pytest.FixtureRequest, scored_run: LocalRun) -> LocalRun:
    sets = [RuleSet("half", HALF), RuleSet("lenient", LENIENT)]
    sweep(scored_run.run, sets, None, write_uids=request.param)
    return scored_run


def test_subsets_of_a_sweep_verify(swept: LocalRun) -> None:
    subset = subsets.load(swept.store, "half")
    assert subset is not None
    assert not subset.summary["decisions"]
    assert problems(swept.run) == ""


def test_a_subset_of_a_sweep_can_be_filtered_and_verified(swept: LocalRun) -> None:
    subset = subsets.load(swept.store, "half")
    assert subset is not None
    whole = subsets.materialise(swept.run, subset, None)
    filter_locally(swept.store, whole, 4)
    assert problems(swept.run, deep=True) == ""


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("counts", {"read": 16, "kept": 16}, "the summary says"),
        ("tests", [], "the cuts in summary.json"),
        ("decisions", True, "is missing"),
    ],
)
def test_an_edited_summary_of_a_sweep_is_found(
    swept: LocalRun, field: str, value: Any, told: str
) -> None:
    path = swept.folder / "subsets/half/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    found = problems(swept.run)
    assert "subset half" in found
    assert told in found


def test_edited_uids_of_a_sweep_are_found(scored_run: LocalRun) -> None:
    sweep(scored_run.run, [RuleSet("half", HALF)], None, write_uids=True)
    place = "subsets/half/uids.npy"
    uids = np.array(read_uids(scored_run.store, place))
    assert len(uids) > 2
    for kept in (uids[1:], uids[:-1], np.append(uids, np.full(1, -1, uids.dtype))):
        write_uids(scored_run.store, place, [np.sort(kept)])
        assert "half/uids.npy is not the sorted set" in problems(scored_run.run)
    (scored_run.folder / place).unlink()
    assert "half/uids.npy is missing" in problems(scored_run.run)


# --- remembered repetitions -----------------------------------------------------------------


def forge(run: RunDir, identity: str) -> None:
    """A cache that is whole, but tells of no repetition."""
    shards = tuple(sorted(run.committed()))
    empty = duplicates.Duplicates(shards, np.zeros(len(shards) + 1, np.int64), np.zeros(0, "<i4"))
    run.store.write_bytes(CACHE, empty.to_bytes(identity))


def test_remembered_repetitions_are_looked_up_again(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path / "run")), pool_with_twins())
    subset = subsets.select(run, "a", LENIENT, None)
    assert subset.counts.dropped["duplicate_uid"] == 2
    assert run.store.exists(CACHE)
    assert problems(run) == ""
    content = run.store.read_bytes(CACHE)
    shards = subsets.scored_shards(run)
    forge(run, subsets.scores_identity(run, shards))
    found = problems(run)
    assert f"{CACHE} is not what the scores say" in found
    assert "subset a" not in found
    for damaged in (b"", content[:-1], content[:40] + b"x" + content[41:]):
        run.store.write_bytes(CACHE, damaged)
        assert f"{CACHE} is not what the scores say" in problems(run)
    forge(run, "of earlier scores")
    assert problems(run) == ""
    run.store.remove(CACHE)
    assert problems(run) == ""


# --- pools without images -------------------------------------------------------------------


def metadata_run(folder: Path) -> RunDir:
    """A scored part of metadata without embeddings: no scores of a model, no places in a tar."""
    run = RunDir(Store(str(folder / "run")))
    schema = scores_schema((), located=False)
    rows = [
        {"shard": "p", "index": i, "key": uid(i), "uid": uid(i), "uid_derived": False}
        | {"status": "ok", "width": 100 * i, "height": 100}
        for i in range(5)
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    part = folder / "p.parquet"
    pq.write_table(table.select(["uid"]), part)
    run.write_manifest([Shard("p", str(part), part.stat().st_size)])
    identity = run.claim(IDENTITY, {"layout": "metadata", "embedding_keys": []})
    written = run.store.write_table("scores/p.parquet", table)
    counts = counts_of_statuses(table["status"].to_pylist())
    size, sha256 = checksum(part)
    run.commit(Marker("p", str(part), size, sha256, identity, counts, (), {}, (written,)))
    return run


def test_parts_of_metadata_verify_and_changed_ones_are_found_in_depth(tmp_path: Path) -> None:
    run = metadata_run(tmp_path)
    subsets.select(run, "a", Rules.model_validate({"all": [{"width": {"min": 150}}]}), None)
    for deep in (False, True):
        found = verify(run, deep)
        assert (found.problems, found.samples) == ([], 5)
    part = tmp_path / "p.parquet"
    pq.write_table(pa.table({"uid": [uid(9)]}), part)
    assert problems(run) == ""
    assert f"{part} is not what was scored" in problems(run, deep=True)


def test_the_copy_of_a_target_is_held_against_its_checksum(tmp_path: Path) -> None:
    run = metadata_run(tmp_path)
    written = run.store.write_bytes("reference/target.npz", b"a target")
    run.store.write_json(TARGET, {"sha256": written.sha256})
    assert problems(run) == ""
    run.store.write_bytes("reference/target.npz", b"another")
    assert "reference/target.npz does not match the checksum" in problems(run)
    run.store.remove("reference/target.npz")
    assert "reference/target.npz is missing" in problems(run)
    run.store.remove(TARGET)
    run.store.write_bytes("reference/target.npz", b"a target")
    assert "target.json" in problems(run)
