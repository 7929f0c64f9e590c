"""Keeping a few rows of many, against sorting all of them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.report.extremes import (
    Lowest,
    LowestValues,
    random_keys,
    rows_of,
    split_rows,
)

keys = st.sampled_from([0.0, 0.5, 1.0, -1.0, 2.5, math.nan, math.inf])
rows = st.lists(st.tuples(st.integers(0, 2), keys), max_size=40)


@settings(deadline=None)
@given(rows, st.integers(1, 4), st.integers(1, 7))
def test_the_lowest_of_each_group(given_rows: list[Any], k: int, piece: int) -> None:
    held = Lowest(3, k)
    for first in range(0, len(given_rows), piece):
        part = given_rows[first : first + piece]
        groups = np.array([group for group, _ in part], dtype=np.int64)
        held.add(groups, [key for _, key in part], first + np.arange(len(part)))
    for group in range(3):
        own = [(key, at) for at, (g, key) in enumerate(given_rows) if g == group]
        finite = sorted(one for one in own if math.isfinite(one[0]))
        assert held.rows(group) == [at for _, at in finite[:k]]


@settings(deadline=None)
@given(st.lists(keys, max_size=60), st.integers(1, 4), st.integers(1, 9))
def test_the_lowest_distinct_values(values: list[float], k: int, piece: int) -> None:
    held = LowestValues(k, examples=2)
    for first in range(0, len(values), piece):
        part = values[first : first + piece]
        held.add(part, first + np.arange(len(part)))
    counts = Counter(value for value in values if not math.isnan(value))
    found = held.groups()
    assert [(one.value, one.count) for one in found] == sorted(counts.items())[:k]
    for one in found:
        assert list(one.rows) == [at for at, value in enumerate(values) if value == one.value][:2]


def test_many_rows_of_few_values_are_counted() -> None:
    values = np.repeat(np.arange(50.0), 1000)
    np.random.default_rng(0).shuffle(values)
    held = LowestValues(3, examples=1)
    for first in range(0, len(values), 7000):
        held.add(values[first : first + 7000], np.arange(first, min(first + 7000, len(values))))
    assert [(one.value, one.count) for one in held.groups()] == [(0, 1000), (1, 1000), (2, 1000)]


def test_rows_name_shard_and_position() -> None:
    rows_ = rows_of(np.array([3, 5, 70_000]), np.array([0, 2, 2, 5]))
    shards, positions = split_rows(rows_)
    assert shards.tolist() == [3, 3, 70_000, 70_000, 70_000]
    assert positions.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("shard", [0, 1, 123_456])
def test_random_keys_are_even(shard: int) -> None:
    found = random_keys((shard << 32) + np.arange(20_000), seed=0)
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.histogram(found, 20, (0, 1))[0]
    assert abs(counts - 1000).max() < 6 * math.sqrt(1000)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.04
    assert (random_keys(np.array([shard << 32]), 1) != found[0]).all()
