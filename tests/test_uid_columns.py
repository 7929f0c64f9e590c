"""Uids out of every kind of Arrow column, against parse_uids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.numerics.keys import UID, parse_uids
from curate.uid_columns import uids_of

GOOD = [f"{i * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}" for i in range(50)]
TYPES = [pa.string(), pa.large_string(), pa.string_view()]

uid = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
entry = st.one_of(
    uid,
    st.text("0123456789abcdef", max_size=40),
    st.text(min_size=32, max_size=32),
    st.just("é" * 16),  # 32 bytes, 16 characters
    st.none(),
)


def outcome(read: Any, items: Any) -> Any:
    try:
        return read(items).tolist()
    except NumericsError as exc:
        return str(exc)


@settings(max_examples=100, deadline=None)
@given(st.lists(uid, max_size=20) | st.lists(entry, max_size=6), st.sampled_from(TYPES))
def test_it_reads_and_refuses_what_parse_uids_does(items: list[Any], kind: pa.DataType) -> None:
    expected = outcome(parse_uids, items)
    assert outcome(uids_of, pa.array(items, kind)) == expected
    assert outcome(uids_of, pa.array(items, pa.string()).dictionary_encode()) == expected
    half = len(items) // 2
    chunked = pa.chunked_array([items[:half], [], items[half:]], kind)
    assert outcome(uids_of, chunked) == expected


@pytest.mark.parametrize("kind", TYPES)
def test_slices_and_batches(kind: pa.DataType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.uid_columns.BATCH", 7)
    array = pa.array(["x", *GOOD, None], kind).slice(1, 50)
    assert uids_of(array).dtype == UID
    assert np.array_equal(uids_of(array), parse_uids(GOOD))
    assert np.array_equal(uids_of(array.slice(11, 20)), parse_uids(GOOD[11:31]))
    assert np.array_equal(uids_of(array.dictionary_encode().slice(3, 9)), parse_uids(GOOD[3:12]))


def test_a_dictionary_may_hold_what_no_row_uses() -> None:
    entries = pa.array([GOOD[0], "junk", None, GOOD[1]])
    column = pa.DictionaryArray.from_arrays(pa.array([3, 0, 0, 3], pa.int8()), entries)
    assert np.array_equal(uids_of(column), parse_uids([GOOD[i] for i in (1, 0, 0, 1)]))
    column = pa.DictionaryArray.from_arrays(pa.array([3, 2], pa.int8()), entries)
    with pytest.raises(NumericsError, match="uid None at row 1"):
        uids_of(column)


@pytest.mark.parametrize("bad", [None, "", "g" * 32, "a" * 31, "a" * 33, "٣" * 32, "é" * 16])
def test_the_first_bad_row_is_named_across_chunks(bad: str | None) -> None:
    column = pa.chunked_array([GOOD[:10], [*GOOD[10:15], bad, "worse"]], pa.string())
    with pytest.raises(NumericsError, match="at row 15: expected 32") as caught:
        uids_of(column)
    assert repr(bad) in str(caught.value)


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([b"a" * 32]), pa.array([["a"]])])
def test_other_types_are_refused(column: pa.Array) -> None:
    with pytest.raises(NumericsError, match="row 0"):
        uids_of(column)


def test_nothing_is_no_uids() -> None:
    assert len(uids_of(pa.array([], pa.string()))) == 0
    assert len(uids_of(pa.chunked_array([], pa.string()))) == 0
    assert uids_of(pa.chunked_array([], pa.string())).dtype == UID
