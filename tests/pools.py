"""Pools of small shards and their configurations, for tests of whole runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from factories import sample_members, tar_bytes

from curate.config import Config, parse_config

SIZES = (13, 8, 1, 21, 5)


def shard_of(number: int, samples: int) -> bytes:
    """A shard of good samples whose keys and uids no other shard has."""
    members: list[tuple[str, bytes]] = []
    for i in range(samples):
        key = f"{number:05d}{i:04d}"
        # Every other picture in a pool is another one; captions differ in length too.
        members += sample_members(key, "so " * (i % 7) + f"thing {key}", seed=int(key) % 2**31)
    return tar_bytes(members)


def write_shards(folder: Path, sizes: Sequence[int] = SIZES) -> list[Path]:
    """Write shards 00000.tar and on; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.tar" for number in range(len(sizes))]
    for number, (path, samples) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(shard_of(number, samples))
    return paths


def config_tree(model: str, shards: Any, run_dir: Path, **sections: Any) -> dict[str, Any]:
    """A configuration for CPUs; sections are merged into it."""
    tree: dict[str, Any] = {
        "model": {"name": model, "device": "cpu"},
        "input": {"shards": shards},
        "reference": {"samples": 30},
        "output": {"run_dir": str(run_dir)},
        "compute": {"embedders": 1, "workers": 1, "batch_size": 8},
    }
    for name, value in sections.items():
        merges = isinstance(value, Mapping) and isinstance(tree.get(name), Mapping)
        tree[name] = {**tree[name], **value} if merges else value
    return tree


def config_of(model: str, shards: Any, run_dir: Path, **sections: Any) -> Config:
    """The same, validated."""
    return parse_config(config_tree(model, shards, run_dir, **sections))


def snapshot(
    folder: Path, without: frozenset[str] = frozenset({"run.json", "log.jsonl"})
) -> dict[str, str]:
    """Relative path -> sha256 of every file, but for caches of markers, which hold their times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != "markers.cache"
        and str(path.relative_to(folder)) not in without
    }


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Relative path -> inode and time of modification of every file: they change with a write."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
