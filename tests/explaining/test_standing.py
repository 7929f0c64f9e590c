"""Places among a pool, against counting one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import fabricate, uid
from scipy.stats import percentileofscore

from curate.duplicates import find_duplicates
from curate.explaining.findings import Explanation, Standing, to_json
from curate.explaining.standing import RankFold, pool_standings, sample_standings
from curate.outputs import Store

numbers = st.sampled_from([-1.5, 0.0, 0.25, 0.5, 7.0, math.inf, -math.inf, math.nan])


def naive(rows: list[float], value: float) -> Standing | None:
    if math.isnan(value):
        return None
    ranked = [-math.inf if math.isnan(row) else row for row in rows]
    return Standing(sum(r < value for r in ranked), sum(r == value for r in ranked), len(rows))


class FakeBlock:
    """Rows of a scan, every other one of them eligible."""

    def __init__(self, rows: list[float]) -> None:
        self.columns = {"x": np.array(rows, np.float32)}
        self.eligible = np.arange(len(rows)) % 2 == 0


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(numbers, max_size=9), max_size=4), st.lists(numbers, min_size=1, max_size=5)
)
def test_standings_are_those_of_counting(blocks: list[list[float]], values: list[float]) -> None:
    folds = [RankFold({"x": np.array(values, np.float32)}) for _ in range(2)]
    for at, rows in enumerate(blocks):
        block: Any = FakeBlock(rows)
        folds[at % 2].add(block)
    folds[0].merge(folds[1])
    counted = [row for rows in blocks for row in rows[::2]]
    for value in values:
        assert folds[0].standing("x", value) == naive(counted, value)


def test_a_percentile_counts_ties_by_half() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 20, 301).astype(np.float32)
    table = pa.table({"x": rows})
    for value in np.unique(rows):
        (found,) = sample_standings(table, {"x": np.array([value]), "y": np.array([value])})["x"]
        assert found is not None
        assert found.percentile == pytest.approx(percentileofscore(rows, value, kind="mean"))
    assert math.isnan(Standing(0, 0, 0).percentile)


def test_the_pool_is_what_rules_decide(tmp_path: Path) -> None:
    """Rejected rows and repeated uids do not count, as in the fractions of rules."""
    rows = [{"uid": uid(n), "clip_score": n / 10} for n in range(8)]
    rows[2] = {"uid": uid(2), "status": "empty_caption"}
    rows.append({"uid": uid(0), "clip_score": 0.05})
    run = fabricate(Store(str(tmp_path)), {"a": rows[:4], "b": rows[4:]})
    duplicates = find_duplicates(run.store, ["a", "b"])
    values = {"clip_score": np.array([0.4, 0.05, np.nan], np.float32)}
    found = pool_standings(run.store, ["a", "b"], duplicates, values)
    assert found == {"clip_score": [Standing(3, 1, 7), Standing(1, 0, 7), None]}
    assert not run.store.exists("state/duplicates.npz")


def test_infinity_and_nothing_are_told_in_json() -> None:
    one = Explanation(
        "n", "s", 0, "k", "u", False, "ok", None, None, None,
        {"x": math.inf, "y": None}, {"x": Standing(0, 0, 0)},
    )  # fmt: skip
    told = json.loads(json.dumps(to_json(one), allow_nan=False))
    assert told["columns"]["x"]["value"] == "inf"
    assert told["columns"]["x"]["pool"]["percentile"] is None
    assert told["columns"]["y"] == {"value": None, "pool": None, "reference": None}
