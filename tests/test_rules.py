"""Rules of the configuration as tests with cuts: names, quantiles, one search for each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.config import Rules
from curate.errors import ConfigError
from curate.numerics.selection import (
    AllOf,
    AnyOf,
    Test,
    decide,
    parse_uids,
)
from curate.rules import (
    build,
    columns_of,
    describe,
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
        ("clip_score", 0.3, "drop_lowest", "exact"),
        ("clip_score", 0.3, "keep_highest", "exact"),
        ("clip_score", 0.1, "drop_lowest", "exact"),
    )
    assert not needs_reference(tree)


def test_fractions_of_the_reference_are_no_pool_quantiles() -> None:
    tree = rules({"all": [{"clip_score": {"drop_lowest": 0.3, "of": "reference"}}]})
    assert pool_quantiles(tree) == ()
    assert needs_reference(tree)
    assert columns_of(tree) == ["clip_score"]


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


def test_what_the_sample_lacks_ranks_below_all_else() -> None:
    sample = pa.table({"caption_chars": pa.array([None, 3, 1, None, 2], pa.int32())})
    for fraction, cut in ((0.2, "-inf"), (0.4, 1.0), (0.6, 2.0)):
        tree = rules({"all": [{"caption_chars": {"drop_lowest": fraction, "of": "reference"}}]})
        assert describe(build(tree, {}, sample))[0]["cut"]["value"] == cut
    tree = rules({"all": [{"caption_words": {"drop_lowest": 0.4, "of": "reference"}}]})
    with pytest.raises(ConfigError, match=r"rules\.caption_words: .*another pool"):
        build(tree, {}, sample)


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
