"""Asking object stores again: which errors pass by themselves, and how long to wait for that.

Classification goes by what the errors of drivers have in common (types of the standard library,
`errno`, HTTP status, names of classes), so that no driver is imported. Pauses are exponential
with full jitter, which spreads the workers that one hiccup has hit.
"""

from __future__ import annotations

import errno
import http.client
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOGGER: Final = logging.getLogger(__name__)

TRIES: Final = 8
"""The pauses between them double from half a second to 32 s: a minute at most, half expected."""

FIRST_PAUSE_SECONDS: Final = 0.5
"""Longest first pause: stores ask to slow down for about a second."""

LONGEST_PAUSE_SECONDS: Final = 32.0
"""More than a store takes to split a hot prefix or to fail over would only idle the GPU."""

TOTAL_SECONDS: Final = 300.0
"""No try starts later than this after the first: five minutes of silence are an outage, and the
shard is then better tried by the next run."""

STALL_SECONDS: Final = 120.0
"""A request of at most a block that takes longer hangs. Above the time limits of drivers (15 s to
60 s), which tell more and free their connection."""

MANY_SECONDS: Final = 1800.0
"""The same for one call of a driver that makes many requests or moves a large object: it lists or
removes a folder of a million objects, or reads one of gigabytes."""

SLOWEST_BYTES_PER_SECOND: Final = 1 << 20
"""An upload that is slower than this hangs."""


class ShortReadError(OSError):
    """A store sent fewer bytes than the object has. Transient: a connection broke unnoticed."""


_PERMANENT: Final = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ssl.SSLCertVerificationError,
    ValueError,
    TypeError,
    LookupError,
    ImportError,
)

_TRANSIENT: Final = (
    TimeoutError,  # also of sockets, asyncio and fsspec
    ConnectionError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    ssl.SSLEOFError,
    ShortReadError,
)

_ERRNOS: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,  # what s3fs makes of SlowDown and ServiceUnavailable
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)

_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP: timeout, too early, too many requests, and servers that are ill for the moment."""

_CODES: Final = frozenset(
    {
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Codes of S3; RequestTimeout comes with HTTP status 400."""

_PERMANENT_NAMES: Final = frozenset(
    {
        "ClientConnectorCertificateError",
        "ClientConnectorSSLError",
        "ClientSSLError",
        "InvalidURL",
        "SSLError",
        "NoCredentialsError",
        "PartialCredentialsError",
    }
)

_OFFLINE: Final = "OfflineModeIsEnabled"
"""HF_HUB_OFFLINE is set; a ConnectionError by its class."""

_TRANSIENT_NAMES: Final = frozenset(
    {
        "ChunkedEncodingError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ProtocolError",
        "ReadTimeout",
        "ReadTimeoutError",
        "ResponseParserError",
        "ResponseStreamingError",
        "ServerDisconnectedError",
        "TransportError",
    }
)
"""Base classes of aiohttp, botocore, urllib3, requests and google-auth, none of which need be an
OSError. Those of certificates, derived from them, are sorted out before."""


def is_transient(exc: BaseException) -> bool:
    """Whether an error may pass by itself, so that the same request can succeed later.

    The first error of the chain of causes that says anything decides: drivers wrap what the
    network raised. What nobody knows is permanent.
    """
    verdicts = (_verdict(one) for one in _causes(exc))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def is_missing(exc: BaseException) -> bool:
    """Whether an error says that something is not there, and not that nobody could tell."""
    if not isinstance(exc, FileNotFoundError) or is_transient(exc):
        return False
    statuses = (_status(one) for one in _causes(exc) if isinstance(one, Exception))
    return next((status for status in statuses if status is not None), 404) in (404, 410)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _verdict(exc: BaseException) -> bool | None:
    """True: transient, False: permanent, None: this error does not tell, its cause may."""
    if not isinstance(exc, Exception):
        return False  # an interrupt is nobody's hiccup
    if isinstance(exc, FileNotFoundError) and exc.__cause__ is not None:
        return None  # that of HTTP calls every failure so, and tells the reason as its cause
    names = {base.__name__ for base in type(exc).__mro__}
    if isinstance(exc, _PERMANENT) or _OFFLINE in names:
        return False
    if isinstance(exc, _TRANSIENT) or _error_code(exc) in _CODES:
        return True
    if names & _PERMANENT_NAMES:
        return False
    status = _status(exc)
    if status is not None:
        return status in _STATUSES
    if isinstance(exc, socket.gaierror):
        return exc.errno == socket.EAI_AGAIN
    if names & _TRANSIENT_NAMES:
        return True
    number = getattr(exc, "errno", None)
    return True if number in _ERRNOS else None


