"""What the image tower is shown: chunks of real pairs, of placeholders and of drawings."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from curate.synthetic.drawings import draw_scene
from curate.synthetic.placeholder_texts import installed_typefaces
from curate.synthetic.placeholders import draw_placeholder
from curate.training.pairs import read_pairs

_JPEG_SHARE = 0.6  # of the placeholders get compression artefacts, as downloads have them
_JPEG_QUALITY = (40, 96)


@dataclass(frozen=True)
class Item:
    """A picture and its text: the caption, or the design of a placeholder."""

    image: Image.Image
    text: str


@dataclass(frozen=True)
class ShardChunk:
    """All pairs of one shard."""

    shard: Path

    @property
    def name(self) -> str:
        """Name in the cache; changes when the file does."""
        stat = self.shard.stat()
        return f"pairs {self.shard.resolve()} {stat.st_size} {stat.st_mtime_ns}"

    def items(self) -> Iterator[Item]:
        """Pictures and captions in the order of the shard."""
        for pair in read_pairs([self.shard]):
            yield Item(pair.image, pair.caption)


@dataclass(frozen=True)
class PlaceholderChunk:
    """Placeholders ``start`` to ``start + count`` of a seeded sequence over ``designs`` in turn."""

    seed: int
    start: int
    count: int
    designs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name in the cache."""
        return f"placeholders {self}"

    def items(self) -> Iterator[Item]:
        """Placeholders and their designs."""
        typefaces = installed_typefaces()
        for number in range(self.start, self.start + self.count):
            rng = np.random.default_rng([self.seed, 1, number])
            design = self.designs[number % len(self.designs)]
            image = draw_placeholder(rng, design=design, typefaces=typefaces)
            if rng.random() < _JPEG_SHARE:
                image = _as_jpeg(image, int(rng.integers(*_JPEG_QUALITY)))
            yield Item(image, design)


@dataclass(frozen=True)
class DrawingChunk:
    """Captioned drawings ``start`` to ``start + count`` of a seeded sequence."""

    seed: int
    start: int
    count: int

    @property
    def name(self) -> str:
        """Name in the cache."""
        return f"drawings {self}"

    def items(self) -> Iterator[Item]:
        """Drawings and their captions."""
        for number in range(self.start, self.start + self.count):
            image, caption = draw_scene(np.random.default_rng([self.seed, 2, number]))
            yield Item(image, caption)


Chunk = ShardChunk | PlaceholderChunk | DrawingChunk


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
