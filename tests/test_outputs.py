"""Files that appear whole or not at all, whatever happens on the way."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from curate import hashing_file, outputs
from curate.errors import OutputError
from curate.outputs import TEMPORARY_SUFFIX, Store

TABLE = pa.table({"a": np.arange(5000) * 7919 % 997, "b": [f"text {i}" for i in range(5000)]})


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "run"))
        return
    made = Store(f"memory://{uuid.uuid4().hex}/run")
    yield made
    made.remove("")


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- both kinds of store --------------------------------------------------------------------


def test_what_is_written_is_read(store: Store) -> None:
    written = store.write_bytes("a/b/c.bin", b"abc" * 1000)
    assert store.read_bytes("a/b/c.bin") == b"abc" * 1000
    assert (written.path, written.size) == ("a/b/c.bin", 3000)
    assert written.sha256 == hashlib.sha256(b"abc" * 1000).hexdigest()
    value = {"b": [1, 2.5, None], "a": "ü\u2028 \U0001f408"}
    store.write_json("x.json", value)
    assert store.read_json("x.json") == value
    store.write_table("t.parquet", TABLE)
    assert store.read_table("t.parquet").equals(TABLE)
    assert store.read_table("t.parquet", ["b"]).column_names == ["b"]


def test_a_second_file_replaces_the_first(store: Store) -> None:
    store.write_bytes("x", b"first, longer")
    store.write_bytes("x", b"second")
    assert store.read_bytes("x") == b"second"
    assert store.names("", "x") == ["x"]


def test_pieces_are_hashed_as_one(store: Store) -> None:
    with store.create("x") as file:
        assert file.write(b"ab") == 2
        assert file.write(memoryview(b"cd")) == 2
        assert file.write(b"") == 0
    assert (file.size, file.hexdigest()) == (4, hashlib.sha256(b"abcd").hexdigest())
    assert store.read_bytes("x") == b"abcd"


def test_an_empty_file_is_a_file(store: Store) -> None:
    assert store.write_bytes("empty", b"").size == 0
    assert store.read_bytes("empty") == b""


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError, SystemExit])
def test_an_exception_in_the_block_leaves_what_was_there(
    store: Store, error: type[BaseException]
) -> None:
    store.write_bytes("folder/x", b"old")
    with pytest.raises(error), store.create("folder/x") as file:  # noqa: PT012 - the block is the test
        file.write(b"new")
        raise error("in the block")
    assert store.read_bytes("folder/x") == b"old"
    assert store.names("folder", "") == ["x"]


def test_an_error_of_reading_an_input_is_not_called_one_of_writing(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="the input"), store.create("x"):
        raise FileNotFoundError("the input")


def test_names_are_sorted_and_filtered(store: Store) -> None:
    assert store.names("folder", "") == []
    for name in ("b.json", "a.json", "c.txt"):
        store.write_bytes(f"folder/{name}", b"")
    assert store.names("folder", ".json") == ["a.json", "b.json"]
    store.remove("folder/a.json")
    assert store.names("folder", ".json") == ["b.json"]  # listings are not cached
    store.remove("folder")
    store.remove("folder")
    assert not store.exists("folder/b.json")
    assert store.names("folder", "") == []


def test_one_file_is_removed_alone(store: Store) -> None:
    store.write_bytes("folder/a", b"1")
    store.write_bytes("folder/ab", b"2")
    store.remove_file("folder/a")
    store.remove_file("folder/a")
    assert store.names("folder", "") == ["ab"]


def test_what_is_missing_is_file_not_found(store: Store) -> None:
    assert not store.exists("none")
    for read in (store.read_bytes, store.read_json, store.read_table):
        with pytest.raises(FileNotFoundError):
            read("none")


def test_equal_values_are_equal_bytes(store: Store) -> None:
    assert store.write_json("a", {"x": 1, "y": 2}).sha256 == (
        store.write_json("b", {"y": 2, "x": 1}).sha256
    )
    again = pa.table({name: TABLE[name].to_pylist() for name in TABLE.column_names})
    assert store.write_table("c", TABLE).sha256 == store.write_table("d", again).sha256


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_none_is_named(store: Store, content: bytes) -> None:
    store.write_bytes("state/x.json", content)
    with pytest.raises(OutputError, match=r"x\.json.*delete it"):
        store.read_json("state/x.json")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 10, b"x" * 100])
def test_parquet_that_is_none_is_named(store: Store, content: bytes) -> None:
    store.write_bytes("x.parquet", content)
    with pytest.raises(OutputError, match=r"x\.parquet.*Parquet"):
        store.read_table("x.parquet")


def test_parquet_with_a_flipped_byte_is_either_readable_or_named(store: Store) -> None:
    store.write_table("x", TABLE)
    data = store.read_bytes("x")
    failures = 0
    for at in range(0, len(data), 101):
        flipped = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        store.fs.pipe_file(store.path("x"), flipped)
        try:
            store.read_table("x")
        except OutputError:
            failures += 1
    assert failures > 10


def test_parquet_without_the_wanted_column_is_named(store: Store) -> None:
    store.write_table("x.parquet", TABLE)
    with pytest.raises(OutputError, match=r"x\.parquet.*missing"):
        store.read_table("x.parquet", ["a", "missing"])


def test_stores_travel_between_processes(store: Store) -> None:
    store.write_bytes("x", b"abc")
    again = pickle.loads(pickle.dumps(store))
    assert str(again) == str(store)
    assert again.read_bytes("x") == b"abc"


# --- local ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_relative_path_means_the_same_folder_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    url = f"file://{tmp_path}/here/runs/x/" if prefix else "runs/x/"
    data = pickle.dumps(Store(url))
    monkeypatch.chdir(tmp_path / "there")
    store = pickle.loads(data)
    store.write_bytes("y", b"1")
    assert (tmp_path / "here/runs/x/y").read_bytes() == b"1"
    assert store.is_local


@pytest.mark.parametrize("name", ["a b", "a[1]", "a*", "ü", "a#b", "a%20b", "shard=3", "a{b,c}"])
def test_odd_names_of_run_directories_work(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path / name))
    store.write_bytes("d/x", b"1")
    assert (tmp_path / name / "d" / "x").read_bytes() == b"1"
    assert store.names("d", "") == ["x"]
    assert store.exists("d/x")
    store.remove("d")
    assert not store.exists("d")


def test_a_crash_leaves_at_most_a_partial_file(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        from curate.outputs import Store
        store = Store(sys.argv[1])
        store.write_bytes("x", b"old")
        with store.create("x") as file:
            file.write(b"half of the new")
            os._exit(9)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == 9
    assert (tmp_path / "x").read_bytes() == b"old"
    left = [name for name in files(tmp_path) if name != "x"]
    assert len(left) == 1
    assert left[0].endswith(TEMPORARY_SUFFIX)
    assert Store(str(tmp_path)).names("", ".json") == []


def test_the_content_reaches_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, seen = tmp_path / "x", list[bool]()
    real = os.fsync

    def spy(descriptor: int) -> None:
        seen.append(target.exists())
        real(descriptor)

    monkeypatch.setattr(outputs.os, "fsync", spy)
    Store(str(tmp_path)).write_bytes("x", b"abc")
    assert seen == [False, True]  # the file under its temporary name, then the folder


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_every_error_of_the_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("folder/x", b"old")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    class FullFile(io.FileIO):
        write = fail

    with monkeypatch.context() as patch:
        if step == "open":
            patch.setattr(Path, "open", fail)
        elif step == "write":
            patch.setattr(Path, "open", lambda path, mode: FullFile(path, mode[0]))
        elif step == "fsync":
            patch.setattr(outputs.os, "fsync", fail)
        else:
            patch.setattr(Path, "replace", fail)
        with pytest.raises(OutputError, match=r"folder/x.*No space left"):
            store.write_bytes("folder/x", b"new")
    assert (tmp_path / "folder/x").read_bytes() == b"old"
    assert files(tmp_path / "folder") == ["x"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file/below"):
        Store(str(tmp_path)).write_bytes("file/below/x", b"1")


# --- remote ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("quota"), RuntimeError("the driver's own")])
def test_a_failing_upload_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    store = Store("memory://upload")

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(store.fs, "put_file", fail)
    with pytest.raises(OutputError, match=f"upload/x.*{error}"):
        store.write_bytes("x", b"1")
    assert not store.exists("x")


def test_json_is_stable_text(tmp_path: Path) -> None:
    Store(str(tmp_path)).write_json("x.json", {"b": 1, "a": "ü"})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n "a": "ü",\n "b": 1\n}\n'
    assert json.loads(text) == {"a": "ü", "b": 1}


def test_the_root_of_a_memory_store_is_no_local_path() -> None:
    fs = fsspec.filesystem("memory")
    store = Store("memory://")
    assert not store.is_local
    name = f"probe-{uuid.uuid4().hex}"
    store.write_bytes(name, b"1")
    assert fs.cat_file(f"/{name}") == b"1"
    store.remove(name)


# --- large files ----------------------------------------------------------------------------


def test_the_disk_is_told_to_begin_while_a_large_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(hashing_file, "WRITE_BACK", 1000)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, at, size, how: told.append((at, size)))
    store, data = Store(str(tmp_path)), os.urandom(700)
    with store.create("x") as file:
        for _ in range(5):
            file.write(data)
            # What was told of is no longer in a buffer of ours.
            partial = next(tmp_path.glob(f"*{TEMPORARY_SUFFIX}"))
            assert partial.stat().st_size >= sum(told[-1]) if told else True
    assert told == [(0, 1400), (1400, 1400)]
    assert store.read_bytes("x") == 5 * data


@pytest.mark.parametrize("room", [0, 10_000, 10**18])
def test_reserved_room_leaves_no_trace(tmp_path: Path, room: int) -> None:
    store = Store(str(tmp_path))
    with store.create("x", hashed=False) as file:
        file.write(b"abc")
        file.reserve(room)
        file.write(b"def")
    assert file.hexdigest() is None
    assert file.size == store.size("x") == 6
    assert store.read_bytes("x") == b"abcdef"


def test_sizes_are_those_of_files(store: Store) -> None:
    store.write_bytes("a/x", b"12345")
    assert store.size("a/x") == 5
    with pytest.raises(FileNotFoundError):
        store.size("a/y")
    with pytest.raises(IsADirectoryError):
        store.size("a")


def test_columns_that_are_not_there_are_missed_only_if_they_must_be_there(store: Store) -> None:
    store.write_table("t.parquet", TABLE)
    assert store.read_table("t.parquet", ["b", "c"], strict=False).column_names == ["b"]
    with pytest.raises(OutputError):
        store.read_table("t.parquet", ["b", "c"])
