"""Rules of the configuration as tests with cuts: names, quantiles, one search for each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import Rules
from curate.errors import ConfigError
from curate.numerics.selection import (
    DROP_ALL,
    KEEP_ALL,
    AllOf,
    AnyOf,
    Cut,
    Test,
    decide,
    parse_uids,
)
from curate.rules import (
    build,
    columns_of,
    describe,
    find_pool_cuts,
    needs_reference,
    pool_quantiles,
)


def rules(tree: Any) -> Rules:
    return Rules.model_validate(tree)


POOL = rules({"all": [{"clip_score": {"drop_lowest": 0.3}}, {"width": {"keep_highest": 0.5}}]})


def test_a_quantile_is_searched_once_however_often_it_is_named() -> None:
    again = {"clip_score": {"drop_lowest": 0.3, "keep_highest": 0.3}}
    tree = rules({"any": [again, {"all": [again, {"clip_score": {"drop_lowest": 0.1}}]}]})
    assert pool_quantiles(tree) == (
        ("clip_score", 0.3, "drop_lowest"),
        ("clip_score", 0.3, "keep_highest"),
        ("clip_score", 0.1, "drop_lowest"),
    )
    assert not needs_reference(tree)


def test_fractions_of_the_reference_are_no_pool_quantiles() -> None:
    tree = rules({"all": [{"clip_score": {"drop_lowest": 0.3, "of": "reference"}}]})
    assert pool_quantiles(tree) == ()
    assert needs_reference(tree)
    assert columns_of(tree) == ["clip_score"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, -0.0, 0.5, 1.0, -2.0]), min_size=1, max_size=40),
    st.sampled_from([0, 0.1, 0.29, 0.5, 1]),
    st.integers(1, 7),
)
def test_pool_cuts_drop_exactly_their_share_however_the_pool_is_cut(
    values: list[float], fraction: float, parts: int
) -> None:
    column = np.array(values, np.float32)
    uids = parse_uids([f"{i * 7919 % 997:032x}" for i in range(len(values))])
    calls = 0

    def scan() -> Any:
        nonlocal calls
        calls += 1
        for part in np.array_split(np.arange(len(values)), parts):
            yield {"clip_score": column[part]}, uids[part]

    tree = rules({"all": [{"clip_score": {"drop_lowest": fraction}}]})
    cuts = find_pool_cuts(tree, len(values), scan)
    decision = decide(build(tree, cuts, None), {"clip_score": column}, uids)
    assert int((~decision.kept).sum()) == int(len(values) * round(fraction * 100) // 100)
    assert calls <= 1
    order = sorted(range(len(values)), key=lambda i: (column[i], uids[i].tolist()))
    assert [bool(decision.kept[i]) for i in order] == sorted(bool(k) for k in decision.kept)


def test_shares_of_nothing_and_everything_need_no_scan() -> None:
    def scan() -> Any:
        raise AssertionError("scanned")

    tree = rules({"all": [{"clip_score": {"drop_lowest": 0, "keep_highest": 0}}]})
    cuts = find_pool_cuts(tree, 10, scan)
    assert set(cuts.values()) == {KEEP_ALL, DROP_ALL}
    assert set(find_pool_cuts(POOL, 0, scan).values()) == {KEEP_ALL}
    assert find_pool_cuts(rules({"all": []}), 10, scan) == {}


def test_one_scan_serves_all_quantiles() -> None:
    calls = 0
    uids = parse_uids([f"{i:032x}" for i in range(10)])

    def scan() -> Any:
        nonlocal calls
        calls += 1
        yield {"clip_score": np.arange(10), "width": np.arange(10)[::-1]}, uids

    cuts = find_pool_cuts(POOL, 10, scan)
    assert calls == 1
    assert cuts["clip_score", 0.3, "drop_lowest"] == Cut(3.0, (0, 3))
    assert cuts["width", 0.5, "keep_highest"] == Cut(5.0, (0, 4))


def test_the_tree_keeps_its_shape_and_its_names() -> None:
    tree = rules(
        {
            "any": [
                {"clip_score": {"min": 0.25, "max": 0.5}},
                {"all": [{"width": {"min": 200}, "height": {"min": 100}}]},
            ]
        }
    )
    built = build(tree, {}, None)
    assert isinstance(built, AnyOf)
    first, second = built.tests
    assert isinstance(first, AllOf)
    assert [t.name for t in first.tests if isinstance(t, Test)] == [
        "clip_score.min=0.25",
        "clip_score.max=0.5",
    ]
    assert isinstance(second, AllOf)
    assert [line["name"] for line in describe(built)] == [
        "clip_score.min=0.25",
        "clip_score.max=0.5",
        "width.min=200",
        "height.min=100",
    ]
    json.dumps(describe(built))


def test_min_and_max_include_their_bound() -> None:
    tree = rules({"all": [{"clip_score": {"min": 0.1, "max": 0.3}}]})
    values = np.array([0.1, 0.3, 0.099, 0.301], np.float32)
    uids = parse_uids([f"{i:032x}" for i in range(4)])
    kept = decide(build(tree, {}, None), {"clip_score": values}, uids).kept
    assert kept.tolist() == [True, True, False, False]


@pytest.mark.parametrize("rule", ["drop_lowest", "keep_highest"])
def test_reference_cuts_are_quantiles_of_the_sample(rule: str) -> None:
    sample = pa.table({"clip_score": pa.array([5.0, 1.0, 3.0, 2.0, 4.0], pa.float32())})
    tree = rules({"all": [{"clip_score": {rule: 0.4, "of": "reference"}}]})
    (line,) = describe(build(tree, {}, sample))
    assert line["name"] == f"clip_score.{rule}=0.4 of reference"
    assert line["cut"]["value"] == (3.0 if rule == "drop_lowest" else 4.0)


def test_a_missing_sample_is_named() -> None:
    tree = rules({"all": [{"text_norm": {"drop_lowest": 0.4, "of": "reference"}}]})
    with pytest.raises(ConfigError, match=r"rules\.text_norm.*curate fit.*of: pool"):
        build(tree, {}, None)


def test_an_empty_conjunction_keeps_everything() -> None:
    uids = parse_uids([f"{i:032x}" for i in range(3)])
    assert decide(build(rules({"all": []}), {}, None), {}, uids).kept.all()
    inner = rules({"any": [{"all": []}]})
    assert decide(build(inner, {}, None), {}, uids).kept.all()


def test_two_rules_that_differ_beyond_the_sixth_digit_have_two_names() -> None:
    tree = rules(
        {"any": [{"clip_score": {"min": 0.12345678}}, {"clip_score": {"min": 0.12345679}}]}
    )
    names = [line["name"] for line in describe(build(tree, {}, None))]
    assert len(set(names)) == 2
    big = rules({"all": [{"width": {"min": 1234567}}]})
    assert describe(build(big, {}, None))[0]["name"] == "width.min=1234567"
