"""The explorer against `curate select`, and against rules read aloud row by row."""

from __future__ import annotations

import base64
import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import fabricate, uid
from reading import cells_of, numbers, reason_of, tally
from test_subsets import all_of, pool_of, pools, rules, survivors, trees

from curate import subsets
from curate.config import Rules
from curate.manifest import RunDir
from curate.numerics import selection
from curate.numerics.keys import Cut
from curate.outputs import Store
from curate.report.build import Built, build_report
from curate.report.explorer import _share_out, _thinned, written
from curate.report.explorer_json import leb128
from curate.rules import build, pool_quantiles

Row = Mapping[str, Any]


def memory_run(pool: Any) -> RunDir:
    return fabricate(Store(f"memory://{uuid.uuid4().hex}"), pool)


def report_of(run: RunDir, tree: Any, name: str = "default") -> tuple[Built, subsets.Subset]:
    chosen = tree if isinstance(tree, Rules) else rules(tree)
    subset = subsets.select(run, name, chosen, None)
    return build_report(run, name, samples=2), subset


@settings(max_examples=15, deadline=None)
@given(pools, trees, st.randoms(use_true_random=False))
def test_at_every_edge_the_counts_are_those_of_the_rules(pool: Any, tree: Any, random: Any) -> None:
    run = memory_run(pool)
    built, subset = report_of(run, tree)
    explorer = built.payload["explorer"]
    assert explorer is not None
    cells = cells_of(explorer, built.cells)
    here = tally(explorer, cells)
    dropped = dict(subset.counts.dropped)
    assert explorer["undecided"] == {
        "duplicate_uid": dropped.pop("duplicate_uid", 0),
        "rejected": sum(subset.counts.rejected.values()),
    }
    assert here[""] == subset.counts.kept == explorer["kept"]
    assert {reason: n for reason, n in here.items() if reason} == dropped
    ranked = survivors(pool)
    assert sum(count for _, count in cells) == len(ranked)
    for _ in range(4):
        moved = {
            test["id"]: random.randrange(-1, explorer["columns"][test["column"]]["intervals"])
            for test in explorer["tests"]
        }
        assert tally(explorer, cells, moved) == read_aloud(explorer, ranked, moved)
    run.store.remove("")


def read_aloud(
    explorer: Mapping[str, Any], ranked: Sequence[Row], moved: Mapping[int, int]
) -> Counter[str]:
    """Samples by reason, each of them decided by its own values."""
    tests = [test | {"edge": moved[test["id"]]} for test in explorer["tests"]]
    now = {**explorer, "tests": tests}
    return Counter(
        reason_of(
            now,
            explorer["rules"],
            [digit_of(column, row, ranked) for column in explorer["columns"]],
        )
        for row in ranked
    )


def value_of(row: Row, name: str) -> np.float32:
    return np.float32(row.get(name, 0.5))  # what `score_rows` puts where a row says nothing


def edge_value(edge: Mapping[str, Any]) -> np.float32:
    return np.float32(math.inf if edge["value"] is None else edge["value"])


def digit_of(column: Mapping[str, Any], row: Row, ranked: Sequence[Row]) -> int:
    """How many edges a row is not below: by value, and where an edge splits ties, by rank."""
    name = column["name"]
    order = sorted(ranked, key=lambda one: (value_of(one, name), one["uid"]))
    place = next(at for at, one in enumerate(order) if one is row)
    digit = 0
    for edge in column["edges"]:
        if edge["splits"]:
            digit += place >= edge["below"]
        else:
            digit += value_of(row, name) >= edge_value(edge)
    return digit


@settings(max_examples=15, deadline=None)
@given(pools, trees)
def test_what_lies_below_an_edge_is_what_a_fraction_drops(pool: Any, tree: Any) -> None:
    run = memory_run(pool)
    built, _ = report_of(run, tree)
    explorer = built.payload["explorer"]
    assert explorer is not None
    ranked = survivors(pool)
    for column in explorer["columns"]:
        name = column["name"]
        order = sorted(ranked, key=lambda row: (value_of(row, name), row["uid"]))
        for edge in column["edges"]:
            value = edge_value(edge)
            ties = [row for row in order if value_of(row, name) == value]
            lower = sum(value_of(row, name) < value for row in order)
            assert lower <= edge["below"] <= lower + len(ties)
            assert edge["splits"] == (lower < edge["below"] < lower + len(ties))
            assert edge["share"] == (edge["below"] / len(order) if order else 0.0)
    run.store.remove("")


def test_every_edge_of_a_large_pool_equals_select() -> None:
    run = memory_run(pool_of(700))
    built, _ = report_of(run, all_of(clip_score={"drop_lowest": 0.05}))
    explorer = built.payload["explorer"]
    assert explorer is not None
    cells = cells_of(explorer, built.cells)
    (test,) = [one for one in explorer["tests"] if one["active"]]
    edges = explorer["columns"][test["column"]]["edges"]
    assert len(edges) > 60
    assert edges[test["edge"]]["below"] == 35
    for at in range(0, len(edges), 7):
        kept = tally(explorer, cells, {test["id"]: at})[""]
        assert kept == 700 - edges[at]["below"]
        least = all_of(clip_score={"min": edges[at]["value"]})
        assert subsets.select(run, "moved", least, None).counts.kept == kept
    assert tally(explorer, cells, {test["id"]: -1})[""] == 700
    assert tally(explorer, cells, {test["id"]: len(edges)})[""] == 0


