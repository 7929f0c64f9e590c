"""The tar reader against Python's tarfile, and against damage of every kind."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest
from factories import END_BLOCKS, member_spans, shard_bytes, tar_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import ShardError
from curate.tar import Member, TarReader
from curate.tar_headers import BLOCK, parse_header, parse_pax
from curate.tar_report import DAMAGE_LIMIT, TarReport

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
PIECES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"),
    min_size=1,
    max_size=120,
).filter(lambda piece: piece not in (".", ".."))
NAMES = st.lists(PIECES, min_size=1, max_size=3).map("/".join)
CONTENTS = st.binary(max_size=1500)
MEMBERS = st.lists(st.tuples(NAMES, CONTENTS), max_size=8)


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time, as sockets do."""

    def __init__(self, data: bytes, step: int) -> None:
        self._inner = io.BytesIO(data)
        self._step = step

    def read(self, n: int = -1, /) -> bytes:
        return self._inner.read(min(n, self._step))


def read(data: bytes, limit: int = 1 << 20) -> tuple[list[Member], TarReport]:
    reader = TarReader(io.BytesIO(data), limit)
    return list(reader), reader.report


def kinds(report: TarReport) -> list[str]:
    return [damage.kind for damage in report.damage]


def header_of(name: str, size: int, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def with_checksum(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


# --- agreement with tarfile -----------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(MEMBERS, st.sampled_from(FORMATS))
def test_reads_what_tarfile_reads(members: list[tuple[str, bytes]], tar_format: int) -> None:
    try:
        data = tar_bytes(members, tar_format)
    except ValueError:  # ustar cannot hold every long name
        return
    found, report = read(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [
            (info.name, info.offset, info.offset_data, info.size, archive.extractfile(info).read())  # type: ignore[union-attr] # all members are regular files
            for info in archive
        ]
    assert [(m.name, m.offset, m.data_offset, m.size, m.data) for m in found] == expected
    assert all(member.kind == "regular" for member in found)
    assert report.damage == ()
    assert (report.size, report.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    ends = [member.end for member in found[:-1]]
    assert ends == [member.offset for member in found[1:]]


@settings(max_examples=40, deadline=None)
@given(MEMBERS, st.integers(1, 3000))
def test_the_size_of_reads_changes_nothing(members: list[tuple[str, bytes]], step: int) -> None:
    data = tar_bytes(members, tarfile.PAX_FORMAT)
    reader = TarReader(Dribble(data, step))
    assert (list(reader), reader.report) == read(data)


def test_members_across_the_read_buffer() -> None:
    contents = [bytes([i % 251]) * (700_000 + i) for i in range(7)]
    data = tar_bytes([(f"{i}.bin", content) for i, content in enumerate(contents)])
    found, report = read(data, limit=1 << 23)
    assert [member.data for member in found] == contents
    assert report.sha256 == hashlib.sha256(data).hexdigest()


def test_special_members_are_other_and_carry_nothing() -> None:
    buffer = io.BytesIO()
    types = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, kind in enumerate(types):
            info = tarfile.TarInfo(f"special{number}")
            info.type, info.linkname, info.size = kind, "target", 0
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("last.txt"))
    found, report = read(buffer.getvalue())
    assert [member.kind for member in found] == ["other"] * 5 + ["regular"]
    assert [member.data for member in found] == [None] * 5 + [b""]
    assert report.damage == ()


def test_the_size_of_a_link_announces_no_data() -> None:
    data = header_of("link", 4096, tarfile.SYMTYPE) + tar_bytes([("a.txt", b"text")])
    assert [(member.name, member.data) for member in read(data)[0]] == [
        ("link", None),
        ("a.txt", b"text"),
    ]


def test_a_seventh_edition_header_and_its_directory() -> None:
    blocks = b""
    for name in (b"a.txt", b"folder/"):
        block = bytearray(BLOCK)
        block[: len(name)] = name
        block[124:136] = b"%011o\0" % (3 if name == b"a.txt" else 0)
        blocks += with_checksum(block) + (padded(b"abc") if name == b"a.txt" else b"")
    found, _ = read(blocks + END_BLOCKS)
    assert [(member.name, member.kind) for member in found] == [
        ("a.txt", "regular"),
        ("folder/", "other"),
    ]


def test_base_256_sizes() -> None:
    block = bytearray(header_of("a.bin", 0))
    block[124:136] = b"\x80" + (700).to_bytes(11, "big")
    found, _ = read(with_checksum(block) + padded(b"x" * 700) + END_BLOCKS)
    assert found[0].data == b"x" * 700


@pytest.mark.parametrize(
    "field",
    [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000012\0", b"0x000000012\0", b"00000009999\0"],
    ids=["negative", "absurd", "signed", "hexadecimal", "not octal"],
)
def test_an_impossible_size_is_a_corrupt_header(field: bytes) -> None:
    block = bytearray(header_of("a.bin", 0))
    block[124:136] = field
    assert parse_header(with_checksum(block)) is None
    found, report = read(with_checksum(block) + tar_bytes([("b.txt", b"b")]))
    assert [member.name for member in found] == ["b.txt"]
    assert kinds(report) == ["corrupt_header"]


@settings(max_examples=120, deadline=None)
@given(st.binary(min_size=BLOCK, max_size=BLOCK), st.booleans())
def test_checksums_signed_and_unsigned(block: bytes, signed: bool) -> None:
    plain = block[:124] + b"00000000000\0" + block[136:148] + b" " * 8 + block[156:]
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in plain)
    if total < 0:
        return
    stamped = plain[:148] + b"%06o\0 " % total + plain[156:]
    assert parse_header(stamped) is not None
    spoiled = plain[:148] + b"%06o\0 " % (total + 1) + plain[156:]
    other = sum(byte if signed or byte < 128 else byte - 256 for byte in plain)
    assert parse_header(spoiled) is None or other == total + 1


def test_names_that_are_not_utf_8_stay_printable() -> None:
    block = bytearray(header_of("a.txt", 0))
    block[0:5] = b"\xff\xfe.tx"
    found, _ = read(with_checksum(block) + END_BLOCKS)
    assert found[0].name == r"\xff\xfe.tx"
    assert found[0].name.encode()


# --- extension headers ----------------------------------------------------------------------


def test_pax_size_overrides_the_header() -> None:
    record = b"12 size=700\n"
    extension = header_of("pax", len(record), b"x") + padded(record)
    data = extension + header_of("a.bin", 0) + padded(b"y" * 700) + END_BLOCKS
    found, report = read(data)
    assert (found[0].data, found[0].offset, found[0].data_offset) == (b"y" * 700, 0, 3 * BLOCK)
    assert report.damage == ()


@pytest.mark.parametrize(
    "record",
    [b"99 path=x\n", b"x path=x\n", b"10 path=xy", b"10 pathxy\n", b"0 path=x\n", b"1 a=b\n",
     b"9 size=-1\n", b"31 size=99999999999999999999999\n"],
)  # fmt: skip
def test_a_malformed_pax_header_costs_its_member_only(record: bytes) -> None:
    extension = header_of("pax", len(record), b"x") + padded(record)
    data = extension + header_of("a.txt", 3) + padded(b"abc") + tar_bytes([("b.txt", b"b")])
    found, report = read(data)
    assert [member.name for member in found] == ["b.txt"]
    assert kinds(report) == ["corrupt_header"]
    assert report.damage[0].offset == 0


def test_pax_records_are_read_in_linear_time() -> None:
    started = time.perf_counter()
    records = parse_pax(b"6 a=b\n" * 170_000)
    assert records == {b"a": b"b"}
    assert time.perf_counter() - started < 5.0  # quadratic: minutes


def test_an_extension_header_beyond_the_limit_is_not_held() -> None:
    size = 32 << 20
    data = header_of("pax", size, b"x") + bytes(size) + header_of("a.txt", 0) + END_BLOCKS
    tracemalloc.start()
    found, report = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == []
    assert kinds(report) == ["corrupt_header"]
    assert peak < 8 << 20


@pytest.mark.parametrize("kind", [b"x", b"L", b"K", b"g"])
def test_an_extension_header_without_its_member(kind: bytes) -> None:
    data = header_of("first.txt", 0) + header_of("ext", 0, kind) + END_BLOCKS
    found, report = read(data)
    assert [member.name for member in found] == ["first.txt"]
    assert kinds(report) == ([] if kind == b"g" else ["corrupt_header"])


def test_gnu_long_name_and_long_link_together() -> None:
    buffer = io.BytesIO()
    info = tarfile.TarInfo("n" * 300)
    info.type, info.linkname = tarfile.SYMTYPE, "l" * 300
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(info)
    found, report = read(buffer.getvalue())
    assert [(member.name, member.kind, member.offset) for member in found] == [
        ("n" * 300, "other", 0)
    ]
    assert report.damage == ()


def test_an_old_gnu_sparse_file_is_passed_over() -> None:
    block = bytearray(header_of("sparse", 512, b"S"))
    block[482] = 1
    more, last = bytearray(BLOCK), bytes(BLOCK)
    more[504] = 1
    data = with_checksum(block) + bytes(more) + last + b"d" * 512 + tar_bytes([("a.txt", b"a")])
    found, report = read(data)
    assert [(member.name, member.kind) for member in found] == [
        ("sparse", "other"),
        ("a.txt", "regular"),
    ]
    assert report.damage == ()


# --- damage ---------------------------------------------------------------------------------


def test_every_cut_of_a_tar_yields_the_whole_members_before_it() -> None:
    contents = [("a.txt", b"a" * 600), ("b.txt", b""), ("c.txt", b"c" * 512)]
    data = tar_bytes(contents, tarfile.GNU_FORMAT)
    whole, _ = read(data)
    used = whole[-1].end
    for cut in (*range(1, used, 37), *range(BLOCK, used + 1, BLOCK), used - 1, used + 1):
        if cut < BLOCK:
            with pytest.raises(ShardError, match="not a tar"):
                read(data[:cut])
            continue
        found, report = read(data[:cut])
        assert found == [member for member in whole if member.end <= cut]
        at_border = cut in (BLOCK * 3, BLOCK * 4, used, used + 1)
        expected = "no_end_blocks" if at_border else "truncated"
        assert kinds(report) == [expected], cut
        assert report.is_damaged is not at_border


def test_a_corrupt_header_costs_one_member() -> None:
    data = bytearray(tar_bytes([(f"{i}.txt", b"x" * 100) for i in range(5)]))
    spans = member_spans(bytes(data))
    data[spans[2][1] : spans[2][1] + BLOCK] = b"\xff" * BLOCK
    found, report = read(bytes(data))
    assert [member.name for member in found] == ["0.txt", "1.txt", "3.txt", "4.txt"]
    assert [(damage.kind, damage.offset) for damage in report.damage] == [
        ("corrupt_header", spans[2][1])
    ]
    assert "1024 bytes skipped" in report.damage[0].detail
    assert report.is_damaged


def test_a_corrupt_first_header_is_survived() -> None:
    data = bytearray(tar_bytes([("0.txt", b"x"), ("1.txt", b"y")]))
    data[:BLOCK] = b"\xff" * BLOCK
    found, report = read(bytes(data))
    assert [member.name for member in found] == ["1.txt"]
    assert kinds(report) == ["corrupt_header"]


def test_a_corrupt_last_header() -> None:
    data = bytearray(tar_bytes([("0.txt", b"x"), ("1.txt", b"y")]))
    data[1024:1536] = b"\xff" * BLOCK
    found, report = read(bytes(data))
    assert [member.name for member in found] == ["0.txt"]
    assert kinds(report) == ["corrupt_header"]


def test_resynchronising_needs_alignment_and_a_checksum() -> None:
    decoy = header_of("decoy.txt", 0)
    unaligned = b"j" * 100 + decoy + b"j" * 412
    bad_sum = bytearray(decoy)
    bad_sum[0] ^= 1
    data = (
        header_of("a.txt", 0) + b"\xff" * BLOCK + unaligned + bytes(bad_sum) + header_of("b.txt", 0)
    )
    found, report = read(data + END_BLOCKS)
    assert [member.name for member in found] == ["a.txt", "b.txt"]
    assert kinds(report) == ["corrupt_header"]


def test_garbage_larger_than_the_buffer_is_crossed() -> None:
    garbage = bytes(range(256)) * 2 * 6000
    data = header_of("a.txt", 0) + garbage + tar_bytes([("b.txt", b"b")])
    found, report = read(data)
    assert [member.name for member in found] == ["a.txt", "b.txt"]
    assert f"{len(garbage)} bytes skipped" in report.damage[0].detail


def test_concatenated_tars_are_read_on_and_noted() -> None:
    first, second = tar_bytes([("a.txt", b"a")]), tar_bytes([("b.txt", b"b")])
    found, report = read(first + second)
    assert [member.name for member in found] == ["a.txt", "b.txt"]
    assert [(damage.kind, damage.offset) for damage in report.damage] == [
        ("concatenated", len(first))
    ]
    assert not report.is_damaged


@pytest.mark.parametrize("junk", [b"junk", b"junk" * 500], ids=["a few bytes", "several blocks"])
def test_junk_behind_the_end_is_a_note(junk: bytes) -> None:
    data = tar_bytes([("a.txt", b"a")]) + junk
    found, report = read(data)
    assert [member.name for member in found] == ["a.txt"]
    assert kinds(report) == ["trailing_data"]
    assert not report.is_damaged
    assert report.sha256 == hashlib.sha256(data).hexdigest()


def test_missing_end_blocks_are_a_note() -> None:
    found, report = read(header_of("a.txt", 1) + padded(b"a"))
    assert len(found) == 1
    assert kinds(report) == ["no_end_blocks"]
    assert not report.is_damaged


def test_a_tar_without_members_is_no_damage() -> None:
    assert read(bytes(10240))[0] == []
    assert read(bytes(10240))[1].damage == ()


def test_damages_beyond_the_limit_are_counted() -> None:
    pair = header_of("a.txt", 0) + b"\xff" * BLOCK
    found, report = read(pair * (DAMAGE_LIMIT + 50))
    assert len(found) == DAMAGE_LIMIT + 50
    assert len(report.damage) == DAMAGE_LIMIT
    assert report.losses == DAMAGE_LIMIT + 50
    assert report.omitted == 50


# --- bounds ---------------------------------------------------------------------------------


def test_a_large_member_is_skipped_and_not_held() -> None:
    size = 48 << 20
    data = tar_bytes([("big.bin", bytes(size)), ("a.txt", b"a")])
    reader = TarReader(io.BytesIO(data), member_limit=1 << 20)
    tracemalloc.start()
    found = list(reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(m.name, m.size, m.data) for m in found] == [
        ("big.bin", size, None),
        ("a.txt", 1, b"a"),
    ]
    assert peak < 8 << 20
    assert reader.report.sha256 == hashlib.sha256(data).hexdigest()


def test_a_declared_size_is_not_allocated() -> None:
    data = tar_bytes([("a.txt", b"a")])[:1024] + header_of("b.jpg", 100 << 20) + b"short"
    tracemalloc.start()
    found, report = read(data, limit=1 << 30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [member.name for member in found] == ["a.txt"]
    assert kinds(report) == ["truncated"]
    assert peak < 8 << 20


# --- not a tar ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"plain text\n" * 200, "not a tar"),
        (b"short", "not a tar"),
        (gzip.compress(tar_bytes([("a.txt", b"a")]), compresslevel=0), "gunzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "unzstd"),
        (b"PK\x03\x04" + bytes(600), "unzip"),
        (b"  <!DOCTYPE html>" + b"x" * 600, "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n" + b"x" * 600, "git lfs pull"),
    ],
    ids=["empty", "text", "short", "gzip", "zstd", "zip", "page", "pointer"],
)
def test_what_is_no_tar_is_refused_with_a_remedy(data: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        read(data)


def test_a_short_compressed_file_is_named_too() -> None:
    with pytest.raises(ShardError, match="gunzip"):
        read(gzip.compress(b"x"))


def test_a_failing_stream_is_a_shard_error_with_its_cause() -> None:
    class Broken(io.RawIOBase):
        def read(self, n: int = -1, /) -> bytes:
            raise ConnectionResetError("peer")

    with pytest.raises(ShardError, match="reading the shard failed near byte 0") as caught:
        list(TarReader(Broken()))
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_the_report_waits_for_the_end_and_the_reader_runs_once() -> None:
    reader = TarReader(io.BytesIO(tar_bytes([("a.txt", b"a"), ("b.txt", b"b")])))
    iterator = iter(reader)
    next(iterator)
    with pytest.raises(RuntimeError, match="complete only after"):
        _ = reader.report
    assert len(list(iterator)) == 1
    assert reader.report.size == 10240
    with pytest.raises(RuntimeError, match="once"):
        list(reader)


# --- anything at all ------------------------------------------------------------------------

BASE = tar_bytes(
    [("данные/" + "d" * 120 + ".txt", b"x" * 700), ("a.jpg", b"y" * 1400), ("a.txt", b"z")],
    tarfile.PAX_FORMAT,
)


def check_any(data: bytes) -> None:
    """Whatever the bytes: no other exception, ordered spans, data as it stands in the stream."""
    reader = TarReader(io.BytesIO(data), 1 << 16)
    position = 0
    try:
        for member in reader:
            assert position <= member.offset < member.data_offset <= member.end <= len(data)
            position = member.end
            if member.data is not None:
                assert member.data == data[member.data_offset :][: member.size]
            member.name.encode()
    except ShardError:
        return
    assert reader.report.size == len(data)
    assert reader.report.sha256 == hashlib.sha256(data).hexdigest()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.binary(max_size=24)), max_size=8),
    st.integers(0, len(BASE)),
)
def test_mutated_tars_never_break_the_reader(edits: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(BASE)
    for position, patch in edits:
        data[position : position + len(patch)] = patch
    check_any(bytes(data[:cut]) if cut % 3 == 0 else bytes(data))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 11), st.binary(min_size=1, max_size=100), st.integers(0, BLOCK - 1))
