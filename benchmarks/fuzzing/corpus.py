"""Sound samples that mutations start from: real ones where they are, drawn ones elsewhere."""

from __future__ import annotations

import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import list_shards, open_shard
from fuzzing.tars import Members

REAL: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Where the real pairs lie, beside the checkout."""

PER_SHARD: Final = 40
"""Samples of each real shard: enough kinds of pictures, little to hold in each worker."""


@cache
def samples(real: Path = REAL) -> tuple[Members, ...]:
    """Image, caption and metadata of sound samples, the smaller ones of each real shard."""
    found: list[Members] = []
    for path in sorted(real.glob("*.tar")):
        found += _of_shard(path)
    return tuple(found or [_drawn(seed) for seed in range(PER_SHARD)])


def _of_shard(path: Path) -> list[Members]:
    (shard,) = list_shards(str(path))
    found: list[Members] = []
    with open_shard(shard) as stream:
        for item in ShardReader(stream, shard, SamplePolicy()):
            if isinstance(item, Sample) and len(item.image) < 30_000:
                told = json.dumps(item.metadata).encode()
                caption = item.caption.encode()
                found.append([("a.jpg", item.image), ("a.txt", caption), ("a.json", told)])
    return found[:: max(1, len(found) // PER_SHARD)]


def _drawn(seed: int) -> Members:
    image = _encoded(picture(seed), "JPEG", quality=85, progressive=bool(seed % 2))
    caption = f"a picture of {seed} colours, drawn"
    told = f'{{"uid": "{seed:032x}", "key": "{seed}"}}'
    return [("a.jpg", image), ("a.txt", caption.encode()), ("a.json", told.encode())]


def picture(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A smooth picture."""
    rng = random.Random(seed)
    coarse = Image.frombytes("RGB", (7, 5), rng.randbytes(105))
    return coarse.resize(size, Image.Resampling.BICUBIC)


@cache
def pictures() -> tuple[bytes, ...]:
    """One picture in every format and mode that is read."""
    image = picture(1)
    palette, grey = image.quantize(16), image.convert("L")
    alpha = image.copy()
    alpha.putalpha(grey)
    exif = Image.Exif()
    exif[274], exif[270] = 6, "x" * 40
    return (
        _encoded(image, "JPEG", exif=exif, dpi=(72, 72)),
        _encoded(image, "JPEG", progressive=True),
        _encoded(image.convert("CMYK"), "JPEG"),
        _encoded(grey, "JPEG"),
        _encoded(image, "PNG"),
        _encoded(palette, "PNG", transparency=3),
        _encoded(alpha, "PNG"),
        _encoded(grey.convert("I;16"), "PNG"),
        _encoded(image, "WEBP"),
        _encoded(alpha, "WEBP", lossless=True),
        _encoded(image, "WEBP", save_all=True, append_images=[picture(2)]),
        _encoded(palette, "GIF", save_all=True, append_images=[picture(2).quantize(16)]),
        _encoded(image, "BMP"),
        _encoded(image, "TIFF"),
        _encoded(image, "TIFF", compression="tiff_lzw"),
        _encoded(image, "TIFF", compression="jpeg"),
    )


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
