"""A synthetic pool in DataComp's layout: metadata with embeddings, and the shards of its images.

The metadata is what `download_upstream.py` of DataComp leaves behind: `STEM.parquet` with one row
per pair and a row-aligned `STEM.npz` of CLIP embeddings, the stems being hashes. The images are
what img2dataset makes of them, in another order and with some links dead:

    pool = make_pool(folder / "metadata", files=(300, 200, 250), seed=0)
    shards = make_image_shards(pool, folder / "shards", shards=4, missing=0.1)

Everything is a function of the seed. `Pool.table` holds every row that was written, in the order
in which curate reads the pool, and the status that each must get; tests compute from it what a
run has to find.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from factories import jpeg, json_bytes, tar_bytes

B32_WIDTH, L14_WIDTH = 16, 24
WIDTHS = {"b32_img": B32_WIDTH, "b32_txt": B32_WIDTH, "l14_img": L14_WIDTH, "l14_txt": L14_WIDTH}

WORDS = (
    "red",
    "sale",
    "of",
    "a",
    "Bäume",
    "猫",
    "dog",
    "photo",
    "buy",
    "the",
    "x",
    "house",
    "\u2003",
)

LARGEST_SIDE = 2000
PICTURES = 7


@dataclass(frozen=True)
class Faults:
    """How many rows, or which files (by position in the sorted pool), are bad, and how.

    Attributes:
        short_uids, non_hex_uids: rows whose uid is cut to 31 digits, or holds a `g`.
        nan_rows, infinite_rows, zero_rows: rows of an L/14 embedding that is unusable.
        null_captions: rows without a caption, which are scored all the same.
        repeated_uids: rows that repeat the uid of a good row of an earlier file.
        missing_npz: file without its npz.
        missing_key: file whose npz lacks `l14_txt`.
        fewer_rows: file whose npz has one row less than the parquet.
    """

    short_uids: int = 0
    non_hex_uids: int = 0
    nan_rows: int = 0
    infinite_rows: int = 0
    zero_rows: int = 0
    null_captions: int = 0
    repeated_uids: int = 0
    missing_npz: int | None = None
    missing_key: int | None = None
    fewer_rows: int | None = None


ALL_ROW_FAULTS = Faults(
    short_uids=3, non_hex_uids=4, nan_rows=5, infinite_rows=2, zero_rows=6, null_captions=7,
    repeated_uids=11,
)  # fmt: skip
"""Every fault that a row can have, and no fault of a file."""


@dataclass(frozen=True)
class Pool:
    """A written pool.

    Attributes:
        folder: of the metadata.
        stems: of its files, sorted: the order of parts.
        table: every row of every file, in the order of (part, row): `part`, `row`, `status` (what
            curate must say: ok, invalid_uid, nonfinite_embedding or zero_embedding), and the
            columns of the parquet files.
        embeddings: array name -> float16 [n, width], aligned with the table.
        faults: what was asked for.
    """

    folder: Path
    stems: tuple[str, ...]
    table: pa.Table
    embeddings: Mapping[str, npt.NDArray[np.float16]]
    faults: Faults = field(default_factory=Faults)

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column of the table as numpy."""
        return np.asarray(self.table[name].to_numpy())

    def normalised(self, key: str) -> npt.NDArray[np.float64]:
        """Embeddings divided by their norms, float64; NaN where there is none."""
        rows = self.embeddings[key].astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def make_pool(
    folder: Path,
    files: Sequence[int] = (300, 200, 250),
    seed: int = 0,
    faults: Faults | None = None,
    score_dtype: npt.DTypeLike = np.float64,
    compressed: bool = False,
) -> Pool:
    """Write a pool of metadata and embeddings.

    Args:
        folder: made if need be; only files of the pool go into it.
        files: rows of each file.
        seed: of everything random.
        faults: what is bad; nothing by default.
        score_dtype: of the pool's own `clip_*_similarity_score`.
        compressed: whether the npz files are deflated; DataComp's are stored.
    """
    faults = faults or Faults()
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    stems = sorted(hashlib.md5(f"{seed}/{i}".encode()).hexdigest() for i in range(len(files)))
    parts = np.repeat(np.arange(len(files)), files)
    embeddings = _embeddings(rng, len(parts))
    columns = _columns(rng, parts, embeddings, np.dtype(score_dtype))
    status = _spoil(rng, columns, embeddings, parts, faults)
    table = pa.table(
        {
            "part": pa.array([stems[part] for part in parts]),
            "row": pa.array(np.concatenate([np.arange(n) for n in files])),
            "status": pa.array(status),
            **columns,
        }
    )
    pool = Pool(folder, tuple(stems), table, embeddings, faults)
    for number in range(len(files)):
        _write_file(pool, number, parts == number, compressed)
    return pool


