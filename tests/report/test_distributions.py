"""Histograms, joint histograms and correlations, against counting value by value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.report.distributions import (
    Axis,
    HistogramCounts,
    JointCounts,
    Moments,
    axis_of,
    linear_edges,
    log_edges,
    mean_ranks,
    spearman,
)
from curate.report.survey import SHOWN_SHARES, ColumnSurvey

FLOAT32 = np.dtype(np.float32)


def survey_of(values: Any) -> ColumnSurvey:
    present = np.sort(np.asarray(values, dtype=np.float64))
    at = [min(int(share * len(present)), len(present) - 1) for share in SHOWN_SHARES]
    return ColumnSurvey(
        rows=len(present),
        missing=0,
        quantiles=dict(zip(SHOWN_SHARES, present[at].tolist(), strict=True)),
        stops={},
    )


def counted(values: Any, edges: Any) -> list[int]:
    """Values by bin, what lies beyond in the outermost ones, one by one."""
    found = [0] * (len(edges) - 1)
    for value in values:
        found[sum(value >= edge for edge in edges[1:-1])] += 1
    return found


@pytest.mark.parametrize("kind", ["gamma", "normal", "heavy", "constant", "whole"])
def test_both_axes_count_every_value(kind: str) -> None:
    rng = np.random.default_rng(1)
    made = {
        "gamma": lambda: rng.gamma(4, 0.01, 3000),
        "normal": lambda: rng.normal(0.24, 0.06, 3000),
        "heavy": lambda: np.exp(rng.normal(0, 3, 3000)),
        "constant": lambda: np.full(10, 0.25),
        "whole": lambda: rng.integers(1, 400, 3000),
    }[kind]()
    values = made.astype(np.float32)
    found = survey_of(values)
    linear = linear_edges(found, FLOAT32, 64, kind == "whole")
    log = log_edges(found, FLOAT32, 64)
    assert (log is None) == (values.min() <= 0)
    assert 2 <= len(linear) <= 65
    assert (np.diff(linear) > 0).all()
    counts = HistogramCounts(linear, log)
    kept = values > np.median(values)
    for part in np.array_split(np.arange(len(values)), 3):
        padded = np.append(values[part], np.float32(np.nan))
        counts.add(padded, np.append(kept[part], False))
    for edges in (linear, log):
        if edges is None:
            continue
        told = counts.to_json(edges, values[:100])
        assert told is not None
        assert told["pool"] == counted(values, edges)
        assert told["kept"] == counted(values[kept], edges)
        assert told["reference"] == counted(values[:100], edges)
        assert np.array(told["edges"], dtype=np.float32).tolist() == edges.tolist()


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize(
    "values",
    [
        [math.inf] * 5,
        [-math.inf, 0.0, 1.0, math.inf],
        [1.0] + [math.inf] * 5,
        [-1.7e308, 1.7e308],
        [float(np.finfo(np.float32).max)] * 3,
        [0.0] * 3,
        [5e-324, 1e-45, 1.7e308],
        [2.0**30 + n for n in range(3)],
    ],
)
def test_no_value_makes_edges_that_json_cannot_hold(values: Any, precision: Any) -> None:
    with np.errstate(over="ignore"):
        rounded = np.array(values, dtype=precision)
    found, kind = survey_of(rounded), np.dtype(precision)
    for whole in (False, True):
        linear, log = linear_edges(found, kind, 64, whole), log_edges(found, kind, 64)
        counts = HistogramCounts(linear, log)
        counts.add(rounded, np.ones(len(rounded), dtype=bool))
        for edges in (linear, log):
            if edges is not None:
                told = counts.to_json(edges, rounded)
                assert told is not None
                assert np.isfinite(told["edges"]).all()
                assert sum(told["pool"]) == sum(told["reference"] or ()) == len(values)
    moments = Moments([0.0, 0.0])
    moments.add([rounded, rounded])
    for value in (moments.mean(0), moments.deviation(0), *moments.pearson()[0]):
        assert value is None or math.isfinite(value)


def test_whole_numbers_lie_within_bins() -> None:
    edges = linear_edges(survey_of(range(1, 41)), FLOAT32, 64, whole=True)
    assert edges.tolist() == [n + 0.5 for n in range(41)]
    wide = linear_edges(survey_of(range(1, 1000)), FLOAT32, 64, whole=True)
    assert set(np.diff(wide)) == {16.0}


def test_a_thin_tail_does_not_take_the_axis() -> None:
    values = [*np.linspace(0, 1, 5000), 1e6]
    edges = linear_edges(survey_of(values), FLOAT32, 64, whole=False)
    assert edges[-1] < 1.01
    assert linear_edges(survey_of(values[:-1]), FLOAT32, 64, whole=False)[-1] == 1.0


def test_values_of_several_powers_of_ten_get_a_logarithmic_axis() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = np.exp(rng.normal(0, 2, 2000)), rng.normal(10, 1, 2000)
    assert axis_of("a", survey_of(wide), FLOAT32, whole=False).scale == "log"
    assert axis_of("clip_score", survey_of(wide), FLOAT32, whole=False).scale == "linear"
    assert axis_of("a", survey_of(narrow), FLOAT32, whole=False).scale == "linear"


def test_pairs_of_columns() -> None:
    x = np.array([0.1, 0.6, 0.9, np.nan, 0.2], dtype=np.float32)
    y = np.array([5.0, 1.0, 9.0, 1.0, np.nan], dtype=np.float32)
    edges_x, edges_y = np.array([0, 0.5, 1.0]), np.array([0, 2.0, 6.0, 8.0])
    joints = JointCounts([Axis("x", "linear", edges_x), Axis("y", "log", edges_y)])
    joints.add({"x": x, "y": y}, np.array([True, False, True, True, True]))
    (told,) = joints.to_json()
    assert told["pool"] == [[0, 1, 0], [1, 0, 1]]
    assert told["kept"] == [[0, 1, 0], [0, 0, 1]]
    assert (told["x"], told["y_scale"]) == ("x", "log")


columns = st.lists(
    st.tuples(*[st.sampled_from([math.nan, 0.0, 1.0, 2.0, 5.0, 1e4]) for _ in range(3)]),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(columns)
def test_moments_are_those_of_all_rows_at_once(rows: list[Any]) -> None:
    made = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]
    moments = Moments([1.0, 0.0, 100.0])
    for part in np.array_split(np.arange(len(rows)), 3):
        moments.add([column[part] for column in made])
    found = moments.pearson()
    for i in range(3):
        present = made[i][~np.isnan(made[i])]
        mean, deviation = moments.mean(i), moments.deviation(i)
        assert (mean is None) == (len(present) == 0)
        if mean is not None and deviation is not None:
            assert mean == pytest.approx(present.mean(), abs=1e-6)
            assert deviation == pytest.approx(present.std(), rel=1e-5, abs=1e-4)
        for j in range(3):
            both = ~np.isnan(made[i]) & ~np.isnan(made[j])
            x, y = made[i][both], made[j][both]
            if len(x) and x.std() > 0 and y.std() > 0:
                assert found[i][j] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=2e-4)
            else:
                assert found[i][j] is None


def test_ranks_of_ties_are_their_mean() -> None:
    assert mean_ranks(np.array([5.0, 1.0, 5.0, 3.0])).tolist() == [2.5, 0.0, 2.5, 1.0]
    x = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    told = spearman([x, x**3, -x, np.array([1.0, 1.0, 2.0, 2.0, 9.0])])
    assert told[0][1] == 1.0
    assert told[0][2] == -1.0
    assert told[0][3] == pytest.approx(0.8944, abs=1e-4)
    assert spearman([np.ones(3), np.arange(3.0)])[0] == [None, None]
