"""Decoding against Pillow's own conversions, geometry against open_clip, to the bit."""

from __future__ import annotations

import io
import itertools
import struct
import threading
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import encode, jpeg, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from open_clip.transform import image_transform
from PIL import Image, TiffImagePlugin

from curate import images
from curate.errors import ConfigError, SampleError
from curate.images import PixelSpec, decode, resized_size, to_pixels
from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import list_shards, open_shard

LIMIT = 1_000_000


def rejected(data: bytes, max_pixels: int = LIMIT) -> SampleError:
    with pytest.raises(SampleError) as caught:
        decode(data, max_pixels)
    return caught.value


def array(image: Image.Image) -> NDArray[np.uint8]:
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
    assert decoded.mode == "RGB"
    assert np.array_equal(array(decoded), array(original))


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
        assert (decoded.mode, decoded.size) == ("RGB", (48, 32))


def test_inverted_cmyk_of_adobe() -> None:
    data = encode(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95)
    assert np.abs(array(decode(data, LIMIT)).astype(int) - (0, 255, 255)).max() <= 3


def test_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert decode(encode(picture(48, 32), "JPEG", exif=exif), LIMIT).size == (48, 32)


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
    assert decode(data, 48 * 32).size == (48, 32)
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
        assert decoded.mode == "RGB"
        assert np.array(decoded).shape == (decoded.height, decoded.width, 3)


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
    assert decode(jpeg(), LIMIT).size == (48, 32)
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
    assert decode(bytes(data), LIMIT).size == (48, 32)


def test_warning_filters_survive_threads() -> None:
    filters = list(warnings.filters)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for _ in range(40):
                decode(jpeg(seed=seed), LIMIT)
        except BaseException as exc:  # noqa: BLE001 - handed to the main thread
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(warnings.filters) == filters


# --- geometry -------------------------------------------------------------------------------


def open_clip_pixels(image: Image.Image, spec: PixelSpec) -> NDArray[np.uint8]:
    """open_clip's evaluation transform, its last two steps (tensor, normalisation) left out."""
    transform = image_transform(
        spec.size,
        is_train=False,
        resize_mode=spec.resize_mode,
        interpolation=spec.interpolation,
        fill_color=spec.fill_color,
    )
    for step in transform.transforms[:-2]:
        image = step(image)
    return np.array(image)


SIZES = [(64, 64), (63, 63), (48, 80), (80, 48), (1, 1), (1, 9)]
SHAPES = [(1, 1), (2, 300), (384, 20), (384, 1), (16, 16), (64, 64), (101, 67), (67, 101), (300, 2)]
MODES = list(itertools.product(["shortest", "longest", "squash"], ["bicubic", "bilinear"]))


@pytest.mark.parametrize(("mode", "interpolation"), MODES)
def test_pixels_equal_those_of_open_clip(mode: Any, interpolation: Any) -> None:
    compared = 0
    for size, shape in itertools.product(SIZES, SHAPES):
        spec = PixelSpec(size, mode, interpolation, fill_color=17)
        image = picture(*shape, seed=shape[0])
        pixels = to_pixels(image, spec)
        assert pixels.shape == (*size, 3)
        try:
            expected = open_clip_pixels(image, spec)
        except ValueError:  # a side of open_clip's resized image rounds to no pixel at all
            width, height = shape
            ratio = max(height / size[0], width / size[1])
            assert mode == "longest"
            assert min(round(width / ratio), round(height / ratio)) == 0
            continue
        assert np.array_equal(pixels, expected), (size, shape)
        compared += 1
    assert compared >= 30


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 160), st.integers(1, 160)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)) | st.integers(1, 70).map(lambda n: (n, n)),
    st.sampled_from(MODES),
    st.integers(0, 255),
)
def test_any_shape_equals_open_clip(
    shape: tuple[int, int], size: tuple[int, int], mode: tuple[Any, Any], fill: int
) -> None:
    spec = PixelSpec(size, mode[0], mode[1], fill)
    image = picture(*shape)
    pixels = to_pixels(image, spec)
    assert pixels.dtype == np.dtype(np.uint8)
    assert pixels.shape == (*size, 3)
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous
    try:
        expected = open_clip_pixels(image, spec)
    except ValueError:
        assert 1 in resized_size(shape, spec)
        return
    assert np.array_equal(pixels, expected)


def test_real_images_equal_open_clip(shared_data: Path) -> None:
    (shard,) = list_shards(str(shared_data / "dev-00100.tar"))
    spec = PixelSpec((224, 224))
    with open_shard(shard) as file:
        rows = itertools.islice(ShardReader(file, shard, SamplePolicy()), 0, 950, 25)
        samples = [row for row in rows if isinstance(row, Sample)]
    assert len(samples) > 30
    for sample in samples:
        image = decode(sample.image, 50_000_000)
        assert np.array_equal(to_pixels(image, spec), open_clip_pixels(image, spec)), sample.key


@pytest.mark.parametrize("shape", [(200, 3), (3, 200), (211, 90), (90, 211), (500, 1)])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_extreme_shapes_compute_only_the_crop(
    shape: tuple[int, int], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = PixelSpec(size)
    image = picture(*shape)
    expected = to_pixels(image, spec)
    monkeypatch.setattr(images, "BOX_RESIZE_PIXELS", 0)
    assert resized_size(shape, spec) != size[::-1]
    computed = to_pixels(image, spec)
    assert computed.shape == expected.shape
    assert np.abs(computed.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1_000_000, 1), (1, 1_000_000)])
def test_a_line_of_a_million_pixels_takes_little_memory(shape: tuple[int, int]) -> None:
    image = Image.new("RGB", shape, (10, 20, 30))
    assert max(resized_size(shape, PixelSpec((224, 224)))) == 224_000_000
    assert (to_pixels(image, PixelSpec((224, 224))) == (10, 20, 30)).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", (0, 5)),
        ("size", (5,)),
        ("size", (5.5, 5)),
        ("resize_mode", "crop"),
        ("interpolation", "nearest"),
        ("fill_color", 256),
    ],
)
def test_a_wrong_geometry_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        PixelSpec(**({"size": (8, 8)} | {field: value}))