def test_headers_with_valid_checksums_but_wild_fields(
    block_number: int, patch: bytes, position: int
) -> None:
    data = bytearray(BASE)
    start = block_number * BLOCK
    block = bytearray(data[start : start + BLOCK])
    block[position : position + len(patch)] = patch[: BLOCK - position]
    data[start : start + BLOCK] = with_checksum(block[:BLOCK])
    check_any(bytes(data))


@given(st.binary(max_size=3000))
def test_random_bytes(data: bytes) -> None:
    check_any(data)


# --- the real pool --------------------------------------------------------------------------


def test_real_shards_read_as_tarfile_reads_them(shared_data: Path) -> None:
    path = shared_data / "dev-00100.tar"
    with tarfile.open(path) as archive:
        expected = [(info.name, info.offset, info.offset_data, info.size) for info in archive]
    with path.open("rb") as file:
        reader = TarReader(file)
        assert [(m.name, m.offset, m.data_offset, m.size) for m in reader] == expected
    assert reader.report.damage == ()
    assert reader.report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_generated_shard_has_no_damage() -> None:
    found, report = read(shard_bytes(5))
    assert len(found) == 15
    assert report.damage == ()


def test_a_megabyte_of_a_name_does_not_reach_the_report() -> None:
    data = tar_bytes([("n" * 500_000, bytes(2000))], tarfile.GNU_FORMAT)
    _, report = read(data[: -len(END_BLOCKS) - 10_000])
    assert kinds(report)[0] == "truncated"
    assert len(report.damage[0].detail) < 300
