from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics import cells
from curate.numerics.cells import CellCounts, grid_of, overlaps
from curate.numerics.selection import DROP_ALL, KEEP_ALL, UID, AllOf, AnyOf, Cut, Test, decide

VALUES = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 0.1, 0.25, 3.0, np.nan])
WORDS = st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1])
CUTS = st.one_of(
    st.builds(Cut, VALUES.filter(lambda v: v == v), st.tuples(WORDS, WORDS)),
    st.sampled_from([KEEP_ALL, DROP_ALL, Cut(0.7), Cut(1e300)]),
)
LEAVES = st.builds(
    Test,
    name=st.sampled_from(["p", "q", "r"]),
    column=st.sampled_from(["a", "b"]),
    keep=st.sampled_from(["at_least", "at_most"]),
    cut=CUTS,
)
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
PRECISIONS = {"a": np.float32, "b": np.float64}


@settings(max_examples=200)
@given(
    nodes=st.lists(NODES, min_size=1, max_size=4),
    table=st.lists(st.tuples(VALUES, VALUES, WORDS, WORDS), max_size=30),
    dense=st.booleans(),
)
def test_cells_decide_as_samples_do(nodes, table, dense):
    columns = {
        name: np.array([row[at] for row in table], dtype=PRECISIONS[name])
        for at, name in enumerate("ab")
    }
    uids = np.array([row[2:] for row in table], dtype=UID)
    grid = grid_of(nodes, PRECISIONS)
    codes = grid.code(columns, len(table), lambda at: uids[at])
    counts = CellCounts(grid.size if dense else cells.DENSE_CELLS + 1)
    for part in np.array_split(codes, 3):
        other = CellCounts(grid.size)
        other.add(part)
        counts.merge(other)
    found, number = counts.cells()
    assert number.sum() == len(table)
    kept = []
    for node in nodes:
        expected = decide(node, columns, uids)
        assert grid.decide(node, codes).labels() == expected.labels()
        decision = grid.decide(node, found)
        weighted = np.bincount(decision.code, weights=number, minlength=len(decision.reasons))
        reasons = dict(zip(decision.reasons, weighted.astype(int).tolist(), strict=True))
        assert reasons == expected.counts()
        kept.append(decision.kept)
    shared = overlaps(kept, number)
    for i, one in enumerate(nodes):
        for j, other in enumerate(nodes):
            both = decide(one, columns, uids).kept & decide(other, columns, uids).kept
            assert shared[i, j] == both.sum()


def test_uids_are_looked_up_for_ties_only():
    asked = []

    def look_up(rows):
        asked.extend(rows.tolist())
        return np.zeros(len(rows), dtype=UID)

    node = Test("t", "a", "at_least", Cut(0.5, (1, 0)))
    grid = grid_of([node], PRECISIONS)
    values = np.array([0.0, 0.5, 1.0, 0.5], dtype=np.float32)
    codes = grid.code({"a": values}, 4, look_up)
    assert asked == [1, 3]
    assert grid.decide(node, codes).kept.tolist() == [False, False, True, False]


def test_refuses_another_precision_and_too_many_cells():
    node = Test("t", "a", "at_least", Cut(0.5))
    with pytest.raises(NumericsError, match="expected float32"):
        grid_of([node], PRECISIONS).code({"a": np.zeros(1)}, 1, lambda at: np.zeros(0, dtype=UID))
    many = [Test("t", f"c{c}", "at_least", Cut(float(v))) for c in range(8) for v in range(200)]
    with pytest.raises(NumericsError, match="sweep fewer"):
        grid_of(many, {f"c{c}": np.float32 for c in range(8)})


def test_without_rules_there_is_one_cell():
    grid = grid_of([AllOf()], {})
    assert grid.size == 1
    assert grid.decide(AllOf(), np.zeros(1, dtype=np.int64)).kept.all()


def test_few_cuts_are_compared_as_many_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array([np.nan, -np.inf, -1, -0.0, 0.0, 0.5, 1, np.inf], np.float32)
    edges = tuple(Cut(value) for value in (-np.inf, 0.0, 0.5, np.inf))
    column = cells.Column("x", np.dtype(np.float32), edges)
    compared = column.digit(values, no_uids)
    monkeypatch.setattr(cells, "FEW", 0)
    assert np.array_equal(compared, column.digit(values, no_uids))


def no_uids(rows: np.ndarray) -> np.ndarray:
    raise AssertionError("no cut has a uid")
