"""Samples read back: each is known again where it is, and none that lies there in its stead."""

from __future__ import annotations

import io
import tarfile
import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from factories import (
    jpeg,
    json_bytes,
    places_in,
    read_shard,
    sample_members,
    shard_bytes,
    tar_bytes,
)

from curate.errors import ShardError
from curate.members import KEY_LIMIT, derive_uid
from curate.originals import CHANGED, Original, Place, original_of, read_originals
from curate.shards import Shard

MOST = 1 << 20


def read(path: Path | str, places: list[Place], most: int = MOST) -> list[Original]:
    found = dict(read_originals(Shard("shard", str(path), None), dict(enumerate(places)), most))
    return [found[at] for at in range(len(places))]


def at(data: bytes, place: Place) -> Original:
    return original_of(data[place.offset : place.offset + place.size], "shard", place)


# --- what is still there ------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["disk", "store"])
def test_samples_are_read_where_they_lie(tmp_path: Path, place: str) -> None:
    data = shard_bytes(4)
    url = str(tmp_path / "0.tar") if place == "disk" else f"memory://{uuid.uuid4().hex}/0.tar"
    with fsspec.open(url, "wb") as file:
        file.write(data)
    places = places_in(data)
    shard = Shard("shard", url, None)
    found = list(read_originals(shard, {7: places[3], 9: places[0]}, MOST))
    assert [number for number, _ in found] == [9, 7]  # as their bytes lie
    for number, (_, original) in zip((0, 3), found, strict=True):
        own = places[number]
        assert original.data == data[own.offset : own.offset + own.size]
        assert original.image == jpeg(seed=number)
        assert original.caption == f"caption {number}".encode()
        assert (original.problem, original.is_lost) == (None, False)


def test_what_a_sample_does_not_hold_is_none() -> None:
    data = tar_bytes([("a.txt", b"only"), ("b.jpg", b""), ("c.npy", b"x"), ("d.txt", b"")])
    found = [at(data, place) for place in places_in(data)]
    assert [one.caption for one in found] == [b"only", None, None, b""]
    assert [one.image for one in found] == [None, b"", None, None]
    assert {one.problem for one in found} == {None}


STRANGE = [
    *sample_members("plain"),
    *sample_members("no uid", uid=None),
    *sample_members("UPPER", uid="AB" * 16),
    ("bad.jpg", jpeg()), ("bad.txt", b"x"), ("bad.json", b"{"),
    ("deep/er.png", b"broken"), ("deep/er.TXT", b"\xff"),
    *sample_members("x" * (KEY_LIMIT + 1), uid=None),
    *sample_members("twice"), ("between.txt", b"b"), *sample_members("twice"),
    ("two.jpg", jpeg()), ("two.png", jpeg()), ("two.txt", b"x"), ("two.extra.txt", b"x"),
    (".jpg", jpeg()),
    *sample_members("\u00e4" * 120),
]  # fmt: skip


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_every_row_of_a_strange_shard_is_known_again(form: int) -> None:
    data = tar_bytes(STRANGE, form)
    places = places_in(data)
    assert len(places) == 12
    assert [one.problem for one in (at(data, place) for place in places)] == [None] * 12


