"""The noisy pool as shards in img2dataset's layout, its ground truth beside it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import ConfigError, ShardError
from curate.synthetic.placeholders import PLACEHOLDER_DESIGNS
from curate.synthetic.pool import WRITTEN_AT
from curate.training.pairs import read_captions
from curate.training.sources import PlaceholderChunk
from minicomping.config import MiniCompConfig
from minicomping.noise import OWN_PICTURE, NoisePlan, plan_noise

JPEG_QUALITY: Final = 90


@dataclass(frozen=True)
class Picture:
    """An encoded picture and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class NoisyPool:
    """A pool on the disk.

    Attributes:
        shards: the tars, in order.
        uids: hex digits of every pair, in the shards' order.
        captions: its text.
        kinds: what was done to it, one of `noise.KINDS`; the ground truth.
    """

    shards: tuple[Path, ...]
    uids: tuple[str, ...]
    captions: tuple[str, ...]
    kinds: tuple[str, ...]


def shards_of(pattern: str) -> list[Path]:
    """The files of a glob, sorted. Raises ConfigError if there are none."""
    folder, _, name = pattern.rpartition("/")
    found = sorted(Path(folder or ".").glob(name))
    if not found:
        raise ConfigError(f"{pattern}: no such shards; set `pairs` and `evaluation` to yours")
    return found


def write_pool(config: MiniCompConfig, folder: Path) -> NoisyPool:
    """Write the noisy pool, unless it is there, and read what it holds.

    Args:
        config: names the clean pairs, the noise and the seed.
        folder: receives `pool/*.tar`, `truth.parquet` beside them, and `pool.json`, which is
            written last and says what the pool was made of.

    Raises:
        ConfigError: the folder holds a pool of another configuration.
        ShardError: a clean pair is incomplete.
    """
    sources = shards_of(config.pairs)
    recipe = {
        "sources": [[source.name, source.stat().st_size] for source in sources],
        "noise": config.noise.model_dump(),
        "seed": config.seed,
    }
    note, truth = folder / "pool.json", folder / "truth.parquet"
    if not note.exists():
        (folder / "pool").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(_write_shards(config, sources, folder / "pool")), truth)
        note.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    elif json.loads(note.read_text(encoding="utf-8")) != recipe:
        raise ConfigError(f"{folder} holds another pool; delete it or give another work_dir")
    table = pq.read_table(truth)
    columns = (tuple(table[name].to_pylist()) for name in ("uid", "caption", "kind"))
    return NoisyPool(tuple(folder / "pool" / source.name for source in sources), *columns)


def _write_shards(
    config: MiniCompConfig, sources: Sequence[Path], folder: Path
) -> list[dict[str, str]]:
    """Write every shard; the ground truth, a row a pair."""
    plan = plan_noise(list(read_captions(sources)), config.noise, config.seed)
    stock = draw_stock(config.noise.stock, config.seed)
    rows, at = list[dict[str, str]](), 0
    for source in sources:
        samples = list(_samples(source))
        changed = [_changed(s, plan, stock, at + i) for i, s in enumerate(samples)]
        _write_shard(folder / source.name, changed)
        for i, (key, metadata, _) in enumerate(changed):
            row = {"uid": metadata["uid"], "key": key, "shard": source.stem}
            rows.append({**row, "caption": plan.captions[at + i], "kind": plan.kinds[at + i]})
        at += len(samples)
    return rows


def draw_stock(count: int, seed: int) -> list[Picture]:
    """Placeholders as files, of all designs in turn."""
    found = []
    for item in PlaceholderChunk(seed, 0, count, PLACEHOLDER_DESIGNS).items():
        buffer = io.BytesIO()
        item.image.save(buffer, "JPEG", quality=JPEG_QUALITY)
        found.append(Picture(buffer.getvalue(), *item.image.size))
    return found


Sample = tuple[str, dict[str, Any], dict[str, bytes]]
"""Key, metadata, and the other members by suffix."""


def _samples(shard: Path) -> Iterator[Sample]:
    with tarfile.open(shard) as archive:
        for key, group in groupby(archive, lambda member: member.name.partition(".")[0]):
            members = dict[str, bytes]()
            for member in group:
                stream = archive.extractfile(member)
                if stream is not None:
                    members[member.name.partition(".")[2]] = stream.read()
            if not {"txt", "json"} <= set(members):
                raise ShardError(f"{shard}: sample {key!r} lacks its txt or json; repair the shard")
            yield key, json.loads(members.pop("json")), members


def _changed(sample: Sample, plan: NoisePlan, stock: Sequence[Picture], at: int) -> Sample:
    """The pair as the noisy pool has it; nothing in it says that it was changed."""
    key, metadata, members = sample
    caption, number = plan.captions[at], int(plan.pictures[at])
    metadata = {**metadata, "caption": caption}
    members = {**members, "txt": caption.encode()}
    if number != OWN_PICTURE:
        picture = stock[number]
        size = {"width": picture.width, "height": picture.height}
        metadata |= size | {f"original_{name}": value for name, value in size.items()}
        metadata["sha256"] = hashlib.sha256(picture.jpeg).hexdigest()
        members = {"txt": members["txt"], "jpg": picture.jpeg}
    return key, metadata, members


def _write_shard(path: Path, samples: Sequence[Sample]) -> None:
    """Write a tar and its sidecar; equal samples give equal bytes."""
    table = pa.Table.from_pylist([{**metadata, "key": key} for key, metadata, _ in samples])
    pq.write_table(table, path.with_suffix(".parquet"))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, metadata, members in samples:
            members = {**members, "json": json.dumps(metadata, indent=4).encode()}
            for suffix, data in sorted(members.items()):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size, member.mtime, member.mode = len(data), WRITTEN_AT, 0o644
                archive.addfile(member, io.BytesIO(data))
