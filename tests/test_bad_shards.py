"""Every broken and hostile shard of the shared data has one expected outcome, row by row.

The folder's README says what is in each. Where it leaves a choice, this is ours:

- 03: behind a corrupt header the reader resynchronises; the sample hit is `damaged_tar`.
- 04 ..6: the flipped bytes form an invalid marker, which Pillow refuses; with `verify_sha256` it
  is found before, by its checksum.
- 05: all formats pass; the EXIF orientation is not applied, as in open_clip.
- 06 ..3 (81 Mpixel) is above the limit of 50 Mpixel; ..4 (100,000 x 1) is below it and passes.
- 07: not UTF-8 is rejected; NUL and control characters become spaces; 50 kB pass.
- 08: a missing json, or one without a usable uid, passes with a derived uid; one that is no
  object, or nested 2,000 deep, is rejected; `status` is not read.
- 09: the first of a duplicate key is kept; equal uids under two keys are for the selection.
- 13: a compressed tar is refused, with the tool that decompresses it.
- 15: a key ends at the first dot, so `a.b.c.jpg` has no image; `.jpg` has no key.
- 16: names are labels; `..\\..\\x` has no stem before its first dot, hence no key.
- 18: parts apart from each other are never joined: the first part is incomplete, the others
  repeat its key.
- 20: both tars are read, the seam is noted.
- 23: nothing is allocated for data that is not there.
- 24: odd shapes pass.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from curate.errors import SampleError, ShardError
from curate.images import decode
from curate.pixels import PixelSpec, to_pixels
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader
from curate.shards import list_shards, open_shard


class Outcome(NamedTuple):
    """Rows by status, then damage kinds; or the message of the ShardError."""

    rows: dict[str, int]
    damage: tuple[str, ...] = ()
    refused: str = ""


EXPECTED = {
    "01_truncated_tar": Outcome({"ok": 4}, ("truncated",)),
    "02_truncated_in_header": Outcome({"ok": 4}, ("truncated",)),
    "03_corrupt_header_middle": Outcome({"ok": 5, "damaged_tar": 1}, ("corrupt_header",)),
    "04_damaged_images": Outcome({"ok": 2, "undecodable_image": 6}),
    "05_image_formats": Outcome({"ok": 16}),
    "06_decompression_bomb": Outcome({"ok": 3, "image_too_large": 4}),
    "07_captions": Outcome({"ok": 11, "invalid_caption": 3, "empty_caption": 2}),
    "08_missing_parts": Outcome(
        {"ok": 8, "missing_text": 2, "missing_image": 3, "invalid_json": 4}
    ),
    "09_duplicate_keys": Outcome({"ok": 7, "duplicate_key": 2, "duplicate_member": 1}),
    "10_empty_tar": Outcome({}),
    "11_zero_bytes": Outcome({}, refused="empty file"),
    "12_not_a_tar": Outcome({}, refused="not a tar archive"),
    "13_gzip_inside": Outcome({}, refused="gunzip"),
    "14_directories_and_specials": Outcome({"ok": 5, "missing_image": 2}),
    "15_odd_keys": Outcome({"ok": 10, "missing_image": 1, "invalid_key": 1}),
    "16_path_traversal": Outcome({"ok": 6, "invalid_key": 1}),
    "17_pickle_members": Outcome({"ok": 8}),
    "18_scattered_members": Outcome({"missing_text": 3, "duplicate_key": 6}),
    "19_no_end_blocks": Outcome({"ok": 4}, ("no_end_blocks",)),
    "20_two_tars_concatenated": Outcome({"ok": 6}, ("concatenated",)),
    "21_sidecar_mismatch": Outcome({"ok": 5}),
    "23_huge_declared_size": Outcome({"ok": 2}, ("truncated",)),
    "24_extreme_shapes": Outcome({"ok": 7}),
}
SPEC = PixelSpec((224, 224))
MARKERS = (
    "bad_marker_abs.jpg",
    "bad_marker_chain.jpg",
    "bad_marker_rel.jpg",
    "PICKLE_WAS_EXECUTED",
)


class Reading(NamedTuple):
    """One shard, read and decoded."""

    statuses: list[tuple[str, str]]
    damage: tuple[str, ...]
    notes: dict[str, int]
    refused: str


def read_and_decode(path: Path, policy: SamplePolicy) -> Reading:
    """What the pipeline does with a shard, up to the model."""
    (shard,) = list_shards(str(path))
    statuses: list[tuple[str, str]] = []
    with open_shard(shard) as file:
        reader = ShardReader(file, shard, policy)
        try:
            statuses.extend((row.key, check(row, policy)) for row in reader)
        except ShardError as exc:
            return Reading(statuses, (), {}, str(exc))
    report = reader.report
    assert report.read == len(statuses)
    kinds = tuple(damage.kind for damage in report.tar.damage)
    return Reading(statuses, kinds, report.notes, "")


def check(row: Sample | Rejection, policy: SamplePolicy) -> str:
    if isinstance(row, Rejection):
        return row.status
    try:
        pixels = to_pixels(decode(row.image, policy.image_pixels), SPEC)
    except SampleError as exc:
        return exc.status
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    return "ok"


@pytest.fixture(scope="module")
def readings(shared_data: Path) -> dict[str, Reading]:
    """All the shards, read once."""
    paths = sorted((shared_data / "bad").glob("*.tar"))
    return {path.stem: read_and_decode(path, SamplePolicy()) for path in paths}


def test_the_table_names_every_shard(readings: dict[str, Reading]) -> None:
    assert sorted(readings) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_shard_has_its_outcome(readings: dict[str, Reading], name: str) -> None:
    reading, expected = readings[name], EXPECTED[name]
    assert Counter(status for _, status in reading.statuses) == expected.rows
    assert reading.damage == expected.damage
    if expected.refused:
        assert expected.refused in reading.refused
        assert f"{name}.tar: " in reading.refused
    else:
        assert reading.refused == ""


def test_nothing_was_written_and_nothing_executed(
    readings: dict[str, Reading], shared_data: Path
) -> None:
    assert len(readings["16_path_traversal"].statuses) == 7
    assert len(readings["17_pickle_members"].statuses) == 8
    places = [Path("/") / "tmp", Path.cwd(), Path.cwd().parent, Path.cwd().parents[1]]
    for place in [*places, shared_data, shared_data.parent]:
        assert [place / name for name in MARKERS if (place / name).exists()] == []
        assert list(place.glob("*bad_marker_*")) == []


def ordered(reading: Reading) -> list[str]:
    return [status for _, status in reading.statuses]


def test_the_rows_stand_where_the_trouble_is(readings: dict[str, Reading]) -> None:
    assert ordered(readings["03_corrupt_header_middle"]).index("damaged_tar") == 2
    assert ordered(readings["04_damaged_images"]) == ["ok", *["undecodable_image"] * 6, "ok"]
    too_large = [i for i, s in enumerate(ordered(readings["06_decompression_bomb"])) if s != "ok"]
    assert too_large == [1, 2, 3, 5]
    captions = ordered(readings["07_captions"])
    assert [i for i, status in enumerate(captions) if status == "invalid_caption"] == [1, 2, 8]
    assert [i for i, status in enumerate(captions) if status == "empty_caption"] == [4, 5]
    parts = ordered(readings["08_missing_parts"])
    assert {i: status for i, status in enumerate(parts) if status != "ok"} == {
        1: "missing_text",
        2: "missing_image",
        4: "missing_image",
        5: "missing_image",
        6: "missing_text",
        7: "invalid_json",
        8: "invalid_json",
        11: "invalid_json",
        12: "invalid_json",
    }


def test_what_is_passed_over_is_noted(readings: dict[str, Reading]) -> None:
    assert readings["14_directories_and_specials"].notes["non_regular_members"] == 7
    assert readings["17_pickle_members"].notes["other_members"] == 7
    # ..3 has no json and passes, ..9 and ..10 bring no usable uid; the others are rejected
    assert readings["08_missing_parts"].notes["missing_json"] == 3
    assert readings["08_missing_parts"].notes["derived_uid"] == 9


def test_flipped_bytes_are_found_by_their_checksum(shared_data: Path) -> None:
    path = shared_data / "bad" / "04_damaged_images.tar"
    reading = read_and_decode(path, SamplePolicy(verify_sha256=True))
    assert ordered(reading)[6] == "checksum_mismatch"
    assert ordered(reading)[7] == "ok"


@pytest.mark.parametrize("name", ["06_decompression_bomb", "23_huge_declared_size"])
def test_memory_stays_bounded(shared_data: Path, name: str) -> None:
    tracemalloc.start()
    read_and_decode(shared_data / "bad" / f"{name}.tar", SamplePolicy())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
