"""Inputs and outputs on stores: servers of S3 and Google Storage on loopback, and a bad one."""

from __future__ import annotations

import errno
import importlib.util
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from local_run import LocalRun, score_locally

from curate import listing, retrying
from curate.encoder import Encoder
from curate.errors import OutputError, ShardError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.places import glob
from curate.shards import Shard, list_shards, open_remote, open_shard
from curate.verification.run import verify

START_SECONDS = 60


@dataclass(frozen=True)
class Kind:
    """A kind of store, and the server that plays it.

    Attributes:
        protocol: of its URLs.
        needed: modules of driver and server.
        command: of the server; arguments of `python -m`, `PORT` in place of the port.
        variables: with which users say who they are.
    """

    protocol: str
    needed: tuple[str, ...]
    command: tuple[str, ...]
    variables: Mapping[str, str]


S3 = Kind(
    "s3",
    ("moto", "flask", "s3fs", "boto3"),
    ("moto.server", "-H", "127.0.0.1", "-p", "PORT"),
    {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    },
)
GS = Kind(
    "gs",
    ("gcp_storage_emulator", "gcsfs"),
    ("gcp_storage_emulator", "start", "--host=127.0.0.1", "--port=PORT", "--in-memory"),
    {"GOOGLE_CLOUD_PROJECT": "test"},
)


