"""A web in miniature on this machine: pictures, placeholders, and all that goes wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PICTURE = "image/jpeg"


@dataclass(frozen=True)
class Answer:
    """What the server says to a path.

    Attributes:
        body: sent after the headers.
        status: of HTTP.
        kind: content type.
        headers: further ones.
        delay: seconds before the status line.
        missing: bytes that Content-Length promises beyond the body.
        drip: seconds between two bytes.
    """

    body: bytes = b""
    status: int = 200
    kind: str = PICTURE
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    missing: int = 0
    drip: float = 0.0


class Web:
    """Answers by path, and what was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def put(self, path: str, answer: Answer) -> str:
        """Answer a path; returns its URL."""
        self.answers[path] = answer
        return f"{self.address}{path}"


@contextmanager
def web() -> Iterator[Web]:
    """Serve in this block. Whoever closes `gate` holds back every answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = made.answers.get(self.path, Answer(b"nothing here", 404, "text/plain"))
            made.asked[self.path] += 1
            made.gate.wait(60)
            time.sleep(found.delay)
            try:
                self._answer(found)
            except OSError:
                self.close_connection = True  # the client went away, as it should

        def _answer(self, found: Answer) -> None:
            self.send_response(found.status)
            self.send_header("Content-Type", found.kind)
            self.send_header("Content-Length", str(len(found.body) + found.missing))
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not found.drip:
                self.wfile.write(found.body)
            else:
                for byte in found.body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(found.drip)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    made = Web(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