def _embeddings(rng: np.random.Generator, n: int) -> dict[str, npt.NDArray[np.float16]]:
    # A few topics, so that captions tell something of images, and norms that are far from one.
    topic = rng.integers(0, 12, n)
    found = {}
    for model in ("b32", "l14"):
        centres = rng.normal(size=(12, WIDTHS[f"{model}_img"]))
        for side, norm in (("img", 10.0), ("txt", 7.0)):
            rows = centres[topic] + 0.8 * rng.normal(size=(n, centres.shape[1]))
            rows *= norm * rng.uniform(0.5, 1.5, (n, 1)) / np.linalg.norm(rows, axis=1)[:, None]
            found[f"{model}_{side}"] = rows.astype(np.float16)
    return found


def _columns(
    rng: np.random.Generator,
    parts: npt.NDArray[np.int64],
    embeddings: Mapping[str, npt.NDArray[np.float16]],
    score_dtype: np.dtype[Any],
) -> dict[str, Any]:
    n = len(parts)
    text = [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(n)]
    url = [f"https://example.org/{rng.integers(1 << 40):010x}.jpg" for _ in range(n)]
    uids = [hashlib.md5(f"{u} {t}".encode()).hexdigest() for u, t in zip(url, text, strict=True)]
    scores = {}
    for model in ("b32", "l14"):
        image, caption = (embeddings[f"{model}_{s}"].astype(np.float64) for s in ("img", "txt"))
        norms = np.linalg.norm(image, axis=1) * np.linalg.norm(caption, axis=1)
        # To two digits, so that many rows tie.
        score = np.round((image * caption).sum(1) / norms, 2)
        scores[f"clip_{model}_similarity_score"] = score.astype(score_dtype)
    boxes = [[list(rng.uniform(size=4))] if rng.random() < 0.2 else [] for _ in range(n)]
    return {
        "uid": uids,
        "url": url,
        "text": text,
        "original_width": rng.integers(1, LARGEST_SIDE, n),
        "original_height": rng.integers(1, LARGEST_SIDE, n),
        **scores,
        "face_bboxes": pa.array(boxes, pa.list_(pa.list_(pa.float64()))),
        "sha256": [hashlib.sha256(u.encode()).hexdigest() for u in url],
    }


def _spoil(
    rng: np.random.Generator,
    columns: dict[str, Any],
    embeddings: Mapping[str, npt.NDArray[np.float16]],
    parts: npt.NDArray[np.int64],
    faults: Faults,
) -> list[str]:
    """Make rows bad in place; returns the status of every row."""
    status = ["ok"] * len(parts)
    free = list(rng.permutation(len(parts)))

    def take(count: int) -> list[int]:
        return [int(free.pop()) for _ in range(count)]

    for row in take(faults.short_uids):
        columns["uid"][row] = columns["uid"][row][:31]
        status[row] = "invalid_uid"
    for row in take(faults.non_hex_uids):
        columns["uid"][row] = "g" + columns["uid"][row][1:]
        status[row] = "invalid_uid"
    sides = ("l14_img", "l14_txt")
    for value, count, reason in (
        (np.nan, faults.nan_rows, "nonfinite_embedding"),
        (np.inf, faults.infinite_rows, "nonfinite_embedding"),
    ):
        for i, row in enumerate(take(count)):
            embeddings[sides[i % 2]][row, rng.integers(L14_WIDTH)] = value
            status[row] = reason
    for i, row in enumerate(take(faults.zero_rows)):
        embeddings[sides[i % 2]][row] = 0
        status[row] = "zero_embedding"
    for row in take(faults.null_captions):
        columns["text"][row] = None
    _repeat_uids(rng, columns, parts, status, faults.repeated_uids)
    return status


