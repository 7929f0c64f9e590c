"""Decoding against Pillow's own conversions, to the bit."""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from factories import encode, jpeg, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from curate import images
from curate.errors import SampleError
from curate.images import decode

LIMIT = 1_000_000


def rejected(data: bytes, max_pixels: int = LIMIT) -> SampleError:
    with pytest.raises(SampleError) as caught:
        decode(data, max_pixels)
    return caught.value


def array(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(image)


def test_equal_bytes_are_refused_with_equal_words() -> None:
    details = {rejected(bytes(bytearray(b"not a picture"))).detail for _ in range(5)}
    assert len(details) == 1
    assert " at 0x" not in details.pop()


# --- decoding: what is kept -----------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_come_back_as_they_were(image_format: str) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {}
    original = picture()
    decoded = decode(encode(original, image_format, **options), LIMIT)
    assert np.array_equal(decoded, array(original))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpegs_decode_as_pillow_decodes_them(options: dict[str, Any]) -> None:
    data = encode(picture(), "JPEG", **options)
    assert np.array_equal(array(decode(data, LIMIT)), array(Image.open(io.BytesIO(data))))
    junk = data + b"\0junk" * 8000
    assert np.array_equal(array(decode(junk, LIMIT)), array(decode(data, LIMIT)))


def test_the_first_frame_of_an_animation() -> None:
    frames = [picture(seed=seed).quantize(32) for seed in range(3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(array(decode(data, LIMIT)), array(frames[0].convert("RGB")))
    data = encode(picture(), "WEBP", save_all=True, append_images=[picture(seed=1)], lossless=True)
    assert np.array_equal(array(decode(data, LIMIT)), array(picture()))


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_soft_alpha_is_composited_on_white(image_format: str) -> None:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (9, 13, 4), dtype=np.uint8)
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    decoded = array(decode(encode(Image.fromarray(rgba), image_format, **options), LIMIT))
    alpha = rgba[..., 3:].astype(np.float64) / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(decoded - expected).max() <= 1.0


def test_grey_with_alpha_is_composited_on_white() -> None:
    grey = np.zeros((4, 4, 2), dtype=np.uint8)
    grey[:2, :, 1] = 255
    decoded = array(decode(encode(Image.fromarray(grey, "LA"), "PNG"), LIMIT))
    assert (decoded[:2] == 0).all()
    assert (decoded[2:] == 255).all()


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_transparent_palette_colour_is_white(image_format: str) -> None:
    indices = np.zeros((4, 6), dtype=np.uint8)
    indices[:, 3:] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    decoded = array(decode(encode(image, image_format, transparency=1), LIMIT))
    assert (decoded[:, :3] == (10, 20, 30)).all()
    assert (decoded[:, 3:] == 255).all()


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_transparent_colour_key_is_white(mode: str, key: Any) -> None:
    image = Image.new(mode, (6, 4), key)
    image.paste(100 if mode == "L" else (100, 100, 100), (0, 0, 3, 4))
    decoded = array(decode(encode(image, "PNG", transparency=key), LIMIT))
    assert (decoded[:, :3] == 100).all()
    assert (decoded[:, 3:] == 255).all()


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(image_format: str) -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    decoded = array(decode(encode(Image.fromarray(values), image_format), LIMIT))
    expected = np.rint(values / 257.0).astype(np.uint8)
    assert (decoded == expected[..., None]).all()


def test_other_modes_become_rgb() -> None:
    for mode, image_format in [("1", "PNG"), ("L", "JPEG"), ("P", "PNG"), ("YCbCr", "TIFF")]:
        decoded = decode(encode(picture(mode=mode), image_format), LIMIT)
        assert decoded.shape == (32, 48, 3)


def test_inverted_cmyk_of_adobe() -> None:
    data = encode(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95)
    assert np.abs(array(decode(data, LIMIT)).astype(int) - (0, 255, 255)).max() <= 3


def test_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert decode(encode(picture(48, 32), "JPEG", exif=exif), LIMIT).shape == (32, 48, 3)


# --- decoding: what is refused --------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 500, b"<html>not found</html>", jpeg()[:100], jpeg()[: len(jpeg()) // 2]],
    ids=["empty", "zeros", "page", "header", "half"],
)
def test_what_is_no_whole_image_is_undecodable(data: bytes) -> None:
    error = rejected(data)
    assert error.status == "undecodable_image"
    assert f"{len(data)} bytes" in error.detail
    assert error.__cause__ is not None


@pytest.mark.parametrize("image_format", ["PPM", "TGA", "ICO", "PCX", "EPS", "PDF", "SGI"])
def test_other_parsers_of_pillow_stay_out_of_reach(image_format: str) -> None:
    data = encode(picture(), image_format)
    assert rejected(data).status == "undecodable_image"


def test_float_pixels_have_no_range() -> None:
    assert rejected(encode(picture(mode="F"), "TIFF")).status == "undecodable_image"


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and brings almost no data."""
    chunks = b"\x89PNG\r\n\x1a\n"
    content = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", content), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body
        chunks += struct.pack(">I", zlib.crc32(kind + body))
    return chunks


@pytest.mark.parametrize("size", [(1001, 1000), (12_000, 9_000), (65_000, 65_000)])
def test_too_many_pixels_are_refused_by_the_header(size: tuple[int, int]) -> None:
    # the second is in the range where Pillow warns, the third where Pillow itself refuses
    data = png_header(*size)
    tracemalloc.start()
    error = rejected(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.status == "image_too_large"
    assert peak < 2_000_000


def test_the_pixel_limit_is_inclusive() -> None:
    data = jpeg(48, 32)
    assert decode(data, 48 * 32).shape == (32, 48, 3)
    error = rejected(data, 48 * 32 - 1)
    assert (error.status, error.detail) == (
        "image_too_large",
        "48 x 32 pixels; the limit is 1535",
    )


def _corpus() -> list[bytes]:
    image = picture(40, 30)
    exif = Image.Exif()
    exif[274], exif[270] = 6, "x" * 40
    grey = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 54)
    return [
        encode(image, "JPEG", exif=exif, dpi=(72, 72)),
        encode(image, "JPEG", progressive=True),
        encode(picture(40, 30, mode="CMYK"), "JPEG"),
        encode(image, "PNG"),
        encode(image.quantize(16), "PNG", transparency=3),
        encode(grey, "PNG"),
        encode(image, "WEBP"),
        encode(image.quantize(16), "GIF", transparency=2),
        encode(image, "BMP"),
        encode(image, "TIFF"),
    ]


CORPUS = _corpus()


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(CORPUS),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=12)), max_size=6),
    st.booleans(),
    st.floats(0, 1),
)
def test_nothing_but_sample_errors_escapes(
    data: bytes, edits: list[tuple[float, bytes]], in_header: bool, cut: float
) -> None:
    spoiled = bytearray(data)
    for place, patch in edits:
        position = int(place * (min(len(data), 300) if in_header else len(data)))
        spoiled[position : position + len(patch)] = patch
    if cut < 0.3:
        del spoiled[int(cut / 0.3 * len(spoiled)) :]
    try:
        decoded = decode(bytes(spoiled), LIMIT)
    except SampleError as exc:
        assert exc.status in ("undecodable_image", "image_too_large")  # noqa: PT017 - either is fine
    else:
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3
        assert decoded.shape[2] == 3


@given(st.binary(max_size=400), st.sampled_from([data[:16] for data in CORPUS]))
def test_random_bytes_behind_a_true_beginning(data: bytes, beginning: bytes) -> None:
    try:
        decode(beginning + data, LIMIT)
    except SampleError as exc:
        assert exc.detail  # noqa: PT017 - a decoded image is fine, too


# --- warnings -------------------------------------------------------------------------------


def test_warnings_of_pillow_reach_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def loud(image: Image.Image) -> Image.Image:
        calls.append(1)
        warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=1)
        return image.convert("RGB")

    monkeypatch.setattr(images, "_to_rgb", loud)
    filters = list(warnings.filters)
    assert decode(encode(picture(), "PNG"), LIMIT).shape == (32, 48, 3)
    assert calls == [1]
    assert list(warnings.filters) == filters


def test_a_tiff_with_a_damaged_tag_is_decoded_without_its_warning() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[270] = "x" * 100
    data = bytearray(encode(picture(), "TIFF", tiffinfo=directory))
    entry = data.index(struct.pack("<HH", 270, 2))
    data[entry + 6] ^= 0xFF  # the count: more characters than the file has
    with pytest.warns(UserWarning, match="Tag data larger than file"):
        Image.open(io.BytesIO(data)).load()
    assert decode(bytes(data), LIMIT).shape == (32, 48, 3)


def test_warning_filters_survive_threads() -> None:
    filters = list(warnings.filters)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for _ in range(40):
                decode(jpeg(seed=seed), LIMIT)
                decode(encode(picture(seed=seed), "PNG"), LIMIT)
        except BaseException as exc:  # noqa: BLE001 - handed to the main thread
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(warnings.filters) == filters


# --- plain JPEGs ----------------------------------------------------------------------------


def _by_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8] | SampleError:
    with monkeypatch.context() as patched:
        patched.setattr(images, "_plain_jpeg", lambda image, data, least: None)
        return _decoded(data)


def _decoded(data: bytes) -> NDArray[np.uint8] | SampleError:
    try:
        return decode(data, LIMIT)
    except SampleError as exc:
        return exc


JPEGS = [
    encode(picture(40, 30), "JPEG", quality=90),
    encode(picture(41, 33), "JPEG", progressive=True),
    encode(picture(40, 30, mode="L"), "JPEG"),
    encode(picture(40, 30), "JPEG", subsampling=0),
    encode(picture(43, 31), "JPEG", subsampling=1, optimize=True),
]


def test_plain_jpegs_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(image: Image.Image) -> Image.Image:
        pytest.fail(f"{image} went through Pillow")

    monkeypatch.setattr(images, "_to_rgb", refuse)
    for data in JPEGS:
        assert decode(data, LIMIT).ndim == 3


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(JPEGS),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=4),
    st.floats(0, 1),
)
def test_damaged_jpegs_end_as_in_pillow(
    data: bytes, edits: list[tuple[float, bytes]], cut: float
) -> None:
    spoiled = bytearray(data)
    for place, patch in edits:
        position = int(place * len(data))
        spoiled[position : position + len(patch)] = patch
    if cut < 0.2:
        del spoiled[int(cut / 0.2 * len(spoiled)) :]
    with pytest.MonkeyPatch.context() as monkeypatch:
        theirs = _by_pillow(bytes(spoiled), monkeypatch)
    ours = _decoded(bytes(spoiled))
    if isinstance(ours, SampleError) or isinstance(theirs, SampleError):
        assert str(ours) == str(theirs)
    else:
        assert np.array_equal(ours, theirs)


def test_nothing_is_written_about_a_damaged_jpeg(capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(picture(), "JPEG")
    at = data.index(b"\xff\xda")
    decode(data[:at] + b"\0" * 9 + data[at:], LIMIT)
    assert capfd.readouterr() == ("", "")