def test_missing_values_rank_lowest_and_pass_no_maximum() -> None:
    made = {"00000": [{"uid": uid(n), "width": None if n < 3 else n} for n in range(20)]}
    run = memory_run(made)
    built, subset = report_of(run, {"all": [{"width": {"max": 15}}, {"clip_score": {"min": 0.1}}]})
    explorer = built.payload["explorer"]
    assert explorer is not None
    width = next(column for column in explorer["columns"] if column["name"] == "width")
    assert width["missing"] == 3
    assert width["edges"][0]["value"] == 3.0
    assert width["edges"][0]["below"] == 3
    cells = cells_of(explorer, built.cells)
    assert tally(explorer, cells)[""] == subset.counts.kept == 13
    # All that has a value, where the slider is at its end.
    assert tally(explorer, cells, {0: width["intervals"] - 1})[""] == 17


def test_a_fraction_may_part_missing_values_by_uid() -> None:
    made = {"00000": [{"uid": uid(n), "width": n if n % 2 else None} for n in range(20)]}
    made["00000"].append({"uid": uid(99), "width": None, "status": "empty_caption"})
    run = memory_run(made)
    built, subset = report_of(run, all_of(width={"drop_lowest": 0.25}))
    explorer = built.payload["explorer"]
    assert explorer is not None
    first, second = explorer["columns"][0]["edges"][:2]
    assert first == {"value": None, "below": 5, "share": 0.25, "splits": True}
    assert (second["value"], second["below"]) == (1.0, 10)
    assert tally(explorer, cells_of(explorer, built.cells))[""] == subset.counts.kept == 15
    reasons = {sample["uid"]: sample["reason"] for sample in built.payload["samples"]}
    assert reasons[uid(99)] == "rejected:empty_caption"
    dropped = sorted(u for u, reason in reasons.items() if reason.startswith("width"))
    assert set(dropped) <= {uid(n) for n in range(0, 10, 2)}


@pytest.mark.parametrize("tree", [{"all": []}, {"all": [{"clip_score": {"drop_lowest": 0}}]}])
def test_rules_that_keep_everything(tree: Any) -> None:
    built, _ = report_of(memory_run(pool_of(30)), tree)
    explorer = built.payload["explorer"]
    assert explorer is not None
    assert explorer["kept"] == 30
    assert all(test["edge"] == -1 for test in explorer["tests"])


@pytest.mark.parametrize(
    "criteria", [{"keep_highest": 0}, {"max": 3.4e38}, {"min": -1e300}, {"max": 1e300}]
)
def test_cuts_at_the_ends_of_all_numbers(criteria: Any) -> None:
    built, subset = report_of(memory_run(pool_of(30)), all_of(clip_score=criteria))
    explorer = built.payload["explorer"]
    assert explorer is not None
    assert tally(explorer, cells_of(explorer, built.cells))[""] == subset.counts.kept


def test_an_any_at_the_top_stands_beside_idle_sliders() -> None:
    tree = {"any": [{"clip_score": {"min": 0.1}}, {"width": {"min": 2}}]}
    built, subset = report_of(memory_run(pool_of(30)), tree)
    explorer = built.payload["explorer"]
    assert explorer is not None
    assert explorer["rules"] == {
        "all": [{"any": [{"test": 0}, {"test": 1}]}, {"test": 2}, {"test": 3}]
    }
    assert [test["active"] for test in explorer["tests"]] == [True, True, False, False]
    assert tally(explorer, cells_of(explorer, built.cells))[""] == subset.counts.kept


# --- parts ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**62), max_size=20))
def test_packed_numbers_come_back(values: list[int]) -> None:
    packed = base64.b64encode(leb128(np.array(values, dtype=np.int64))).decode()
    assert list(numbers(packed)) == values


def test_criteria_go_with_their_tests() -> None:
    tree = rules(
        {
            "all": [
                {"clip_score": {"min": 0.1, "max": 0.5, "keep_highest": 0.3}},
                {"any": [{"width": {"drop_lowest": 0.5, "of": "reference"}}]},
                {"height": {"keep_highest": 0.3, "method": "datacomp"}},
            ]
        }
    )
    cuts = {quantile: Cut(0.0) for quantile in pool_quantiles(tree)}
    node = build(tree, cuts, pa.table({"width": [1.0, 2.0]}))
    named = list(zip([test.name for test in selection.tests_of(node)], written(tree), strict=True))
    assert named == [
        ("clip_score.min=0.1", {"min": 0.1}),
        ("clip_score.max=0.5", {"max": 0.5}),
        ("clip_score.keep_highest=0.3", {"keep_highest": 0.3}),
        ("width.drop_lowest=0.5 of reference", {"drop_lowest": 0.5, "of": "reference"}),
        ("height.keep_highest=0.3 by datacomp", {"keep_highest": 0.3, "method": "datacomp"}),
    ]


def test_intervals_are_shared_out() -> None:
    assert _share_out({"a": 90, "b": 90, "c": 90}, 1 << 20) == {"a": 90, "b": 90, "c": 90}
    four = _share_out({"a": 90, "b": 90, "c": 90, "d": 3}, 1 << 18)
    assert four["d"] == 3
    assert math.prod(four.values()) <= 1 << 18
    assert min(four.values()) == 3
    assert sorted(four.values())[1] > 40
    assert set(_share_out({str(n): 90 for n in range(12)}, 1 << 20).values()) == {4}


def test_thinned_values_keep_both_ends() -> None:
    assert _thinned([1.0, 2.0, 3.0], 5) == [1.0, 2.0, 3.0]
    thin = _thinned([float(n) for n in range(87)], 10)
    assert (len(thin), thin[0], thin[-1]) == (10, 0.0, 86.0)
