"""What is asked again, how often, and after which pauses."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import random
import socket
import ssl
import threading
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import ShardError
from curate.retrying import RETRY, Retry, ShortReadError, is_transient, within


class ClientError(Exception):
    """As botocore's: all it knows is in `response`."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.response = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


class HttpError(Exception):
    """As gcsfs's."""

    def __init__(self, code: object) -> None:
        super().__init__("from the store")
        self.code = code


class ClientResponseError(Exception):
    """As aiohttp's."""

    def __init__(self, status: int) -> None:
        super().__init__("from the store")
        self.status = status


@dataclass
class Response:
    status_code: int


class HTTPError(OSError):
    """As that of requests."""

    def __init__(self, status: int) -> None:
        super().__init__("from the store")
        self.response = Response(status)


class ClientConnectionError(Exception):
    """As aiohttp's, which is no OSError."""


class ServerDisconnectedError(ClientConnectionError):
    """One of its children."""


class ClientConnectorCertificateError(ClientConnectionError):
    """One that no second try repairs."""


class IncompleteReadError(Exception):
    """As botocore's."""


def caused(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


TRANSIENT = [
    TimeoutError(),
    TimeoutError(),
    TimeoutError("timed out"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
    BrokenPipeError(),
    OSError(errno.ENETUNREACH, "unreachable"),
    OSError(errno.EBUSY, "slow down"),
    socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution"),
    http.client.IncompleteRead(b"half"),
    ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    ShortReadError("half"),
    ClientError("SlowDown", 503),
    ClientError("RequestTimeout", 400),
    ClientError("nobody knows", 500),
    HttpError(429),
    HttpError("503"),
    ClientResponseError(502),
    HTTPError(504),
    ServerDisconnectedError(),
    IncompleteReadError(),
    caused(OSError(errno.EIO, "translated"), ClientError("InternalError", 500)),
    caused(ShardError("named"), caused(RuntimeError("wrapped"), ConnectionResetError())),
    # What fsspec's HTTP driver makes of every failure to learn about a file.
    caused(FileNotFoundError(), TimeoutError()),
    caused(FileNotFoundError(), HttpError(503)),
]

PERMANENT = [
    FileNotFoundError(errno.ENOENT, "missing"),
    PermissionError(errno.EACCES, "denied"),
    IsADirectoryError(),
    ValueError("wrong"),
    KeyError("wrong"),
    ImportError("install s3fs"),
    OSError(errno.ENOSPC, "full"),
    OSError(errno.EIO, "a broken disk"),
    OSError("says nothing"),
    RuntimeError("says nothing"),
    socket.gaierror(socket.EAI_NONAME, "no such host"),
    ssl.SSLCertVerificationError(1, "self-signed"),
    ClientConnectorCertificateError(),
    ClientError("InvalidBucketName", 400),
    ClientError("Forbidden", 403),
    HttpError(404),
    HttpError(501),
    HttpError("E17"),
    HttpError(None),
    ClientResponseError(401),
    HTTPError(416),
    KeyboardInterrupt(),
    SystemExit(503),
    caused(FileNotFoundError(), HttpError(404)),
    caused(FileNotFoundError(), RuntimeError("says nothing")),
    caused(PermissionError(), ClientError("SlowDown", 503)),
    caused(ShardError("named"), FileNotFoundError()),
]


@pytest.mark.parametrize("exc", TRANSIENT, ids=repr)
def test_what_passes_by_itself_is_transient(exc: BaseException) -> None:
    assert is_transient(exc)


@pytest.mark.parametrize("exc", PERMANENT, ids=repr)
def test_everything_else_is_permanent(exc: BaseException) -> None:
    assert not is_transient(exc)


def test_a_ring_of_causes_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_transient(first)


def test_a_handled_error_is_no_cause() -> None:
    exc = RuntimeError("something else")
    exc.__context__ = TimeoutError()
    assert not is_transient(exc)


def test_errors_of_the_drivers_that_are_installed() -> None:
    aiohttp = pytest.importorskip("aiohttp")
    assert is_transient(aiohttp.ServerDisconnectedError())
    assert is_transient(aiohttp.ClientPayloadError())
    assert is_transient(aiohttp.ServerTimeoutError())
    assert not is_transient(aiohttp.InvalidURL("x"))
    exceptions = pytest.importorskip("botocore.exceptions", reason="needs the extra s3")
    assert is_transient(exceptions.ReadTimeoutError(endpoint_url="x"))
    assert is_transient(exceptions.EndpointConnectionError(endpoint_url="x"))
    assert not is_transient(exceptions.NoCredentialsError())
    assert not is_transient(exceptions.SSLError(endpoint_url="x", error="self-signed"))
    told = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
    assert is_transient(exceptions.ClientError(told, "PutObject"))


# --- repeating ------------------------------------------------------------------------------


@dataclass
class Clock:
    """A time that passes in sleep only."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)

    def retry(self, **fields: float) -> Retry:
        made = Retry(sleep=self.sleep, clock=lambda: self.now, uniform=lambda a, b: b)
        return replace(made, **fields)  # type: ignore[arg-type] # numbers all


class Flaky:
    """Fails some times."""

    def __init__(self, failures: int, exc: Exception) -> None:
        self.calls, self._failures, self._exc = 0, failures, exc

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._exc
        return self.calls


def test_the_ceilings_of_pauses_double_up_to_a_longest() -> None:
    clock, request = Clock(), Flaky(5, TimeoutError())
    assert clock.retry(first_pause=1.0, longest_pause=5.0).call(request, "x") == 6
    assert clock.pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_pauses_are_drawn_from_zero_to_their_ceiling() -> None:
    for seed in range(20):
        clock = Clock()
        drawn = replace(clock.retry(first_pause=1.0), uniform=random.Random(seed).uniform)
        drawn.call(Flaky(3, TimeoutError()), "x")
        expected = random.Random(seed)
        assert clock.pauses == [expected.uniform(0, ceiling) for ceiling in (1.0, 2.0, 4.0)]
        again = Clock()
        replace(drawn, sleep=again.sleep, uniform=random.Random(seed).uniform).call(
            Flaky(3, TimeoutError()), "x"
        )
        assert again.pauses == clock.pauses


@given(st.integers(1, 8), st.integers(0, 10))
def test_tries_are_bounded(tries: int, failures: int) -> None:
    clock, request = Clock(), Flaky(failures, TimeoutError("the last"))
    retry = clock.retry(tries=tries, total=1e9)
    if failures < tries:
        assert retry.call(request, "x") == failures + 1
    else:
        with pytest.raises(TimeoutError, match="the last"):
            retry.call(request, "x")
        assert request.calls == tries
    assert len(clock.pauses) == min(failures, tries - 1)


def test_time_is_bounded() -> None:
    clock, request = Clock(), Flaky(100, TimeoutError())
    with pytest.raises(TimeoutError):
        clock.retry(tries=100, first_pause=1.0, longest_pause=4.0, total=10.0).call(request, "x")
    assert clock.pauses == [1.0, 2.0, 4.0]  # four more seconds would be eleven
    assert request.calls == 4


@pytest.mark.parametrize("exc", [FileNotFoundError(), PermissionError(), ValueError()])
def test_permanent_errors_are_raised_at_once(exc: Exception) -> None:
    clock, request = Clock(), Flaky(1, exc)
    with pytest.raises(type(exc)):
        clock.retry().call(request, "x")
    assert (request.calls, clock.pauses) == (1, [])


def test_every_pause_is_logged_without_the_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "curate.retrying"):
        Clock().retry().call(Flaky(2, TimeoutError("secret")), "bucket/key")
    assert [r.getMessage() for r in caplog.records] == [
        "bucket/key: TimeoutError; again in 0.5 s",
        "bucket/key: TimeoutError; again in 1.0 s",
    ]


def test_the_defaults_end_within_their_budget() -> None:
    clock = Clock()
    ended = replace(RETRY, sleep=clock.sleep, clock=lambda: clock.now, uniform=lambda a, b: b)
    with pytest.raises(TimeoutError):
        ended.call(Flaky(1000, TimeoutError()), "x")
    assert clock.now <= RETRY.total
    assert len(clock.pauses) == RETRY.tries - 1


# --- stalls ---------------------------------------------------------------------------------


def test_what_hangs_is_given_up_and_asked_again() -> None:
    release, calls = threading.Event(), list[int]()

    def request() -> str:
        calls.append(1)
        if len(calls) == 1:
            release.wait(30)
        return "done"

    clock = Clock()
    try:
        assert clock.retry(stall=0.05).call_within(request, "x") == "done"
    finally:
        release.set()
    assert len(calls) == 2


def test_what_always_hangs_ends_with_how_long_it_was_waited_for() -> None:
    release = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.03 s"):
            Clock().retry(stall=0.01, tries=2).call_within(lambda: release.wait(30), "x", 0.03)
    finally:
        release.set()


def test_uploads_have_time_for_their_bytes() -> None:
    assert RETRY.upload_seconds(0) == RETRY.stall
    assert RETRY.upload_seconds(100 << 20) == RETRY.stall + 100


def test_results_and_errors_cross_the_thread() -> None:
    assert within(5.0, lambda: json.loads("[1]")) == [1]
    with pytest.raises(ValueError, match="Expecting value"):
        within(5.0, lambda: json.loads("x"))
