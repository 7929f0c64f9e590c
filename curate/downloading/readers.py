"""Tables of URLs as Arrow batches, in bounded memory but for json, which is one value.

URLs, captions and uids are texts whatever a file may hold: `0012` is not twelve.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from curate.downloading.tables import FIELD, Table
from curate.errors import ConfigError

BATCH_ROWS: Final = 1 << 16

CSV_BLOCK: Final = 16 << 20
"""Bytes; the types of further columns are taken from the first block."""

URL: Final = "url"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How csv and tsv files are written.

    Attributes:
        column_names: of files without a header line; empty where there is one.
        quoting: whether fields may be in double quotes.
    """

    column_names: tuple[str, ...] = ()
    quoting: bool = True


@contextmanager
def explained(table: Table) -> Iterator[None]:
    """Turn what readers and drivers raise into a ConfigError that names the table."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as exc:  # drivers raise their own, unrelated classes
        told = str(exc).splitlines()[0] if str(exc) else repr(exc)
        raise ConfigError(
            f"{FIELD}: {table.url} cannot be read as {table.format}: {told}; repair or remove it,"
            " or set download.format"
        ) from exc


def column_names(table: Table, dialect: Dialect) -> tuple[str, ...]:
    """The columns of a table. Raises ConfigError if it cannot be read."""
    with explained(table), table.open() as file:
        if table.format == "txt":
            return (URL,)
        if table.format == "parquet":
            return tuple(pq.read_schema(file).names)
        if table.format in ("csv", "tsv"):
            if dialect.column_names:
                return dialect.column_names
            return tuple(_header(file, table.format, dialect))
        first = itertools.islice(_records(file, table.format), BATCH_ROWS)
        return tuple(dict.fromkeys(name for record in first for name in record))


def batches(
    table: Table, texts: Sequence[str], others: Sequence[str], dialect: Dialect
) -> Iterator[pa.RecordBatch]:
    """Read columns of a table.

    Args:
        table: to read.
        texts: columns that are read as text.
        others: columns that keep their types.
        dialect: of csv and tsv files.

    Yields:
        Batches of these columns, in this order, all of one schema.

    Raises:
        ConfigError: the table cannot be read.
    """
    names = [*texts, *others]
    with explained(table), table.open() as file:
        if table.format == "txt":
            found = _of_records(({URL: line} for line in _lines(file)), texts, others)
        elif table.format == "parquet":
            found = _of_parquet(file, names)
        elif table.format in ("csv", "tsv"):
            found = _of_csv(file, table.format, texts, names, dialect)
        else:
            found = _of_records(_records(file, table.format), texts, others)
        for batch in found:
            yield _with_texts(batch, texts)


def _with_texts(batch: pa.RecordBatch, texts: Sequence[str]) -> pa.RecordBatch:
    columns = [
        column.cast(pa.string()) if name in texts and column.type != pa.string() else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _of_parquet(file: Any, names: list[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(BATCH_ROWS, columns=names):
            yield batch.select(names)


# --- csv and tsv ------------------------------------------------------------------------------


def _parsing(kind: str, dialect: Dialect) -> pcsv.ParseOptions:
    quote = '"' if dialect.quoting else False
    delimiter = "\t" if kind == "tsv" else ","
    return pcsv.ParseOptions(
        delimiter=delimiter, quote_char=quote, newlines_in_values=dialect.quoting
    )


def _header(file: Any, kind: str, dialect: Dialect) -> list[str]:
    first = io.BytesIO(file.readline())
    names: list[str] = pcsv.read_csv(first, parse_options=_parsing(kind, dialect)).column_names
    return names


def _of_csv(
    file: Any, kind: str, texts: Sequence[str], names: list[str], dialect: Dialect
) -> Iterator[pa.RecordBatch]:
    reading = pcsv.ReadOptions(
        column_names=list(dialect.column_names) or None, block_size=CSV_BLOCK, use_threads=False
    )
    converting = pcsv.ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(texts, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    yield from pcsv.open_csv(
        file,
        read_options=reading,
        parse_options=_parsing(kind, dialect),
        convert_options=converting,
    )


# --- lines and json ---------------------------------------------------------------------------


def _lines(file: Any) -> Iterator[str]:
    """Lines that are not blank, without the blanks around them."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace") as text:
        yield from (line.strip() for line in text if line.strip())


def _records(file: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    found: Iterable[Any]
    if kind == "jsonl":
        found = (json.loads(line) for line in _lines(file))
    else:
        found = json.loads(file.read())
        if not isinstance(found, list):
            raise ValueError("it holds no list of objects")
    for record in found:
        if not isinstance(record, Mapping):
            raise ValueError(f"{str(record)[:50]!r} is no object with a URL")  # noqa: TRY004
        yield record


def _of_records(
    records: Iterable[Mapping[str, Any]], texts: Sequence[str], others: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    types: dict[str, pa.DataType] = dict.fromkeys(texts, pa.string())
    for some in _chunked(records, BATCH_ROWS):
        columns = []
        for name in [*texts, *others]:
            values = [record.get(name) for record in some]
            if name in texts:
                values = [None if v is None else str(v) for v in values]
            column = pa.array(values, types.get(name))
            if pa.types.is_null(column.type):  # nothing tells what later rows hold
                column = column.cast(pa.string())
            types[name] = column.type
            columns.append(column)
        yield pa.RecordBatch.from_arrays(columns, names=[*texts, *others])


def _chunked(records: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    found = iter(records)
    while some := list(itertools.islice(found, size)):
        yield some
