"""The notebooks in examples/ run from top to bottom, and are committed without their outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "examples"
NAMES = ("first_filter", "choosing_a_threshold", "own_arrays")
"""In this order: the second goes on from what the first leaves behind."""

SECONDS = 300
"""Of one cell, on a busy machine."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def test_every_notebook_is_run_here() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    cells = json.loads(path.read_text())["cells"]
    assert path.stat().st_size < 20_000
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.ray
@pytest.mark.parametrize("name", NAMES)
# The kernel is another process, and its client tells of sockets that it closes late.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_notebook_runs(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("RAY_ENABLE_AUTO_CONNECT", raising=False)
    notebook: Any = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(workplace)}},
    )
    client.execute()
    said = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "execute_result"
    ]
    assert said
    last = said[-1]["data"]["text/plain"]
    if name == "own_arrays":
        assert last.startswith("(True, ['ok', 'ok'")
    (workplace / f"{name}.txt").write_text("\n".join(o["data"]["text/plain"] for o in said))
