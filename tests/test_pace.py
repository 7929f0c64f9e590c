"""Speed and time left: over the last minutes, by samples, and silent where nothing tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.pace import Pace, Speed


def test_nothing_is_expected_before_the_first_shard() -> None:
    pace = Pace()
    assert pace.look(0.0, {}, 9) == Speed(None, None)
    assert pace.look(10.0, {"read": 500}, 9) == Speed(50.0, None)


def test_the_begin_without_samples_slows_nothing_down() -> None:
    pace = Pace()
    for second in range(60):
        pace.look(float(second), {}, 9)
    assert pace.look(61.0, {"read": 200}, 9).per_second == 100.0


def test_many_long_shards_at_work_count_by_their_samples() -> None:
    # 100 workers, each a shard of 1,000 samples at 10 a second: after 101 s all 100 are through,
    # and 300 are left, which is 300 s. By shards one would have said "the first one took 100 s".
    pace = Pace()
    pace.look(0.0, {}, 400)
    pace.look(99.0, {"read": 99_000}, 400)
    speed = pace.look(100.0, {"read": 100_000, "shards": 1, "finished": 1000}, 400)
    assert speed.per_second == pytest.approx(1000)
    assert speed.seconds_left == pytest.approx(300)


def test_the_last_minutes_count() -> None:
    pace, read = Pace(window=100.0), 0
    pace.look(0.0, {}, 1000)
    for second in range(1, 1001):
        read += 1000 if second <= 500 else 10
        speed = pace.look(float(second), {"read": read, "shards": read // 1000}, 1000)
    assert speed.per_second == pytest.approx(10)


def test_what_stands_still_promises_nothing() -> None:
    pace, counts = Pace(window=10.0), {"read": 100, "shards": 1}
    pace.look(0.0, {}, 9)
    for second in range(1, 30):
        speed = pace.look(float(second), counts, 9)
    assert speed == Speed(0.0, None)


def test_shards_count_where_samples_do_not() -> None:
    pace = Pace()
    pace.look(0.0, {}, 9)
    pace.look(1.0, {"shards": 1}, 9)
    assert pace.look(5.0, {"shards": 3}, 9).seconds_left == pytest.approx(6 * 5.0 / 3)


def test_an_end_has_nothing_left() -> None:
    pace = Pace()
    assert pace.look(0.0, {"shards": 9, "read": 1}, 9).seconds_left == 0.0
    assert pace.look(9.0, {"shards": 9, "read": 9}, 9).seconds_left == 0.0


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**9), st.integers(0, 99)), max_size=30),
    st.integers(0, 99),
)
def test_any_counts_give_a_number_or_none(looks: list[tuple[float, int, int]], total: int) -> None:
    pace = Pace()
    for seconds, read, shards in sorted(looks):
        speed = pace.look(seconds, {"read": read, "shards": shards}, total)
        for value in (speed.per_second, speed.seconds_left):
            assert value is None or 0 <= value < float("inf")
