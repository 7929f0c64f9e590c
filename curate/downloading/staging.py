"""Tables of URLs as img2dataset takes them: one folder of Parquet files with the same columns.

Local Parquet files that have the right columns are linked, whatever their number; everything else
is copied, column by column, in files of bounded size, since img2dataset holds a whole table.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.config import DownloadConfig
from curate.downloading.readers import Dialect, batches, column_names, explained
from curate.downloading.tables import FIELD, Table
from curate.errors import ConfigError, NumericsError
from curate.numerics.keys import UidArray
from curate.places import is_local
from curate.uid_columns import uids_of
from curate.uids_file import contains

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
        url_col, caption_col, kept: as the staged files call them; `kept` are the others.
    """

    rows: tuple[int, ...]
    url_col: str
    caption_col: str | None
    kept: tuple[str, ...]


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
    found = Columns(url, caption, uid, ())
    further = [name for name in dict.fromkeys(others) if name not in found.texts]
    found = replace(found, others=tuple(further))
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


def find_all(
    tables: Sequence[Table], config: DownloadConfig, others: Sequence[str]
) -> list[Columns]:
    """The columns of every table; all of them have captions, or uids, or none has.

    Args:
        tables: at least one.
        config: which columns are meant.
        others: further columns that are needed.

    Raises:
        ConfigError: a table cannot be read, or has no such columns.
    """
    found = [
        find_columns(column_names(table, _dialect(config)), config, others, table.url)
        for table in tables
    ]
    for table, columns in zip(tables, found, strict=True):
        for what in ("caption", "uid"):
            if (getattr(columns, what) is None) != (getattr(found[0], what) is None):
                raise ConfigError(
                    f"{FIELD}: only one of {tables[0].url} and {table.url} has a {what} column;"
                    f" give download.{what}_col, or null for none"
                )
    if config.uids is not None and found[0].uid is None:
        raise ConfigError(f"download.uids: {tables[0].url} has no uids; give download.uid_col")
    if found[0].caption is None:
        LOGGER.warning(
            "%s has no caption column: every pair will be rejected as missing_caption; give"
            " download.caption_col",
            tables[0].url,
        )
    return found


def _dialect(config: DownloadConfig) -> Dialect:
    return Dialect(config.column_names, config.quoting)


def stage(
    tables: Sequence[Table],
    found: Sequence[Columns],
    config: DownloadConfig,
    folder: Path,
    chosen: UidArray | None = None,
) -> Staged:
    """Link or copy tables into a folder, in their order.

    Args:
        tables, found: and their columns, from `find_all`.
        config: how they are written, and become shards.
        folder: an empty one.
        chosen: UID [n], ascending: the rows that are meant; all of them if None.

    Raises:
        ConfigError: a table cannot be read.
    """
    first = found[0]
    if chosen is None and _can_be_linked(tables, found):
        rows = tuple(_link(table, folder / f"{i:09d}.parquet") for i, table in enumerate(tables))
        return Staged(rows, first.url, first.caption, first.kept)
    copied = []
    for i, (table, columns) in enumerate(zip(tables, found, strict=True)):
        read = batches(table, columns.texts, columns.others, _dialect(config))
        if chosen is not None:
            read = _only(chosen, read, columns, table)
        copied.append(_copy(read, columns, config.number_sample_per_shard, folder / f"{i:09d}"))
    return Staged(tuple(copied), URL, None if first.caption is None else CAPTION, first.kept)


def _can_be_linked(tables: Sequence[Table], found: Sequence[Columns]) -> bool:
    """Whether img2dataset can take the tables as they are."""
    if len(set(found)) > 1 or found[0].uid not in (None, UID):
        return False
    if not all(table.format == "parquet" and is_local(table.url) for table in tables):
        return False
    for table in tables:
        with explained(table):
            schema = pq.read_schema(table.url)
        if not all(_is_text(schema.field(name).type) for name in found[0].texts):
            return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _link(table: Table, place: Path) -> int:
    with explained(table):
        rows = int(pq.read_metadata(table.url).num_rows)
    place.symlink_to(table.url)
    return rows


def _only(
    chosen: UidArray, read: Iterator[pa.RecordBatch], columns: Columns, table: Table
) -> Iterator[pa.RecordBatch]:
    """The rows whose uid is among the chosen ones. Raises ConfigError for a uid that is none."""
    for batch in read:
        try:
            uids = uids_of(batch.column(columns.uid))
        except NumericsError as exc:
            raise ConfigError(f"download.uids: {table.url}: {exc}; repair the table") from exc
        yield batch.filter(pa.array(contains(chosen, uids)))


def _copy(read: Iterator[pa.RecordBatch], columns: Columns, per_shard: int, place: Path) -> int:
    """Write batches of the columns to files place-00000.parquet, ...; returns the rows."""
    size = per_shard * math.ceil(COPIED_ROWS / per_shard)
    names = [URL, *([] if columns.caption is None else [CAPTION]), *columns.kept]
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
