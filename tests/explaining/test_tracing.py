"""Rules test by test, against the decision over whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import rules as rule_tests
from curate.config import Rules
from curate.errors import OutputError
from curate.explaining.findings import GroupTrace, TestTrace, Trace
from curate.explaining.tracing import reason_of, trace
from curate.numerics.selection import Cut, decide, parse_uids
from curate.numerics.selection import tests_of as leaves_of
from curate.pool_quantiles import PoolQuantile

COLUMNS = ("clip_score", "image_informativeness", "caption_words")
values = st.sampled_from([0.0, 0.25, 0.5, 0.75, float("nan")])
criteria = st.one_of(
    st.builds(lambda v: {"min": v}, st.sampled_from([0.25, 0.5])),
    st.builds(lambda v: {"max": v}, st.sampled_from([0.25, 0.5])),
    st.builds(lambda v: {"min": 0.25, "max": v}, st.sampled_from([0.5, 0.75])),
    st.builds(lambda v: {"drop_lowest": v}, st.sampled_from([0.0, 0.25, 1.0])),
    st.builds(lambda v: {"keep_highest": v, "method": "datacomp"}, st.sampled_from([0.5])),
    st.builds(lambda v: {"drop_lowest": v, "of": "reference"}, st.sampled_from([0.25])),
)
leaf = st.dictionaries(st.sampled_from(COLUMNS), criteria, min_size=1, max_size=2)
tree = st.recursive(
    leaf,
    lambda inner: st.builds(
        lambda kind, items: {kind: items},
        st.sampled_from(["all", "any"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def built(chosen: Rules) -> Any:
    """The rules with cuts that some of the values tie with."""
    cuts = {
        one: Cut(one.fraction, (0, 3)) if 0 < one.fraction < 1 else Cut(float("-inf"))
        for one in rule_tests.pool_quantiles(chosen)
    }
    sample = pa.table({name: np.array([0.0, 0.25, 0.5, 0.75], np.float32) for name in COLUMNS})
    return rule_tests.build(chosen, cuts, sample)


def leaves(found: Trace) -> list[TestTrace]:
    if isinstance(found, TestTrace):
        return [found]
    return [leaf for part in found.parts for leaf in leaves(part)]


@settings(deadline=None, max_examples=150)
@given(
    st.builds(
        lambda kind, items: {kind: items},
        st.sampled_from(["all", "any"]),
        st.lists(tree, min_size=1, max_size=3),
    ),
    st.tuples(values, values, values),
    st.integers(0, 6),
)
def test_a_trace_amounts_to_the_decision(
    rules: dict[str, Any], row: tuple[float, ...], number: int
) -> None:
    chosen = Rules.model_validate(rules)
    node = built(chosen)
    uid = parse_uids([f"{number:032x}"])
    columns = {n: np.array([v], np.float32) for n, v in zip(COLUMNS, row, strict=True)}
    found = trace(node, columns, uid)
    assert [reason_of(found)] == decide(node, columns, uid).labels()
    told = leaves(found)
    assert [one.name for one in told] == [test.name for test in leaves_of(node)]
    for one in told:
        if one.margin is not None and not one.tied:
            assert one.passed == (one.margin >= 0)
        assert (one.value is None) == bool(np.isnan(columns[one.column][0]))
    assert rule_tests.rebuild(chosen, rule_tests.describe(node)) == node


def test_the_deciding_branch_is_marked() -> None:
    chosen = Rules.model_validate(
        {
            "all": [
                {"clip_score": {"min": 0.2}},
                {"any": [{"caption_words": {"min": 9}}, {"all": [{"clip_score": {"max": 0.1}}]}]},
                {"image_informativeness": {"min": 5}},
            ]
        }
    )
    columns = {n: np.array([v], np.float32) for n, v in zip(COLUMNS, (0.3, 0.0, 3.0), strict=True)}
    found = trace(built(chosen), columns, parse_uids(["0" * 32]))
    assert isinstance(found, GroupTrace)
    assert [part.decisive for part in found.parts] == [False, True, False]
    assert [one.decisive for one in leaves(found)] == [False, True, True, False]
    assert reason_of(found) == "caption_words.min=9 and clip_score.max=0.1"
    margins = [one.margin for one in leaves(found)]
    assert margins == pytest.approx([0.1, -6.0, -0.2, -5.0])
    kept = trace(
        built(chosen),
        columns
        | {
            "caption_words": np.array([9.0], np.float32),
            "image_informativeness": np.array([5.0], np.float32),
        },
        parse_uids(["0" * 32]),
    )
    assert [one.decisive for one in leaves(kept)] == [True, True, False, True]
    assert reason_of(kept) == "kept"


def test_a_threshold_is_compared_in_the_precision_of_its_column() -> None:
    chosen = Rules.model_validate({"all": [{"clip_score": {"min": 0.1}}]})
    node = built(chosen)
    for kind in (np.float32, np.float64):
        (one,) = leaves(trace(node, {"clip_score": np.array([0.1], kind)}, parse_uids(["0" * 32])))
        assert (one.margin, one.passed) == (0.0, True)


@pytest.mark.parametrize("change", ["fewer", "more", "renamed"])
def test_rules_and_cuts_must_belong_together(change: str) -> None:
    chosen = Rules.model_validate({"all": [{"clip_score": {"min": 0.1, "max": 0.5}}]})
    described = rule_tests.describe(built(chosen))
    other = {
        "fewer": described[:1],
        "more": [*described, described[0]],
        "renamed": [described[0] | {"name": "x"}, described[1]],
    }[change]
    with pytest.raises(OutputError):
        rule_tests.rebuild(chosen, other)


def test_pool_quantiles_are_named_as_before() -> None:
    chosen = Rules.model_validate(
        {"all": [{"clip_score": {"keep_highest": 0.3, "method": "datacomp"}}]}
    )
    assert rule_tests.pool_quantiles(chosen) == (
        PoolQuantile("clip_score", 0.3, "keep_highest", "datacomp"),
    )
    assert [test.name for test in leaves_of(built(chosen))] == [
        "clip_score.keep_highest=0.3 by datacomp"
    ]
