"""Captions and small pictures out of shards: good ones, damaged ones, and shards that are gone."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import encode, jpeg, picture, places_in, sample_members, tar_bytes
from PIL import Image

from curate.errors import SampleError
from curate.originals import CHANGED, Original, original_of
from curate.report.captions import NO_PICTURES, read_captions
from curate.report.thumbnails import (
    CAPTION_SHOWN,
    SIDE,
    content_of,
    read_contents,
    thumbnail_of,
)
from curate.shards import Shard

PIXELS = 1_000_000


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("size", [(640, 480), (100, 900), (64, 48)])
def test_a_thumbnail_is_small_and_looks_alike(size: tuple[int, int]) -> None:
    original = picture(*size, seed=3)
    made = opened(thumbnail_of(encode(original, "JPEG", quality=95), PIXELS))
    assert made.format == "WEBP"
    scale = min(1.0, SIDE / max(size))
    assert made.size == tuple(max(1, round(side * scale)) for side in size)
    expected = original.resize(made.size, Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(made.convert("RGB"), int) - np.asarray(expected, int))
    assert difference.mean() < 10


def test_equal_pictures_give_equal_bytes() -> None:
    assert thumbnail_of(jpeg(300, 200, 1), PIXELS) == thumbnail_of(jpeg(300, 200, 1), PIXELS)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"no picture", "undecodable_image"), (jpeg(1200, 1000), "image_too_large")],
)
def test_what_is_refused(data: bytes, status: str) -> None:
    with pytest.raises(SampleError) as caught:
        thumbnail_of(data, PIXELS)
    assert caught.value.status == status


def part(**members: bytes) -> Original:
    """A sample of some members, as it is read from its shard."""
    data = tar_bytes([(f"k.{name}", data) for name, data in members.items()])
    (place,) = places_in(data)
    return original_of(data[: place.size], "shard", place)


def test_a_sample_shows_its_picture_and_its_caption() -> None:
    found = content_of(part(jpg=jpeg(), txt=b"a\tcat <script>", json=b"{}"), PIXELS)
    assert found.caption == "a cat <script>"
    assert not found.caption_cut
    assert found.note is None
    assert opened(found.thumbnail).size == (48, 32)
    again = content_of(part(txt=b"other", jpg=jpeg()), PIXELS)
    assert again.look == found.look is not None
    assert content_of(part(jpg=jpeg(seed=1)), PIXELS).look != found.look


def test_without_pictures_they_are_still_told_apart() -> None:
    found = content_of(part(jpg=jpeg(), txt=b"x"), PIXELS, pictures=False)
    assert found.thumbnail is None
    assert found.look == content_of(part(jpg=jpeg()), PIXELS).look
    assert found.note is not None


def test_long_captions_are_cut_and_bad_bytes_shown() -> None:
    found = content_of(part(txt=b"\xff" + b"x" * 1000), PIXELS)
    assert found.caption == "\ufffd" + "x" * (CAPTION_SHOWN - 1)
    assert found.caption_cut


@pytest.mark.parametrize(
    ("members", "note"),
    [
        ({"txt": b"only"}, "holds no picture"),
        ({"jpg": b"broken", "txt": b"x"}, "undecodable_image"),
        ({"jpg": b"", "txt": b"x"}, "undecodable_image"),
    ],
)
def test_a_note_says_why_there_is_no_picture(members: dict[str, bytes], note: str) -> None:
    found = content_of(part(**members), PIXELS)
    assert found.thumbnail is None
    assert found.note is not None
    assert note in found.note


def test_what_is_not_there_is_noted_without_a_secret() -> None:
    gone = Original(problem=f"https://user:secret@host/x: {CHANGED}", is_lost=True)
    found = content_of(gone, PIXELS)
    assert found.note == f"https://***@host/x: {CHANGED}"
    assert found.is_lost
    assert (found.caption, found.look, found.thumbnail) == (None, None, None)
    assert not content_of(Original(problem="too large"), PIXELS).is_lost


def test_samples_of_a_store_are_read_by_ranges() -> None:
    data = tar_bytes([m for n in range(3) for m in sample_members(f"{n:09d}", f"caption {n}", n)])
    url = f"memory://{uuid.uuid4().hex}/00000.tar"
    fsspec.filesystem("memory").pipe(url, data)
    places = {n: place for n, place in enumerate(places_in(data, "00000")) if n != 2}
    found = dict(read_contents(Shard("00000", url, None), places, PIXELS))
    assert {n: one.caption for n, one in found.items()} == {0: "caption 0", 1: "caption 1"}
    assert all(one.thumbnail for one in found.values())
    fsspec.filesystem("memory").rm(url)


# --- captions of metadata -------------------------------------------------------------------


def captions(path: Path, table: pa.Table, positions: list[int]) -> dict[int, Any]:
    pq.write_table(table, path)
    uids = table["uid"].to_pylist()
    rows = {10 + at: {"index": at, "key": uids[at], "uid": uids[at]} for at in positions}
    return dict(read_captions(Shard("p", str(path), None), rows))


@pytest.mark.parametrize("name", ["text", "caption"])
def test_captions_of_metadata(tmp_path: Path, name: str) -> None:
    table = pa.table({name: ["a", None, "c\nd", "x" * 600], "uid": ["", "", "", ""]})
    found = captions(tmp_path / "p.parquet", table, [3, 2, 1])
    assert found[12].caption == "c d"
    assert found[11].caption is None
    assert found[13].caption_cut
    assert found[13].note == NO_PICTURES


def test_metadata_without_captions_or_at_all(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    assert captions(path, pa.table({"uid": ["a", "b"]}), [1])[11].caption is None
    path.write_bytes(b"no parquet")
    rows = {5: {"index": 0, "key": "a", "uid": "a"}}
    for place in (path, tmp_path / "gone.parquet"):
        (found,) = dict(read_captions(Shard("p", str(place), None), rows)).values()
        assert found.caption is None
        assert "cannot be" in (found.note or "")


def test_metadata_that_changed_lends_no_captions(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"uid": ["b", "a"], "text": ["of b", "of a"]}), path)
    rows = {n: {"index": n, "key": "a", "uid": "a"} for n in (0, 1)}
    found = dict(read_captions(Shard("p", str(path), None), rows))
    assert found[0].caption is None
    assert found[0].is_lost
    assert str(found[0].note).endswith("the metadata changed since it was scored: score it again")
    assert found[1].caption == "of a"
