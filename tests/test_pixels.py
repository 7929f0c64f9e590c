"""The geometry of a model's input against open_clip's: to the bit, or to a level, as it says."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import encode, jpeg, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from open_clip.transform import image_transform
from PIL import Image

from curate import pixels
from curate.errors import ConfigError
from curate.images import decode, decode_picture
from curate.pixels import PixelSpec, resized_size, to_pixels
from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import list_shards, open_shard


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
        spec = PixelSpec(size, mode, interpolation, fill_color=17, resampling="pillow")
        image = picture(*shape, seed=shape[0])
        pixels = to_pixels(np.array(image), spec)
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
    spec = PixelSpec(size, mode[0], mode[1], fill, "pillow")
    image = picture(*shape)
    pixels = to_pixels(np.array(image), spec)
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


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(1, 120), st.integers(1, 120)) | st.integers(1, 120).map(lambda n: (n, n)),
    st.sampled_from(MODES),
    st.integers(0, 99),
    st.sampled_from(["picture", "noise", "black and white"]),
)
def test_torch_resizes_to_within_two_levels_of_pillow(
    shape: tuple[int, int], size: tuple[int, int], mode: tuple[Any, Any], seed: int, kind: str
) -> None:
    image = np.array(picture(*shape, seed=seed))
    if kind != "picture":
        image = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
    if kind == "black and white":
        image = (image > 127).astype(np.uint8) * 255
    ours = to_pixels(image, PixelSpec(size, *mode))
    theirs = to_pixels(image, PixelSpec(size, *mode, resampling="pillow"))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.flags.writeable
    assert ours.flags.c_contiguous
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_the_default_is_torch_and_says_so() -> None:
    assert PixelSpec((8, 8)).resampling == "torch"


def test_real_images_equal_open_clip(shared_data: Path) -> None:
    (shard,) = list_shards(str(shared_data / "dev-00100.tar"))
    exact, spec = PixelSpec((224, 224), resampling="pillow"), PixelSpec((224, 224))
    with open_shard(shard) as file:
        rows = itertools.islice(ShardReader(file, shard, SamplePolicy()), 0, 950, 25)
        samples = [row for row in rows if isinstance(row, Sample)]
    assert len(samples) > 30
    for sample in samples:
        image = decode(sample.image, 50_000_000)
        expected = open_clip_pixels(Image.fromarray(image), spec)
        assert np.array_equal(to_pixels(image, exact), expected), sample.key
        off = np.abs(to_pixels(image, spec).astype(int) - expected)
        assert off.max() <= 2
        assert (off > 0).mean() < 0.02


@pytest.mark.parametrize("shape", [(200, 3), (3, 200), (211, 90), (90, 211), (500, 1)])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_extreme_shapes_compute_only_the_crop(
    shape: tuple[int, int], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = PixelSpec(size)
    image = np.array(picture(*shape))
    expected = to_pixels(image, spec)
    monkeypatch.setattr(pixels, "BOX_RESIZE_PIXELS", 0)
    assert resized_size(shape, spec) != size[::-1]
    computed = to_pixels(image, spec)
    assert computed.shape == expected.shape
    assert np.abs(computed.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1_000_000, 1), (1, 1_000_000)])
def test_a_line_of_a_million_pixels_takes_little_memory(shape: tuple[int, int]) -> None:
    image = np.array(Image.new("RGB", shape, (10, 20, 30)))
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
        ("resampling", "magick"),
    ],
)
def test_a_wrong_geometry_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        PixelSpec(**({"size": (8, 8)} | {field: value}))


# --- decoding at a fraction --------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    size=st.sampled_from([(32, 32), (48, 64)]),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
)
def test_pictures_decoded_at_a_fraction_keep_their_size_and_geometry(
    shape: tuple[int, int], size: tuple[int, int], mode: Any
) -> None:
    data = jpeg(*shape, seed=1)
    spec = PixelSpec(size, mode, resampling="scaled")
    found, whole = decode_picture(data, 10**6, spec), decode(data, 10**6)
    assert found.size == whole.shape[1::-1]
    width, height = resized_size(found.size, spec)
    assert found.pixels.shape[1] >= min(width, whole.shape[1])
    assert found.pixels.shape[0] >= min(height, whole.shape[0])
    small = to_pixels(found.pixels, spec, found.size)
    assert small.shape == (*size, 3)
    if width >= whole.shape[1] or height >= whole.shape[0]:
        assert np.array_equal(small, to_pixels(whole, PixelSpec(size, mode)))


def test_a_fraction_costs_levels_and_saves_pixels() -> None:
    data = jpeg(600, 500, seed=3)
    spec = PixelSpec((64, 64), resampling="scaled")
    found, whole = decode_picture(data, 10**6, spec), decode(data, 10**6)
    assert 8 * found.pixels.size < whole.size
    off = np.abs(
        to_pixels(found.pixels, spec, found.size).astype(int)
        - to_pixels(whole, PixelSpec((64, 64)))
    )
    assert 0 < off.mean() < 3
    assert decode_picture(data, 10**6, PixelSpec((64, 64))).pixels.shape == whole.shape


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_other_formats_are_decoded_in_full(image_format: str) -> None:
    data = encode(picture(300, 200, seed=3), image_format)
    found = decode_picture(data, 10**6, PixelSpec((32, 32), resampling="scaled"))
    assert found.pixels.shape == (200, 300, 3)
