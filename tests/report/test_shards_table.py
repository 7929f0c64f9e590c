"""Which shards are unlike the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.report.payload import Shards
from curate.report.shards_table import shards_table


def table(read: Any, rejected: Any, kept: Any, shown: int = 2000) -> Shards:
    columns = (np.array(read), np.array(rejected), None if kept is None else np.array(kept))
    return shards_table([f"{n:05d}" for n in range(len(read))], *columns, shown)


def test_chance_makes_no_outlier() -> None:
    rng = np.random.default_rng(0)
    read = np.full(20_000, 1000)
    rejected = rng.binomial(1000, 0.02, len(read))
    kept = rng.binomial(read - rejected, 0.9)
    found = table(read, rejected, kept)
    assert [row["outlier"] for row in found["rows"] if row["outlier"]] == []
    assert (found["total"], found["shown"]) == (20_000, 2000)


def test_shards_unlike_the_others_are_marked_in_words() -> None:
    read, rejected, kept = [1000] * 50, [10] * 50, [940] * 50
    kept[7], rejected[9], kept[9] = 600, 400, 560
    kept[11] = 990
    rows = table(read, rejected, kept)["rows"]
    marked = {row["id"]: row["outlier"] for row in rows if row["outlier"]}
    assert set(marked) == {"00007", "00009", "00011"}
    assert marked["00007"].startswith("39.4 % dropped (390 of 990), but 5.66 % of the pool")
    assert marked["00009"].startswith("40 % rejected (400 of 1,000)")
    assert marked["00011"].startswith("0 % dropped")
    assert rows[7] == {
        "id": "00007", "read": 1000, "kept": 600, "dropped": 390, "rejected": 10,
        "outlier": marked["00007"],
    }  # fmt: skip


def test_a_large_shard_may_differ_a_little_and_a_small_one_by_chance() -> None:
    read = [1_000_000] * 20 + [10]
    kept = [900_000] * 19 + [880_000] + [7]
    assert not any(row["outlier"] for row in table(read, [0] * 21, kept)["rows"])


def test_outliers_are_listed_before_the_first_ones() -> None:
    kept = [900] * 100
    kept[98] = 100
    found = table([1000] * 100, [0] * 100, kept, shown=5)
    assert [row["id"] for row in found["rows"]] == ["00000", "00001", "00002", "00003", "00098"]


def test_nothing_decided_and_nothing_read() -> None:
    (row,) = table([10], [2], None)["rows"]
    assert (row["kept"], row["dropped"], row["rejected"]) == (None, None, 2)
    assert table([], [], [])["rows"] == []
    assert table([0, 0], [0, 0], [0, 0])["rows"][0]["outlier"] is None
