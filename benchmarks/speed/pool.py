"""A pool of natural-looking pictures with captions as long as the web's, drawn once."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDES = (300, 640)  # pixels, of either side
OCTAVES = (4, 8, 16, 32, 64, 128)  # pixels; amplitudes fall as in photographs, 1/f
GRAIN = 4.0  # levels of noise: what makes a file of some 60 kB at quality 90
DISTINCT = 96  # pictures; shards repeat them under other keys
WORDS = tuple(
    (  # noqa: SIM905 - as a text it can be read
        "the of and with in on red blue old new small wooden house river dog cat chair table"
        " vintage photo stock image view sunset city street garden mountain beach woman man child"
        " holding wearing standing beautiful modern kitchen living room design free shipping"
    ).split()
)
MEAN_WORDS = 10.0


def picture(rng: np.random.Generator) -> bytes:
    """A JPEG of 1/f noise in colour: edges, gradients and grain as a camera has them."""
    width, height = (int(n) for n in rng.integers(*SIDES, 2, endpoint=True))
    total = np.zeros((height, width, 3))
    for scale in OCTAVES:
        coarse = rng.normal(size=(max(2, height // scale), max(2, width // scale), 3))
        planes = [_enlarged(coarse[..., c], width, height) for c in range(3)]
        total += np.stack(planes, axis=-1) * scale**0.7
    total += rng.normal(size=(height, width, 1)) * GRAIN
    levels = 128 + total * (110 / np.abs(total).max())
    levels += rng.normal(size=levels.shape) * GRAIN
    out = io.BytesIO()
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def _enlarged(plane: npt.NDArray[np.float64], width: int, height: int) -> npt.NDArray[np.float32]:
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def caption(rng: np.random.Generator) -> str:
    """Some words; their number is geometric, as it roughly is in web pools."""
    count = min(60, int(rng.geometric(1 / MEAN_WORDS)))
    return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), count))


def write_pool(folder: Path, shards: int, samples: int) -> None:
    """Write `shards` shards of `samples` pairs as img2dataset does; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(shards) if not (folder / f"{n:05d}.tar").exists()]
    if not missing:
        return
    rng = np.random.default_rng(0)
    pictures = [picture(rng) for _ in range(min(DISTINCT, samples))]
    for number in missing:
        _write_shard(folder / f"{number:05d}.tar", number, samples, pictures)


def _write_shard(path: Path, number: int, samples: int, pictures: list[bytes]) -> None:
    rng = np.random.default_rng(number + 1)
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for i in range(samples):
            key, text = f"{number:05d}{i:04d}", caption(rng)
            about = {"caption": text, "key": key, "uid": f"{number:016x}{i:016x}"}
            members = {
                "jpg": pictures[(number * samples + i) % len(pictures)],
                "txt": text.encode(),
                "json": json.dumps(about).encode(),
            }
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    partial.rename(path)
