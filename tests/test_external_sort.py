"""External sorting against np.sort and Python's sorted, with tiny memories."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import external_sort
from curate.errors import NumericsError, OutputError
from curate.external_sort import ExternalSorter, sort_rows
from curate.numerics.keys import UID

RECORD = np.dtype([("f0", "<u8"), ("f1", "<u8"), ("ordinal", "<u4")])
PLAIN = np.dtype("<u8")

word = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.just(2**64 - 1))
small = st.integers(0, 2**32 - 1)
rows_of = {
    PLAIN: st.lists(word, max_size=60),
    UID: st.lists(st.tuples(word, word), max_size=60),
    RECORD: st.lists(st.tuples(word, word, small), max_size=60),
}


def listed(blocks: Any) -> list[Any]:
    return [row for block in blocks for row in block.tolist()]


def external(rows: np.ndarray, memory: int, block_rows: int = 7, step: int = 5) -> list[Any]:
    with ExternalSorter(rows.dtype, memory) as sorter:
        for first in range(0, len(rows), step):
            sorter.add(rows[first : first + step])
        blocks = list(sorter.merged(block_rows))
        assert all(0 < len(b) <= block_rows and b.dtype == rows.dtype for b in blocks)
        assert listed(sorter.merged(block_rows)) == listed(blocks)  # may be read again
    return listed(blocks)


@pytest.mark.parametrize("dtype", [PLAIN, UID, RECORD], ids=["plain", "uid", "record"])
@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([1, 100, 400, 2000, 1 << 20]), st.integers(1, 9))
def test_rows_come_back_sorted_whatever_the_memory(
    dtype: np.dtype, data: st.DataObject, memory: int, block_rows: int
) -> None:
    items = data.draw(rows_of[dtype])
    rows = np.array(items, dtype=dtype)
    assert external(rows, memory, block_rows) == sorted(items)
    assert sort_rows(rows).tolist() == sorted(items)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 400), st.integers(0, 63), st.booleans())
def test_larger_arrays_agree_with_numpy(seed: int, n: int, shift: int, dense: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = np.empty(n, RECORD)
    # Shifted, so that the first field ties never, sometimes or always.
    rows["f0"] = rng.integers(0, 2**64, n, dtype=np.uint64) >> np.uint64(shift)
    rows["f1"] = rng.integers(0, 3 if dense else 2**64, n, dtype=np.uint64)
    rows["ordinal"] = np.arange(n)
    expected = np.sort(rows, order=["f0", "f1", "ordinal"])
    assert np.array_equal(sort_rows(rows), expected)
    assert external(rows, 1500, 64) == expected.tolist()


@pytest.mark.parametrize("memory", [1, 1 << 12, 1 << 20])
def test_keys_that_are_all_equal(memory: int) -> None:
    rows = np.zeros(300, RECORD)
    rows["f0"], rows["f1"], rows["ordinal"] = 2**64 - 1, 7, np.arange(300)[::-1]
    assert external(rows, memory) == [(2**64 - 1, 7, i) for i in range(300)]
    assert external(np.full(300, 2**64 - 1, PLAIN), memory) == [2**64 - 1] * 300


@pytest.mark.parametrize("dtype", [PLAIN, UID])
def test_nothing_gives_no_blocks(dtype: np.dtype) -> None:
    with ExternalSorter(dtype) as sorter:
        assert list(sorter.merged()) == []
        sorter.add(np.zeros(0, dtype))
        assert list(sorter.merged()) == []


def test_many_runs_are_merged_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "FAN_IN", 3)
    rows = np.random.default_rng(0).permutation(500).astype(PLAIN)
    with ExternalSorter(PLAIN, 4 * 8 * 5) as sorter:
        sorter.add(rows)
        assert listed(sorter.merged()) == list(range(500))
        assert len(list(Path(sorter._folder.name).iterdir())) <= 3  # type: ignore[union-attr]


def test_rows_are_copied_when_they_are_taken_in() -> None:
    rows = np.array([3, 1, 2], PLAIN)
    with ExternalSorter(PLAIN) as sorter:
        sorter.add(rows)
        rows[:] = 9
        assert listed(sorter.merged()) == [1, 2, 3]
        sorter.add(np.array([0], PLAIN))
        assert listed(sorter.merged()) == [0, 1, 2, 3]


def test_memory_stays_bounded() -> None:
    import tracemalloc

    memory, rng = 4 << 20, np.random.default_rng(0)
    tracemalloc.start()
    with ExternalSorter(UID, memory) as sorter:
        for _ in range(40):  # 20 MB in all
            sorter.add(rng.integers(0, 2**64, 2 * 32768, dtype=np.uint64).view(UID))
        assert sum(len(block) for block in sorter.merged(1 << 14)) == 40 * 32768
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * memory


def fill_and_fail(fails: bool) -> None:
    with ExternalSorter(PLAIN, 64) as sorter:
        sorter.add(np.arange(100, dtype=PLAIN))
        assert list(Path(tempfile.gettempdir()).glob("*/*.run"))
        if fails:
            raise ZeroDivisionError


def test_the_temporary_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fill_and_fail(False)
    with pytest.raises(ZeroDivisionError):
        fill_and_fail(True)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    with ExternalSorter(PLAIN, 64) as sorter, monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OutputError, match=r"No space left.*TMPDIR"):
            sorter.add(np.arange(100, dtype=PLAIN))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_for_a_small_block_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: real(Path("/dev/full"), mode))
    with (
        ExternalSorter(PLAIN, 64) as sorter,
        pytest.raises(OutputError, match=r"No space left.*TMPDIR"),
    ):
        sorter.add(np.arange(100, dtype=PLAIN))


@pytest.mark.parametrize("dtype", ["<i8", "<f4", [("a", "<u8"), ("b", "<f8")], [("a", "<u8", 2)]])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(NumericsError, match="unsigned integers"):
        ExternalSorter(dtype)


def test_rows_of_another_dtype_are_refused() -> None:
    with ExternalSorter(PLAIN) as sorter:
        for rows in (np.zeros(2, np.uint32), np.zeros((2, 2), PLAIN)):
            with pytest.raises(NumericsError, match="as the sorter"):
                sorter.add(rows)
