"""img2dataset's options: which there are, read from its source, and what curate sets them to.

Importing img2dataset takes seconds and brings OpenCV and wandb along; its signature is enough.
"""

from __future__ import annotations

import ast
import os
import resource
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from curate.config import DownloadConfig
from curate.errors import ConfigError

FIELD: Final = "download.options"

FIXED: Final = frozenset(
    {
        "url_list", "input_format", "output_folder", "output_format", "incremental_mode",
        "distributor", "subjob_size", "enable_wandb", "wandb_project",
    }
)  # fmt: skip
"""What curate decides: tables are staged by it, shards are what it reads, and nothing is sent to
anyone."""

COMPUTED_HASH: Final = "sha256"
SHARD_DIGITS: Final = 5
"""Defaults of ours for options that have no key of their own."""

THREADS: Final = 128
"""Requests at once per process: waiting costs nothing, but each takes a file handle."""

TYPES: Final[Mapping[str, Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "Optional[str]": str | None,
    "Optional[List[str]]": list[str] | None,
}
"""Annotations in img2dataset's source; what is annotated otherwise is left to img2dataset."""


@cache
def known_options() -> Mapping[str, str]:
    """Name -> annotation of the parameters of `img2dataset.download`.

    Raises:
        ConfigError: img2dataset is not installed, or its source is not as expected.
    """
    spec = find_spec("img2dataset")
    if spec is None or spec.origin is None:
        raise ConfigError("download: img2dataset is not installed; pip install 'curate[download]'")
    source = Path(spec.origin).with_name("main.py")
    try:
        module = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError) as exc:
        raise ConfigError(f"download: {source} cannot be read: {exc}; reinstall it") from exc
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name == "download":
            arguments = [*node.args.args, *node.args.kwonlyargs]
            return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in arguments}
    raise ConfigError(f"download: {source} defines no download(); install img2dataset 1.47")


def free_options() -> list[str]:
    """Options that may stand under `download.options`. Raises ConfigError."""
    return sorted(set(known_options()) - FIXED - set(DownloadConfig.model_fields))


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse options that img2dataset does not have, or that take another type.

    Raises:
        ConfigError: it names the option, and those that there are.
    """
    known = known_options()
    for name, value in given.items():
        if name in FIXED:
            raise ConfigError(f"{FIELD}.{name}: curate sets this one itself; remove it")
        if name not in known:
            raise ConfigError(
                f"{FIELD}.{name}: unknown option of img2dataset; there are"
                f" {', '.join(free_options())}"
            )
        kind = TYPES.get(known[name])
        if kind is None:
            continue
        try:
            TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as exc:
            raise ConfigError(
                f"{FIELD}.{name}: {exc.errors()[0]['msg']} (found {value!r})"
            ) from exc


def needed_columns(config: DownloadConfig) -> tuple[str, ...]:
    """Further columns of the tables that are kept, or that an option speaks of."""
    return tuple(dict.fromkeys([*config.save_additional_columns, *_spoken_of(config)]))


def _spoken_of(config: DownloadConfig) -> list[str]:
    """Columns that options name; img2dataset itself puts these with what it keeps."""
    boxes, hashes = config.options.get("bbox_col"), config.options.get("verify_hash")
    found = [boxes] if boxes else []
    return [*found, hashes[0]] if isinstance(hashes, Sequence) and hashes else found


def shard_digits(config: DownloadConfig) -> int:
    """Digits of a shard's name."""
    return int(config.options.get("oom_shard_count", SHARD_DIGITS))


def arguments(
    config: DownloadConfig,
    tables: str,
    folder: str,
    url_col: str,
    caption_col: str | None,
    kept: Sequence[str],
) -> dict[str, Any]:
    """What `img2dataset.download` is called with, JSON-ready.

    Args:
        config: the section.
        tables: folder of the staged tables.
        folder: of the shards.
        url_col, caption_col: as the staged tables call them.
        kept: columns that go into each sample's json.
    """
    named = set(DownloadConfig.model_fields) & set(known_options())
    ours = {name: getattr(config, name) for name in named}
    return ours | {
        "url_list": tables,
        "input_format": "parquet",
        "output_folder": folder,
        "output_format": "webdataset",
        "url_col": url_col,
        "caption_col": caption_col,
        "save_additional_columns": [c for c in kept if c not in _spoken_of(config)] or None,
        "encode_quality": config.quality,
        "processes_count": _processes(config),
        "thread_count": _threads(config),
        "compute_hash": COMPUTED_HASH,
        "oom_shard_count": SHARD_DIGITS,
        "incremental_mode": "incremental",
        "distributor": "multiprocessing",
        "enable_wandb": False,
        **config.options,
    }


def _processes(config: DownloadConfig) -> int:
    if config.processes_count != "auto":
        return config.processes_count
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(config: DownloadConfig) -> int:
    if config.thread_count != "auto":
        return config.thread_count
    handles = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return THREADS if handles == resource.RLIM_INFINITY else max(1, min(THREADS, handles // 2))
