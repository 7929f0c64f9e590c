"""Alarms: silent over ordinary runs, loud within a few shards once a share has changed."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import rules
from curate.alarms import (
    FAR,
    LOOK_BACK,
    Alarm,
    Expected,
    Watch,
    alarms_of,
    compare,
    expected_drops,
    range_of,
    tail_bound,
)
from curate.config import Rules
from curate.manifest import Counts

REFERENCE = 10_000
PER_SHARD = 1_000


def shards(
    rng: np.random.Generator,
    number: int,
    dropped: float,
    rejected: float,
    size: int = PER_SHARD,
    spread: float = 0.0,
) -> list[Counts]:
    """Counts of shards; `spread` is the relative deviation of their own shares (gamma)."""

    def share(mean: float) -> np.ndarray:
        if not spread:
            return np.full(number, mean)
        return np.minimum(rng.gamma(1 / spread**2, mean * spread**2, number), 1.0)

    bad = rng.binomial(size, share(rejected))
    out = rng.binomial(size - bad, share(dropped))
    return [
        Counts(size, {"x": int(b)}, int(size - b - o), {"y": int(o)})
        for b, o in zip(bad, out, strict=True)
    ]


def expected(rng: np.random.Generator, share: float, of: int = REFERENCE) -> Expected:
    """What a sample of that size says of a share."""
    return Expected(int(rng.binomial(of, share)), of, "the Reference's sample")


def test_a_thousand_ordinary_runs_raise_no_alarm() -> None:
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        dropped, rejected = rng.choice([0.001, 0.01, 0.05, 0.3, 0.7], 2)
        size = int(rng.choice([5, 100, 1_000, 10_000]))
        sample = int(rng.choice([200, 10_000]))
        watch = Watch(expected(rng, dropped, sample), None)
        run = shards(rng, 100, float(dropped), float(rejected), size, spread=float(seed % 2) / 5)
        assert alarms_of(run, watch) == [], seed


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("kind", ["dropped", "rejected"])
def test_three_times_the_share_is_told_within_a_few_shards(kind: str, share: float) -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        told = expected(rng, share)
        drops, rejections = (told, None) if kind == "dropped" else (None, told)
        watch = Watch(drops, rejections)
        usual = {"dropped": 0.1, "rejected": 0.1} | {kind: share}
        assert alarms_of(shards(rng, 40, **usual), watch) == []
        changed = shards(rng, 16, **(usual | {kind: 3 * share}))
        raised = [(i, a) for i, counts in enumerate(changed, 1) for a in watch.add(counts)]
        (at, alarm), *_ = raised
        assert alarm.kind == kind
        assert alarm.high
        # Four shards where their samples suffice; more where 1 % of a thousand is ten samples.
        assert at <= (16 if share < 0.05 else 6), (seed, at)
        assert len(raised) == 1


def test_a_run_without_a_sample_is_compared_with_itself() -> None:
    rng = np.random.default_rng(0)
    watch = Watch()
    assert alarms_of(shards(rng, 200, 0.05, 0.02), watch) == []
    (alarm,) = alarms_of(shards(rng, 10, 0.05, 0.2), watch)
    assert alarm.kind == "rejected"
    assert "of the run before" in str(alarm)


def test_too_few_is_an_alarm_too() -> None:
    rng = np.random.default_rng(0)
    watch = Watch(expected(rng, 0.2))
    (alarm,) = alarms_of(shards(rng, 8, 0.02, 0.0), watch)
    assert (alarm.kind, alarm.high) == ("dropped", False)
    assert "noisier data" in str(alarm)


def test_one_bad_shard_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    watch = Watch(expected(rng, 0.05), expected(rng, 0.01))
    bad = Counts(PER_SHARD, {"x": PER_SHARD // 2}, 0, {"y": PER_SHARD // 2})
    run = [*shards(rng, 40, 0.05, 0.01), bad, *shards(rng, 40, 0.05, 0.01)]
    assert alarms_of(run, watch) == []


def test_an_alarm_is_raised_once_until_the_share_was_back() -> None:
    rng = np.random.default_rng(0)
    watch = Watch(expected(rng, 0.05))
    wrong = shards(rng, 40, 0.5, 0.0)
    assert len(alarms_of(wrong, watch)) == 1
    assert alarms_of(shards(rng, 40, 0.05, 0.0), watch) == []
    assert len(alarms_of(wrong, watch)) == 1


def test_the_message_says_what_where_and_why() -> None:
    told = Expected(500, 10_000, "the Reference's sample")
    (alarm,) = [compare("dropped", [(300, 1000)] * 4, told)]
    assert isinstance(alarm, Alarm)
    assert str(alarm) == (
        "30 % dropped of the last 4,000 samples (4 shards), but 5 % of the Reference's sample:"
        " another model or checkpoint than the Reference was fitted with, a Reference of other"
        " data, or preprocessing that has changed (resized pictures, rewritten captions)"
    )


def test_shards_without_samples_say_nothing() -> None:
    watch = Watch(Expected(5, 100, "x"), Expected(5, 100, "x"))
    assert alarms_of([Counts()] * 100, watch) == []
    assert alarms_of([Counts(9, {"x": 9}, 0, {})] * 2, watch) == []
    assert compare("dropped", [(0, 0)], Expected(5, 100, "x")) is None


def test_shards_without_a_decision_say_nothing_of_drops() -> None:
    watch = Watch(Expected(50, 100, "x"), Expected(1, 100, "x"))
    assert alarms_of([Counts(1000, {"x": 10})] * 50, watch) == []


def test_what_is_held_does_not_grow() -> None:
    watch = Watch(Expected(5, 100, "x"))
    alarms_of(shards(np.random.default_rng(0), 500, 0.05, 0.01), watch)
    assert len(pickle.dumps(watch)) < 100 * max(LOOK_BACK)


def test_the_rules_are_tried_on_the_references_sample() -> None:
    values = np.linspace(0, 1, 200, dtype=np.float32)
    sample = pa.table(
        {
            "uid": [f"{i:032x}" for i in range(200)],
            "status": ["ok"] * 200,
            "clip_score": values,
            "image_informativeness": values[::-1].copy(),
        }
    )
    tree = {
        "all": [
            {"clip_score": {"drop_lowest": 0.1, "of": "reference"}},
            {"image_informativeness": {"min": 0.05}},
        ]
    }
    node = rules.build(Rules.model_validate(tree), {}, sample)
    told = expected_drops(sample, node)
    assert told is not None
    # Twenty by the quantile, and ten others by the value: 0 to 0.045.
    assert (told.hits, told.of) == (30, 200)
    assert expected_drops(sample.slice(0, 0), node) is None


def exact_tail(hits: int, of: int, share: float) -> float:
    """The binomial tail on the side of the count, summed term by term."""
    side = range(hits, of + 1) if hits > of * share else range(hits + 1)
    return math.fsum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in side)


@settings(max_examples=200)
@given(st.integers(1, 200), st.floats(0.001, 0.999), st.data())
def test_the_bound_is_never_below_the_exact_tail(
    of: int, share: float, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, of))
    bound = tail_bound(hits, of, share)
    assert 0.0 <= bound <= 1.0
    if hits != of * share:
        assert bound >= exact_tail(hits, of, share) * (1 - 1e-9)


def test_the_bound_at_its_edges() -> None:
    assert tail_bound(0, 0, 0.5) == 1.0
    assert tail_bound(5, 10, 0.5) == 1.0
    assert tail_bound(1, 10, 0.0) == 0.0
    assert tail_bound(9, 10, 1.0) == 0.0
    assert tail_bound(10**9, 10**10, 0.05) == 0.0
    assert tail_bound(10, 10, 0.5) == pytest.approx(0.5**10)


@given(st.integers(1, 10**9), st.data())
def test_the_range_holds_the_share_and_narrows(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    told = Expected(hits, of, "x")
    low, high = range_of(told)
    assert 0.0 <= low <= told.share <= high <= 1.0
    assert low <= told.share / FAR
    assert high >= min(1.0, told.share * FAR)


def test_a_small_sample_widens_the_range() -> None:
    assert range_of(Expected(0, 10, "x"))[1] > 0.5
    assert range_of(Expected(0, 10**6, "x"))[1] < 1e-4
