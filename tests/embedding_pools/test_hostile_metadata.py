"""Metadata that lies of itself is refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.embedding_pools.layouts import Part
from curate.embedding_pools.metadata import MetadataReader, plan_columns
from curate.embedding_pools.npy_header import read_header
from curate.embedding_pools.parquet import opened_parquet
from curate.errors import ShardError

TABLE = pa.table({"uid": [f"{i:032x}" for i in range(5)]})


def test_a_footer_that_tells_of_more_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet")
    part = Part("x", str(tmp_path / "x.parquet"), "metadata")
    with pq.ParquetFile(part.url) as file:
        columns = plan_columns(file.schema_arrow, part.layout, ())
        assert sum(block.rows for block in MetadataReader(part, file, columns).blocks(2)) == 5
        told = SimpleNamespace(metadata=SimpleNamespace(num_rows=6), iter_batches=file.iter_batches)
        reader = MetadataReader(part, cast(Any, told), columns)
        with pytest.raises(ShardError, match="5 rows of the 6 that its footer tells of"):
            list(reader.blocks(2))


def test_names_of_columns_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(TABLE.rename_columns(["uid_of_a_pair"]), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"uid_of_a_pair", b"uid_of_\xcd_pair"))
    with pytest.raises(ShardError, match=r"x\.parquet: cannot be read"), opened_parquet(str(path)):
        pass


def test_what_is_told_of_a_header_is_the_same_each_time() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3), np.float16))
    data = buffer.getvalue().replace(b"(2, 3)", b"exit()")
    with pytest.raises(ValueError, match="header is damaged") as caught:
        read_header(io.BytesIO(data))
    assert "Call object" in str(caught.value)
    assert " at 0x" not in str(caught.value)


@pytest.mark.parametrize(("width", "allowed"), [(16_384, True), (16_385, False), (1 << 40, False)])
def test_rows_of_gigabytes_are_refused_by_the_header(width: int, allowed: bool) -> None:
    text = f"{{'descr': '<f2', 'fortran_order': False, 'shape': (1, {width}), }}\n".encode()
    stream = io.BytesIO(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    if allowed:
        assert read_header(stream).width == width
    else:
        with pytest.raises(ValueError, match="at most 16384 columns"):
            read_header(stream)
