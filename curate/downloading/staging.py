"""Tables of URLs as img2dataset takes them: one folder of Parquet files with the same columns.

Local Parquet files that have the right columns are linked, whatever their number; everything else
is copied, column by column, in files of bounded size, since img2dataset holds a whole table.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.config import DownloadConfig
from curate.downloading.readers import Dialect, batches, column_names, explained
from curate.downloading.tables import FIELD, Table
from curate.errors import ConfigError
from curate.places import is_local

LOGGER: Final = logging.getLogger(__name__)

URL, CAPTION, UID = "url", "caption", "uid"

CAPTION_NAMES: Final = (CAPTION, "text", "alt_text")
"""What captions are called where nobody says: CC and COCO, LAION and DataComp, and others."""

COPIED_ROWS: Final = 1_000_000
"""Rows of a copied file at least, about; they are whole shards."""

_UID: Final = re.compile(r"[0-9a-fA-F]{32}")

MAX_NAMED: Final = 20
"""Columns that a complaint names."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the tables mean what; None is a column that is not there."""

    url: str
    caption: str | None
    uid: str | None
    others: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Those that are read as text."""
        return tuple(name for name in (self.url, self.caption, self.uid) if name is not None)

    @property
    def kept(self) -> tuple[str, ...]:
        """What img2dataset keeps beside URL and caption, as staged files call it."""
        return (*(() if self.uid is None else (UID,)), *self.others)


@dataclass(frozen=True, slots=True)
class Staged:
    """Tables as img2dataset takes them.

    Attributes:
        rows: of every table.
        url_col, caption_col: as the staged files call them.
    """

    rows: tuple[int, ...]
    url_col: str
    caption_col: str | None


def find_columns(
    names: Sequence[str], config: DownloadConfig, others: Sequence[str], place: str
) -> Columns:
    """Say which of a table's columns are meant.

    Args:
        names: of its columns.
        config: what is asked for.
        others: further columns that are needed.
        place: of the table, for complaints.

    Raises:
        ConfigError: a column is missing, or nothing tells which one is meant.
    """
    url = _chosen(names, config.url_col, (URL,))
    listed = ", ".join(names[:MAX_NAMED])
    if url is None:
        raise ConfigError(f"{FIELD}: {place} has no column url; give download.url_col, of {listed}")
    caption = (
        None if config.caption_col is None else _chosen(names, config.caption_col, CAPTION_NAMES)
    )
    uid = None if config.uid_col is None else _chosen(names, config.uid_col, (UID,))
    found = Columns(url, caption, uid, tuple(dict.fromkeys(others)))
    if missing := [name for name in (*found.texts, *found.others) if name not in names]:
        raise ConfigError(f"{FIELD}: {place} has no column {missing[0]!r}; it has {listed}")
    return found


def _chosen(names: Sequence[str], asked: str, usual: Sequence[str]) -> str | None:
    if asked != "auto":
        return asked
    for one in usual:
        if found := [name for name in names if name.lower() == one]:
            return found[0]
    return None


def stage(
    tables: Sequence[Table], config: DownloadConfig, others: Sequence[str], folder: Path
) -> tuple[Staged, Columns]:
    """Link or copy tables into a folder, in their order.

    Args:
        tables: at least one.
        config: which columns are meant.
        others: further columns that are needed.
        folder: an empty one.

    Raises:
        ConfigError: a table cannot be read, or has no such columns.
    """
    dialect = Dialect(config.column_names, config.quoting)
    names = [column_names(table, dialect) for table in tables]
    found = [
        find_columns(its, config, others, table.url)
        for its, table in zip(names, tables, strict=True)
    ]
    columns = found[0]
    _check_alike(tables, found)
    if columns.caption is None:
        LOGGER.warning(
            "%s has no caption column: every pair will be rejected as missing_caption; give"
            " download.caption_col",
            tables[0].url,
        )
    if len(set(found)) == 1 and all(_can_be_linked(table, columns) for table in tables):
        rows = tuple(_link(table, folder / f"{i:09d}.parquet") for i, table in enumerate(tables))
        return Staged(rows, columns.url, columns.caption), columns
    rows = tuple(
        _copy(table, its, dialect, config.number_sample_per_shard, folder / f"{i:09d}")
        for i, (table, its) in enumerate(zip(tables, found, strict=True))
    )
    return Staged(rows, URL, None if columns.caption is None else CAPTION), columns


def _check_alike(tables: Sequence[Table], found: Sequence[Columns]) -> None:
    for table, its in zip(tables, found, strict=True):
        for what in ("caption", "uid"):
            if (getattr(its, what) is None) != (getattr(found[0], what) is None):
                raise ConfigError(
                    f"{FIELD}: only one of {tables[0].url} and {table.url} has a {what} column;"
                    f" give download.{what}_col, or null for none"
                )


def _can_be_linked(table: Table, columns: Columns) -> bool:
    if table.format != "parquet" or not is_local(table.url) or columns.uid not in (None, UID):
        return False
    with explained(table):
        schema = pq.read_schema(table.url)
    return all(_is_text(schema.field(name).type) for name in columns.texts)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _link(table: Table, place: Path) -> int:
    with explained(table):
        rows = int(pq.read_metadata(table.url).num_rows)
    place.symlink_to(table.url)
    return rows


def _copy(table: Table, columns: Columns, dialect: Dialect, per_shard: int, place: Path) -> int:
    """Copy the columns of a table into files place-00000.parquet, ...; returns the rows."""
    size = per_shard * math.ceil(COPIED_ROWS / per_shard)
    names = [URL, *([] if columns.caption is None else [CAPTION]), *columns.kept]
    read = batches(table, columns.texts, columns.others, dialect)
    rows, left = 0, 0
    writer: Any = None
    try:
        for batch in _cut(read, size):
            renamed = pa.RecordBatch.from_arrays(batch.columns, names=names)
            if left == 0:
                if writer is not None:
                    writer.close()
                path = place.with_name(f"{place.name}-{rows // size:05d}.parquet")
                writer, left = pq.ParquetWriter(path, renamed.schema, compression="zstd"), size
            writer.write_batch(renamed)
            rows, left = rows + len(batch), left - len(batch)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _cut(read: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Batches none of which reaches over a multiple of `size` rows."""
    at = 0
    for batch in read:
        begin = 0
        while begin < len(batch):
            length = min(len(batch) - begin, size - at % size)
            yield batch.slice(begin, length)
            begin, at = begin + length, at + length
