"""Where time goes: parts that add up to the whole, whatever they are made of."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.work_times import (
    EMBEDDING,
    PREPARING,
    READING,
    SPLIT,
    WAITING,
    WORKER_PARTS,
    WRITING,
    BusyTime,
    WorkTimes,
)

MOST_PER_SAMPLE = 2e-6
"""Seconds that measuring may cost a sample."""


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def fail_after(self, seconds: float) -> None:
        self.now += seconds
        raise KeyError


steps = st.lists(st.tuples(st.sampled_from(WORKER_PARTS), st.floats(0, 5)), max_size=20)


@given(steps, st.integers(1, 5))
def test_the_parts_are_what_passed_in_them(steps: list[tuple[str, float]], often: int) -> None:
    watch = Watch()
    times = WorkTimes(watch)
    told: dict[str, int] = {}
    expected = dict.fromkeys(WORKER_PARTS, 0.0)

    def take() -> None:
        for part, number in times.take().items():
            assert number > 0
            told[part] = told.get(part, 0) + number

    def items(seconds: float) -> Any:
        watch.now += seconds
        yield "item"

    for number, (part, seconds) in enumerate(steps):
        expected[part] += seconds
        if part == READING:
            assert list(times.reading(items(seconds))) == ["item"]
        elif part == PREPARING:
            watch.now += seconds
        else:
            with times.during(part):
                watch.now += seconds
        if number % often == 0:
            take()
    take()
    for part in WORKER_PARTS:
        assert told.get(part, 0) == pytest.approx(1000 * expected[part], abs=1.1)


def test_time_between_items_is_not_one_of_reading_and_errors_pass() -> None:
    watch = Watch()
    times = WorkTimes(watch)

    def broken() -> Any:
        watch.now += 1
        yield 1
        watch.now += 2
        raise KeyError("damaged")

    items = times.reading(broken())
    next(items)
    watch.now += 10
    with pytest.raises(KeyError, match="damaged"):
        next(items)
    with pytest.raises(KeyError), times.during(WRITING):
        watch.fail_after(4)
    assert times.take() == {READING: 3000, PREPARING: 10_000, WRITING: 4000}


def test_what_embedders_say_is_told_once_with_the_rest() -> None:
    watch = Watch()
    times = WorkTimes(watch)
    with times.during(WAITING):
        watch.now += 1
    times.include({EMBEDDING: 700, SPLIT: 0})
    times.include({EMBEDDING: 50, SPLIT: 2})
    assert times.take() == {WAITING: 1000, EMBEDDING: 750, SPLIT: 2}
    assert times.take() == {}


def test_batches_that_overlap_are_busy_once() -> None:
    watch = Watch()
    busy = BusyTime(watch)
    watch.now += 5  # idle
    with busy.busy():
        watch.now += 1
        with busy.busy():
            watch.now += 2
            assert busy.take() == 3000  # even of what is not done yet
        watch.now += 4
    watch.now += 8
    assert busy.take() == 4000
    assert busy.take() == 0
    with pytest.raises(KeyError), busy.busy():
        watch.fail_after(1)
    assert busy.take() == 1000


def test_measuring_costs_next_to_nothing() -> None:
    def seconds(items: Any) -> float:
        begin = time.process_time()
        for _ in items:
            pass
        return time.process_time() - begin

    number, rounds = 20_000, 5
    best = min(seconds(WorkTimes().reading(iter(range(number)))) for _ in range(rounds))
    assert best / number < MOST_PER_SAMPLE
