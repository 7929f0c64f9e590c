"""Pictures that cost more than their header's size tells."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib

import pytest
from factories import encode, jpeg, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.errors import SampleError
from curate.image_guards import JPEG_SCANS, refuse_bombs
from curate.images import decode

LIMIT = 50_000_000


def canvas(width: int, height: int) -> bytes:
    """A WebP of an animation's canvas, with no frame in it."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encode(picture(), "JPEG", progressive=True)
    at, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    missing = count - data.count(b"\xff\xda")
    return data[:end] + data[at:end] * missing + data[end:]


def status_of(data: bytes, limit: int = LIMIT) -> str:
    try:
        decode(data, limit)
    except SampleError as exc:
        return exc.status
    return "ok"


@pytest.mark.parametrize(
    "size", [(8000, 8000), (16_383, 16_383), (1 << 24, 255), (1 << 24, 1 << 24)]
)
def test_the_canvas_of_a_webp_is_judged_before_it_is_allocated(size: tuple[int, int]) -> None:
    tracemalloc.start()
    with pytest.raises(SampleError, match=f"{size[0]} x {size[1]} pixels") as caught:
        decode(canvas(*size), LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert caught.value.status == "image_too_large"


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"save_all": True}])
def test_the_sizes_of_webps_are_read_as_pillow_reads_them(options: dict[str, bool]) -> None:
    more = {"append_images": [picture(45, 31, seed=1)]} if "save_all" in options else {}
    data = encode(picture(45, 31), "WEBP", **options, **more)
    refuse_bombs(data, 45 * 31)
    with pytest.raises(SampleError, match="45 x 31 pixels; the limit is 1394"):
        refuse_bombs(data, 45 * 31 - 1)


def test_jpegs_of_many_scans_are_refused() -> None:
    assert status_of(scans(30)) == "ok"
    assert status_of(scans(JPEG_SCANS)) == "ok"
    with pytest.raises(SampleError, match="501 scans; the limit is 500") as caught:
        decode(scans(JPEG_SCANS + 1), LIMIT)
    assert caught.value.status == "undecodable_image"


def test_previews_do_not_make_a_scan_too_many() -> None:
    preview = (
        b"\xff\xe1"
        + struct.pack(">H", 2 + 6 + 3000)
        + b"Exif\0\0"
        + b"\xff\xda" * 100
        + bytes(2800)
    )
    data = jpeg()
    assert status_of(data[:2] + preview + data[2:]) == "ok"


def test_scans_are_weighed_by_their_pixels() -> None:
    data = encode(Image.new("L", (7000, 7000)), "JPEG", progressive=True)
    at, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    repeated = data[:end] + data[at:end] * 40 + data[end:]
    with pytest.raises(SampleError, match="the limit is 2000000000") as caught:
        decode(repeated, LIMIT)
    assert caught.value.status == "undecodable_image"


def tiled(side: int) -> bytes:
    """A TIFF of 64 x 64 grey pixels in one deflated tile, as the header tells."""
    content = zlib.compress(bytes(min(side, 64) ** 2))
    entries = ((256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, side),
               (323, side), (324, 8 + 2 + 10 * 12 + 4), (325, len(content)))  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 10) + directory + bytes(4) + content


def test_tiles_larger_than_the_limit_are_refused() -> None:
    assert decode(tiled(64), LIMIT).shape == (64, 64, 3)
    with pytest.raises(SampleError, match="tiles of 30000 x 30000 pixels") as caught:
        decode(tiled(30_000), LIMIT)
    assert caught.value.status == "image_too_large"


def test_counting_costs_nothing() -> None:
    data = b"\xff\xd8" + b"\xff\x00\xda" * 10_000_000
    begin = time.perf_counter()
    refuse_bombs(data, LIMIT)
    assert time.perf_counter() - begin < 1


@given(
    st.binary(max_size=40),
    st.sampled_from([b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8X", b"\xff\xd8", b""]),
)
def test_cut_headers_are_left_to_the_decoder(rest: bytes, start: bytes) -> None:
    refuse_bombs(start + rest, 1 << 60)
