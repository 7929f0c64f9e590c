"""Pools of drawn pairs in img2dataset's layout, with the ground truth kept aside.

A pool holds good pairs (a drawing and what it shows), placeholders (the picture of a pair replaced
by an "image not found", the caption left as it was) and scrubbed captions (the caption of a pair
replaced by one that says nothing, the picture left as it was). Which is which stands in a separate
file: nothing inside the pool gives it away.

Writing is deterministic: equal specifications give equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curate.errors import ConfigError
from curate.synthetic.drawings import SCENE_KINDS, draw_kind
from curate.synthetic.placeholders import PLACEHOLDER_DESIGNS, draw_placeholder
from curate.synthetic.scrubbed import SCRUBBED_FAMILIES, scrubbed_caption

GOOD: Final = "good"
PLACEHOLDER: Final = "placeholder"
SCRUBBED: Final = "scrubbed"

WRITTEN_AT: Final = 1_700_000_000
"""Seconds since the epoch; the same for every pool, because equal pools must be equal bytes."""

MIN_SIDE: Final = 32  # pixels; smaller scenes and placeholders cannot be told apart by anyone
MAX_ASPECT: Final = 1.45  # longer side over shorter; scenes are composed for about this much
PER_SHARD_LIMIT: Final = 10_000  # a key has four digits for the place in the shard
REDRAWS: Final = 50  # attempts at a pair that differs from all before; one or two suffice
PLAIN_PICTURES: Final = 256  # distinct pictures in the shards of `write_plain_shards`

_SIDECAR: Final = pa.schema(
    [
        *((n, pa.string()) for n in ("uid", "caption", "url", "key", "status", "error_message")),
        *((n, pa.int32()) for n in ("width", "height", "original_width", "original_height")),
        *((n, pa.string()) for n in ("exif", "sha256", "source", "license", "attribution")),
    ]
)
_TRUTH: Final = pa.schema([(n, pa.string()) for n in ("uid", "key", "shard", "label", "design")])


@dataclass(frozen=True)
class PoolSpec:
    """What a pool holds.

    Attributes:
        pairs: number of pairs in all.
        shards: number of tar files they are spread over, evenly.
        placeholders: share of the pairs whose picture is a placeholder, in [0, 1].
        scrubbed: share of the pairs whose caption says nothing, in [0, 1].
        seed: decides everything else.
        sides: smallest and largest width and height, pixels.
        jpeg_quality: Pillow's, 1 to 95.

    Raises:
        ConfigError: a value is out of range.
    """

    pairs: int = 600
    shards: int = 4
    placeholders: float = 0.06
    scrubbed: float = 0.06
    seed: int = 0
    sides: tuple[int, int] = (192, 320)
    jpeg_quality: int = 88

    def __post_init__(self) -> None:
        low, high = self.sides
        shares = (self.placeholders, self.scrubbed)
        largest_shard = -(-self.pairs // max(self.shards, 1))
        for field, value, allowed, fits in (
            ("pairs", self.pairs, "at least 1", self.pairs >= 1),
            ("shards", self.shards, "1 to pairs", 1 <= self.shards <= self.pairs),
            ("shards", self.shards, "enough", largest_shard <= PER_SHARD_LIMIT),
            ("placeholders", self.placeholders, "in [0, 1]", 0 <= self.placeholders <= 1),
            ("scrubbed", self.scrubbed, "in [0, 1]", 0 <= self.scrubbed <= 1),
            ("placeholders + scrubbed", sum(shares), "at most 1", sum(shares) <= 1),
            ("seed", self.seed, "at least 0", self.seed >= 0),
            ("sides", self.sides, f"{MIN_SIDE} <= low <= high", MIN_SIDE <= low <= high),
            ("jpeg_quality", self.jpeg_quality, "1 to 95", 1 <= self.jpeg_quality <= 95),
        ):
            if not fits:
                raise ConfigError(f"pool: {field} is {value!r}; allowed: {allowed}")


@dataclass(frozen=True)
class _Pair:
    """One pair as it is written."""

    uid: str
    key: str
    jpeg: bytes
    caption: str
    size: tuple[int, int]

    def metadata(self) -> dict[str, Any]:
        width, height = self.size
        return {
            "uid": self.uid,
            "caption": self.caption,
            "url": f"https://pictures.example/{self.uid[:2]}/{self.uid[2:14]}.jpg",
            "key": self.key,
            "status": "success",
            "error_message": None,
            "width": width,
            "height": height,
            "original_width": width,
            "original_height": height,
            "exif": "{}",
            "sha256": hashlib.sha256(self.jpeg).hexdigest(),
            "source": "curate.synthetic",
            "license": "Apache-2.0",
            "attribution": "drawn by curate",
        }


def write_pool(folder: Path, spec: PoolSpec, truth: Path) -> Path:
    """Draw a pool and write it as shards with their sidecars.

    Args:
        folder: receives ``00000.tar``, ``00000.parquet``, ``00000_stats.json``, ...; created.
        spec: what to draw.
        truth: Parquet file for the ground truth: ``uid``, ``key``, ``shard``, ``label`` (good,
            placeholder, scrubbed) and ``design`` (kind of scene, placeholder or caption).

    Returns:
        ``folder``.

    Raises:
        ConfigError: ``truth`` lies inside ``folder``, or no new pair could be drawn.
    """
    if truth.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"truth: {truth} lies inside the pool {folder}; keep it elsewhere")
    labels = _labels(spec)
    rows: list[dict[str, str]] = []
    seen: set[str] = set()
    for shard, indices in enumerate(np.array_split(np.arange(spec.pairs), spec.shards)):
        pairs = []
        for place, index in enumerate(int(i) for i in indices):
            pair, design = _draw(spec, index, f"{shard:05d}{place:04d}", labels[index], seen)
            pairs.append(pair)
            values = (pair.uid, pair.key, f"{shard:05d}", labels[index], design)
            rows.append(dict(zip(_TRUTH.names, values, strict=True)))
        _write_shard(folder, shard, pairs)
    truth.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_TRUTH), truth, compression="zstd")
    return folder


def write_plain_shards(
    folder: Path, shards: int, samples_per_shard: int, *, size: int = 64, seed: int = 0
) -> list[Path]:
    """Write many small pairs quickly, for measuring: noisy textures under made-up captions.

    Keys, uids and captions are unique; the pictures are drawn from a small stock.

    Args:
        folder: receives the shards; created.
        shards: number of tar files.
        samples_per_shard: pairs in each, at most 10,000.
        size: width and height, pixels.
        seed: decides pictures and captions.

    Returns:
        The tar files in order.

    Raises:
        ConfigError: a number is out of range.
    """
    if shards < 1 or not 1 <= samples_per_shard <= PER_SHARD_LIMIT or size < 1:
        raise ConfigError(
            f"plain shards: {shards} shards of {samples_per_shard} pairs of {size} pixels;"
            f" allowed: at least 1 of each, at most {PER_SHARD_LIMIT} pairs in a shard"
        )
    rng = np.random.default_rng(seed)
    stock = [_jpeg(_texture(rng, size), 85) for _ in range(PLAIN_PICTURES)]
    paths = []
    for shard in range(shards):
        chosen = rng.integers(0, PLAIN_PICTURES, samples_per_shard)
        kinds = rng.integers(0, len(SCENE_KINDS), (samples_per_shard, 2))
        pairs = [
            _Pair(
                uid=_uid("plain", seed, shard, place),
                key=f"{shard:05d}{place:04d}",
                jpeg=stock[int(chosen[place])],
                caption=f"{SCENE_KINDS[int(first)]} and {SCENE_KINDS[int(second)]},"
                f" number {shard * samples_per_shard + place}",
                size=(size, size),
            )
            for place, (first, second) in enumerate(kinds)
        ]
        paths.append(_write_shard(folder, shard, pairs))
    return paths


def _labels(spec: PoolSpec) -> list[str]:
    """The label of every pair; the shares are met to the nearest pair."""
    placeholders = round(spec.pairs * spec.placeholders)
    scrubbed = min(round(spec.pairs * spec.scrubbed), spec.pairs - placeholders)
    labels = [PLACEHOLDER] * placeholders + [SCRUBBED] * scrubbed
    labels += [GOOD] * (spec.pairs - len(labels))
    order = np.random.default_rng([spec.seed, 0]).permutation(spec.pairs)
    return [labels[int(i)] for i in order]


def _draw(spec: PoolSpec, index: int, key: str, label: str, seen: set[str]) -> tuple[_Pair, str]:
    """One pair and its design; its picture and a good caption differ from all in ``seen``."""
    rng = np.random.default_rng([spec.seed, 1, index])
    for _ in range(REDRAWS):
        size = _size(rng, *spec.sides)
        design = SCENE_KINDS[int(rng.integers(len(SCENE_KINDS)))]
        image, caption = draw_kind(rng, design, size)
        if label == PLACEHOLDER:
            design = PLACEHOLDER_DESIGNS[int(rng.integers(len(PLACEHOLDER_DESIGNS)))]
            image = draw_placeholder(rng, size, design=design)
        elif label == SCRUBBED:
            design = SCRUBBED_FAMILIES[int(rng.integers(len(SCRUBBED_FAMILIES)))]
            caption = scrubbed_caption(rng, family=design)
        jpeg = _jpeg(image, spec.jpeg_quality)
        marks = {hashlib.sha256(jpeg).hexdigest()} | ({caption} if label != SCRUBBED else set())
        if label == PLACEHOLDER or not marks & seen:
            # The same placeholder may well come twice, as it does on the web.
            seen |= marks
            return _Pair(_uid("pool", spec.seed, index), key, jpeg, caption, size), design
    raise ConfigError(
        f"pool: no new pair found in {REDRAWS} attempts at pair {index} of {spec.pairs};"
        " ask for fewer pairs, or draw several pools of different seeds"
    )


def _size(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    shorter = int(rng.integers(low, high + 1))
    longer = int(rng.integers(shorter, min(high, int(shorter * MAX_ASPECT)) + 1))
    return (longer, shorter) if float(rng.random()) < 0.6 else (shorter, longer)


def _texture(rng: np.random.Generator, size: int) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    grain = rng.standard_normal((size, size, 1), dtype=np.float32) * 12
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _uid(*parts: str | int) -> str:
    """32 hexadecimal digits, as DataComp's."""
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()[:32]


