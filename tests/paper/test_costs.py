"""Exponents of known laws; measurements of the real methods in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from paper_samples import make_sample

from curate.config import PaperConfig
from curate.errors import WorkerError
from curate.paper import costs, probe
from curate.paper.costs import METHODS, exponent, measure_costs, report, resample

SIZES = (1_000, 3_162, 10_000, 31_623, 100_000)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_law_is_found_above_its_fixed_cost(power: float) -> None:
    values = [1e-9 * n**power for n in SIZES]
    assert exponent(SIZES, values, 0.0)[0] == pytest.approx(power, abs=1e-4)
    fixed = [value + values[1] for value in values]
    found, fitted = exponent(SIZES, fixed, 0.0)
    assert found == pytest.approx(power, abs=0.15)
    assert fitted < len(SIZES)


def test_a_flat_cost_has_exponent_zero() -> None:
    assert exponent(SIZES, [1e-6] * 5, 0.0) == (0.0, 5)
    assert exponent(SIZES, [0.0, 300.0, 90.0, 0.0, 17.0], 1 << 20) == (0.0, 5)


def test_one_size_has_no_exponent() -> None:
    assert np.isnan(exponent((64,), [1.0], 0.0)[0])


def test_resampled_embeddings_are_seeded_unit_and_near_the_sample() -> None:
    rows = make_sample(30, 8).image
    drawn = np.concatenate(list(resample(rows, 9000, np.random.default_rng(3))))
    again = np.concatenate(list(resample(rows, 9000, np.random.default_rng(3))))
    assert drawn.shape == (9000, 8)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, again)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-6)
    nearest = np.sqrt(np.clip(2 - 2 * (drawn @ rows.T).max(axis=1), 0, None))
    assert 0.01 < np.median(nearest) < 2 * costs.NOISE
    assert len(np.unique(drawn, axis=0)) == 9000


def test_the_prior_stops_before_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answer(request: Any) -> dict[str, Any]:
        asked.append(request["n"])
        return {"seconds": 3e-8 * request["n"] ** 2, "bytes": 100 * request["n"]}

    monkeypatch.setattr(costs, "probe", answer)
    found = {method: list(measure_costs(method, SIZES, {})) for method in METHODS}
    assert [cost.n for cost in found[METHODS[0]]] == list(SIZES[:4])
    assert all(len(found[method]) == 5 for method in METHODS[1:])
    assert asked[:4] == list(SIZES[:4])
    section = report(found, PaperConfig(), make_sample())
    assert "n = 100,000: not run" in section.missing[0]
    assert [row["time exponent"] for row in section.tables[0].records()] == pytest.approx(
        [2.0] * 4, abs=0.01
    )
    assert len(section.tables[1].records()) == 19


def test_real_processes_answer_for_every_method() -> None:
    section = costs.study(make_sample(60, 16), PaperConfig(sizes=(2000,)))
    rows = section.tables[1].records()
    assert [(r["method"], r["n"]) for r in rows] == [(m.method, 2000) for m in METHODS]
    assert all(r["seconds"] > 0 for r in rows)
    prior, _, exact, norm = (r["bytes"] for r in rows)
    assert prior > 2000 * 1024 * 8  # a chunk of posteriors in float64
    assert exact > 2000 * 16 * 4
    assert norm < exact + 2**20


def test_a_process_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs.sys, "executable", "no-such-python")
    with pytest.raises(WorkerError, match="measuring nonsense"):
        costs.probe({"task": "nonsense"})


def test_memory_is_measured_and_its_peak_reset() -> None:
    before = probe.current_bytes()
    block = np.ones(40 << 17)
    assert probe.peak_bytes() - before > block.nbytes // 2
    del block
    if probe.reset_peak():
        assert probe.peak_bytes() - before < 20 << 20


@pytest.mark.parametrize(("cost", "passes"), [(0.2, 3), (6.0, 1), (0.01, 31)])
def test_short_work_is_repeated(cost: float, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(probe.time, "perf_counter", lambda: now[0])
    calls = []

    def work() -> None:
        calls.append(1)
        now[0] += cost if len(calls) > 1 else cost * 1.01

    measured: Callable[..., float] = probe.fastest
    assert measured(work, 4) == pytest.approx(cost / 4, rel=0.02)
    assert abs(len(calls) - passes) <= 1
