"""The rendered documentation: built without a warning, whole, and without anything from outside."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
EXTERNAL = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")


def pages(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages(part)]  # type: ignore[attr-defined]


def test_every_page_is_in_the_navigation() -> None:
    docs = REPOSITORY / "docs"
    settings = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())
    written = {
        path.relative_to(docs).as_posix()
        for path in docs.rglob("*.md")
        if "fidelity" not in path.relative_to(docs).parts
    }
    assert set(pages(settings["nav"])) == written


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [n for n in ("mkdocs", "material", "mkdocstrings") if not importlib.util.find_spec(n)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: install the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=quiet)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "configs/datacomp/sweep.yaml").is_file()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not EXTERNAL.findall(page.read_text()), page
    for sheet in site.rglob("*.css"):
        assert "@import" not in sheet.read_text()
        assert not re.search(r"url\(['\"]?(?:https?:)?//", sheet.read_text())


def test_the_api_page_documents_what_is_public(site: Path) -> None:
    import curate

    text = (site / "api.html").read_text()
    for name in curate.__all__:
        assert name == "__version__" or f"curate.{name}" in text
    for method in ("embed", "fit", "score", "select", "filter", "sweep", "explain", "iter_scores"):
        assert re.search(rf'id="curate\.\w+\.{method}"', text), method
