"""The configurations that come with the repository: they load, and say what they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.config import load_config

FOLDER = Path(__file__).resolve().parents[1] / "configs"
# What trains a model is read by curate.training and benchmarks/minicomp.py, which have settings of
# their own, and what starts a cluster by others (tests/test_cluster_manifests.py).
RUNS = sorted(
    path
    for path in FOLDER.rglob("*.yaml")
    if not path.name.startswith(("train-", "minicomp")) and path.parent.name != "cluster"
)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_it_loads(path: Path) -> None:
    assert load_config(path).output.run_dir.startswith("runs/")


@pytest.mark.parametrize("name", ["basic", "clip-score", "laion-like"])
def test_the_sweep_compares_with_the_baselines_of_the_files(name: str) -> None:
    sweep = load_config(FOLDER / "datacomp" / "sweep.yaml").sweep
    assert sweep is not None
    assert sweep.baselines[name] == load_config(FOLDER / "datacomp" / f"{name}.yaml").rules


def test_every_run_has_its_own_folder() -> None:
    folders = [load_config(path).output.run_dir for path in (FOLDER / "datacomp").glob("*.yaml")]
    assert len(set(folders)) == len(folders) > 4
