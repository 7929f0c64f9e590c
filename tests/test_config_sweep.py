"""Sweeps in the configuration: named rule sets, grids, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curate.config import Config, Rules, parse_config, to_yaml
from curate.config.sweep import combined
from curate.errors import ConfigError

MINIMAL = {"input": {"shards": "a.tar"}, "output": {"run_dir": "r"}}
FRACTIONS = st.floats(0, 1)


def config(sweep: Any, **sections: Any) -> Config:
    return parse_config(MINIMAL | {"sweep": sweep} | sections)


def sets(sweep: Any, **sections: Any) -> dict[str, Any]:
    found = config(sweep, **sections)
    assert found.sweep is not None
    dumped = found.sweep.rule_sets(found.rules).items()
    return {name: plain(rules) for name, rules in dumped}


def plain(rules: Rules) -> Any:
    return rules.model_dump(mode="json", exclude_defaults=True, exclude_none=True)


STRICT = {"all": [{"clip_score": {"min": 0.3}}]}


def test_names_with_rules_are_rule_sets() -> None:
    short = sets({"strict": STRICT})
    assert short == sets({"rules": {"strict": STRICT}}) == {"strict": STRICT}
    assert sets({"rules": {"a": STRICT}, "b": STRICT}) == {"a": STRICT, "b": STRICT}


def test_a_grid_is_every_combination_in_the_order_of_its_keys() -> None:
    grid = {"clip_score.keep_highest": [0.3, None], "width.min": [100, 200]}
    found = sets({"grid": grid})
    assert found == {
        "grid-0.3-100": {"all": [{"clip_score": {"keep_highest": 0.3}}, {"width": {"min": 100}}]},
        "grid-0.3-200": {"all": [{"clip_score": {"keep_highest": 0.3}}, {"width": {"min": 200}}]},
        "grid-none-100": {"all": [{"width": {"min": 100}}]},
        "grid-none-200": {"all": [{"width": {"min": 200}}]},
    }


def test_a_point_replaces_what_it_sets_of_the_rules_and_keeps_the_rest() -> None:
    base = {
        "all": [
            {"clip_score": {"min": 0.2, "drop_lowest": 0.1}, "height": {"min": 5}},
            {"width": {"min": 7}},
            {"any": [{"width": {"min": 9}}, {"height": {"min": 9}}]},
        ]
    }
    (found,) = sets(
        {"grid": {"clip_score.drop_lowest": [0.3], "width.min": [None]}}, rules=base
    ).values()
    assert found == {
        "all": [
            {"clip_score": {"min": 0.2}, "height": {"min": 5}},
            base["all"][2],
            {"clip_score": {"drop_lowest": 0.3}},
        ]
    }


def test_a_disjunction_stays_whole_beside_the_grid() -> None:
    base = {"any": [{"clip_score": {"min": 0.2}}, {"width": {"min": 7}}]}
    (found,) = sets({"grid": {"clip_score.min": [0.4]}}, rules=base).values()
    assert found == {"all": [base, {"clip_score": {"min": 0.4}}]}


@given(FRACTIONS, FRACTIONS, FRACTIONS)
def test_combining_is_idempotent(a: float, b: float, c: float) -> None:
    base = Rules.model_validate({"all": [{"clip_score": {"drop_lowest": a, "min": b}}]})
    point = {"clip_score.drop_lowest": c, "width.max": None}
    once = combined(base, point)
    assert combined(once, point) == once


def test_a_sweep_survives_yaml() -> None:
    chosen = config({"grid": {"clip_score.min": [0.1, None]}, "strict": STRICT, "max_subsets": 9})
    assert parse_config(yaml.safe_load(to_yaml(chosen))) == chosen


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({}, "needs rule sets"),
        ({"baselines": {"a": STRICT}}, "needs rule sets"),
        ({"gird": {"clip_score.min": [1]}}, "sweep.gird: unknown key; known here are baselines"),
        ({"grid": {"clip_score": [1]}}, "write column.criterion"),
        ({"grid": {"clip_score.above": [1]}}, "write column.criterion"),
        ({"grid": {"clip_score.min": []}}, "sweep.grid.clip_score.min"),
        ({"grid": {"clip_score.drop_lowest": [2]}}, "sweep.grid.clip_score.drop_lowest: 2.0"),
        ({"grid": {"clip_score.min": [1, 1.0]}}, "a value is listed twice"),
        ({"grid": {"beauty.min": [1]}}, "sweep, grid-1: no column 'beauty'"),
        ({"rules": {"a": STRICT}, "baselines": {"a": STRICT}}, "the name 'a' is used twice"),
        ({"rules": {"../up": STRICT}}, "sweep.rules"),
        ({"grid": {"clip_score.min": list(range(201))}}, "201 subsets, more than max_subsets=200"),
        ({"a": STRICT, "max_subsets": 0}, "max_subsets"),
    ],
)
def test_what_cannot_be_swept_is_refused_by_name(sweep: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(sweep)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "criteria",
    [
        {"min": 0.1, "method": "datacomp"},
        {"drop_lowest": 0.1, "method": "datacomp"},
        {"keep_highest": 0.1, "drop_lowest": 0.1, "method": "datacomp"},
        {"keep_highest": 0.1, "method": "datacomp", "of": "reference"},
    ],
)
def test_datacomp_is_a_way_to_keep_the_highest_of_the_pool(criteria: Any) -> None:
    with pytest.raises(ConfigError, match="goes with keep_highest of the pool"):
        parse_config(MINIMAL | {"rules": {"all": [{"clip_score": criteria}]}})
    kept = {"keep_highest": 0.1, "method": "datacomp"}
    parse_config(MINIMAL | {"rules": {"all": [{"clip_score": kept}]}})
