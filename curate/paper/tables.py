"""Tables of results: Markdown to read, CSV and Parquet to compute with, JSON records to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from curate.csv_cells import csv_bytes
from curate.outputs import Store

LOW: Final = "_low"
HIGH: Final = "_high"

_NOTHING: Final = "–"
"""What a cell without a value shows."""

_DIGITS: Final = 4
"""Significant digits of a number in Markdown; CSV, Parquet and JSON keep all of them."""


@dataclass(frozen=True)
class Table:
    """One table of a report.

    Attributes:
        name: of its files, e.g. `table6`.
        title: heading, one line.
        note: what the columns mean, in which units, and what was left out; Markdown.
        columns: the numbers; strings, booleans, integers and floats only.
    """

    name: str
    title: str
    note: str
    columns: pa.Table

    @classmethod
    def of(cls, name: str, title: str, note: str, rows: Sequence[Mapping[str, Any]]) -> Table:
        """A table of row mappings; columns in the order in which they first occur."""
        names = list(dict.fromkeys(key for row in rows for key in row))
        columns = {key: [row.get(key) for row in rows] for key in names}
        return cls(name, title, note, pa.table(columns))

    def to_markdown(self) -> str:
        """A pipe table; `X`, `X_low` and `X_high` share a cell, as in `0.98 (0.97 to 0.99)`."""
        columns = {name: self.columns[name].to_pylist() for name in self.columns.column_names}
        bounds = {n + end for n in columns for end in (LOW, HIGH) if n + LOW in columns}
        shown = [name for name in columns if name not in bounds]
        marks = ("---:" if self._is_number(name) else "---" for name in shown)
        lines = [_line(map(escape, shown)), _line(marks)]
        for at in range(self.columns.num_rows):
            row = {name: values[at] for name, values in columns.items()}
            lines.append(_line(_with_interval(row, name) for name in shown))
        return "\n".join(lines) + "\n"

    def records(self) -> list[dict[str, Any]]:
        """One mapping a row, JSON-ready: what is no finite number is null."""
        return [{k: finite(v) for k, v in row.items()} for row in self.columns.to_pylist()]

    def write(self, store: Store, folder: str) -> None:
        """Write NAME.md, NAME.csv and NAME.parquet into a folder of the store."""
        text = f"# {self.title}\n\n{self.to_markdown()}\n{self.note}\n"
        store.write_bytes(f"{folder}/{self.name}.md", text.encode())
        store.write_bytes(f"{folder}/{self.name}.csv", csv_bytes(self.columns))
        store.write_table(f"{folder}/{self.name}.parquet", self.columns)

    def _is_number(self, name: str) -> bool:
        kind = self.columns.schema.field(name).type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def finite(value: Any) -> Any:
    """The value, or None for a float that is NaN or infinite, which JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def escape(text: str) -> str:
    """Text of the data as Markdown shows it: no cell, tag or emphasis of its own."""
    for mark in "\\`*_[]|":
        text = text.replace(mark, "\\" + mark)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(text.split())


def show(value: Any) -> str:
    """A value as a Markdown cell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return show_float(value)
    return escape(str(value))


def show_float(value: float) -> str:
    """Four significant digits; no exponent between 0.0001 and a million."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value))) if math.isfinite(value) else 0
    if not -5 < size < 6:
        return f"{value:.{_DIGITS - 1}e}"
    return f"{value:,.{max(0, _DIGITS - 1 - size)}f}"


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    low, high = (finite(row.get(name + end)) for end in (LOW, HIGH))
    text = show(row[name])
    return text if low is None or high is None else f"{text} ({show(low)} to {show(high)})"