def _error_code(exc: Exception) -> str | None:
    """The code that a store gave its error, as botocore's ClientError carries it."""
    response = getattr(exc, "response", None)
    error = response.get("Error") if isinstance(response, dict) else None
    code = error.get("Code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _status(exc: Exception) -> int | None:
    """The HTTP status, wherever a driver keeps it: aiohttp, gcsfs, requests or botocore."""
    for value in _status_places(exc):
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and 100 <= value < 600:
            return value
    return None


def _status_places(exc: Exception) -> Iterator[Any]:
    # One after the other: that of aiohttp warns when it is asked for its `code`.
    yield getattr(exc, "status", None)
    yield getattr(exc, "status_code", None)
    response = getattr(exc, "response", None)
    yield getattr(response, "status_code", None)
    yield getattr(response, "status", None)
    if isinstance(response, dict):
        meta = response.get("ResponseMetadata")
        yield meta.get("HTTPStatusCode") if isinstance(meta, dict) else None
    yield getattr(exc, "code", None)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long a request is repeated.

    Attributes:
        tries: of one request, the first among them.
        first_pause, longest_pause: seconds; bounds of the pauses, which double.
        total: seconds after which no further try is started.
        stall: seconds after which a read counts as hung.
        sleep, clock, uniform: what tests replace; `uniform(a, b)` draws from [a, b].
    """

    tries: int = TRIES
    first_pause: float = FIRST_PAUSE_SECONDS
    longest_pause: float = LONGEST_PAUSE_SECONDS
    total: float = TOTAL_SECONDS
    stall: float = STALL_SECONDS
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.Random().uniform

    def call(self, request: Callable[[], T], what: str) -> T:
        """Make a request that may be repeated, until it succeeds or fails for good.

        Args:
            request: idempotent; called from this thread.
            what: names it in the log, without secrets.

        Raises:
            Exception: what the request raised last.
        """
        deadline = self.clock() + self.total
        for ceiling in self._ceilings():
            try:
                return request()
            except Exception as exc:
                if not is_transient(exc):
                    raise
                pause = self.uniform(0.0, ceiling)
                if self.clock() + pause > deadline:
                    raise
                LOGGER.warning("%s: %s; again in %.1f s", what, type(exc).__name__, pause)
            self.sleep(pause)
        return request()

    def call_within(self, request: Callable[[], T], what: str, seconds: float = 0.0) -> T:
        """As `call`; a try that hangs is given up after `stall` seconds, or more if told so."""
        return self.call(lambda: within(max(self.stall, seconds), request), what)

    def upload_seconds(self, size: int) -> float:
        """How long an upload of so many bytes may take."""
        return self.stall + size / SLOWEST_BYTES_PER_SECOND

    def _ceilings(self) -> Iterator[float]:
        for number in range(self.tries - 1):
            yield min(self.longest_pause, self.first_pause * 2.0**number)


RETRY: Final = Retry()
"""What every remote place is asked with."""


def within(seconds: float, request: Callable[[], T]) -> T:
    """Call in a thread of its own, which is left behind if it hangs. Raises TimeoutError.

    A thread costs about a tenth of a millisecond, a request to a store tens of them.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(request())
        except BaseException as exc:  # noqa: BLE001 - raised in the thread that waits
            future.set_exception(exc)

    threading.Thread(target=run, name="curate-request", daemon=True).start()
    if not wait([future], seconds).done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return future.result()
