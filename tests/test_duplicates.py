"""Samples whose uid occurred before, against a dictionary of all uids."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import fabricate, score_rows, uid

from curate import duplicates
from curate.duplicates import CACHE, find_duplicates
from curate.errors import OutputError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.schema import OK

Pool = dict[str, list[dict[str, Any]]]

row = st.tuples(st.integers(0, 9), st.sampled_from([OK, OK, OK, "empty_caption"]))
pools = st.lists(st.lists(row, max_size=9), max_size=6).map(
    lambda shards: {
        f"{name:05d}": [{"uid": uid(n), "status": status} for n, status in rows]
        for name, rows in enumerate(shards)
    }
)


def expected(pool: Pool) -> dict[str, list[int]]:
    seen: set[str] = set()
    found: dict[str, list[int]] = {}
    for shard in sorted(pool):
        for at, line in enumerate(pool[shard]):
            if line.get("status", OK) != OK:
                continue
            if line["uid"] in seen:
                found.setdefault(shard, []).append(at)
            seen.add(line["uid"])
    return found


def told(found: duplicates.Duplicates) -> dict[str, list[int]]:
    return {shard: at.tolist() for shard in found.shards if (at := found.get(shard)) is not None}


@settings(max_examples=60, deadline=None)
@given(
    pools,
    st.sampled_from([100, 500, 1 << 20]),
    st.sampled_from([0, 2, 1 << 22]),
    st.sampled_from([0, duplicates.MULTIPLIER]),
    st.randoms(),
)
def test_every_repetition_and_no_first_is_found(
    pool: Pool, memory: int, suspects: int, multiplier: int, random: Any
) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}/run")
    for shard, rows in pool.items():
        store.write_table(f"scores/{shard}.parquet", score_rows(shard, rows))
    shards = list(pool)
    random.shuffle(shards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "MOST_SUSPECTS", suspects)
        patch.setattr(duplicates, "MULTIPLIER", np.uint64(multiplier))  # with 0, many collide
        found = find_duplicates(store, shards, memory_bytes=memory)
    assert told(found) == expected(pool)
    assert found.total == sum(map(len, expected(pool).values()))
    assert found.get("unknown") is None
    store.remove("")


def twins(tmp_path: Path) -> RunDir:
    pool: Pool = {f"{s:05d}": [{"uid": uid(i % 7)} for i in range(5)] for s in range(3)}
    return fabricate(Store(str(tmp_path / "run")), pool)


def test_positions_are_int64_and_names_order_the_shards(tmp_path: Path) -> None:
    run = twins(tmp_path)
    found = find_duplicates(run.store, ["00002", "00001"])
    assert found.get("00001") is None
    at = found.get("00002")
    assert at is not None
    assert at.dtype == np.int64
    assert at.tolist() == [0, 1, 2, 3, 4]
    assert not run.store.exists(CACHE)


def test_the_result_is_kept_and_taken_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = twins(tmp_path)
    shards = ["00000", "00001", "00002"]
    first = find_duplicates(run.store, shards, "one")
    content = run.store.read_bytes(CACHE)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "read_table", None)
        again = find_duplicates(run.store, shards, "one")
    assert told(again) == told(first) != {}
    assert run.committed() == set(shards)
    run.store.write_table("scores/00002.parquet", score_rows("00002", [{"uid": uid(77)}]))
    assert told(find_duplicates(run.store, shards, "two")) == {"00001": [0, 1, 2, 3, 4]}
    assert run.store.read_bytes(CACHE) != content


@pytest.mark.parametrize("size", [0, 1, 50, -1, -7, "flipped", "json"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, size: Any) -> None:
    run = twins(tmp_path)
    shards = ["00000", "00001", "00002"]
    first = find_duplicates(run.store, shards, "one")
    path = Path(run.store.path(CACHE))
    content = path.read_bytes()
    if size == "flipped":
        for at in range(0, len(content), 17):
            path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            assert told(find_duplicates(run.store, shards, "one")) == told(first)
        return
    path.write_bytes(b"{}" if size == "json" else content[:size])
    assert told(find_duplicates(run.store, shards, "one")) == told(first)
    assert path.read_bytes() == content


def test_missing_and_damaged_scores_are_named(tmp_path: Path) -> None:
    run = twins(tmp_path)
    path = Path(run.store.path("scores/00001.parquet"))
    path.unlink()
    with pytest.raises(OutputError, match=r"00001\.parquet is missing"):
        find_duplicates(run.store, ["00000", "00001"])
    path.write_bytes(b"junk")
    with pytest.raises(OutputError, match=r"00001\.parquet is not a readable"):
        find_duplicates(run.store, ["00000", "00001"])
    run.store.write_table("scores/00001.parquet", score_rows("00001", [{"uid": "g" * 32}]))
    with pytest.raises(OutputError, match=r"shard 00001: uid 'ggg.*row 0"):
        find_duplicates(run.store, ["00000", "00001"])
