"""A stand-in for the Hugging Face Hub on loopback: the requests that reading a dataset takes."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "org/pool"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = 3
"""Entries in one answer of a listing; a thousand at the real one."""


class Hub:
    """What is there, what was asked, and how the next requests are to fail.

    Attributes:
        address: of the server.
        revisions: name -> path -> content.
        asked: how often for what: `info`, `tree`, `paths-info`, `resolve`, `cdn`.
        faults: kind of request -> what the next ones meet: a status, or `cut` for half an answer.
        token: that is asked for, if any.
        holds: whether the content of a path has to wait.
    """

    def __init__(self) -> None:
        self.address = ""
        self.forget()

    def forget(self) -> None:
        """Be as new."""
        self.revisions: dict[str, dict[str, bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.faults: dict[str, list[int | str]] = {}
        self.token: str | None = None
        self.holds: Callable[[str], bool] = lambda path: False

    def put(self, files: dict[str, bytes], *revisions: str) -> None:
        """Files of some revisions, those before them gone."""
        for revision in revisions or ("main", COMMIT):
            self.revisions[revision] = dict(files)

    def fault(self, kind: str) -> int | str | None:
        """What this request meets; None if all is well."""
        self.asked[kind] += 1
        planned = self.faults.get(kind)
        return planned.pop(0) if planned else None


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.forget()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path
        api = f"/api/datasets/{REPOSITORY}"
        if path.startswith("/cdn/"):
            self.content(*(unquote(part) for part in path.removeprefix("/cdn/").split("/", 1)))
        elif not self.allowed():
            self.refuse(401, "GatedRepo")
        elif path.startswith(f"{api}/tree/"):
            self.tree(path.removeprefix(f"{api}/tree/"), asked)
        elif path == api or path.startswith(f"{api}/revision/"):
            self.info(unquote(path.removeprefix(api).removeprefix("/revision/")) or "main")
        elif path.startswith(f"/datasets/{REPOSITORY}/resolve/"):
            self.resolve(path.removeprefix(f"/datasets/{REPOSITORY}/resolve/"))
        else:
            self.refuse(404, "RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        start = f"/api/datasets/{REPOSITORY}/paths-info/"
        if not self.path.startswith(start):
            self.refuse(404, "RepoNotFound")
        elif not self.failed("paths-info"):
            files = self.hub.revisions[unquote(self.path.removeprefix(start))]
            wanted = parse_qs(body.decode())["paths"]
            self.json([_entry(files, path) for path in wanted if _is_there(files, path)])

    def allowed(self) -> bool:
        token = self.hub.token
        return token is None or self.headers.get("Authorization") == f"Bearer {token}"

    def failed(self, kind: str) -> bool:
        fault = self.hub.fault(kind)
        if isinstance(fault, int):
            self.send(fault, b"later")
        return isinstance(fault, int)

    def info(self, revision: str) -> None:
        if self.failed("info"):
            return
        if revision not in self.hub.revisions:
            self.refuse(404, "RevisionNotFound")
            return
        self.json({"id": REPOSITORY, "sha": COMMIT, "siblings": [], "private": False})

    def tree(self, rest: str, asked: dict[str, str]) -> None:
        if self.failed("tree"):
            return
        revision, _, folder = rest.partition("/")
        files = self.hub.revisions[unquote(revision)]
        prefix = f"{unquote(folder)}/" if folder else ""
        deep = asked.get("recursive", "").lower() == "true"
        names = set()
        for path in files:
            if path.startswith(prefix):
                below = path.removeprefix(prefix).split("/")
                ends = range(1, len(below) + 1) if deep else (1,)
                names |= {prefix + "/".join(below[:end]) for end in ends}
        if not names:
            self.refuse(404, "EntryNotFound")
            return
        begin = int(asked.get("cursor", 0))
        found = sorted(names)
        extra = {}
        if begin + PAGE < len(found):
            following = urlsplit(self.path).path + f"?recursive={deep}&cursor={begin + PAGE}"
            extra["Link"] = f'<{self.hub.address}{following}>; rel="next"'
        self.json([_entry(files, name) for name in found[begin : begin + PAGE]], extra)

    def resolve(self, rest: str) -> None:
        if self.failed("resolve"):
            return
        revision, _, path = rest.partition("/")
        if unquote(path) not in self.hub.revisions.get(unquote(revision), {}):
            self.refuse(404, "EntryNotFound")
            return
        self.send(302, b"", {"Location": f"{self.hub.address}/cdn/{revision}/{path}"})

    def content(self, revision: str, path: str) -> None:
        fault = self.hub.fault("cdn")
        if isinstance(fault, int):
            self.send(fault, b"later")
            return
        while self.hub.holds(path):
            time.sleep(0.05)
        data = self.hub.revisions[revision][path]
        if "Range" not in self.headers:
            self.send(200, data)
            return
        first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        extra = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        part = data[first : last + 1]
        self.send(206, part, extra, len(part) // 2 if fault == "cut" else None)

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b"no", {"X-Error-Code": code})

    def json(self, value: Any, extra: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self.send(200, json.dumps(value).encode(), kind | (extra or {}))

    def send(
        self,
        status: int,
        data: bytes,
        extra: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.close_connection = cut is not None
        self.wfile.write(data[:cut])

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _is_there(files: dict[str, bytes], path: str) -> bool:
    return any(name == path or name.startswith(f"{path}/") for name in files)


def _entry(files: dict[str, bytes], path: str) -> dict[str, Any]:
    if path not in files:
        return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
    data = files[path]
    sha = hashlib.sha256(data).hexdigest()
    lfs = {"oid": sha, "size": len(data), "pointerSize": 130}
    return {"type": "file", "path": path, "size": len(data), "oid": sha[:40], "lfs": lfs}
