"""Columns come back from the disk as they were, as far as there is room."""

from __future__ import annotations

import numpy as np
import pytest

from curate.column_spool import ColumnSpool


def test_blocks_come_back_as_often_as_wanted_and_those_of_some_shards_alone() -> None:
    rng = np.random.default_rng(0)
    spool = ColumnSpool(1 << 20)
    blocks = []
    for first, rows in ((0, 5), (2, 0), (4, 7)):
        shards, starts = np.array([first, first + 1]), np.array([0, rows // 2, rows])
        columns = [rng.random(rows) < 0.5, rng.random(2 * rows)[::2], np.arange(rows, dtype="f4")]
        assert spool.add(shards, starts, columns)
        blocks.append((shards, starts, columns))
    under_way = spool.read()
    next(under_way)
    for wanted, expected in ((None, blocks), ([5], blocks[2:]), ([0, 3], blocks[:2]), ([9], [])):
        found = list(spool.read(wanted))
        assert len(found) == len(expected)
        for (shards, starts, columns), (a, b, arrays) in zip(found, expected, strict=True):
            assert np.array_equal(shards, a)
            assert np.array_equal(starts, b)
            for column, array in zip(columns, arrays, strict=True):
                assert column.dtype == array.dtype
                assert np.array_equal(column, array)
    assert [len(columns[0]) for _, _, columns in under_way] == [0, 7]


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    block = np.arange(2), np.array([0, 1, 4]), [np.zeros(4, np.float32)]
    spool = ColumnSpool(16)
    assert spool.add(*block)
    assert not spool.add(*block)
    full = ColumnSpool(1 << 20)
    with open("/dev/full", "wb", buffering=0) as device:  # noqa: PTH123
        monkeypatch.setattr(full, "_file", device)
        assert not full.add(*block)
