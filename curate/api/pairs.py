"""Pictures and captions as notebooks hold them, to what the engine scores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from PIL import Image

from curate.errors import SampleError
from curate.images import Picture, convert_picture, decode_picture
from curate.members import derive_uid, parse_caption
from curate.pixels import PixelSpec
from curate.samples import Rejection, Sample, SamplePolicy

KINDS: Final = (
    "a PIL image, encoded bytes, a path, a uint8 array [height, width, 3] or [height, width], or a"
    " mapping with `bytes` or `path`"
)

PLACES: Final = ("shard", "index", "key", "uid", "uid_derived", "tar_offset", "tar_size")
"""Columns of scores that say where a sample lies in a pool: pairs of a notebook lie nowhere."""


def items_of(
    images: Sequence[Any], texts: Sequence[Any], policy: SamplePolicy
) -> Iterator[Sample | Rejection]:
    """Pairs as samples, in order; what has no image or no usable caption as a rejection.

    Raises:
        ValueError: there are more of the one than of the other.
        TypeError: a caption is no text.
    """
    if len(images) != len(texts):
        raise ValueError(f"{len(images)} images and {len(texts)} texts; give as many, row by row")
    for index, (image, text) in enumerate(zip(images, texts, strict=True)):
        key = str(index)
        place = (index, key, derive_uid("", key), True)
        try:
            _check_image(image)
            caption = _caption(text, policy)
        except SampleError as exc:
            yield Rejection(*place, exc.status, exc.detail, 0, 0)
            continue
        # Whatever the image is, `picture_of` takes it.
        yield Sample(*place, cast("bytes", image), caption, {}, 0, 0)


def _check_image(image: Any) -> None:
    missing = image is None
    if isinstance(image, Mapping):  # as `datasets` holds images that it does not decode
        missing = image.get("bytes") is None and image.get("path") is None
    if missing:
        raise SampleError("missing_image", "no image was given")


def _caption(text: Any, policy: SamplePolicy) -> str:
    if text is None:
        raise SampleError("missing_text", "no caption was given")
    if not isinstance(text, str):
        raise TypeError(f"a caption is a {type(text).__name__}, expected str or None")
    return parse_caption(text.encode("utf-8", "surrogatepass"), policy.caption_bytes)


def picture_of(image: Any, max_pixels: int, spec: PixelSpec) -> Picture:
    """A picture of whatever stands for one, decoded as the commands do.

    Raises:
        SampleError: it cannot be read or decoded, or is too large.
        TypeError: it is nothing that stands for a picture.
    """
    if isinstance(image, Mapping):
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_picture(bytes(image), max_pixels, spec)
    if isinstance(image, str | os.PathLike):
        return decode_picture(_read(Path(image)), max_pixels, spec)
    if isinstance(image, Image.Image):
        return convert_picture(image, max_pixels)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3):
            return convert_picture(Image.fromarray(image), max_pixels)
        raise TypeError(f"an image is an array of shape {image.shape}; expected {KINDS}")
    kind = f"array of {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
    raise TypeError(f"an image is a {kind}; expected {KINDS}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as exc:
        raise SampleError("undecodable_image", f"{path}: {exc}"[:500]) from exc


def without_places(table: pa.Table) -> pa.Table:
    """The columns of scores that say what a pair is."""
    return table.select([name for name in table.column_names if name not in PLACES])
