"""Shards to samples and rejections: each rule on its own, then invariants on arbitrary shards."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import tarfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from factories import (
    Members,
    jpeg,
    json_bytes,
    member_spans,
    outcomes,
    read_shard,
    sample_members,
    shard_bytes,
    tar_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import SampleError, ShardError
from curate.members import JSON_DEPTH, derive_uid, parse_caption, parse_metadata, split_name
from curate.samples import Rejection, Sample, SamplePolicy, ShardReader
from curate.schema import REJECTIONS
from curate.shards import Shard, list_shards, open_shard, read_range

UID = "0123456789abcdef" * 2


def one(members: Members, policy: SamplePolicy | None = None) -> Sample | Rejection:
    rows, _ = read_shard(tar_bytes(members, tarfile.PAX_FORMAT), policy)
    assert len(rows) == 1
    return rows[0]


def good(members: Members, policy: SamplePolicy | None = None) -> Sample:
    row = one(members, policy)
    assert isinstance(row, Sample), row
    return row


def bad(members: Members, policy: SamplePolicy | None = None) -> Rejection:
    row = one(members, policy)
    assert isinstance(row, Rejection), row
    assert row.status in REJECTIONS
    return row


def with_json(content: bytes) -> Members:
    return [("a.jpg", b"image"), ("a.txt", b"text"), ("a.json", content)]


def with_text(content: bytes) -> Members:
    return [("a.jpg", b"image"), ("a.txt", content)]


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000.jpg", ("000", "jpg")),
        ("data/001.JPG", ("data/001", "jpg")),
        ("./a.txt", ("a", "txt")),
        ("././a.txt", ("a", "txt")),
        ("../a.txt", ("../a", "txt")),
        ("a.b.c.jpg", ("a", "b.c.jpg")),
        ("a.b/c.jpg", ("a.b/c", "jpg")),
        (".jpg", ("", "jpg")),
        ("data/.jpg", ("data/", "jpg")),
        ("README", ("README", "")),
        ("кот 猫.webp", ("кот 猫", "webp")),
    ],
)
def test_the_key_ends_at_the_first_dot_of_the_base_name(
    name: str, expected: tuple[str, str]
) -> None:
    assert split_name(name) == expected


def test_derived_uids_are_hex_and_depend_on_shard_and_key() -> None:
    uids = {derive_uid(shard, key) for shard in ("s", "t") for key in ("a", "b", "\0a")}
    assert len(uids) == 6
    assert all(len(uid) == 32 and int(uid, 16) >= 0 for uid in uids)
    assert derive_uid("s", "a") == hashlib.blake2b(b"s\0a", digest_size=16).hexdigest()


# --- captions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain", "plain"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("кот 猫 👩‍👩‍👧".encode(), "кот 猫 👩‍👩‍👧"),
        (b"a\0b\tc\r\nd\x1b[31me\x7f", "a b c  d [31me "),
        ("next\u0085line".encode(), "next line"),
        (b"=cmd|' /C calc'!A0 %s%n {0.__class__}", "=cmd|' /C calc'!A0 %s%n {0.__class__}"),
        (b"&lt;b&gt; <i>", "&lt;b&gt; <i>"),
    ],
)
def test_captions_are_kept_but_for_control_characters(data: bytes, expected: str) -> None:
    assert parse_caption(data, 1000) == expected
    assert good(with_text(data)).caption == expected


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"Caf\xe9", "invalid_caption"),
        ("UTF-16".encode("utf-16"), "invalid_caption"),
        (b"lone \xed\xa0\x80 surrogate", "invalid_caption"),
        (b"", "empty_caption"),
        (b" \t\r\n\0 ", "empty_caption"),
        ("\u200b\u200d\ufeff\u00a0\u3000\u202e\u0301\u3164".encode(), "empty_caption"),
        (b"\xef\xbb\xbf", "empty_caption"),
        (b"x" * 101, "caption_too_long"),
    ],
)
def test_captions_that_say_nothing_are_rejected(data: bytes, status: str) -> None:
    with pytest.raises(SampleError) as caught:
        parse_caption(data, 100)
    assert caught.value.status == status
    assert bad(with_text(data), SamplePolicy(caption_bytes=100)).status == status


def test_the_caption_comes_from_the_text_not_from_the_json() -> None:
    members = with_json(json_bytes({"caption": "of the json"}))
    assert good(members).caption == "text"


@given(st.binary(max_size=60))
def test_any_caption_is_a_clean_string_or_a_rejection(data: bytes) -> None:
    try:
        caption = parse_caption(data, 50)
    except SampleError as exc:
        assert exc.status in ("caption_too_long", "invalid_caption", "empty_caption")  # noqa: PT017 - any
    else:
        assert caption.strip()
        assert not any(ord(character) < 32 for character in caption)
        assert len(caption.encode()) <= 50


# --- metadata -------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": Infinity, "a": -Infinity}', {"a": -math.inf}),
        (b'{"a": "\\ud83d\\ude00 \\ud800"}', {"a": "😀 ?"}),
        (b'{"a": "[[[["}', {"a": "[[[["}),
        (b'{"a": 1e999}', {"a": math.inf}),
    ],
)
def test_metadata_that_is_read(data: bytes, expected: dict[str, Any]) -> None:
    assert parse_metadata(data) == expected
    assert good(with_json(data)).metadata == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"   ", b"[1]", b'"text"', b"null", b"NaN", b'{"a":', b"{'a': 1}", b'{"a": \xff}',
     b'{"n": ' + b"9" * 5000 + b"}", nested(JSON_DEPTH + 1), nested(100_000), b"[" * 100_000],
    ids=range(13),
)  # fmt: skip
def test_metadata_that_is_rejected(data: bytes) -> None:
    with pytest.raises(SampleError) as caught:
        parse_metadata(data)
    assert caught.value.status == "invalid_json"
    row = bad(with_json(data))
    assert row.status == "invalid_json"
    assert row.uid_derived
    assert len(row.detail) <= 500


def test_nan_is_read() -> None:
    assert math.isnan(parse_metadata(b'{"a": NaN}')["a"])


def test_brackets_count_outside_of_strings_only() -> None:
    levels = json.loads(nested(JSON_DEPTH))
    assert parse_metadata(nested(JSON_DEPTH)) == levels
    text = json_bytes({'a"\\': '[{"' * 200, "b": [[]] * 100})
    assert parse_metadata(text)["b"] == [[]] * 100


def test_hostile_strings_do_not_take_quadratic_time() -> None:
    started = time.perf_counter()
    with pytest.raises(SampleError):
        parse_metadata(b'{"' + b'\\"[' * 300_000)
    assert time.perf_counter() - started < 10.0  # quadratic: hours


def test_a_large_json_is_not_parsed() -> None:
    row = bad(with_json(json_bytes({"a": "x" * 200})), SamplePolicy(json_bytes=100))
    assert (row.status, row.detail) == ("invalid_json", "209 bytes; the limit is 100")


# --- uids -----------------------------------------------------------------------------------


def test_the_uid_of_the_json_is_normalised_to_lower_case() -> None:
    row = good(with_json(json_bytes({"uid": UID.upper()})))
    assert (row.uid, row.uid_derived) == (UID, False)


@pytest.mark.parametrize(
    "uid", [None, 7, "", UID[:-1], UID + "0", UID[:-1] + "g", [UID], UID + "\n"]
)
def test_a_uid_that_is_not_32_hex_digits_is_derived(uid: Any) -> None:
    row = good(with_json(json_bytes({"uid": uid})))
    assert (row.uid, row.uid_derived) == (derive_uid("shard", "a"), True)


def test_a_missing_json_is_fine_and_noted() -> None:
    rows, report = read_shard(tar_bytes(with_text(b"text")))
    assert isinstance(rows[0], Sample)
    assert rows[0].metadata == {}
    assert rows[0].uid_derived
    assert (report.notes["missing_json"], report.notes["derived_uid"]) == (1, 1)


def test_a_rejected_sample_keeps_the_uid_of_its_json() -> None:
    row = bad([("a.jpg", b"image"), ("a.json", json_bytes({"uid": UID}))])
    assert (row.status, row.uid, row.uid_derived) == ("missing_text", UID, False)


def test_ground_truth_and_status_of_the_json_change_nothing() -> None:
    plain = shard_bytes(3)
    marked = shard_bytes(3, noise="placeholder", status="failed_to_download")
    assert outcomes(read_shard(plain)[0]) == outcomes(read_shard(marked)[0])


# --- groups ---------------------------------------------------------------------------------


def keys_of(members: Members) -> list[tuple[str, str]]:
    return outcomes(read_shard(tar_bytes(members))[0])


def test_good_samples_carry_their_bytes_and_spans() -> None:
    members = sample_members("a", "first", 1) + sample_members("b", "second", 2)
    data = tar_bytes(members)
    rows, report = read_shard(data)
    for index, row in enumerate(rows):
        assert isinstance(row, Sample)
        mine = members[3 * index : 3 * index + 3]
        assert (row.index, row.key) == (index, "ab"[index])
        assert row.image == mine[0][1]
        assert row.caption == mine[1][1].decode()
        assert row.metadata == json.loads(mine[2][1])
        span = data[row.tar_offset : row.tar_offset + row.tar_size]
        with tarfile.open(fileobj=io.BytesIO(span + bytes(1024))) as archive:
            found = [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr] # all members are regular files
        assert found == mine
    assert (report.read, report.rejected) == (2, {})
    assert (report.tar.size, report.tar.damage) == (len(data), ())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.txt", "a.json"], [("a", "missing_image")]),
        (["a.jpg", "a.json"], [("a", "missing_text")]),
        (["a.json"], [("a", "missing_image")]),
        (["a.gif", "a.txt"], [("a", "missing_image")]),
        (["a.b.jpg", "a.b.txt"], [("a", "missing_image")]),
        (["a.JPG", "a.TXT"], [("a", "ok")]),
        (["a.webp", "a.txt"], [("a", "ok")]),
        (["a.txt", "a.jpeg"], [("a", "ok")]),
        (["a.jpg", "a.txt", "a.cls", "a.pickle", "a.npy"], [("a", "ok")]),
        (["a.jpg", "a.txt", "a.txt"], [("a", "duplicate_member")]),
        (["a.jpg", "a.png", "a.txt"], [("a", "duplicate_member")]),
        (["a.txt", "a.jpg", "a.jpg"], [("a", "duplicate_member")]),
        (["a.txt", "a.jpg", "a.cls", "a.cls"], [("a", "duplicate_member")]),
        (["a.jpg", "a.txt", "a.jpg", "a.txt"], [("a", "ok"), ("a", "duplicate_key")]),
        (["a.jpg", "a.txt", "b.jpg", "b.txt", "a.jpg", "a.txt"],
         [("a", "ok"), ("b", "ok"), ("a", "duplicate_key")]),
        (["a.jpg", "b.jpg", "a.txt", "b.txt"],
         [("a", "missing_text"), ("b", "missing_text"), ("a", "duplicate_key"),
          ("b", "duplicate_key")]),
        (["a.jpg", "b.txt"], [("a", "missing_text"), ("b", "missing_image")]),
        ([".jpg", ".txt"], [("", "invalid_key")]),
        (["data/.jpg", "data/.txt"], [("data/", "invalid_key")]),
        (["README", "a.jpg", "a.txt"], [("README", "invalid_key"), ("a", "ok")]),
        (["./a.jpg", "a.txt"], [("a", "ok")]),
        (["x/a.jpg", "y/a.txt"], [("x/a", "missing_text"), ("y/a", "missing_image")]),
    ],
)  # fmt: skip
def test_groups(names: list[str], expected: list[tuple[str, str]]) -> None:
    assert keys_of([(name, b"x") for name in names]) == expected


def test_the_first_of_a_duplicate_key_keeps_its_own_content() -> None:
    rows, _ = read_shard(tar_bytes(sample_members("a", "one", 1) + sample_members("a", "two", 2)))
    assert isinstance(rows[0], Sample)
    assert (rows[0].caption, rows[0].image) == ("one", jpeg(seed=1))
    assert isinstance(rows[1], Rejection)
    assert (rows[1].index, rows[1].status) == (1, "duplicate_key")


def tar_with_special(kind: bytes, name: str, position: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, (member, data) in enumerate([("a.jpg", b"image"), ("a.txt", b"text")]):
            if number == position:
                special = tarfile.TarInfo(name)
                special.type, special.linkname = kind, "/etc/passwd"
                archive.addfile(special)
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
def test_special_members_are_counted_and_end_a_group(kind: bytes) -> None:
    rows, report = read_shard(tar_with_special(kind, "a", 0))
    assert outcomes(rows) == [("a", "ok")]
    assert report.notes["non_regular_members"] == 1
    rows, report = read_shard(tar_with_special(kind, "a.json", 1))
    assert outcomes(rows) == [("a", "missing_text"), ("a", "duplicate_key")]
    assert report.notes["non_regular_members"] == 1


# --- limits ---------------------------------------------------------------------------------


def test_members_beyond_the_limit() -> None:
    policy = SamplePolicy(member_bytes=100)
    large = b"x" * 101
    assert bad([("a.jpg", large), ("a.txt", b"t")], policy).status == "member_too_large"
    assert bad([("a.jpg", b"i"), ("a.txt", large)], policy).status == "caption_too_long"
    members = [("a.jpg", b"i"), ("a.txt", b"t"), ("a.json", large)]
    assert bad(members, policy).status == "invalid_json"
    assert good([("a.jpg", b"i"), ("a.txt", b"t"), ("a.webm", large)], policy).image == b"i"


def test_the_checksum_is_verified_on_request() -> None:
    image, wrong = b"image", "0" * 64
    right = hashlib.sha256(image).hexdigest()
    policy = SamplePolicy(verify_sha256=True)
    for value, status in [(right, "ok"), (right.upper(), "ok"), (None, "ok"), (wrong, "bad")]:
        row = one(with_json(json_bytes({"sha256": value})), policy)
        assert isinstance(row, Sample) is (status == "ok"), value
    assert bad(with_json(json_bytes({"sha256": wrong})), policy).status == "checksum_mismatch"
    assert good(with_json(json_bytes({"sha256": wrong}))).image == image


def test_only_one_sample_is_held() -> None:
    members = [
        member
        for number in range(60)
        for member in [(f"{number}.jpg", bytes(1 << 20)), (f"{number}.txt", b"text")]
    ]
    members += [(f"last.{number}", bytes(1 << 20)) for number in range(30)]
    data = tar_bytes(members)
    reader = ShardReader(io.BytesIO(data), Shard("s", "s", len(data)), SamplePolicy())
    tracemalloc.start()
    count = sum(1 for _ in reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 61
    assert peak < 12 << 20


# --- damage ---------------------------------------------------------------------------------


def damaged(member: str, samples: int = 4) -> tuple[list[tuple[str, str]], list[str]]:
    """Outcomes and damage kinds when the header of one member is overwritten."""
    data = bytearray(shard_bytes(samples))
    (offset,) = (offset for name, offset, _ in member_spans(bytes(data)) if name == member)
    data[offset : offset + 512] = b"\xff" * 512
    rows, report = read_shard(bytes(data))
    return outcomes(rows), [damage.kind for damage in report.tar.damage]


@pytest.mark.parametrize("extension", ["jpg", "txt", "json"])
def test_a_damaged_member_costs_its_sample_and_no_other(extension: str) -> None:
    found, kinds = damaged(f"000000001.{extension}")
    assert found == [
        ("000000000", "ok"),
        ("000000001", "damaged_tar"),
        ("000000002", "ok"),
        ("000000003", "ok"),
    ]
    assert kinds == ["corrupt_header"]


def test_every_cut_yields_the_samples_before_it_and_invents_none() -> None:
    data = shard_bytes(3)
    ends = [row.tar_offset + row.tar_size for row in read_shard(data)[0]]
    headers = [offset for _, offset, _ in member_spans(data)]
    for cut in range(700, ends[-1], 997):
        rows, report = read_shard(data[:cut])
        whole = sum(end <= cut for end in ends)
        torn = sum(header < cut for header in headers) - 3 * whole  # members, the last one cut
        expected = [(f"{number:09d}", "ok") for number in range(whole)]
        if torn > 1:
            expected.append((f"{whole:09d}", "damaged_tar"))
        assert outcomes(rows) == expected, cut
        assert [damage.kind for damage in report.tar.damage] == ["truncated"], cut


def test_a_cut_at_a_member_border_is_noted_though_nothing_tells_what_is_missing() -> None:
    data = shard_bytes(2)
    border = next(offset for name, offset, _ in member_spans(data) if name == "000000001.txt")
    rows, report = read_shard(data[:border])
    assert outcomes(rows) == [("000000000", "ok"), ("000000001", "missing_text")]
    assert [damage.kind for damage in report.tar.damage] == ["no_end_blocks"]


def test_concatenated_shards_are_read_on() -> None:
    first, second = tar_bytes(sample_members("a")), tar_bytes(sample_members("b"))
    assert outcomes(read_shard(first + second)[0]) == [("a", "ok"), ("b", "ok")]
    assert outcomes(read_shard(first + first)[0]) == [("a", "ok"), ("a", "duplicate_key")]
    halves = tar_bytes([("a.jpg", b"i")]) + tar_bytes([("a.txt", b"t")])
    assert outcomes(read_shard(halves)[0]) == [("a", "missing_text"), ("a", "duplicate_key")]


def test_a_shard_shorter_than_listed_is_an_error_that_names_it() -> None:
    data = shard_bytes(2)
    reader = ShardReader(
        io.BytesIO(data), Shard("s", "s3://p/s.tar", len(data) + 1), SamplePolicy()
    )
    rows: list[Sample | Rejection] = []
    with pytest.raises(ShardError, match=r"s3://p/s\.tar: 10240 bytes read of 10241"):
        rows.extend(reader)
    assert len(rows) == 2  # they came before the end was seen: the caller drops them
    reader = ShardReader(io.BytesIO(b""), Shard("s", "s3://p/s.tar", 0), SamplePolicy())
    with pytest.raises(ShardError, match=r"s3://p/s\.tar: empty file"):
        list(reader)


# --- anything at all ------------------------------------------------------------------------

NAMES = st.builds(
    "{}{}.{}".format,
    st.sampled_from(["", "./", "d/"]),
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from(["jpg", "png", "txt", "json", "cls", "b.jpg"]),
)
CONTENTS = st.sampled_from([b"", b"x", b"{}", b"\xff", b'{"uid": "' + UID.encode() + b'"}'])
POOLS = st.lists(st.tuples(NAMES, CONTENTS), max_size=25)


@settings(max_examples=150, deadline=None)
@given(POOLS)
def test_every_member_is_in_exactly_one_row(members: Members) -> None:
    data = tar_bytes(members)
    rows, report = read_shard(data)
    spans = member_spans(data)
    position, covered = 0, 0
    for index, row in enumerate(rows):
        assert row.index == index
        assert row.tar_offset == position
        position = row.tar_offset + row.tar_size
        inside = [name for name, offset, _ in spans if row.tar_offset <= offset < position]
        covered += len(inside)
        assert {split_name(name)[0] for name in inside} == {row.key}
        assert len(row.uid) == 32
        if isinstance(row, Rejection):
            assert row.status in REJECTIONS
        else:
            extensions = [split_name(name)[1] for name in inside]
            assert extensions.count("txt") == 1
            assert sum(extension in ("jpg", "png") for extension in extensions) == 1
    assert covered == len(members)
    kept = [row.key for row in rows if isinstance(row, Sample)]
    assert len(set(kept)) == len(kept)
    rejected = sum(isinstance(row, Rejection) for row in rows)
    assert (report.read, sum(report.rejected.values())) == (len(rows), rejected)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.binary(max_size=16)), max_size=6))
def test_mutated_shards_never_break_the_reader(edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(shard_bytes(3))
    for position, patch in edits:
        position %= len(data)
        data[position : position + len(patch)] = patch
    try:
        rows, report = read_shard(bytes(data))
    except ShardError:
        return
    assert report.read == len(rows)
    for row, following in itertools.pairwise(rows):
        assert row.tar_offset + row.tar_size <= following.tar_offset


# --- the real pool --------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["dev-*.tar", "train-0000[08].tar"])
def test_real_shards_hold_what_their_statistics_say(shared_data: Path, pattern: str) -> None:
    shards = list_shards(str(shared_data / pattern))
    assert len(shards) == 2
    for shard in shards:
        stats = json.loads((shared_data / f"{shard.id}_stats.json").read_text())
        with open_shard(shard) as file:
            reader = ShardReader(file, shard, SamplePolicy())
            rows = list(reader)
            assert read_range(file, rows[3].tar_offset, 20).startswith(rows[3].key.encode())
        assert reader.report.read == len(rows) == stats["successes"]
        assert not reader.report.tar.damage
        # The only rejections: captions that the makers of `dev` emptied, as noise.
        assert set(reader.report.rejected) <= {"empty_caption"}
        assert sum(reader.report.rejected.values()) == {"dev-00100": 1, "dev-00101": 2}.get(
            shard.id, 0
        )


def test_megabytes_of_names_do_not_reach_the_rows() -> None:
    long_key, long_ending = "k" * 5000, "y." + "e" * 500_000
    members = [*sample_members("a"), (f"{long_key}.jpg", b"x"), (long_ending, b"x")]
    rows, report = read_shard(tar_bytes(members, tarfile.GNU_FORMAT))
    assert outcomes(rows) == [("a", "ok"), ("k" * 4096, "invalid_key"), ("y", "missing_image")]
    assert isinstance(rows[1], Rejection)
    assert isinstance(rows[2], Rejection)
    assert rows[1].detail == "5000 characters; at most 4096"
    assert len(rows[2].detail) < 400
    assert report.read == 3
    assert rows[1].uid == derive_uid("shard", long_key)
