"""Hostile parts of pools of metadata: Parquet, npz and npy that lie, are cut, or hold anything."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing.contents import BYTES

ROWS: Final = 40
WIDTH: Final = 8
Files = dict[str, bytes]
"""Path below the pool -> content."""

PARQUET, NPZ = "part.parquet", "part.npz"
METADATA, IMAGE, TEXT = (
    "metadata/metadata_0.parquet",
    "img_emb/img_emb_0.npy",
    "text_emb/text_emb_0.npy",
)


def seed_columns() -> dict[str, Any]:
    """What the metadata of a sound part holds."""
    return {
        "uid": [f"{i:032x}" for i in range(ROWS)],
        "text": [f"a caption of row {i}" for i in range(ROWS)],
        "original_width": list(range(1, ROWS + 1)),
        "original_height": [100] * ROWS,
        "clip_l14_similarity_score": [i / ROWS for i in range(ROWS)],
    }


def seed_arrays() -> dict[str, Any]:
    """The embeddings of a sound part, in DataComp's names."""
    rng = np.random.default_rng(0)
    names = ("l14_img", "l14_txt")
    return {name: rng.normal(size=(ROWS, WIDTH)).astype(np.float16) for name in names}


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """A table as Parquet."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=16, **options)
    return buffer.getvalue()


def sound(layout: str) -> Files:
    """A sound part of a layout, `datacomp` or `clip-retrieval`."""
    metadata, arrays = parquet_bytes(pa.table(seed_columns())), seed_arrays()
    if layout == "datacomp":
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return {PARQUET: metadata, NPZ: buffer.getvalue()}
    image, text = (_npy(array) for array in arrays.values())
    return {METADATA: metadata, IMAGE: image, TEXT: text}


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def mutated_part(rng: random.Random, layout: str) -> tuple[Files, tuple[str, ...]]:
    """A part with one or two mutations, and their names."""
    files = sound(layout)
    told = []
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(sorted(files))
        special = {".parquet": TABLES, ".npz": ARCHIVES, ".npy": ARRAYS}[name[name.rindex(".") :]]
        what, mutation = rng.choice(list((BYTES if rng.random() < 0.4 else special).items()))
        files[name] = mutation(rng, files[name])
        told.append(f"{name.rpartition('.')[2]}:{what}")
    return files, tuple(told)


# --- Parquet ----------------------------------------------------------------------------------


def odd_values(rng: random.Random, data: bytes) -> bytes:
    """A sound file with a column of odd values or of another type."""
    columns = seed_columns()
    values: list[Any] = [
        [None] * ROWS, [float("nan")] * ROWS, [float("inf")] * ROWS, [-1] * ROWS, [1 << 62] * ROWS,
        ["\x1b[2J\u202e"] * ROWS, ["=1+1"] * ROWS, ["x" * 100_000] * ROWS, ["F" * 32] * ROWS,
        [b"\xff\xfe"] * ROWS, [[1, 2]] * ROWS, [{"a": 1}] * ROWS, [True] * ROWS, [""] * ROWS,
        pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
        pa.array(range(ROWS), pa.timestamp("us")), pa.nulls(ROWS),
        _not_utf8(),
    ]  # fmt: skip
    name = rng.choice((*columns, "key", "image_path", "caption", "width", "sha256"))
    columns[name] = rng.choice(values)
    if rng.random() < 0.2:
        del columns[rng.choice(sorted(columns))]
    compression = rng.choice(("none", "snappy", "zstd", "gzip"))
    return parquet_bytes(pa.table(columns), compression=compression)


def _not_utf8() -> pa.Array:
    offsets = pa.py_buffer(np.arange(ROWS + 1, dtype=np.int32).tobytes())
    return pa.Array.from_buffers(pa.string(), ROWS, [None, offsets, pa.py_buffer(b"\xff" * ROWS)])


def other_rows(rng: random.Random, data: bytes) -> bytes:
    """More or fewer rows than the arrays have; none at all."""
    rows = rng.choice((0, 1, ROWS - 1, ROWS + 1, 200_000))
    return parquet_bytes(pa.table({"uid": ["0" * 32] * rows, "text": [""] * rows}))


def footer(rng: random.Random, data: bytes) -> bytes:
    """Bytes of the footer, or its length, changed."""
    if len(data) < 12:  # of a file that was cut before
        return data
    (size,) = struct.unpack("<I", data[-8:-4])
    if rng.random() < 0.3:
        beyond = min(size + 9, (1 << 32) - 1)  # an earlier mutation may have been here
        length = rng.choice((0, 1, beyond, (1 << 31) - 1, (1 << 32) - 1))
        return data[:-8] + struct.pack("<I", length) + data[-4:]
    spoiled, length = bytearray(data), min(max(size, 1), len(data) - 8)
    for _ in range(rng.randint(1, 6)):
        spoiled[len(data) - 8 - rng.randint(1, length)] = rng.randrange(256)
    return bytes(spoiled)


TABLES: Final[dict[str, Callable[[random.Random, bytes], bytes]]] = {
    "odd_values": odd_values,
    "other_rows": other_rows,
    "footer": footer,
}


# --- arrays -----------------------------------------------------------------------------------


def odd_npy(rng: random.Random, data: bytes) -> bytes:
    """An npy whose header declares any shape, type or order, or expressions, with little data."""
    shape = rng.choice(("(40, 8)", "(40,)", "(1099511627776, 8)", "(40, 4294967296)", "(-1, 8)",
                        "(40, 0)", "(0, 8)", "()", "(40, 8, 1)", "(1e3, 8)", "(" * 500,
                        "__import__('os')", "(40, True)", "9" * 5000))  # fmt: skip
    kind = rng.choice(("'<f2'", "'>f4'", "'|O'", "'<f16'", "'V2'", "[('a', '<f2')]", "'<i8'", "''",
                       "'<f2'" * 3000))  # fmt: skip
    order = rng.choice(("False", "True", "1", "None"))
    text = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    if rng.random() < 0.5:
        text = rng.choice(BYTES_OF_HEADERS)(rng, text)
    version = rng.choice(((1, 0), (2, 0), (3, 0), (0, 0), (9, 9)))
    size = len(text) if rng.random() < 0.8 else rng.choice((0, 10, 65_535))
    length = struct.pack("<H" if version == (1, 0) else "<I", min(size, 65_535))
    return b"\x93NUMPY" + bytes(version) + length + text + bytes(rng.choice((0, 640, 20_000)))


BYTES_OF_HEADERS: Final = (BYTES["flip"], BYTES["cut"], BYTES["insert"])


def pickled(rng: random.Random, data: bytes) -> bytes:
    """An array of objects: its pickle must not be read."""
    return _npy(np.array([[print, {"a": 1}]] * ROWS, dtype=object))


def odd_floats(rng: random.Random, data: bytes) -> bytes:
    """Embeddings that are NaN, infinite, zero or beyond float16, of any float type."""
    array = seed_arrays()["l14_img"].astype(rng.choice(("<f2", "<f4", ">f4", "<f8")))
    with np.errstate(over="ignore"):
        array[rng.randrange(ROWS)] = rng.choice((np.nan, np.inf, 0.0, 1e300, -1e-300))
    return _npy(array)


ARRAYS: Final[dict[str, Callable[[random.Random, bytes], bytes]]] = {
    "odd_npy": odd_npy,
    "pickled": pickled,
    "odd_floats": odd_floats,
}


def odd_npz(rng: random.Random, data: bytes) -> bytes:
    """A zip of odd arrays: names that climb, bombs, members twice, lies about sizes."""
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in ("l14_img", "l14_txt"):
            mutation = rng.choice((odd_npy, pickled, odd_floats, odd_floats))
            archive.writestr(f"{name}.npy", mutation(rng, b""))
        if rng.random() < 0.5:
            name = rng.choice(("../escaped.npy", "/escaped.npy", "bomb.npy", "l14_img"))
            archive.writestr(name, bytes(rng.choice((1, 1 << 22))))
    found = buffer.getvalue()
    return BYTES["flip"](rng, found) if rng.random() < 0.3 else found


def directory(rng: random.Random, data: bytes) -> bytes:
    """Bytes of a zip's directory changed: sizes, offsets, methods, flags."""
    at = data.find(b"PK\x01\x02")
    if at < 0:
        return data
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        spoiled[rng.randrange(at, len(data))] = rng.choice((0, 1, 8, 0x7F, 0xFF))
    return bytes(spoiled)


ARCHIVES: Final[dict[str, Callable[[random.Random, bytes], bytes]]] = {
    "odd_npz": odd_npz,
    "directory": directory,
}
