"""Rows of npy and npz against numpy's own reading; damage, refusals and memory."""

from __future__ import annotations

import io
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.embedding_pools.arrays import (
    Array,
    Mapped,
    MissingArrayError,
    Streamed,
    npz_keys,
    open_npy,
    open_npz,
)
from curate.errors import ShardError

DTYPES = st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])


def read_all(array: Array, block: int) -> np.ndarray:
    rows, dtype = array.header.rows, array.header.dtype.newbyteorder("=")
    found = [array.read(min(block, rows - first)) for first in range(0, rows, block)]
    return np.concatenate([np.zeros((0, array.header.width), dtype), *found])


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Any bits: NaN, infinities and subnormal numbers too."""
    dtype = np.dtype(draw(DTYPES))
    shape = (draw(st.integers(0, 40)), draw(st.integers(1, 9)))
    size = int(np.prod(shape)) * dtype.itemsize
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return np.frombuffer(rng.bytes(size), dtype).reshape(shape)


@given(matrices(), matrices(), st.integers(1, 50), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_blocks_are_what_numpy_reads(
    image: np.ndarray, text: np.ndarray, block: int, packed: bool, local: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.npz"
        (np.savez_compressed if packed else np.savez)(path, image=image, other=text, text=text)
        url = path
        if not local:
            url = "memory://arrays/x.npz"
            fsspec.filesystem("memory").pipe_file("/arrays/x.npz", Path(path).read_bytes())
        assert npz_keys(url) == ("image", "other", "text")
        with open_npz(url, ("image", "text")) as ((first, second), told):
            assert isinstance(first, Mapped if local and not packed else Streamed)
            assert told["size"] == Path(path).stat().st_size
            # In turns, as pairs are read.
            for array, expected in ((first, image), (second, text)):
                found = read_all(array, block)
                np.testing.assert_array_equal(found, expected)
        positions = np.flatnonzero(np.arange(len(image)) % 7 % 3 == 1)
        with open_npz(url, ("image",)) as ((array,), _):
            taken = array.take(positions, block)
            assert taken.dtype == image.dtype.newbyteorder("=")
            np.testing.assert_array_equal(taken, image[positions])


@given(matrices(), st.integers(1, 50), st.booleans())
@settings(max_examples=30, deadline=None)
def test_npy_files_are_read_in_blocks(matrix: np.ndarray, block: int, local: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"{folder}/x.npy"
        np.save(url, matrix)
        if not local:
            data = Path(url).read_bytes()
            url = "memory://arrays/x.npy"
            fsspec.filesystem("memory").pipe_file("/arrays/x.npy", data)
        with open_npy(url) as (array, told):
            np.testing.assert_array_equal(read_all(array, block), matrix)
            assert bytes.fromhex(told["header"]).startswith(b"\x93NUMPY")
            with pytest.raises(ShardError, match="0 are left"):
                array.read(1)


def test_versions_of_the_header_are_read(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float16).reshape(2, 3)
    path = tmp_path / "x.npy"
    for version in ((1, 0), (2, 0)):
        with path.open("wb") as file:
            np.lib.format.write_array(file, matrix, version=version)
        with open_npy(str(path)) as (array, _):
            np.testing.assert_array_equal(array.read(2), matrix)


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (npy_bytes(np.array([[Bomb()]], dtype=object)), "Python objects"),
        (npy_bytes(np.array([(1,)], dtype=[("a", object)])), "Python objects"),
        (npy_bytes(np.ones((2, 3), np.int8)), "expected float16"),
        (npy_bytes(np.ones((2, 3), np.complex64)), "expected float16"),
        (npy_bytes(np.ones(3, np.float16)), r"\[n, d\]"),
        (npy_bytes(np.ones((2, 3, 4), np.float16)), r"\[n, d\]"),
        (npy_bytes(np.ones((2, 0), np.float16)), "at least one column"),
        (npy_bytes(np.asfortranarray(np.ones((2, 3), np.float16))), "ascontiguousarray"),
        (npy_bytes(np.ones((2, 3), np.float16))[:-1], "are needed"),
        (npy_bytes(np.ones((2, 3), np.float16))[:20], "cannot be read"),
        (b"", "cannot be read"),
        (b"\x93NUMPY\x03\x00" + b"\0" * 200, "version"),
        (b"\x93NUMPY\x01\x00\x40\x00" + b"__import__('os').abort()".ljust(64), "cannot be read"),
        (b"\x93NUMPY\x01\x00\x40\x00" + b"{" * 64, "cannot be read"),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_what_is_no_embedding_is_refused(
    tmp_path: Path, content: bytes, told: str, local: bool
) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    url = str(path)
    if not local:
        url = "memory://arrays/bad.npy"
        fsspec.filesystem("memory").pipe_file("/arrays/bad.npy", content)
    with pytest.raises(ShardError, match=rf"(?s)\.npy.*{told}"), open_npy(url):
        pytest.fail("opened")
    if told != "are needed":
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("image.npy", content)
        with (
            pytest.raises(ShardError, match=rf"(?s)x\.npz\[image\].*{told}"),
            open_npz(str(tmp_path / "x.npz"), ("image",)),
        ):
            pytest.fail("opened")


def test_a_missing_array_is_named_beside_those_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", b32_img=np.ones((1, 2)), b32_txt=np.ones((1, 2)))
    told = r"'l14_img', but b32_img, b32_txt; .*input\.embedding_keys"
    with (
        pytest.raises(MissingArrayError, match=told),
        open_npz(str(tmp_path / "x.npz"), ("l14_img",)),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize("packed", [True, False])
def test_damage_anywhere_is_found_or_harmless(tmp_path: Path, packed: bool) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(50, 4)).astype(np.float16)
    path = tmp_path / "x.npz"
    (np.savez_compressed if packed else np.savez)(path, image=matrix)
    whole, errors = path.read_bytes(), list[str]()
    for at in rng.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        try:
            with open_npz(str(path), ("image",)) as ((array,), _):
                found = read_all(array, 16)
        except ShardError as exc:
            errors.append(str(exc))
        else:  # a date, say
            np.testing.assert_array_equal(found, matrix)
    assert len(errors) > 50
    assert all(str(path) in error for error in errors)
    for end in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ShardError, match=r"x\.npz"), open_npz(str(path), ("image",)):
            pytest.fail("opened")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    for opened in (open_npy(f"{tmp_path}/x.npy"), open_npz(f"{tmp_path}/x.npy", ("a",))):
        with pytest.raises(ShardError, match=r"x\.npy: cannot be opened"), opened:
            pytest.fail("opened")


def test_the_data_begins_where_the_members_own_header_ends(tmp_path: Path) -> None:
    """Zip tools pad local headers, which the central directory does not tell."""
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    data, name = npy_bytes(matrix), b"image.npy"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("image.npy", data)
    plain = buffer.getvalue()
    pad = struct.pack("<HH", 0xD935, 7) + bytes(7)
    start = 30 + len(name)
    padded = plain[:28] + struct.pack("<H", len(pad)) + plain[30:start] + pad + plain[start:]
    end = padded.rindex(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", padded, end + 16)
    patched = bytearray(padded)
    struct.pack_into("<I", patched, end + 16, directory + len(pad))
    path = tmp_path / "x.npz"
    path.write_bytes(patched)
    with open_npz(str(path), ("image",)) as ((array,), _):
        assert isinstance(array, Mapped)
        np.testing.assert_array_equal(array.read(4), matrix)


@pytest.mark.parametrize("kind", ["mapped", "packed", "remote"])
def test_memory_does_not_grow_with_the_array(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.npz"
    matrix = np.ones((60_000, 256), np.float16)  # 30 MB
    (np.savez_compressed if kind == "packed" else np.savez)(path, image=matrix)
    del matrix
    url = f"simplecache::file://{path}" if kind == "remote" else str(path)
    tracemalloc.start()
    try:
        with open_npz(url, ("image",)) as ((array,), _):
            for first in range(0, 60_000, 1000):
                assert array.read(min(1000, 60_000 - first)).shape == (1000, 256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000
