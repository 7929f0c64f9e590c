"""What is shown of a sample itself: caption and a small picture, from its own bytes of a shard.

Only the byte ranges of samples that are shown are read. Whatever is wrong with one of them is said
in its place: a report is made of what can be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

from PIL import Image

from curate.errors import CurateError, SampleError, ShardError
from curate.images import decode_picture
from curate.members import clean_caption, split_name
from curate.pixels import PixelSpec
from curate.redact import redact
from curate.samples import IMAGE_EXTENSIONS, TEXT_EXTENSION
from curate.shards import Shard, open_shard, read_range
from curate.tar import TarReader

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
    """

    caption: str | None = None
    caption_cut: bool = False
    look: str | None = None
    thumbnail: bytes | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample lies: a number to know it by, its first byte in the shard, and its bytes."""

    number: int
    offset: int
    size: int


def read_contents(
    shard: Shard, places: Sequence[Place], image_pixels: int, *, pictures: bool = True
) -> Iterator[tuple[int, Content]]:
    """Read some samples of one shard, in the order of their bytes.

    Args:
        shard: which.
        places: of the samples.
        image_pixels: of a picture that is decoded, by its header.
        pictures: without, only captions are looked at, and what tells pictures apart.

    Raises:
        ShardError: the shard cannot be opened.
    """
    with open_shard(shard, ahead=False) as file:
        for place in sorted(places, key=lambda one: one.offset):
            if place.size > MOST_BYTES:
                note = f"not read: {place.size:,} bytes; a thumbnail takes at most {MOST_BYTES:,}"
                yield place.number, Content(note=note)
                continue
            try:
                data = read_range(file, place.offset, place.size)
                yield place.number, content_of(data, image_pixels, pictures=pictures)
            except ShardError as exc:
                yield place.number, Content(note=redact(str(exc)))


def content_of(data: bytes, image_pixels: int, *, pictures: bool = True) -> Content:
    """What the members of a sample hold: its first picture and its first caption.

    Args:
        data: the sample's part of a tar.
        image_pixels: of a picture that is decoded.
        pictures: without, no thumbnail is made.

    Raises:
        ShardError: it is no part of a tar.
    """
    image: bytes | None = None
    found = Content(note="the sample holds no picture")
    for member in TarReader(BytesIO(data)):
        _, extension = split_name(member.name)
        if member.kind != "regular" or member.data is None:
            continue
        if extension in IMAGE_EXTENSIONS and image is None:
            image = member.data
        elif extension == TEXT_EXTENSION and found.caption is None:
            text = clean_caption(member.data[:CAPTION_BYTES].decode("utf-8-sig", "replace"))
            cut = len(text) > CAPTION_SHOWN
            found = replace(found, caption=text[:CAPTION_SHOWN], caption_cut=cut)
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


def unread(places: Iterable[Place], error: CurateError) -> Iterator[tuple[int, Content]]:
    """What is shown of samples whose shard cannot be opened."""
    note = redact(str(error))
    return ((place.number, Content(note=note)) for place in places)
