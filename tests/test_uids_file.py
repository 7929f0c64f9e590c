"""uids.npy against np.save and np.unique."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError, OutputError
from curate.numerics.keys import UID
from curate.outputs import Store
from curate.uids_file import read_uids, write_uids

pairs = st.tuples(st.integers(0, 3), st.integers(0, 2) | st.integers(2**63, 2**64 - 1))


def saved(uids: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, uids, allow_pickle=False)
    return buffer.getvalue()


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    local = request.param == "local"
    store = Store(str(tmp_path) if local else f"memory://{uuid.uuid4().hex}/run")
    yield store
    store.remove("")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(pairs, max_size=30), st.integers(1, 6))
def test_the_bytes_are_those_of_numpy(
    store: Store, items: list[tuple[int, int]], step: int
) -> None:
    rows = np.array(sorted(items), UID)
    blocks = [rows[i : i + step] for i in range(0, len(rows), step)]
    count = write_uids(store, "subsets/a/uids.npy", iter([rows[:0], *blocks]))
    expected = np.unique(rows)
    assert count == len(expected)
    assert store.read_bytes("subsets/a/uids.npy") == saved(expected)
    found = read_uids(store, "subsets/a/uids.npy")
    assert found.dtype == UID
    assert np.array_equal(found, expected)
    assert not found.flags.writeable


def test_a_local_file_is_mapped_not_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write_uids(store, "uids.npy", [np.array([(1, 2), (3, 4)], UID)])
    assert isinstance(read_uids(store, "uids.npy").base, np.memmap)


@pytest.mark.parametrize("items", [[(2, 0), (1, 9)], [(1, 2), (1, 1)]])
@pytest.mark.parametrize("step", [1, 2])
def test_blocks_out_of_order_are_refused(
    tmp_path: Path, items: list[tuple[int, int]], step: int
) -> None:
    rows = np.array(items, UID)
    with pytest.raises(NumericsError, match=r"uid 0+10+\d follows .*ascending"):
        write_uids(Store(str(tmp_path)), "u.npy", [rows[i : i + step] for i in (0, step)])
    assert list(tmp_path.iterdir()) == []


def test_other_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="parse_uids"):
        write_uids(Store(str(tmp_path)), "u.npy", [np.zeros(3, "<u8")])


BROKEN: dict[str, tuple[Any, str]] = {
    "missing": (None, "is missing"),
    "empty": (b"", "holds no uids"),
    "junk": (b"junk" * 9, "holds no uids"),
    "cut": (saved(np.zeros(9, UID))[:-5], "holds no uids"),
    "objects": (b"", "holds no uids"),
    "two dimensions": (saved(np.zeros((2, 2), UID)), r"2-d"),
    "plain": (saved(np.zeros(2, "<u8")), "uint64"),
    "big-endian": (saved(np.zeros(2, ">u8,>u8")), ">u8"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_what_is_no_subset_is_refused_by_name(store: Store, kind: str) -> None:
    data, told = BROKEN[kind]
    if kind == "objects":
        buffer = io.BytesIO()
        np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
        data = buffer.getvalue()
    if data is not None:
        store.write_bytes("u.npy", data)
    with pytest.raises(OutputError, match=rf"u\.npy.*{told}"):
        read_uids(store, "u.npy")
