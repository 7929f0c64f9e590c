"""Byte ranges: from a disk, from a store and from Python's own slices they are the same."""

from __future__ import annotations

import errno
import io
import itertools
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import tar_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate import ranges
from curate.errors import ShardError
from curate.ranges import Range, copy_ranges, requests, usual_headers
from curate.tar_headers import parse_header

HEADER = tar_bytes([("a.jpg", b"x")])[:512]


def blocks(sizes: list[tuple[int, int]]) -> tuple[bytes, list[Range]]:
    """A file with ranges of so many bytes behind gaps of so many, each begun by a header."""
    parts, found, at = [], [], 0
    for number, (gap, size) in enumerate(sizes):
        parts.append(b"\xff" * gap)
        parts.append(HEADER + bytes([number % 251]) * (size - 512))
        found.append((at + gap, size))
        at += gap + size
    return b"".join(parts), found


def copied(source: Any, wanted: list[Range]) -> bytes:
    out = bytearray()
    copy_ranges(source, wanted, out.extend, "score it again")
    return bytes(out)


sizes = st.lists(st.tuples(st.integers(0, 3000), st.integers(512, 5000)), max_size=12)


@settings(max_examples=60, deadline=None)
@example([(0, 512)] * 9, 512, 512, 512)
@given(sizes, st.integers(512, 4000), st.integers(0, 3000), st.integers(512, 6000))
def test_ranges_are_the_same_bytes_from_everywhere(
    tmp_path_factory: pytest.TempPathFactory,
    gaps: list[tuple[int, int]],
    buffer: int,
    gap: int,
    most: int,
) -> None:
    data, wanted = blocks(gaps)
    expected = b"".join(data[offset : offset + size] for offset, size in wanted)
    path = tmp_path_factory.getbasetemp() / "ranges"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "BUFFER", buffer)
        patch.setattr(requests, "__defaults__", (gap, most))
        with path.open("rb") as file:
            assert copied(file, wanted) == expected
            for lacking in ("RWF_NOWAIT", "posix_fadvise", "preadv"):  # as on other systems
                patch.delattr(os, lacking)
                assert copied(file, wanted) == expected
        assert copied(io.BytesIO(data), wanted) == expected


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(0, 3000), st.integers(512, 6000))
def test_requests_bring_all_that_is_wanted_and_join_what_is_near(
    gaps: list[tuple[int, int]], gap: int, most: int
) -> None:
    _, wanted = blocks(gaps)
    asked = list(requests(wanted, gap, most))
    assert [b for _, parts in asked for o, n in parts for b in (o, n)] == [
        b for o, n in wanted for at in range(o, o + n, most) for b in (at, min(most, o + n - at))
    ]
    for (start, size), parts in asked:
        assert size <= most
        assert start == parts[0][0]
        assert start + size == sum(parts[-1])
    for ((start, _), _), ((after, size), parts) in itertools.pairwise(asked):
        end = sum(asked[[s for (s, _), _ in asked].index(start)][1][-1])
        assert after - end > gap or after + parts[0][1] - start > most or size == most


def test_ranges_that_run_backwards_are_asked_for_one_by_one() -> None:
    assert [parts for _, parts in requests([(900, 100), (0, 100)])] == [[(900, 100)], [(0, 100)]]


@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize("left", [0, 511, 512, 5000])
def test_a_tar_that_ends_within_a_range_is_named(tmp_path: Path, as_file: bool, left: int) -> None:
    data, wanted = blocks([(100, 9000)])
    path = tmp_path / "short"
    path.write_bytes(data[: 100 + left])
    with path.open("rb") as file, pytest.raises(ShardError, match=r"short read.*9000 bytes at 100"):
        copied(file if as_file else io.BytesIO(file.read()), wanted)


def test_reads_that_bring_less_than_asked_for_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, wanted = blocks([(7, 5000), (600, 600), (0, 512)])
    (tmp_path / "x").write_bytes(data)
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, *at: preadv(fd, [into[0][:100]], *at))
    with (tmp_path / "x").open("rb") as file:
        assert copied(file, wanted) == data[7:5007] + data[5607:]


@pytest.mark.parametrize("refusal", [errno.EAGAIN, errno.EOPNOTSUPP])
def test_what_is_not_cached_is_told_of_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    told: list[Range] = []

    def cold(fd: int, into: list[memoryview], at: int, flags: int = 0) -> int:
        if flags:
            raise OSError(refusal, os.strerror(refusal))
        return preadv(fd, into, at)

    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", cold)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, at, size, how: told.append((at, size)))
    monkeypatch.setattr(ranges, "AHEAD", 3000)
    data, wanted = blocks([(10, 600), (10, 5000), (10, 700), (10, 2000), (10, 2500)])
    (tmp_path / "x").write_bytes(data)
    with (tmp_path / "x").open("rb") as file:
        assert len(copied(file, wanted)) == 10_800
    assert told == [(offset, min(size, 3000)) for offset, size in wanted]


def test_an_input_that_cannot_be_read_is_the_inputs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    data, wanted = blocks([(0, 5000)])
    (tmp_path / "x").write_bytes(data)
    monkeypatch.setattr(os, "preadv", broken)
    with (tmp_path / "x").open("rb") as file, pytest.raises(ShardError, match="byte 0 failed"):
        copied(file, wanted)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_range_without_a_header_is_named(tmp_path: Path, many: bool, as_file: bool) -> None:
    data, wanted = blocks([(0, 512)] * (ranges.HEADS + 5 if many else 3))
    at = wanted[-2][0]
    damaged = data[: at + 3] + b"\x01" + data[at + 4 :]
    (tmp_path / "x").write_bytes(damaged)
    with (tmp_path / "x").open("rb") as file, pytest.raises(ShardError, match=f"byte {at}, where"):
        copied(file if as_file else io.BytesIO(damaged), wanted)


# --- headers ------------------------------------------------------------------------------------

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@pytest.mark.parametrize("style", FORMATS)
def test_headers_of_common_writers_are_usual(style: int) -> None:
    data = tar_bytes([("a.jpg", b"x" * 700), ("ü" * 40, b"")], style)
    heads = [data[at : at + 512] for at in range(0, len(data), 512)]
    heads = [head for head in heads if parse_header(head) is not None]
    assert len(heads) >= 2
    found = usual_headers(np.frombuffer(b"".join(heads), np.uint8).reshape(-1, 512))
    assert found.all()


FIELDS: tuple[Callable[[bytes], bytes], ...] = (
    lambda h: h[:148] + b"%06o \0" % checksum(h) + h[156:],
    lambda h: h[:148] + b" %05o\0 " % checksum(h) + h[156:],
    lambda h: h[:148] + b"%07o\0" % checksum(h) + h[156:],
    lambda h: h[:148] + b"%06o\0\xff" % checksum(h) + h[156:],
)


def checksum(head: bytes) -> int:
    return sum(head[:148]) + sum(head[156:]) + 256


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 511),
    st.integers(0, 255),
    st.sampled_from(FIELDS),
    st.sampled_from([b"%011o\0", b"%011o ", b" %010o\0", b"\x80%011o", b"-%010o\0", b"8%010o\0"]),
)
def test_a_usual_header_is_one_that_the_parser_takes(
    at: int, value: int, write: Callable[[bytes], bytes], size: bytes
) -> None:
    head = write(HEADER[:124] + size % 5 + HEADER[136:])
    for block in (head, head[:at] + bytes([value]) + head[at + 1 :], bytes(512), b"\xff" * 512):
        (usual,) = usual_headers(np.frombuffer(block, np.uint8).reshape(1, 512))
        assert not usual or parse_header(block) is not None
