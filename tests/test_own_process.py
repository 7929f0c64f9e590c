"""A process that is curate's: without pandas until somebody wants it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PREPARED = "from curate.own_process import leave_out_pandas; leave_out_pandas(); "


def told(program: str) -> str:
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_arrays_and_files_leave_pandas_out() -> None:
    program = (
        "import sys, pyarrow as pa; from curate.serialised import table_bytes; "
        "table_bytes(pa.table({'a': [1, None], 'b': ['x', 'y']})); print('pandas' in sys.modules)"
    )
    assert told(PREPARED + program) == "False"


def test_the_import_hook_is_gone_afterwards() -> None:
    pytest.importorskip("pandas")
    assert told(PREPARED + "import pandas; print(pandas.Series([1]).sum())") == "1"


def test_conversions_by_name_still_work() -> None:
    pytest.importorskip("pandas")
    program = (
        "import pyarrow as pa; frame = pa.table({'a': [1, 2]}).to_pandas(); "
        "print(pa.Table.from_pandas(frame).to_pydict())"
    )
    assert told(PREPARED + program) == "{'a': [1, 2]}"


def test_pandas_that_is_imported_stays() -> None:
    pytest.importorskip("pandas")
    program = "import pyarrow as pa; print(pa.array(pandas.Series([1.0, None])).null_count)"
    assert told("import pandas; " + PREPARED + program) == "1"
