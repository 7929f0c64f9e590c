"""Results ahead of time: in order, few of them, errors where they belong."""

from __future__ import annotations

import threading

import pytest

from curate.prefetch import prefetched


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_keep_the_order_and_few_are_ahead(threads: int) -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def square(n: int) -> int:
        with lock:
            begun.append(n)
        return n * n

    for at, result in enumerate(prefetched(square, range(30), threads)):
        assert result == at * at
        assert len(begun) <= at + 1 + threads
    assert sorted(begun) == list(range(30))
    assert list(prefetched(square, [])) == []


def test_an_error_comes_in_its_place_and_ends_it() -> None:
    found = prefetched(lambda n: 6 // n, [3, 2, 0, 1])
    assert [next(found), next(found)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(found)
