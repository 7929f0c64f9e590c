"""A headless Chromium for tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 20_000
"""Milliseconds that anything may take before a test fails: much more than it should."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped, visibly, where none is installed."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    program = next((path for path in found if path), None)
    if program is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium), which is not there")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the dev extra")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


class Watched:
    """A page, and what it did that it should not have done.

    Attributes:
        page: Playwright's.
        errors: messages of its console beyond information, and exceptions.
        requests: every address it asked for.
    """

    def __init__(self, browser: Any, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(WAIT)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, address: str) -> None:
        """Open a report and wait until all of it is drawn."""
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def strangers(self, base: str) -> list[str]:
        """Requests that leave the folder."""
        return [url for url in self.requests if not url.startswith((base, "data:"))]

    def close(self) -> None:
        """Close the page and its context."""
        self.context.close()


def address_of(folder: Path) -> str:
    """The address of a report on the disk."""
    return (folder / "index.html").resolve().as_uri()
