"""Tables as CSV, in which no text of the data is a formula."""

from __future__ import annotations

import io
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

_FORMULA: Final = r"^\s*[=+\-@\t\r]"
"""How a cell begins that Excel, LibreOffice or Google Sheets evaluates when it opens the file
(OWASP, CSV Injection); the last two trim white space first."""


def csv_bytes(table: pa.Table) -> bytes:
    """A table as CSV with a header.

    Captions, keys and names of columns may begin like a formula, `=HYPERLINK(...)`: such texts get
    an apostrophe in front, which makes them text. Numbers stay as they are.
    """
    columns = [_inert(column) for column in table.columns]
    names = _inert(pa.array(table.column_names, pa.string())).to_pylist()
    buffer = io.BytesIO()
    csv.write_csv(pa.table(columns, names=names), buffer)
    return buffer.getvalue()


def _inert(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    is_formula = pc.match_substring_regex(column, _FORMULA)
    apostrophe = pa.scalar("'", column.type)
    quoted = pc.binary_join_element_wise(apostrophe, column, pa.scalar("", column.type))
    return pc.if_else(is_formula, quoted, column)
