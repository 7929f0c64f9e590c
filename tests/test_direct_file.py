"""Files that pass the page cache by: the same bytes, whatever pieces they come in."""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import direct_file
from curate.direct_file import BLOCK, BUFFER, DirectFile, aligned_buffer

NUMBER = count()
PIECES = st.lists(
    st.one_of(
        st.integers(0, 3 * BLOCK),
        st.sampled_from([BLOCK, 4 * BLOCK, BUFFER - 1, BUFFER, BUFFER + BLOCK]),
    ),
    max_size=6,
)


def written(folder: Path, pieces: list[int], aligned: bool, room: int = 0) -> tuple[bytes, bytes]:
    """What a file holds after writes of these sizes, and what it should."""
    path, expected = folder / f"file-{next(NUMBER)}", b""
    file = DirectFile(path)
    file.reserve(room)
    memory = aligned_buffer(BUFFER + BLOCK)
    for number, size in enumerate(pieces):
        memory[:size] = bytes([number + 1]) * size
        # A copy lies anywhere; what is aligned is overwritten by the next piece.
        assert file.write(memory[:size] if aligned else bytes(memory[:size])) == size
        expected += bytes(memory[:size])
    file.flush()
    file.close()
    return path.read_bytes(), expected


@given(PIECES, st.booleans(), st.sampled_from([0, BLOCK, 2 * BUFFER]))
def test_all_pieces_arrive_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], aligned: bool, room: int
) -> None:
    found, expected = written(tmp_path_factory.getbasetemp(), pieces, aligned, room)
    assert found == expected


@pytest.mark.parametrize("aligned", [False, True])
def test_a_file_system_that_cannot_gets_them_through_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aligned: bool
) -> None:
    monkeypatch.setattr(direct_file, "_set_direct", lambda descriptor, wanted: False)
    found, expected = written(tmp_path, [BUFFER, 10, BUFFER], aligned)
    assert found == expected


def test_one_that_refuses_blocks_of_this_size_gets_them_through_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = os.write, []
    monkeypatch.setattr(direct_file, "_set_direct", lambda descriptor, wanted: wanted)

    def refuse_once(descriptor: int, data: memoryview) -> int:
        if not refused:
            refused.append(len(data))
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse_once)
        found, expected = written(tmp_path, [BUFFER, 10], aligned=True)
    assert refused == [BUFFER]
    assert found == expected


def test_what_a_disk_refuses_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file, data = DirectFile(tmp_path / "file"), aligned_buffer(BUFFER)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(OSError, match="No space"):
            file.write(data)
    file.close()


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(FileExistsError):
        DirectFile(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"abc"
