"""What limits a run, told from shares of time."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.bottleneck import (
    LEAST_MS,
    MODEL_BUSY,
    NAMES,
    Setup,
    find_bottleneck,
    split_batches,
)
from curate.work_times import EMBEDDING, PREPARING, READING, SPLIT, WAITING, WINDOW, WRITING

GPU = Setup(embedders=8, workers=56, batch_size=256, device="cuda")
CPU = Setup(embedders=2, workers=1, batch_size=32, device="cpu")
SECOND = 1000


def counts(
    setup: Setup, busy: float, reading: float, preparing: float, waiting: float, writing: float
) -> dict[str, int]:
    """Ten minutes of a stage in which embedders and workers spent these shares of their time."""
    window = 600 * SECOND
    parts = {READING: reading, PREPARING: preparing, WAITING: waiting, WRITING: writing}
    return {
        WINDOW: window,
        EMBEDDING: round(setup.embedders * window * busy),
        **{name: round(setup.workers * window * share) for name, share in parts.items()},
    }


@pytest.mark.parametrize(
    ("setup", "shares", "line"),
    [
        (
            GPU,
            (0.97, 0.02, 0.38, 0.58, 0.02),
            "limited by the model: embedders are busy 97 % of the time, workers wait for the model"
            " 58 % of theirs; add GPUs, or, with a small model, compute.embedders_per_gpu",
        ),
        (
            CPU,
            (0.97, 0.02, 0.38, 0.58, 0.02),
            "limited by the model: embedders are busy 97 % of the time, workers wait for the model"
            " 58 % of theirs; add CPUs, or a GPU",
        ),
        (
            GPU,
            (0.34, 0.05, 0.9, 0.03, 0.02),
            "limited by decoding: workers wait for the model 3 % of theirs and decode 90 %;"
            " embedders are busy 34 % of the time; add workers or CPUs (about 140 workers would"
            " keep the embedders busy)",
        ),
        (
            GPU,
            (0.2, 0.7, 0.25, 0.03, 0.02),
            "limited by reading: workers read 70 % of the time; embedders are busy 20 % of the"
            " time; use faster storage, or add workers (about 238 workers would keep the embedders"
            " busy)",
        ),
        (
            CPU,
            (0.5, 0.1, 0.2, 0.1, 0.6),
            "limited by writing: workers write 60 % of the time; embedders are busy 50 % of the"
            " time; use faster storage for output.run_dir, or add workers",
        ),
        (
            CPU,
            (0.6, 0.02, 0.2, 0.77, 0.01),
            "limited by too few batches at a time: embedders are busy 60 % of the time, yet workers"
            " wait for the model 77 % of theirs: shards are small, or workers too few; add workers",
        ),
    ],
)
def test_who_limits_is_named_with_what_to_add(
    setup: Setup, shares: tuple[float, ...], line: str
) -> None:
    assert str(find_bottleneck(counts(setup, *shares), setup)) == line


def test_where_nothing_tells_nothing_is_said() -> None:
    busy = counts(GPU, 0.9, 0.1, 0.1, 0.7, 0.1)
    assert find_bottleneck(busy, GPU) is not None
    assert find_bottleneck(busy, None) is None
    assert find_bottleneck({}, GPU) is None
    assert find_bottleneck(busy | {WINDOW: LEAST_MS - 1}, GPU) is None
    assert find_bottleneck({WINDOW: 10 * LEAST_MS}, GPU) is None


milliseconds = st.integers(0, 10**9)


@given(
    st.fixed_dictionaries(
        dict.fromkeys((READING, PREPARING, WAITING, WRITING, EMBEDDING, WINDOW), milliseconds)
    ),
    st.sampled_from([GPU, CPU]),
)
def test_any_counts_give_shares_and_a_line(told: dict[str, int], setup: Setup) -> None:
    found = find_bottleneck(told, setup)
    if found is None:
        return
    shares = [found.reading, found.preparing, found.waiting, found.writing]
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in (*shares, found.embedders_busy))
    assert (found.limited_by == "model") == (found.embedders_busy >= MODEL_BUSY)
    assert str(found).startswith(f"limited by {NAMES[found.limited_by]}: ")
    assert found.workers_wanted is None or found.workers_wanted > setup.workers
    assert json.loads(json.dumps(asdict(found)))["limited_by"] == found.limited_by


@pytest.mark.parametrize(
    "value", [None, 3, "x", [], {}, {"embedders": 1}, {**asdict(GPU), "workers": "many"}]
)
def test_what_is_no_setup_is_none(value: Any) -> None:
    assert Setup.from_json(asdict(GPU)) == GPU
    assert Setup.from_json(value) is None


def test_halved_batches_are_told_with_the_remedy() -> None:
    assert split_batches({}) is None
    assert split_batches({SPLIT: 0}) is None
    one, many = split_batches({SPLIT: 1}), split_batches({SPLIT: 1234})
    assert one is not None
    assert many is not None
    assert one.startswith("1 batch did not fit into memory")
    assert many.startswith("1,234 batches did not fit into memory")
    assert "compute.batch_size" in many
