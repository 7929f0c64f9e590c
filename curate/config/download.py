"""Where the pairs come from, if they are not on a disk yet: tables of URLs, for img2dataset."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from curate.config.base import Auto, Float, Frozen, Int, PositiveInt
from curate.config.sections import Places

DEFAULT_FOLDER: Final = "download"
"""Of the shards, below the run directory."""

ColumnName = Annotated[str, Field(min_length=1)]

PNG_LEVELS: Final = 9
"""Highest `encode_quality` of a PNG, where it is zlib's level."""


class DownloadConfig(Frozen):
    """Tables of URLs that are downloaded into shards by img2dataset.

    Keys that img2dataset has too mean the same as there.
    """

    urls: Places
    """Tables of URLs: files, folders, globs, braces or fsspec URLs of these, @FILE, or a list."""
    folder: Annotated[str, Field(pattern=r"^[^*?\[\]{}]+$")] | None = None
    """Where the shards go: a path or fsspec URL without wildcards; null is RUN_DIR/download."""
    format: Literal["auto", "txt", "csv", "tsv", "json", "jsonl", "parquet"] = "auto"
    """Of the tables; auto goes by the names of the files."""
    column_names: tuple[ColumnName, ...] = ()
    """Columns of csv and tsv files that have no header line, such as those of CC3M."""
    quoting: bool = True
    """Whether fields of csv and tsv files may be in double quotes."""
    url_col: ColumnName = "auto"
    """Column of the URLs; auto takes url, whatever its case."""
    caption_col: ColumnName | None = "auto"
    """Column of the captions; auto takes caption, text or alt_text, whatever their case."""
    uid_col: ColumnName | None = "auto"
    """Column of the uids, 32 hex digits; auto takes uid if there is one. Else curate derives them
    from shard and key."""
    uids: Annotated[str, Field(min_length=1)] | None = None
    """Fetch only the rows of a subset: a uids.npy, such as that of a run over the metadata."""
    save_additional_columns: tuple[ColumnName, ...] = ()
    """Further columns that go into each sample's json and the sidecar."""
    number_sample_per_shard: PositiveInt = 10_000
    """Rows of a table that become one shard, failed ones included."""
    image_size: PositiveInt = 512
    """Pixels of the side that resize_mode speaks of."""
    resize_mode: Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"] = (
        "keep_ratio_largest"
    )
    """How pictures become that size; keep_ratio_largest bounds the longer side."""
    resize_only_if_bigger: bool = True
    """Leave smaller pictures as they are."""
    encode_format: Literal["jpg", "png", "webp"] = "jpg"
    """Of the pictures in the shards."""
    encode_quality: Annotated[Int, Field(ge=0, le=100)] | None = None
    """Null is 95 for jpg and webp, and zlib's level 6 for png."""
    processes_count: Auto | PositiveInt = "auto"
    """Processes; auto is one per CPU."""
    thread_count: Auto | PositiveInt = "auto"
    """Requests at once per process; auto is 128."""
    timeout: PositiveInt = 10
    """Seconds without a byte from a server."""
    deadline: Annotated[Float, Field(gt=0.0, allow_inf_nan=False)] = 60.0
    """Seconds for a whole response, which a server that drips would stretch to days."""
    retries: Annotated[Int, Field(ge=0)] = 2
    """Further attempts at a URL that fails."""
    allow_private_addresses: bool = False
    """Fetch from addresses that are not public: a list of URLs could make this machine ask
    services that are only for its own network."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Other options of img2dataset, by its own names, e.g. `oom_shard_count: 8`."""

    @property
    def quality(self) -> int:
        """`encode_quality` as img2dataset takes it."""
        if self.encode_quality is not None:
            return self.encode_quality
        return 6 if self.encode_format == "png" else 95

    @model_validator(mode="after")
    def _keys_fit(self) -> DownloadConfig:
        if self.encode_format == "png" and self.quality > PNG_LEVELS:
            raise ValueError(
                f"download.encode_quality={self.encode_quality} is zlib's level for a png: give 0"
                f" to {PNG_LEVELS}, or remove it"
            )
        if len(set(self.column_names)) != len(self.column_names):
            raise ValueError("download.column_names: name every column once")
        if self.uids is not None and self.uid_col is None:
            raise ValueError("download.uids needs the uids of the tables; remove download.uid_col")
        if own := sorted(set(self.options) & set(type(self).model_fields)):
            raise ValueError(f"download.options.{own[0]}: write it as download.{own[0]}")
        return self


def default_folder(run_dir: str) -> str:
    """Where the shards of a run go that names no folder."""
    return f"{run_dir.rstrip('/')}/{DEFAULT_FOLDER}"


def downloaded_shards(folder: str) -> str:
    """The shards that a download leaves in a folder, as `input.shards` names them."""
    return f"{folder.rstrip('/')}/*.tar"