@pytest.mark.parametrize("seed", range(40))
def test_every_row_of_a_damaged_shard_is_known_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    damaged = np.frombuffer(tar_bytes(STRANGE, tarfile.PAX_FORMAT), dtype=np.uint8).copy()
    headers = 512 * rng.integers(0, len(damaged) // 512, 6)
    damaged[headers + rng.integers(0, 512, 6)] ^= 1
    data = damaged.tobytes()[: int(rng.integers(len(damaged) // 2, len(damaged)))]
    rows, _ = read_shard(data)
    for row, place in zip(rows, places_in(data), strict=True):
        assert at(data, place).problem is None, row


# --- what is not --------------------------------------------------------------------------------


def changed(data: bytes, place: Place) -> bool:
    found = at(data, place)
    if found.problem is None:
        return False
    assert found == Original(problem=CHANGED, is_lost=True)
    return True


def test_a_shard_of_the_same_keys_is_another_one() -> None:
    """Runs of img2dataset number their samples alike: the first even begins at the same byte."""
    places = places_in(shard_bytes(4))
    other = tar_bytes(
        [m for n in range(4) for m in sample_members(f"{n:09d}", "another", n + 4, uid=f"{n:032x}")]
    )
    assert other != shard_bytes(4)
    assert [changed(other, place) for place in places] == [True] * 4


def test_a_sample_of_the_same_key_and_size_but_another_uid_is_another_one() -> None:
    data = shard_bytes(1)
    (place,) = places_in(data)
    assert not changed(data, place)
    assert changed(data, replace(place, uid="0" * 32))
    without = tar_bytes([*sample_members("k")[:2], ("k.json", b"{}")])
    (place,) = places_in(without)
    assert place.uid == derive_uid("shard", "k")
    assert not changed(without, place)
    assert original_of(without[: place.size], "other", place).problem == CHANGED


@pytest.mark.parametrize("key", ["000000002", "00000000", "000000000/", "0" * 5000, ""])
def test_another_key(key: str) -> None:
    data = shard_bytes(2)
    assert changed(data, replace(places_in(data)[0], key=key))


@pytest.mark.parametrize(("offset", "size"), [(512, 0), (-512, 512), (0, -512), (0, 512), (7, 0)])
def test_another_extent(offset: int, size: int) -> None:
    data = shard_bytes(3)
    place = places_in(data)[1]
    moved = replace(place, offset=place.offset + offset, size=place.size + size)
    assert changed(data, moved)


def test_members_that_no_sample_has() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("k.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        text = tarfile.TarInfo("k.txt")
        archive.addfile(text, io.BytesIO())
    assert changed(buffer.getvalue(), Place("k", derive_uid("shard", "k"), 0, 1024))
    mixed = tar_bytes([("k.txt", b"x"), ("l.jpg", jpeg())])
    assert changed(mixed, Place("k", derive_uid("shard", "k"), 0, places_in(mixed)[1].offset + 512))


def test_keys_that_are_cut_alike_are_two() -> None:
    first, second = "x" * KEY_LIMIT + "a", "x" * KEY_LIMIT + "b"
    data = tar_bytes([(f"{first}.txt", b"1"), (f"{second}.jpg", b"2")], tarfile.PAX_FORMAT)
    one, two = places_in(data)
    both = Place(first[:KEY_LIMIT], one.uid, 0, two.offset + two.size)
    assert one.key == two.key[:KEY_LIMIT]
    assert changed(data, both)


@pytest.mark.parametrize("content", [b"", bytes(4096), b"\xff" * 4096, b"ustar" * 1000])
def test_what_is_no_tar(content: bytes) -> None:
    assert changed(content, Place("k", derive_uid("shard", "k"), 0, len(content)))


@pytest.mark.parametrize("uid", [None, 7, "short", ["a"], "\u0661" * 32])
def test_a_json_whose_uid_is_none(uid: object) -> None:
    members = [*sample_members("k")[:2], ("k.json", json_bytes({"uid": uid}))]
    (place,) = places_in(tar_bytes(members))
    assert not changed(tar_bytes(members), place)
    assert changed(tar_bytes(members), replace(place, uid="0" * 32))


# --- what cannot be had -------------------------------------------------------------------------


def test_a_problem_of_one_sample_leaves_the_others(tmp_path: Path) -> None:
    path, data = tmp_path / "0.tar", shard_bytes(4)
    first, second, third, fourth = places_in(data)
    path.write_bytes(data[: fourth.offset + 512])
    places = [fourth, replace(second, size=MOST + 1), first, third, replace(first, offset=-1)]
    cut, large, good, fine, nowhere = read(path, places)
    assert good.caption == b"caption 0"
    assert fine.caption == b"caption 2"
    assert "short read: 512 of" in str(cut.problem)
    assert "score it again" in str(cut.problem)
    assert large.problem == "not read: 1,048,577 bytes; 1,048,576 are read at most"
    assert "failed" in str(nowhere.problem)
    assert [one.is_lost for one in (cut, large, nowhere)] == [True, False, True]
    assert {one.data for one in (cut, large, nowhere)} == {b""}


def test_a_sample_as_large_as_may_be_is_read(tmp_path: Path) -> None:
    path, data = tmp_path / "0.tar", shard_bytes(1)
    path.write_bytes(data)
    (place,) = places_in(data)
    assert read(path, [place], place.size)[0].problem is None
    assert read(path, [place], place.size - 1)[0].problem is not None


def test_a_shard_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"gone.tar: cannot be opened: .*; check that it exists"):
        read(tmp_path / "gone.tar", places_in(shard_bytes(1)))
