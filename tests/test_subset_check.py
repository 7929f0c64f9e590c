"""Subset files against pools: what is wrong is counted and placed, whatever the memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datacomp_pool import Faults, make_pool
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import fabricate, uid

from curate import cli, subset_check
from curate.errors import ConfigError
from curate.numerics.keys import UID, parse_uids
from curate.outputs import Store
from curate.subset_check import check_subset


def write(folder: Path, pool: list[list[int]], subset: Any) -> tuple[str, str]:
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    for i, numbers in enumerate(pool):
        table = pa.table({"uid": pa.array([uid(n) for n in numbers], pa.string())})
        pq.write_table(table, folder / "pool" / f"{i}.parquet")
    np.save(folder / "uids.npy", subset)
    return str(folder / "uids.npy"), str(folder / "pool")


def array(numbers: list[int]) -> np.ndarray:
    return np.array([(n >> 64, n % 2**64) for n in numbers], UID)


small = st.integers(0, 12) | st.integers(0, 3).map(lambda n: n << 64)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(small, max_size=8), min_size=1, max_size=3),
    st.lists(small, max_size=12),
    st.sampled_from([1, 300, 1 << 20]),
    st.booleans(),
)
def test_it_agrees_with_sets(
    tmp_path_factory: Any, pool: list[list[int]], chosen: list[int], memory: int, in_order: bool
) -> None:
    chosen = sorted(set(chosen)) if in_order else chosen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subset_check, "BLOCK_ROWS", 3)
        place = write(tmp_path_factory.mktemp("pool"), pool, array(chosen))
        found = check_subset(*place, memory_bytes=memory)
    known = {n for numbers in pool for n in numbers}
    assert (found.uids, found.pool, found.files) == (len(chosen), len(known), len(pool))
    assert found.kept == len(known & set(chosen))
    assert found.unknown == len(set(chosen) - known)
    falls = [i for i in range(1, len(chosen)) if chosen[i] < chosen[i - 1]]
    twice = [i for i in range(1, len(chosen)) if chosen[i] == chosen[i - 1]]
    expected = []
    if falls:
        expected.append(f"not sorted: {len(falls)} entries .* first at {falls[0]};")
    if twice:
        expected.append(f": {len(twice)} entries repeat the one before, first at {twice[0]};")
    if found.unknown:
        expected.append(f"{found.unknown} uids .* {uid(min(set(chosen) - known))}")
    assert len(found.problems) == len(expected)
    for problem, pattern in zip(found.problems, expected, strict=True):
        assert re.search(pattern, problem)


WRONG = {
    "plain": (np.zeros(3, "<u8"), "uint64 .1-d., expected"),
    "two dimensions": (np.zeros((3, 2), UID), "2-d"),
    "big-endian": (np.zeros(3, ">u8,>u8"), ">u8"),
    "strings": (np.array([uid(1)]), "<U32"),
}


@pytest.mark.parametrize("kind", sorted(WRONG))
def test_other_dtypes_and_shapes_are_problems(tmp_path: Path, kind: str) -> None:
    subset, told = WRONG[kind]
    found = check_subset(*write(tmp_path, [[1]], subset))
    assert len(found.problems) == 1
    assert re.search(rf"uids\.npy.*{told}.*np\.save", found.problems[0])


def test_a_run_directory_and_bad_uids_of_a_pool(tmp_path: Path) -> None:
    rows = [{"uid": uid(1)}, {"uid": uid(2), "status": "empty_caption"}]
    bad = [{"uid": "g", "status": "invalid_uid"}, {"uid": uid(3)}]
    run = fabricate(Store(str(tmp_path / "run")), {"00000": rows, "00001": bad})
    np.save(tmp_path / "u.npy", array([1, 2, 3]))
    found = check_subset(str(tmp_path / "u.npy"), str(run.store))
    assert (found.pool, found.kept, found.invalid, found.problems) == (3, 3, 1, [])
    pool = make_pool(tmp_path / "metadata", files=(30, 20), faults=Faults(short_uids=2))
    good = pool.column("uid")[pool.column("status") == "ok"]
    np.save(tmp_path / "u.npy", np.unique(parse_uids(good)[:20]))
    found = check_subset(str(tmp_path / "u.npy"), f"{pool.folder}/*.parquet")
    assert (found.pool, found.kept, found.invalid, found.problems) == (48, 20, 2, [])


def test_what_is_no_pool_or_no_file_is_refused(tmp_path: Path) -> None:
    path, pool = write(tmp_path, [[1]], array([1]))
    for place in (str(tmp_path / "none"), str(tmp_path / "none" / "*.parquet"), "@none"):
        with pytest.raises(ConfigError, match="--pool"):
            check_subset(path, place)
    with pytest.raises(ConfigError, match="does not exist"):
        check_subset(str(tmp_path / "none.npy"), pool)
    pq.write_table(pa.table({"url": ["a"]}), tmp_path / "pool" / "1.parquet")
    with pytest.raises(ConfigError, match=r"1\.parquet has no column `uid`"):
        check_subset(path, pool)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["uids.npy", "--pool", "pool"], 0, "of 3 uids in the pool, 2 are kept (66.67 %)"),
        (["bad.npy", "--pool", "pool"], 4, "problem: bad.npy: not sorted"),
        (["uids.npy"], 2, "name its pool with --pool"),
        (["pool", "--pool", "pool"], 2, "goes with a subset file"),
    ],
)
def test_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    write(tmp_path, [[1, 2], [3, 1]], array([1, 3]))
    np.save(tmp_path / "bad.npy", array([3, 1]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["curate", "verify", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert int(caught.value.code or 0) == code
    assert told in "".join(capsys.readouterr())
