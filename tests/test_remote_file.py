"""Files that resume at their offset."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import retrying
from curate.remote_file import RemoteFile

DATA = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "RETRY", replace(retrying.RETRY, sleep=lambda seconds: None))


class Driver(io.BytesIO):
    """What a driver opens: fails where its store says, and tells size and tag."""

    def __init__(self, store: Faults) -> None:
        super().__init__(store.data)
        self._store = store
        self.details = {"ETag": store.tag}
        if store.tells_size:
            self.size = len(store.data) if store.declared is None else store.declared

    def read(self, size: int | None = -1, /) -> bytes:
        self._store.reads += 1
        fault = self._store.faults.pop(0) if self._store.faults else None
        if isinstance(fault, Exception):
            super().read(3)  # its own position is not to be trusted afterwards
            raise fault
        if isinstance(fault, int):
            return super().read(fault if size is None or size < 0 else min(fault, size))
        return super().read(size)


class Faults:
    """A store of one object, with what goes wrong in the reads to come."""

    def __init__(self, faults: list[Any], data: bytes = DATA) -> None:
        self.faults, self.data, self.tag = list(faults), data, "v1"
        self.declared: int | None = None
        self.tells_size = True
        self.opened = self.reads = 0

    def __call__(self) -> Driver:
        self.opened += 1
        return Driver(self)


FAULTS = st.lists(
    st.one_of(
        st.none(),
        st.integers(0, 700),
        st.sampled_from([TimeoutError(), ConnectionResetError(), retrying.ShortReadError()]),
    ),
    max_size=5,  # fewer than the tries that one read has
)


@settings(max_examples=40, deadline=None)
@given(FAULTS, st.integers(400, 3000))
def test_whatever_goes_wrong_the_bytes_are_the_same(faults: list[Any], step: int) -> None:
    read = b""
    with RemoteFile(Faults(faults), "x") as file:
        while part := file.read(step):
            assert len(part) == min(step, len(DATA) - len(read))  # no short reads come through
            read += part
            assert file.tell() == len(read)
    assert read == DATA


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) + 50), st.integers(0, 900)), max_size=8), FAULTS)
def test_ranges_are_those_of_a_plain_file(spans: list[tuple[int, int]], faults: list[Any]) -> None:
    with RemoteFile(Faults(faults), "x") as file:
        for offset, size in spans:
            file.seek(offset)
            assert file.read(size) == DATA[offset : offset + size]


def test_an_undisturbed_file_is_opened_once_and_read_once_per_read() -> None:
    store = Faults([])
    with RemoteFile(store, "x") as file:
        assert file.read(10) == DATA[:10]
        assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
        assert file.read() == DATA[-5:]
        assert file.read(5) == b""  # the end is known: nobody is asked
    assert (store.opened, store.reads) == (1, 2)


def test_what_turns_out_not_to_seek_is_read_as_a_stream() -> None:
    class Rangeless(Driver):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise ValueError("no ranges here")
            return super().read(min(size or -1, 400))

    streams = []

    def streamed() -> Stream:
        streams.append(Stream([]))
        return streams[-1]

    with RemoteFile(lambda: Rangeless(Faults([])), "x", streamed) as file:
        assert file.read() == DATA
        assert file.seek(0, io.SEEK_END) == len(DATA)
        file.seek(500)
        assert file.read(30) == DATA[500:530]
    assert len(streams) == 2
    with (
        RemoteFile(lambda: Rangeless(Faults([])), "x") as file,
        pytest.raises(ValueError, match="no r"),
    ):
        file.read()


def test_large_reads_are_made_of_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.remote_file._MOST", 1000)
    store = Faults([])
    with RemoteFile(store, "x") as file:
        assert file.read() == DATA
    assert store.reads == -(-len(DATA) // 1000)


def test_permanent_errors_come_through_at_once() -> None:
    store = Faults([None, PermissionError("revoked")])
    with RemoteFile(store, "x") as file:
        file.read(4)
        with pytest.raises(PermissionError, match="revoked"):
            file.read(4)
    assert store.reads == 2


def test_an_error_that_stays_is_raised_after_all_tries() -> None:
    store = Faults([ConnectionResetError("gone")] * 100)
    with RemoteFile(store, "x") as file, pytest.raises(ConnectionResetError, match="gone"):
        file.read(4)
    assert store.reads == retrying.TRIES


def test_opening_is_tried_again_but_not_what_is_missing() -> None:
    def failing(exc: Exception) -> tuple[list[int], Callable[[], Driver]]:
        calls: list[int] = []

        def opener() -> Driver:
            calls.append(1)
            if len(calls) < 3:
                raise exc
            return Driver(Faults([]))

        return calls, opener

    calls, opener = failing(TimeoutError())
    assert RemoteFile(opener, "x").read() == DATA
    calls, opener = failing(FileNotFoundError())
    with pytest.raises(FileNotFoundError):
        RemoteFile(opener, "x")
    assert len(calls) == 1


def test_an_object_shorter_than_it_says_is_noticed() -> None:
    store = Faults([])
    store.declared = len(DATA) + 7
    with (
        RemoteFile(store, "x") as file,
        pytest.raises(retrying.ShortReadError, match=f"at byte {len(DATA)} of {len(DATA) + 7}"),
    ):
        file.read()


@pytest.mark.parametrize("change", ["size", "tag"])
def test_an_object_that_is_replaced_meanwhile_is_noticed(change: str) -> None:
    store = Faults([None, TimeoutError()])
    with RemoteFile(store, "x") as file:
        file.read(100)
        if change == "size":
            store.data += b"!"
        else:
            store.tag = "v2"
        with pytest.raises(ValueError, match="changed while it was read"):
            file.read(100)


class Stream(io.RawIOBase):
    """What fsspec gives for a server without ranges and lengths."""

    size = None

    def __init__(self, faults: list[Any]) -> None:
        super().__init__()
        self._at, self._faults = 0, faults

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True  # so they say

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise ValueError("Cannot seek streaming HTTP file")

    def read(self, size: int | None = -1, /) -> bytes:
        if self._faults and (fault := self._faults.pop(0)) is not None:
            raise fault
        end = len(DATA) if size is None or size < 0 else self._at + min(size, 333)
        data, self._at = DATA[self._at : end], min(end, len(DATA))
        return data


def test_a_stream_that_cannot_seek_is_read_again_up_to_its_offset() -> None:
    faults = [None, None, TimeoutError(), None, TimeoutError()]
    with RemoteFile(lambda: Stream(faults), "x") as file:
        assert file.read(600) == DATA[:600]
        assert file.read() == DATA[600:]
        file.seek(10)
        assert file.read(5) == DATA[10:15]
        assert file.size is None
        assert file.seek(-3, io.SEEK_END) == len(DATA) - 3  # found by reading up to there
        assert file.read() == DATA[-3:]
        assert file.seek(0) == 0
        assert file.read() == DATA


def test_archives_read_from_it() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a", DATA)
    with RemoteFile(Faults([1, TimeoutError()], sink.getvalue()), "x") as file:
        assert zipfile.ZipFile(file).read("a") == DATA
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        info = tarfile.TarInfo("a")
        info.size = len(DATA)
        tar.addfile(info, io.BytesIO(DATA))
    with (
        RemoteFile(Faults([1, TimeoutError()], sink.getvalue()), "x") as file,
        tarfile.open(fileobj=file) as tar,
    ):
        member = tar.extractfile("a")
        assert member is not None
        assert member.read() == DATA


def test_a_closed_file_is_closed() -> None:
    file = RemoteFile(Faults([]), "x")
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
    buffer = bytearray(4)
    assert file.readinto(buffer) == 4
    assert buffer == DATA[:4]
    assert file.seek(-2, io.SEEK_CUR) == 2
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
