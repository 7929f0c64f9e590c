"""CSV that no spreadsheet evaluates."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest

from curate.csv_cells import csv_bytes
from curate.paper.tables import Table
from curate.sweep import tables as sweep_tables


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "=cmd|' /C calc'!A0"]
)
def test_formulas_become_text(text: str) -> None:
    found = read(csv_bytes(pa.table({"caption": [text, "a cat", None]})))
    assert found == [["caption"], ["'" + text], ["a cat"], []]


def test_what_is_no_formula_stays(tmp_path: object) -> None:
    texts = ["a=b", "1-2", "'x", "", "an e-mail: a@b", 'quoted "', "two\nlines", "猫"]
    found = read(csv_bytes(pa.table({"t": texts, "n": [-1.5] * len(texts)})))
    assert found == [["t", "n"], *([text, "-1.5"] for text in texts)]


def test_names_of_columns_and_dictionaries() -> None:
    names = pa.array(["=a", "b"], pa.large_string())
    assert read(csv_bytes(pa.table({"=x": names}))) == [["'=x"], ["'=a"], ["b"]]


def test_captions_of_the_papers_tables_and_columns_of_sweeps() -> None:
    from curate.outputs import Store

    store = Store("memory://csv-cells")
    Table.of("t", "", "", [{"text": "=HYPERLINK(1)"}]).write(store, "tables")
    assert read(store.read_bytes("tables/t.csv")) == [["text"], ["'=HYPERLINK(1)"]]
    cuts = pa.array([[("=cmd min 1", "1")]], pa.map_(pa.string(), pa.string()))
    found = sweep_tables.csv_bytes(pa.table({"thresholds": cuts}))
    assert read(found) == [["thresholds"], ["'=cmd min 1: 1"]]
