"""The opener that stands between img2dataset and the web, and the process around both."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from url_server import Answer, Web, web

from curate.downloading import process
from curate.downloading.engine import opener
from curate.downloading.process import StalledError, run_engine
from curate.errors import DownloadError


@pytest.fixture(scope="module")
def served() -> Iterator[Web]:
    with web() as made:
        yield made


def fetch(url: str, max_bytes: int = 1000, seconds: float = 5.0, private: bool = True) -> bytes:
    with opener(max_bytes, seconds, private).open(url, timeout=1) as response:
        return bytes(response.read())


# --- the opener -------------------------------------------------------------------------------


def test_a_response_within_its_bounds_is_read_whole(served: Web) -> None:
    body = bytes(range(250)) * 4
    assert fetch(served.put("/whole", Answer(body))) == body
    assert fetch(served.put("/nothing", Answer(b""))) == b""


def test_a_redirect_is_followed(served: Web) -> None:
    there = served.put("/there", Answer(b"here"))
    here = served.put("/here", Answer(b"moved", 302, headers={"Location": there}))
    assert fetch(here) == b"here"
    away = served.put("/away", Answer(b"", 302, headers={"Location": "file:///etc/passwd"}))
    with pytest.raises(urllib.error.HTTPError, match="not allowed"):
        fetch(away)


def test_bytes_and_seconds_are_bounded(served: Web) -> None:
    with pytest.raises(ValueError, match="response larger than 1000 bytes"):
        fetch(served.put("/large", Answer(bytes(1001))))
    with pytest.raises(TimeoutError, match=r"no whole response in 0\.2 s"):
        fetch(served.put("/drip", Answer(bytes(100), drip=0.05)), seconds=0.2)
    with pytest.raises(TimeoutError):
        fetch(served.put("/slow", Answer(b"late", delay=1.5)))
    with pytest.raises(urllib.error.HTTPError, match="HTTP Error 410"):
        fetch(served.put("/gone", Answer(b"x", 410)))


def test_a_response_that_is_cut_is_no_response(served: Web) -> None:
    with pytest.raises(Exception, match=r"IncompleteRead\(0 bytes read, 7 more expected\)"):
        fetch(served.put("/cut", Answer(b"abc", missing=7)))


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(urllib.error.URLError, match="unknown url type"):
        fetch(url)


def test_private_addresses_are_refused_before_anything_is_asked(
    served: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = served.put("/secret", Answer(b"secret"))
    with pytest.raises(urllib.error.URLError, match="private address"):
        fetch(url, private=False)
    assert served.asked["/secret"] == 0
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with pytest.raises(urllib.error.URLError, match="private address"):
            fetch(f"https://127.0.0.1:{listening.getsockname()[1]}/", private=False)


# --- the process ------------------------------------------------------------------------------


def run(folder: Path, **options: Any) -> None:
    settings: dict[str, Any] = {"activity": lambda: 0} | options
    run_engine({}, {}, folder / "request.json", folder / "log.txt", **settings)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a script in the place of img2dataset's process."""

    def put(script: str) -> None:
        start = subprocess.Popen

        def started(command: list[str], **options: Any) -> Any:
            return start([sys.executable, "-c", script, *command[3:]], **options)

        monkeypatch.setattr(process.subprocess, "Popen", started)

    return put


def test_an_error_is_told_with_its_last_line(tmp_path: Path, engine: Any) -> None:
    engine("print('working'); raise ValueError('no \\x1b[31mspace left')")
    with pytest.raises(DownloadError, match=r"exit code 1: ValueError: no .\[31mspace left; see"):
        run(tmp_path)
    assert "working" in (tmp_path / "log.txt").read_text()


FAMILY = (
    "import pathlib, signal, subprocess, sys, time;"
    "code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)';"
    "child = subprocess.Popen([sys.executable, '-c', code]);"
    "pathlib.Path(sys.argv[1] + '.pid').write_text(str(child.pid));"
    "time.sleep(60)"
)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet is none."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("how", [KeyboardInterrupt, StalledError])
def test_whatever_ends_the_wait_ends_every_process(
    tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch, how: type[BaseException]
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.5)
    engine(FAMILY)
    note = tmp_path / "request.json.pid"
    begin = time.monotonic()

    def activity() -> int:
        if how is KeyboardInterrupt and note.exists() and note.read_text():
            raise KeyboardInterrupt
        return 0 if note.exists() and note.read_text() else time.monotonic_ns()

    with pytest.raises(how):
        run(tmp_path, activity=activity, stalled_seconds=1.0)
    assert time.monotonic() - begin < 30
    child = int(note.read_text())
    end = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(child)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc")
def test_the_process_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time;"
        "code = 'import threading, time; from curate.downloading.engine import _end_with_parent;"
        " threading.Thread(target=_end_with_parent, daemon=True).start(); time.sleep(60)';"
        "child = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE,"
        " start_new_session=True);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(child)
