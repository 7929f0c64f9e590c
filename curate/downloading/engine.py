"""The process that img2dataset runs in: `python -m curate.downloading.engine REQUEST.json`.

img2dataset fetches with `urllib.request.urlopen`, which takes any scheme, any address, any size and
any time. A list of URLs is untrusted, so an opener with bounds is put in its place. img2dataset
starts its workers by multiprocessing's `spawn`, which imports the main module of the parent, this
one, into each of them first: the opener holds there too.

Nothing of curate is imported, so that workers start in a moment.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

LIMITS = "CURATE_DOWNLOAD_LIMITS"
"""Environment variable with the arguments of `bound` as JSON: the workers inherit it."""

READ_BYTES = 1 << 16


class Bounded(urllib.request.BaseHandler):
    """Lets a response have so many bytes and seconds, whatever `read` is called for."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes, self._seconds = max_bytes, seconds

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        """Bound a response that has begun."""
        end = time.monotonic() + self._seconds
        response.read = lambda amt=None: self._read(response, end)  # type: ignore[method-assign]
        return response

    https_response = http_response

    def _read(self, response: http.client.HTTPResponse, end: float) -> bytes:
        parts, size = [], 0
        # Not by `read`, which waits for all of what it is asked for.
        while part := response.read1(READ_BYTES):
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise ValueError(f"response larger than {self._max_bytes} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"timed out: no whole response in {self._seconds:g} s")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(parts)


class _PublicHTTP(http.client.HTTPConnection):
    """A connection that ends, before anything is asked, if its other end is not public."""

    def connect(self) -> None:
        super().connect()
        address = self.sock.getpeername()[0]
        if not ipaddress.ip_address(address.partition("%")[0]).is_global:
            self.close()
            raise OSError("private address")


class _PublicHTTPS(http.client.HTTPSConnection, _PublicHTTP):
    """The same below TLS, whose `connect` calls the other's first."""


class _HTTP(urllib.request.HTTPHandler):
    def __init__(self, kind: type[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._kind = kind

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kind, request)


class _HTTPS(urllib.request.HTTPSHandler):
    def __init__(self, kind: type[http.client.HTTPSConnection]) -> None:
        super().__init__()
        self._kind = kind

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kind, request)


def opener(max_bytes: int, seconds: float, private: bool) -> urllib.request.OpenerDirector:
    """An opener for http and https alone: no file:, no ftp:, no data:.

    Args:
        max_bytes: of a response.
        seconds: for a whole response, beyond the timeout of a single read.
        private: whether addresses that are not public are allowed. Where a proxy is configured it
            is the proxy that connects, and whose rules count.
    """
    plain: type[http.client.HTTPConnection] = http.client.HTTPConnection
    tls: type[http.client.HTTPSConnection] = http.client.HTTPSConnection
    if not private and not urllib.request.getproxies():
        plain, tls = _PublicHTTP, _PublicHTTPS
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _HTTP(plain),
        _HTTPS(tls),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        Bounded(max_bytes, seconds),
    ):
        made.add_handler(handler)
    return made


def bound(max_bytes: int, seconds: float, private: bool, pixels: int) -> None:
    """Bound what this process fetches, see `opener`, and the pixels of pictures that it decodes."""
    urllib.request.install_opener(opener(max_bytes, seconds, private))
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(pixels)  # read when OpenCV is imported


def _end_with_parent() -> None:
    """End the whole process group when the pipe to whoever started it breaks: it was killed."""
    # Past the buffer, whose lock this thread would hold when the process ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(request: Path) -> None:
    """Run img2dataset with the arguments in a JSON file."""
    arguments: dict[str, Any] = json.loads(request.read_text(encoding="utf-8"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from img2dataset import download

    download(**arguments)


if __name__ in ("__main__", "__mp_main__"):
    bound(**json.loads(os.environ[LIMITS]))

if __name__ == "__main__":
    main(Path(sys.argv[1]))
