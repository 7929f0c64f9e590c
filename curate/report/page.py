"""The page of a report: fixed files, and its data as scripts.

A page that is opened from a disk may not fetch files, but may load scripts: the data are
assignments to two globals. Everything else is the same for every report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from curate.errors import OutputError
from curate.outputs import Store

INDEX: Final = "index.html"
UNSHIPPED: Final = ("README.md",)
"""Of the assets: notes for developers, which a reader of the report has no use for."""

# Within a script `</script` and `<!--` mean something to the HTML parser whatever JSON says; the
# two separators end a line of JavaScript before 2019.
_ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def write_page(
    store: Store, folder: str, payload: Mapping[str, Any], cells: Mapping[str, Any]
) -> None:
    """Write the page and its data; each file appears whole, and `index.html` last.

    Args:
        store: where the report lies.
        folder: of the report, relative to the store; "" for the store itself.
        payload: the report, of JSON's types.
        cells: the packed histogram of the threshold explorer.

    Raises:
        OutputError: the payload holds NaN, an infinity, or what JSON has no word for.
    """
    base = f"{folder}/" if folder else ""
    store.write_bytes(f"{base}data/report.js", script("CURATE_REPORT", payload))
    store.write_bytes(f"{base}data/cells.js", script("CURATE_CELLS", cells))
    for name, data in assets():
        if name != INDEX:
            store.write_bytes(f"{base}assets/{name}", data)
    store.write_bytes(f"{base}{INDEX}", files(__package__).joinpath("assets", INDEX).read_bytes())


def script(name: str, value: Mapping[str, Any]) -> bytes:
    """A script that assigns a value to a global; equal values are equal bytes.

    Raises:
        OutputError: as `write_page`.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as exc:
        raise OutputError(f"report: {name} cannot be written as JSON: {exc}") from exc
    # A lone surrogate of a damaged caption is no text that UTF-8 can hold.
    return f"window.{name}={text.translate(_ESCAPES)};\n".encode("utf-8", "backslashreplace")


def assets() -> Iterator[tuple[str, bytes]]:
    """The fixed files of a page, by their path below `assets/`, in a fixed order."""
    yield from _below(files(__package__).joinpath("assets"), "")


def _below(folder: Traversable, base: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _below(entry, f"{base}{entry.name}/")
        elif entry.name not in UNSHIPPED:
            yield f"{base}{entry.name}", entry.read_bytes()
