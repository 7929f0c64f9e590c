"""Samples read back from their shards: the right ones, once, or an error."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from factories import sample_members, tar_bytes
from pools import write_shards

from curate.errors import ShardError
from curate.paper import pairs
from curate.paper.pairs import Pool
from curate.samples import SamplePolicy
from curate.shards import list_shards


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    write_shards(tmp_path / "pool", (5, 4))
    return Pool(list_shards(f"{tmp_path}/pool/*.tar"), SamplePolicy())


def rows(*places: tuple[int, int]) -> pa.Table:
    return pa.table(
        {
            "shard": [f"{shard:05d}" for shard, _ in places],
            "index": pa.array([index for _, index in places], pa.int32()),
            "key": [f"{shard:05d}{index:04d}" for shard, index in places],
        }
    )


def test_answers_come_in_the_order_of_the_rows(pool: Pool) -> None:
    table = rows((1, 3), (0, 4), (1, 0), (1, 3))
    assert [caption.split()[-1] for caption in pool.captions(table)] == table["key"].to_pylist()
    assert pool.metadata(table, "key") == table["key"].to_pylist()
    assert pool.metadata(table, "nothing") == [None] * 4
    pictures = pool.thumbnails(table, 24)
    assert [picture.size for picture in pictures] == [(24, 16)] * 4
    assert pictures[0].tobytes() == pictures[3].tobytes() != pictures[1].tobytes()


def test_each_shard_is_opened_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = pairs.open_shard
    monkeypatch.setattr(pairs, "open_shard", lambda s: opened.append(s.id) or original(s))
    pool.captions(rows((1, 3), (0, 4), (1, 0), (0, 0)))
    assert opened == ["00000", "00001"]


@pytest.mark.parametrize("case", ["another key", "shorter", "rejected", "unlisted"])
def test_a_shard_that_changed_is_refused(pool: Pool, case: str) -> None:
    table = rows((1, 2))
    path = Path(pool.shards[1].url)
    keys = {"another key": "zzz", "shorter": "000010000", "rejected": "000010002"}
    members = [m for i in range(4) for m in sample_members(f"00001000{i}", "x", seed=i)]
    if case == "another key":
        members = [(name.replace("000010002", "zzz"), data) for name, data in members]
    elif case == "shorter":
        members = members[:3]
    elif case == "rejected":
        members = [(n, b" " if n == f"{keys[case]}.txt" else d) for n, d in members]
    path.write_bytes(tar_bytes(members))
    shards = pool.shards[:1] if case == "unlisted" else list_shards(str(path))
    with pytest.raises(ShardError, match="not listed" if case == "unlisted" else "changed since"):
        Pool(tuple(shards), SamplePolicy()).captions(table)
