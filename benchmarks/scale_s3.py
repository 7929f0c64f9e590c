"""A stand-in for S3 that holds a run of a million shards; markers are made up as they are listed.

Everything else of the run is served from a folder. Answers come after the latency of a store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

PAGE: Final = 1000
"""Keys in one answer of S3."""

DIGITS: Final = 7
"""Of the numbers that shards are called by."""


SECONDS: Final = 0.1
"""Of latency: for small objects AWS states roughly 100 to 200 ms, and half of that is usual."""


class Store(BaseHTTPRequestHandler):
    """Answers HEAD, GET and PUT of objects, and ListObjectsV2 about markers."""

    folder = Path()
    markers = 0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a page of keys, or with an object."""
        asked = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        if "list-type" in asked:
            self.answer(200, page(asked, self.markers), "application/xml")
        else:
            self.object()

    def do_HEAD(self) -> None:
        """Answer with the size of an object."""
        self.object()

    def do_PUT(self) -> None:
        """Take an object."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.local().parent.mkdir(parents=True, exist_ok=True)
        self.local().write_bytes(data)
        self.answer(200, b"", "application/xml")

    def local(self) -> Path:
        """The file behind a key."""
        return self.folder / unquote(urlsplit(self.path).path).split("/", 2)[2]

    def object(self) -> None:
        """Send an object, or the part that is asked for."""
        if not self.local().is_file():
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
            return
        data, status, extra = self.local().read_bytes(), 200, {}
        if "Range" in self.headers:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            end = min(int(last or len(data)), len(data) - 1)
            extra = {"Content-Range": f"bytes {first}-{end}/{len(data)}"}
            data, status = data[int(first) : end + 1], 206
        self.answer(status, data, "binary/octet-stream", extra)

    def answer(
        self, status: int, body: bytes, kind: str, extra: dict[str, str] | None = None
    ) -> None:
        """Send an answer, as late as a store does."""
        time.sleep(SECONDS)
        self.send_response(status)
        for name, value in {"Content-Type": kind, "ETag": '"0"', **(extra or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def page(asked: dict[str, str], markers: int) -> bytes:
    """An answer to ListObjectsV2: markers in a folder `state/`, nothing elsewhere.

    Args:
        asked: parameters of the request.
        markers: how many there are, called by numbers from 0.
    """
    folder, _, prefix = asked.get("prefix", "").rpartition("/")
    first, last = 0, 0
    if folder.endswith("/state"):
        step = 10 ** (DIGITS - len(prefix))
        first = int(prefix or 0) * step
        last = min(first + step, markers)
    at = first + int(asked.get("continuation-token", 0))
    more = at + PAGE < last
    keys = [f"{folder}/{n:0{DIGITS}d}.json" for n in range(at, min(last, at + PAGE))]
    content = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{key[-DIGITS - 5 :]:0>32}&quot;</ETag><Size>512</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys
    )
    token = at - first + PAGE
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<KeyCount>{len(keys)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{following}{content}</ListBucketResult>"
    ).encode()


@contextmanager
def serving(folder: Path, markers: int) -> Iterator[str]:
    """The address of a process that serves a folder as a bucket, and so many markers."""
    program = f"import scale_s3; scale_s3.serve({str(folder)!r}, {markers})"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", program]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


def serve(folder: str, markers: int) -> None:
    """Answer until the process is ended; prints the port."""
    Store.folder, Store.markers = Path(folder), markers
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    thread.join()
