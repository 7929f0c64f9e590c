"""What is shipped: the wheel's files, the changelog, the citation, and the forms of the tracker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from curate import __version__
from curate.config import DownloadConfig

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel, built from a copy by setuptools alone: nothing is fetched."""
    pytest.importorskip("setuptools", minversion="77", reason="builds a wheel with setuptools 77")
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "curate", folder / "curate", ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    script = "from setuptools import build_meta; build_meta.build_wheel('.')"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, check=True, capture_output=True
    )
    (path,) = folder.glob("*.whl")
    assert path.name == f"curate-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: set[str]) -> None:
    here = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "curate").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"curate/py.typed", "curate/models/embedded/open_clip_config.json"} <= here
    own = {name for name in wheel if not name.startswith(f"curate-{__version__}.dist-info/")}
    assert own == here
    assert f"curate-{__version__}.dist-info/licenses/LICENSE" in wheel
    assert f"curate-{__version__}.dist-info/entry_points.txt" in wheel


def test_extras_are_tested_as_they_are_shipped() -> None:
    extras = PROJECT["optional-dependencies"]
    tested = {*extras["dev"], *extras["train"]}
    assert set(extras["download"]) <= tested
    assert set(extras["language"]) <= tested
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    needed = map(Requirement, {*PROJECT["dependencies"], *tested})
    here = {
        canonicalize_name(one.name) for one in needed if not one.marker or one.marker.evaluate()
    }
    assert here <= pinned


def test_the_changelog_is_one_and_tells_of_this_version() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## Unreleased\n" in text
    assert __version__ in text


def test_the_citation_names_version_and_paper() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert str(citation["version"]) == __version__
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert paper["title"].startswith("How Semantically Informative is an Image?: Measuring")
    assert [author["family-names"] for author in paper["authors"]][::7] == ["Uchiyama", "Matsuo"]
    assert all({"given-names", "family-names"} <= author.keys() for author in paper["authors"])


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_the_forms_of_the_tracker_are_whole(name: str) -> None:
    path = REPOSITORY / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
    form: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked) >= 3
    assert all(field["attributes"]["label"] for field in asked)
    if name == "bug":
        labels = " ".join(field["attributes"]["label"] for field in asked)
        assert "curate status RUN_DIR --json" in labels
        assert "curate --version" in labels


def test_continuous_integration_runs_what_anyone_runs() -> None:
    path = REPOSITORY / ".github" / "workflows" / "ci.yml"
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step.get("run", "") for step in workflow["jobs"]["test"]["steps"]]
    assert "bash .ci/run" in steps
    assert (REPOSITORY / ".ci" / "run").is_file()


def test_every_key_of_a_download_is_documented() -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = text.partition("## download")[2].partition("\n## ")[0]
    assert {key for key in DownloadConfig.model_fields if f"`{key}`" not in section} == set()
