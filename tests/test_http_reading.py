"""Reading over HTTP from a real server on loopback, as well and as badly as servers behave."""

from __future__ import annotations

import io
import json
import random
import tarfile
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import fsspec
import pytest
from factories import sample_members, tar_bytes

from curate import retrying, shards
from curate.errors import ConfigError, OutputError, ShardError
from curate.outputs import Store
from curate.places import check_protocol
from curate.ranges import copy_ranges
from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import Shard, list_shards, open_shard, read_beside, read_range

SAMPLES = 4
BULK = random.Random(0).randbytes(700_000)
TAR = tar_bytes(
    [
        member
        for i in range(SAMPLES)
        for member in (*sample_members(f"{i:04d}", f"thing {i}", i), (f"{i:04d}.bin", BULK))
    ]
)
BLOCK = 500_000
"""Bytes ahead of what is asked for, so that a shard takes several requests."""


class Handler(BaseHTTPRequestHandler):
    """Serves one tar under `/MANNER/name.tar`; the manner says how."""

    protocol_version = "HTTP/1.1"
    requests: ClassVar[Counter[str]] = Counter()
    release: ClassVar[threading.Event] = threading.Event()

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def do_GET(self) -> None:
        self.respond(body=True)

    def respond(self, body: bool) -> None:
        _, manner, name = self.path.split("/")
        key = f"{manner} {self.command}"
        self.requests[key] += 1
        if manner == "hanging" or (manner == "hanging-once" and self.requests[key] == 1):
            self.release.wait(20)
            self.close_connection = True
        elif manner == "ill" or (manner == "ill-once" and self.requests[key] == 1):
            self.send(503, b"later", body)
        elif name != "a.tar" or manner == "missing":
            self.send(404, b"no", body)
        elif manner == "refusing":
            self.send(403, b"who are you", body)
        else:
            self.serve(manner, body, self.requests[key])

    def serve(self, manner: str, body: bool, number: int) -> None:
        data, status, extra = TAR, 200, {}
        asked = self.headers.get("Range")
        if manner in ("ranges", "ill-once", "hanging-once", "cut-once", "cut") and asked:
            first, last = (int(n) for n in asked.removeprefix("bytes=").split("-"))
            extra = {"Content-Range": f"bytes {first}-{last}/{len(TAR)}"}
            data, status = TAR[first : last + 1], 206
        if manner == "no-ranges":
            extra = {"Accept-Ranges": "none"}
        cut = body and (manner == "cut" or (manner == "cut-once" and number == 2))
        self.send(status, data, body, extra, len(data) // 2 if cut else None)

    def send(
        self,
        status: int,
        data: bytes,
        body: bool,
        extra: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        if "sizeless" in self.path:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.close_connection = cut is not None or "sizeless" in self.path
        if body:
            self.wfile.write(data[:cut])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the server."""
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Handler.release.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(retrying.RETRY, sleep=lambda seconds: None, stall=1.0, tries=2)
    monkeypatch.setattr(retrying, "RETRY", quick)
    monkeypatch.setattr(shards, "REMOTE_BLOCK", BLOCK)
    monkeypatch.setattr(Handler, "requests", Counter())


def shard_at(address: str, manner: str) -> Shard:
    (shard,) = list_shards(f"{address}/{manner}/a.tar")
    return shard


READABLE = ("ranges", "silent", "no-ranges", "sizeless", "ill-once", "cut-once", "hanging-once")


@pytest.mark.parametrize("manner", READABLE)
def test_a_shard_is_read_whole_whatever_the_server_can(address: str, manner: str) -> None:
    shard = shard_at(address, manner)
    with open_shard(shard) as file:
        items = list(ShardReader(file, shard, SamplePolicy()))
    assert [item.key for item in items if isinstance(item, Sample)] == [
        f"{i:04d}" for i in range(SAMPLES)
    ]
    if manner in ("ranges", "ill-once", "cut-once", "hanging-once"):
        assert Handler.requests[f"{manner} GET"] >= 2
    if manner in ("no-ranges", "sizeless"):
        assert Handler.requests[f"{manner} GET"] <= 2


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("manner", ["ranges", "silent", "no-ranges", "sizeless"])
def test_parts_are_read_from_the_middle_whatever_the_server_can(
    address: str, manner: str, ahead: bool
) -> None:
    with open_shard(shard_at(address, manner), ahead=ahead) as file:
        assert file.seek(0, io.SEEK_END) == len(TAR)
        for offset, size in ((len(TAR) - 700, 700), (512, 100_000), (2_000_000, 10)):
            assert read_range(file, offset, size) == TAR[offset : offset + size]


def test_what_is_not_read_on_is_asked_for_exactly_and_at_once(address: str) -> None:
    with open_shard(shard_at(address, "ranges"), ahead=False) as file:
        before = Handler.requests["ranges GET"]
        out = bytearray()
        with tarfile.open(fileobj=io.BytesIO(TAR)) as tar:
            begins = [member.offset for member in tar if member.name.endswith(".jpg")]
        wanted = [(begins[0], 700_416), (begins[2], 5120), (begins[3], 512)]
        copy_ranges(file, wanted, out.extend, "x")
        assert out == b"".join(TAR[offset : offset + size] for offset, size in wanted)
        assert Handler.requests["ranges GET"] == before + 1


def read_all(shard: Shard) -> Counter[str]:
    with open_shard(shard) as file:
        return Counter(type(item).__name__ for item in ShardReader(file, shard, SamplePolicy()))


@pytest.mark.parametrize(
    ("manner", "told", "asked"),
    [
        ("missing", "FileNotFoundError", 1),
        ("refusing", "403", 1),
        ("ill", "503", 2),
        ("hanging", "no answer within 1 s", 2),
    ],
)
def test_a_shard_that_cannot_be_had_is_named(
    address: str, manner: str, told: str, asked: int
) -> None:
    shard = shard_at(address, manner)
    with pytest.raises(ShardError, match=rf"{manner}/a\.tar.*check that") as caught:
        read_all(shard)
    causes = "".join(traceback.format_exception(caught.value))
    assert told in causes
    assert Handler.requests[f"{manner} HEAD"] == asked


def test_a_body_that_always_breaks_off_fails_the_shard(address: str) -> None:
    shard = shard_at(address, "cut")
    with pytest.raises(ShardError, match=r"cut/a\.tar"):
        read_all(shard)


def test_what_lies_beside_a_shard_is_missing_or_the_server_is_ill(address: str) -> None:
    assert read_beside(shard_at(address, "ranges"), "_stats.json") is None
    for name in ("ill", "hanging"):
        with pytest.raises(ShardError, match=f"{name}/a_stats"):
            read_beside(shard_at(address, name), "_stats.json")


def test_a_store_over_http_tells_missing_from_ill(address: str) -> None:
    assert Store(f"{address}/ranges").exists("a.tar")
    assert not Store(f"{address}/ranges").exists("none")
    assert Store(f"{address}/ranges").read_bytes("a.tar") == TAR
    with pytest.raises(FileNotFoundError):
        Store(f"{address}/ranges").read_json("none.json")
    for manner in ("ill", "hanging", "refusing"):
        for ask in (Store.exists, Store.read_json):
            with pytest.raises(OutputError, match=rf"{manner}/a\.tar.*run again"):
                ask(Store(f"{address}/{manner}"), "a.tar")


def test_a_store_that_never_answers_ends_an_upload(address: str) -> None:
    fsspec.filesystem("http")
    store = Store(f"{address}/hanging")
    with pytest.raises(OutputError, match=r"hanging/x could not be written"):
        store.write_bytes("x", json.dumps({}).encode())


@pytest.mark.parametrize(("url", "extra"), [("gs://bucket/a.tar", "gcs"), ("hf://o/a.tar", "")])
def test_a_missing_driver_is_named_with_its_remedy(url: str, extra: str) -> None:
    try:
        fsspec.get_filesystem_class(url.partition(":")[0])
    except ImportError:
        with pytest.raises(ConfigError, match=rf"input\.shards.*{extra}"):
            check_protocol(url, "input.shards")
    else:
        assert list_shards(url)[0].url == url