def _members(pairs: Iterable[_Pair]) -> Iterator[tuple[str, bytes]]:
    for pair in pairs:
        yield f"{pair.key}.jpg", pair.jpeg
        yield f"{pair.key}.json", json.dumps(pair.metadata(), indent=4).encode()
        yield f"{pair.key}.txt", pair.caption.encode()


def _write_shard(folder: Path, number: int, pairs: list[_Pair]) -> Path:
    """Write one tar with its sidecar and statistics; the tar appears whole, and last."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{number:05d}"
    table = pa.Table.from_pylist([p.metadata() for p in pairs], schema=_SIDECAR)
    pq.write_table(table, folder / f"{stem}.parquet", compression="zstd")
    stats = {
        "count": len(pairs),
        "successes": len(pairs),
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "duration": 0.0,
        "start_time": float(WRITTEN_AT),
        "end_time": float(WRITTEN_AT),
        "status_dict": {"success": len(pairs)},
    }
    (folder / f"{stem}_stats.json").write_text(json.dumps(stats, indent=4))
    final, partial = folder / f"{stem}.tar", folder / f"{stem}.tar.partial"
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in _members(pairs):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), WRITTEN_AT, 0o644
            tar.addfile(member, io.BytesIO(data))
    partial.replace(final)
    return final
