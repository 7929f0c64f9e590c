"""Values and tables as bytes: equal ones give equal bytes."""

from __future__ import annotations

import json
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.schema import REPEATING

PARQUET_OPTIONS: Final[dict[str, Any]] = {"compression": "zstd", "compression_level": 3}


def json_bytes(value: Any) -> bytes:
    """JSON with sorted keys and a newline at the end."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def table_bytes(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    repeating = [name for name in table.column_names if name in REPEATING]
    pq.write_table(table, sink, **{"use_dictionary": repeating} | PARQUET_OPTIONS | options)
    return memoryview(sink.getvalue()).tobytes()
