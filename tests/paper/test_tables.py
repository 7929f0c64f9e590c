"""Tables as they are written and read back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.outputs import Store
from curate.paper.tables import Table, escape, show

ROWS = [
    {"name": "a|b <PERSON>", "r2": 0.98765, "r2_low": 0.98, "r2_high": 0.99, "n": 1200},
    {"name": "", "r2": float("nan"), "r2_low": float("nan"), "r2_high": float("nan"), "n": 3},
]


def test_markdown_joins_intervals_and_escapes_the_data() -> None:
    lines = Table.of("t", "Title", "note", ROWS).to_markdown().splitlines()
    assert lines[0] == "| name | r2 | n |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == r"| a\|b &lt;PERSON&gt; | 0.9877 (0.9800 to 0.9900) | 1,200 |"
    assert lines[3] == "|  | – | 3 |"


def test_files_hold_every_digit(tmp_path: Path) -> None:
    table = Table.of("t", "Title", "note", ROWS)
    table.write(Store(str(tmp_path)), "tables")
    read = list(csv.DictReader(io.StringIO((tmp_path / "tables/t.csv").read_text())))
    assert float(read[0]["r2"]) == 0.98765
    assert read[0]["name"] == "a|b <PERSON>"
    parquet = pq.read_table(tmp_path / "tables/t.parquet")
    assert parquet.schema == table.columns.schema
    assert repr(parquet.to_pylist()) == repr(ROWS)  # NaN equals nothing
    assert (tmp_path / "tables/t.md").read_text().startswith("# Title\n\n| name |")


def test_records_are_json_without_nan() -> None:
    records = Table.of("t", "", "", ROWS).records()
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert records[1]["r2"] is None
    assert records[0]["n"] == 1200


@given(st.text())
def test_a_cell_stays_a_cell(text: str) -> None:
    cell = escape(text)
    assert "\n" not in cell
    assert "<" not in cell
    # Every pipe has an odd number of backslashes before it.
    for at, mark in enumerate(cell):
        before = cell[:at]
        if mark == "|":
            assert (len(before) - len(before.rstrip("\\"))) % 2 == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (1.0, "1.000"),
        (0.00123456, "0.001235"),
        (123456.7, "123,457"),
        (1.5e-9, "1.500e-09"),
        (2.5e12, "2.500e+12"),
        (float("inf"), "inf"),
        (True, "yes"),
        (12000, "12,000"),
        ("x", "x"),
    ],
)
def test_numbers_are_shown_to_four_digits(value: object, text: str) -> None:
    assert show(value) == text
