"""The files of the page: escaped, whole, deterministic, shipped."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate.report.page as page
from curate.errors import OutputError
from curate.outputs import Store
from curate.report.page import assets, script, write_page

REPOSITORY = Path(__file__).resolve().parents[2]
PAYLOAD: dict[str, Any] = {"format": 1, "samples": [{"caption": "</script><!-- \u2028"}]}
CELLS: dict[str, Any] = {"n": 0, "encoding": "leb128", "codes": "", "counts": ""}


def written(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_report_is_a_folder_that_needs_nothing_else(tmp_path: Path) -> None:
    write_page(Store(str(tmp_path)), "report", PAYLOAD, CELLS)
    files = written(tmp_path / "report")
    assert {"index.html", "data/report.js", "data/cells.js", "assets/styles.css"} <= set(files)
    assert "assets/README.md" not in files
    index = files["index.html"].decode()
    for name in files:
        if name.endswith((".js", ".css")) and name != "data/cells.js":
            assert f'"{name}"' in index, f"{name} is not loaded by the page"
    assert "http:" not in index
    assert "https:" not in index


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_page(Store(str(tmp_path / name)), "", PAYLOAD, CELLS)
    assert written(tmp_path / "a") == written(tmp_path / "b")


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=8))
def test_scripts_say_what_was_meant_and_nothing_ends_them(value: Any) -> None:
    text = script("X", {"a": value}).decode()
    assert not set("<>&\u2028\u2029") & set(text)
    body = text.removeprefix("window.X=").removesuffix(";\n")
    assert json.loads(body) == {"a": value}


def test_a_caption_with_a_lone_surrogate_can_be_written() -> None:
    body = script("X", {"a": "\udc80"}).decode().removeprefix("window.X=").removesuffix(";\n")
    assert json.loads(body) == {"a": "\udc80"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_has_no_word_for_is_refused(value: Any) -> None:
    with pytest.raises(OutputError, match="CURATE_REPORT cannot be written"):
        script("CURATE_REPORT", {"a": value})


def test_a_failed_write_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_page(Store(str(tmp_path)), "", PAYLOAD, {"n": float("nan")})
    assert not (tmp_path / "index.html").exists()


def test_the_wheel_ships_what_the_page_needs() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["curate"]
    package = Path(page.__file__).parents[1]
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    for name, _ in assets():
        assert package / "report" / "assets" / name in shipped


def test_the_library_comes_with_its_licences() -> None:
    names = {name for name, _ in assets()}
    assert {"vendor/plot.min.js", "vendor/LICENSES.txt"} <= names
