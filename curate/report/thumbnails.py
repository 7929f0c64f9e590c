"""What is shown of a sample itself: caption and a small picture, from its own bytes of a shard.

Whatever is wrong with one of them is said in its place: a report is made of what can be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

from PIL import Image

from curate.errors import SampleError
from curate.images import decode_picture
from curate.members import clean_caption
from curate.originals import Original, Place, read_originals
from curate.pixels import PixelSpec
from curate.redact import redact
from curate.shards import Shard

SIDE: Final = 192
"""Pixels of the longer side of a thumbnail: 2 to 8 kB each."""

QUALITY: Final = 60
"""Of WebP."""

EFFORT: Final = 4
"""Of WebP's encoder, 0 to 6."""

CAPTION_SHOWN: Final = 500
"""Characters of a caption; what is longer is cut, and marked."""

CAPTION_BYTES: Final = 1 << 20
"""A member that claims to be a caption is not decoded beyond this."""

MOST_BYTES: Final = 64 << 20
"""Of a sample that is read for its thumbnail."""

LOOK_DIGITS: Final = 16
"""Hexadecimal digits of a picture's SHA-256 that tell it from others."""

# Twice the thumbnail, so that what the decoder of JPEGs leaves out is not missed.
_SPEC: Final = PixelSpec(size=(2 * SIDE, 2 * SIDE), resize_mode="shortest", resampling="scaled")


@dataclass(frozen=True, slots=True)
class Content:
    """What a sample holds, as far as it can be shown.

    Attributes:
        caption: at most CAPTION_SHOWN characters; None where there is none.
        caption_cut: whether there are more.
        look: equal for pictures of equal bytes; None without a picture.
        thumbnail: WebP; None where there is no picture, or it cannot be decoded.
        note: why there is no thumbnail.
        is_lost: whether the shard was asked for the sample and did not give it.
    """

    caption: str | None = None
    caption_cut: bool = False
    look: str | None = None
    thumbnail: bytes | None = None
    note: str | None = None
    is_lost: bool = False


def read_contents(
    shard: Shard, places: Mapping[int, Place], image_pixels: int, *, pictures: bool = True
) -> Iterator[tuple[int, Content]]:
    """Read some samples of one shard, in the order of their bytes.

    Args:
        shard: which.
        places: of the samples, by any number.
        image_pixels: of a picture that is decoded, by its header.
        pictures: without, only captions are looked at, and what tells pictures apart.

    Raises:
        ShardError: the shard cannot be opened.
    """
    for number, original in read_originals(shard, places, MOST_BYTES):
        yield number, content_of(original, image_pixels, pictures=pictures)


def content_of(original: Original, image_pixels: int, *, pictures: bool = True) -> Content:
    """What is shown of a sample: its first picture and its first caption.

    Args:
        original: as it was read.
        image_pixels: of a picture that is decoded.
        pictures: without, no thumbnail is made.
    """
    if original.problem is not None:
        return Content(note=redact(original.problem), is_lost=original.is_lost)
    found = Content(note="the sample holds no picture")
    if original.caption is not None:
        text = clean_caption(original.caption[:CAPTION_BYTES].decode("utf-8-sig", "replace"))
        found = replace(found, caption=text[:CAPTION_SHOWN], caption_cut=len(text) > CAPTION_SHOWN)
    image = original.image
    if image is None:
        return found
    look = hashlib.sha256(image).hexdigest()[:LOOK_DIGITS]
    if not pictures:
        return replace(found, look=look, note="left out by --no-thumbnails")
    try:
        return replace(found, look=look, thumbnail=thumbnail_of(image, image_pixels), note=None)
    except SampleError as exc:
        return replace(found, look=look, note=f"{exc.status}: {exc.detail}")


def thumbnail_of(image: bytes, image_pixels: int) -> bytes:
    """Decode a picture of unknown origin and encode it small, as WebP.

    Raises:
        SampleError: it cannot be decoded, or has more pixels than that.
    """
    picture = Image.fromarray(decode_picture(image, image_pixels, _SPEC).pixels)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    encoded = BytesIO()
    picture.save(encoded, "WEBP", quality=QUALITY, method=EFFORT)
    return encoded.getvalue()


def unread(numbers: Iterable[int], note: str) -> list[tuple[int, Content]]:
    """What is shown of samples whose shard is not read."""
    return [(number, Content(note=note)) for number in numbers]