def _repeat_uids(
    rng: np.random.Generator,
    columns: dict[str, Any],
    parts: npt.NDArray[np.int64],
    status: Sequence[str],
    count: int,
) -> None:
    good = [i for i, reason in enumerate(status) if reason == "ok"]
    first = [i for i in good if parts[i] == 0]
    later = [i for i in good if parts[i] > 0]
    if not count:
        return
    copies = rng.choice(later, count, replace=False)
    for row, original in zip(copies, rng.choice(first, count), strict=True):
        columns["uid"][row] = columns["uid"][original]


def _write_file(pool: Pool, number: int, mine: npt.NDArray[np.bool_], compressed: bool) -> None:
    faults, stem = pool.faults, pool.stems[number]
    rows = pool.table.filter(pa.array(mine)).drop_columns(["part", "row", "status"])
    # Several row groups, as in files of any size.
    pq.write_table(rows, pool.folder / f"{stem}.parquet", row_group_size=64)
    arrays = {name: values[mine] for name, values in pool.embeddings.items()}
    if faults.missing_key == number:
        del arrays["l14_txt"]
    if faults.fewer_rows == number:
        arrays = {name: values[:-1] for name, values in arrays.items()}
    if faults.missing_npz != number:
        save = np.savez_compressed if compressed else np.savez
        save(pool.folder / f"{stem}.npz", **arrays)  # type: ignore[arg-type]  # names are ours


# --- the images -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageShards:
    """Written shards of images.

    Attributes:
        pattern: that names them.
        place: uid -> (shard id, key), of the pairs that have an image.
        missing: uids of the pairs that have none.
    """

    pattern: str
    place: Mapping[str, tuple[str, str]]
    missing: frozenset[str]


def make_image_shards(
    pool: Pool, folder: Path, shards: int = 4, missing: float = 0.1, seed: int = 1
) -> ImageShards:
    """Write the images of a pool as img2dataset does, in an order of their own.

    Every distinct valid uid of the pool gets one sample (jpg, txt, json with `uid`), but for the
    share `missing` of them, whose links are dead. Pairs with unusable embeddings have images too.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    usable = pool.table.filter(pa.compute.not_equal(pool.table["status"], "invalid_uid"))
    rows = {row["uid"]: row for row in reversed(usable.to_pylist())}  # the first row of a uid
    order = [rows[uid] for uid in rng.permutation(sorted(rows))]
    dead = round(missing * len(order))
    pictures = [jpeg(48, 32, seed=i) for i in range(PICTURES)]
    place = {}
    for number, bounds in enumerate(np.array_split(np.arange(dead, len(order)), shards)):
        members: list[tuple[str, bytes]] = []
        for i, at in enumerate(bounds):
            key = f"{number:05d}{i:04d}"
            members += _image_members(key, order[at], pictures[int(at) % PICTURES])
            place[order[at]["uid"]] = (f"{number:05d}", key)
        (folder / f"{number:05d}.tar").write_bytes(tar_bytes(members))
    gone = frozenset(row["uid"] for row in order[:dead])
    return ImageShards(f"{folder}/*.tar", place, gone)


def _image_members(key: str, row: Mapping[str, Any], image: bytes) -> list[tuple[str, bytes]]:
    text = row["text"] if row["text"] and row["text"].strip() else "no caption"
    metadata = {
        "uid": row["uid"], "key": key, "status": "success", "caption": text, "url": row["url"],
        "width": 48, "height": 32, "sha256": row["sha256"],
        "original_width": row["original_width"], "original_height": row["original_height"],
    }  # fmt: skip
    return [
        (f"{key}.jpg", image),
        (f"{key}.txt", text.encode()),
        (f"{key}.json", json_bytes(metadata)),
    ]