@pytest.fixture(scope="module", params=[S3, GS], ids=lambda kind: kind.protocol)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Kind, str]]:
    """A kind of store, and the address of its server, which is a process of its own."""
    kind: Kind = request.param
    missing = [name for name in kind.needed if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: install the extra dev")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [part.replace("PORT", str(port)) for part in kind.command]
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)
        yield kind, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def bucket(server: tuple[Kind, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket, found the way users are told: credentials from outside."""
    kind, address = server
    for name, value in kind.variables.items():
        monkeypatch.setenv(name, value)
    options = {"endpoint_url": address} | ({"token": "anon"} if kind is GS else {})
    monkeypatch.setitem(fsspec.config.conf, kind.protocol, options)
    driver = fsspec.get_filesystem_class(kind.protocol)
    # Another would ask the server by gRPC, and hang it: see conftest.
    assert driver.__name__ in {"S3FileSystem", "GCSFileSystem"}
    driver.clear_instance_cache()
    url = f"{kind.protocol}://bucket-{uuid.uuid4().hex}"
    fsspec.filesystem(kind.protocol).mkdir(place_of(url))
    yield url
    driver.clear_instance_cache()


def protocol_of(url: str) -> str:
    return url.partition("://")[0]


def place_of(url: str) -> str:
    """Bucket and path, as drivers take them."""
    return url.partition("://")[2]


# --- real servers --------------------------------------------------------------------------


def test_a_store_round_trips(bucket: str) -> None:
    store = Store(f"{bucket}/run")
    assert not store.exists("state/x.json")
    assert store.names("state", ".json") == []
    store.write_json("state/x.json", {"a": 1})
    assert store.exists("state/x.json")
    assert store.read_json("state/x.json") == {"a": 1}
    table = pa.table({"a": range(1000), "b": [str(n) for n in range(1000)]})
    store.write_table("t.parquet", table)
    assert store.read_table("t.parquet").equals(table)
    assert store.read_table("t.parquet", ["b"]).equals(table.select(["b"]))
    store.write_bytes("empty", b"")
    assert store.read_bytes("empty") == b""
    for read in (store.read_bytes, store.read_json, store.read_table):
        with pytest.raises(FileNotFoundError):
            read("none")
    store.write_json("state/y.json", 2)
    store.remove_file("state/y.json")
    store.remove_file("state/y.json")
    assert store.names("state", "") == ["x.json"]
    store.remove("state")
    store.remove("state")
    assert store.names("state", "") == []


def test_what_another_process_writes_is_seen(bucket: str) -> None:
    store, name = Store(f"{bucket}/run"), f"{place_of(bucket)}/run/state/y.json"
    store.write_json("state/x.json", 1)
    assert store.names("state", ".json") == ["x.json"]
    other = fsspec.filesystem(protocol_of(bucket), skip_instance_cache=True)
    other.pipe_file(name, b"[1]")
    assert store.exists("state/y.json")
    assert store.names("state", ".json") == ["x.json", "y.json"]
    with store.open_file("state/y.json") as file:
        assert file.read() == b"[1]"
    other.pipe_file(name, b"[1, 2, 3]")
    with store.open_file("state/y.json") as file:
        assert file.read() == b"[1, 2, 3]"
    other.rm_file(name)
    assert not store.exists("state/y.json")


def test_a_listing_in_parts_is_that_of_the_whole(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"{bucket}/run")
    ids = [f"{number:02d}" for number in range(24)]
    for name in ids[::3]:
        store.write_bytes(f"state/{name}.json", name.encode())
    store.write_bytes("state/failed/03.json", b"{}")
    whole = store.entries("state", ".json")
    assert len(whole) == 8
    assert whole["stamp"].null_count == 0
    monkeypatch.setattr(listing, "PART_NAMES", 5)
    expected = [f"{name}.json" for name in ids]
    assert store.entries("state", ".json", expected).equals(whole)
    assert store.names("state", ".json", expected) == whole["name"].to_pylist()
    store.write_bytes("state/00.json", b"01")
    changed = store.entries("state", ".json", expected)
    assert changed.slice(1).equals(whole.slice(1))
    assert changed["stamp"][0] != whole["stamp"][0]


def test_objects_appear_whole_or_not_at_all(bucket: str) -> None:
    store = Store(f"{bucket}/run")
    with store.create("x") as file:
        file.write(b"half")
        assert not store.exists("x")
    with pytest.raises(RuntimeError, match="in the block"), store.create("x") as file:  # noqa: PT012 - the block is the test
        file.write(b"other")
        raise RuntimeError("in the block")
    assert store.read_bytes("x") == b"half"

    versions = {bytes([n]) * 200_000 for n in range(8)}
    store.write_bytes("y", bytes(200_000))
    seen, done = set[bytes](), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(Store(f"{bucket}/run").read_bytes("y"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for version in sorted(versions):
        store.write_bytes("y", version)
    done.set()
    watcher.join(30)
    assert seen
    assert seen <= versions


def test_a_shard_that_is_replaced_while_it_is_read_is_noticed(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(size: int) -> bytes:
        raise ConnectionResetError

    monkeypatch.setattr(retrying, "RETRY", replace(retrying.RETRY, sleep=lambda seconds: None))
    store, data = Store(f"{bucket}/pool"), random.Random(0).randbytes(10_000)
    store.write_bytes("0.tar", data)
    with open_remote(f"{bucket}/pool/0.tar") as file:
        assert file.read(100) == data[:100]
        monkeypatch.setattr(file._file, "read", hang_up)
        assert file.read(100) == data[100:200]  # of another connection
        store.write_bytes("0.tar", data[::-1])
        monkeypatch.setattr(file._file, "read", hang_up)
        with pytest.raises(ValueError, match="it changed while it was read"):
            file.read(100)


def test_a_bucket_that_is_missing_is_named_at_once(bucket: str) -> None:
    missing, started = f"{protocol_of(bucket)}://no-such-bucket", time.monotonic()
    with pytest.raises(OutputError, match="no-such-bucket/run/x"):
        Store(f"{missing}/run").write_bytes("x", b"1")
    with pytest.raises(ShardError, match=rf"{missing}/0\.tar: cannot be opened"):
        open_shard(Shard("0", f"{missing}/0.tar", None))
    assert time.monotonic() - started < 10


def test_scoring_from_a_store_into_a_store_gives_the_bytes_of_a_local_run(
    bucket: str, pristine_run: LocalRun, tiny_encoder: Encoder
) -> None:
    pool = Path(pristine_run.shards[0].url).parent
    fsspec.filesystem(protocol_of(bucket)).put(
        f"{pool}/", f"{place_of(bucket)}/pool/", recursive=True
    )
    made = score_locally(RunDir(Store(f"{bucket}/run")), f"{bucket}/pool/*.tar", tiny_encoder)
    assert [shard.id for shard in made.shards] == [shard.id for shard in pristine_run.shards]
    assert same_outputs(made, pristine_run) >= 3
    assert verify(made.run, deep=True).problems == []


def same_outputs(made: LocalRun, expected: LocalRun) -> int:
    """Compare what the markers list, byte for byte; return how many files there are."""
    files = 0
    for shard in expected.shards:
        here, there = made.run.require_marker(shard.id), expected.run.require_marker(shard.id)
        assert (here.sha256, here.counts, here.outputs) == (
            there.sha256,
            there.counts,
            there.outputs,
        )
        for written in there.outputs:
            assert made.store.read_bytes(written.path) == expected.store.read_bytes(written.path)
            files += 1
    return files


# --- a store that misbehaves ----------------------------------------------------------------


class StatusError(Exception):
    """As that of an HTTP driver."""

    status = 503


class FaultyFile:
    """A file whose reads fail, hang or end early; its position is then anywhere."""

    def __init__(self, file: Any, fs: type[Faulty]) -> None:
        self._file, self._fs = file, fs

    def read(self, size: int = -1) -> bytes:
        self._fs.misbehave("read")
        if self._fs.chance(0.2):
            size = self._fs.dice.randrange(2000)
        return bytes(self._file.read(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Faulty(MemoryFileSystem):  # type: ignore[misc] # fsspec is not typed
    """Objects in memory; a third of the requests goes wrong, in a seeded order."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    dice: ClassVar[random.Random] = random.Random(0)
    rate: ClassVar[float] = 0.3
    faults: ClassVar[dict[str, int]] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return MemoryFileSystem._strip_protocol(str(path).replace("faulty://", "memory://"))

    @classmethod
    def chance(cls, share: float) -> bool:
        return cls.rate > 0 and cls.dice.random() < share

    @classmethod
    def misbehave(cls, what: str) -> None:
        if not cls.chance(cls.rate):
            return
        cls.faults[what] = cls.faults.get(what, 0) + 1
        if what == "read" and cls.chance(0.1):
            time.sleep(0.5)  # a stall: longer than the tests below wait
        raise cls.dice.choice(
            [
                TimeoutError("read timed out"),
                ConnectionResetError(errno.ECONNRESET, "reset by peer"),
                OSError(errno.EBUSY, "slow down"),
                StatusError("service unavailable"),
            ]
        )

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.misbehave("ls")
        return super().ls(path, detail=detail, **options)

    def info(self, path: str, **options: Any) -> Any:
        self.misbehave("info")
        return super().info(path, **options)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        self.misbehave("cat")
        return bytes(super().cat_file(path, start, end, **options))

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self.misbehave("put")
        super().put_file(lpath, rpath, **options)
        self.misbehave("answer of put")  # lost after the upload has taken place

    def rm(self, path: Any, recursive: bool = False, maxdepth: Any = None) -> None:
        self.misbehave("rm")
        super().rm(path, recursive=recursive, maxdepth=maxdepth)

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        if "r" not in mode:
            return super().open(path, mode, *args, **options)
        self.misbehave("open")
        return FaultyFile(super().open(path, mode, *args, **options), type(self))


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a folder in a store that misbehaves, asked without pauses."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    patient = replace(retrying.RETRY, sleep=lambda seconds: None, tries=20, stall=0.3)
    monkeypatch.setattr(retrying, "RETRY", patient)
    for name, value in (("store", {}), ("pseudo_dirs", [""]), ("faults", {}), ("rate", 0.3)):
        monkeypatch.setattr(Faulty, name, value)
    monkeypatch.setattr(Faulty, "dice", random.Random(5))
    Faulty.clear_instance_cache()
    yield f"faulty://{uuid.uuid4().hex}"
    Faulty.clear_instance_cache()


def upload(folder: Path, url: str) -> None:
    for path in sorted(folder.iterdir()):
        Faulty.store[f"/{url.removeprefix('faulty://')}/{path.name}"] = memory_file(path)


def memory_file(path: Path) -> Any:
    fs = fsspec.filesystem("memory")
    name = f"/{uuid.uuid4().hex}"
    fs.pipe_file(name, path.read_bytes())
    made = fs.store.pop(name)
    made.seek(0)
    return made


def test_a_run_on_a_store_that_misbehaves_gives_the_same_bytes(
    faulty: str, pristine_run: LocalRun, tiny_encoder: Encoder
) -> None:
    upload(Path(pristine_run.shards[0].url).parent, f"{faulty}/pool")
    made = score_locally(RunDir(Store(f"{faulty}/run")), f"{faulty}/pool/*.tar", tiny_encoder)
    assert same_outputs(made, pristine_run) >= 3
    assert verify(made.run, deep=True).problems == []
    for _ in range(10):
        assert made.run.committed() == {shard.id for shard in pristine_run.shards}
        assert made.store.exists("manifest.parquet")
    assert set(Faulty.faults) >= {"ls", "info", "cat", "put", "answer of put", "open", "read"}
    assert sum(Faulty.faults.values()) >= 20


def test_a_store_that_is_down_is_named(faulty: str, pristine_run: LocalRun) -> None:
    upload(Path(pristine_run.shards[0].url).parent, f"{faulty}/pool")
    (shard, *_) = list_shards(f"{faulty}/pool/*.tar")
    store = Store(f"{faulty}/run")
    store.write_table("t.parquet", pa.table({"a": [1]}))
    Faulty.rate = 1.0
    with pytest.raises(ShardError, match=rf"{shard.url}: cannot be opened"):
        open_shard(shard)
    with pytest.raises(OutputError, match=r"run/x could not be written"):
        store.write_bytes("x", b"1")
    with pytest.raises(Exception, match=r"timed out|reset|slow down|unavailable"):
        store.read_bytes("t.parquet")
    Faulty.rate = 0.0
    with store.open_file("t.parquet"):
        pass


def test_what_is_missing_is_asked_for_once(faulty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Faulty.rate = 0.0
    asked: list[str] = []
    original = MemoryFileSystem.cat_file

    def counting(fs: Any, path: str, *args: Any, **options: Any) -> Any:
        asked.append(path)
        return original(fs, path, *args, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", counting)
    with pytest.raises(FileNotFoundError):
        Store(f"{faulty}/run").read_bytes("none")
    assert len(asked) == 1


def test_local_files_are_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a disk was treated as a store")

    monkeypatch.setattr(retrying.Retry, "call", refuse)
    store = Store(str(tmp_path / "run"))
    store.write_json("state/x.json", 1)
    store.write_table("t.parquet", pa.table({"a": [1]}))
    assert store.exists("state/x.json")
    assert store.names("state", ".json") == ["x.json"]
    assert store.read_json("state/x.json") == 1
    assert store.read_table("t.parquet", ["a"]).num_rows == 1
    store.remove("state")
    with open_shard(Shard("t", str(tmp_path / "run/t.parquet"), None)) as file:
        assert os.fstat(file.fileno()).st_size == len(file.read())
    assert [url for url, _ in glob(f"{tmp_path}/run/*", "input.shards")]
