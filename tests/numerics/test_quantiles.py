from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.errors import NumericsError
from curate.numerics import quantiles
from curate.numerics.quantiles import LeadCounts, Refinement

DTYPES = st.sampled_from([np.float32, np.float64])


def values_of(dtype):
    width = 8 * np.dtype(dtype).itemsize
    few = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1.0, 1.0 + 2**-20, np.nan])
    return st.one_of(st.floats(width=width), few)


def scan(values, ranks, parts, merge=False):
    """Both scans over parts of the stream, one after the other or merged."""
    counts = [LeadCounts(values.dtype, lead_bits=10) for _ in parts]
    for one, part in zip(counts, parts, strict=True):
        one.add(values[part])
    total = counts[0]
    for one in counts[1:]:
        total.merge(pickle.loads(pickle.dumps(one)))
    held = [Refinement(total, ranks) for _ in parts]
    for number, (one, part) in enumerate(zip(held, parts, strict=True)):
        (one if merge else held[0]).add(values[part], np.full(len(part), number))
    for one in held[1:] if merge else []:
        held[0].merge(pickle.loads(pickle.dumps(one)))
    return total, held[0]


@settings(max_examples=150)
@given(data=st.data(), dtype=DTYPES, merge=st.booleans())
def test_equals_sorting_in_any_partition_and_order(data, dtype, merge):
    values = data.draw(hnp.arrays(dtype, st.integers(1, 60), elements=values_of(dtype)))
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=4))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    parts = np.array_split(rng.permutation(len(values)), data.draw(st.integers(1, 5)))
    counts, held = scan(values, ranks, parts, merge)
    ordered = np.sort(np.where(np.isnan(values), -np.inf, values))
    assert counts.total == len(values)
    assert counts.missing == np.isnan(values).sum()
    for rank in ranks:
        place = held.place(rank)
        assert place.value == ordered[rank]
        assert place.within == rank - (ordered < ordered[rank]).sum()
        assert place.ties == (ordered == ordered[rank]).sum()
        present = np.where(np.isnan(values), -np.inf, values)
        where = [n for n, part in enumerate(parts) if (present[part] == place.value).any()]
        assert place.sources == tuple(where)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_a_large_column_with_few_and_many_ties(dtype, decimals, monkeypatch):
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=200_000), decimals).astype(dtype)
    ranks = [0, 9_999, 100_000, 199_999]
    monkeypatch.setattr(quantiles, "PENDING", 50_000)
    _, held = scan(values, ranks, np.array_split(np.arange(len(values)), 41))
    ordered = np.sort(values)
    for rank in ranks:
        place = held.place(rank)
        assert place.value == ordered[rank]
        assert (place.within, place.ties) == (
            rank - np.searchsorted(ordered, ordered[rank]),
            (ordered == ordered[rank]).sum(),
        )


def test_sources_are_given_up_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(quantiles, "MOST_SOURCES", 5)
    values = np.zeros(100, dtype=np.float32)
    _, held = scan(values, [50], np.array_split(np.arange(100), 10))
    assert held.place(50).sources is None
    assert (held.place(50).within, held.place(50).ties) == (50, 100)


def test_memory_does_not_grow_with_the_stream():
    def peak(chunks):
        tracemalloc.start()
        counts = LeadCounts(np.float32)
        for seed in range(chunks):
            counts.add(np.random.default_rng(seed).normal(size=20_000).astype(np.float32))
        held = Refinement(counts, [chunks * 1_000, chunks * 10_000])
        for seed in range(chunks):
            values = np.random.default_rng(seed).normal(size=20_000).astype(np.float32)
            held.add(values, np.full(len(values), seed))
        held.place(chunks * 1_000)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    small, large = peak(20), peak(100)
    assert large < 1.2 * small < 60 * 2**20


def test_refuses_misuse():
    counts = LeadCounts(np.float32)
    counts.add(np.zeros(3, dtype=np.float32))
    for rank in (3, -1):
        with pytest.raises(NumericsError, match="beyond the 3 elements"):
            Refinement(counts, [rank])
    with pytest.raises(NumericsError, match="expected float32"):
        counts.add(np.zeros(3))
    with pytest.raises(NumericsError, match="cannot go with"):
        counts.merge(LeadCounts(np.float64))
    held = Refinement(counts, [2])
    held.add(np.zeros(2, dtype=np.float32), np.zeros(2, dtype=np.int64))
    with pytest.raises(NumericsError, match="held fewer values"):
        held.place(2)
