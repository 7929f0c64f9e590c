"""Adopting a Reference that another run fitted."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_run import LocalRun

from curate import reference_files
from curate.config import parse_config
from curate.errors import RunDirError
from curate.outputs import Store
from curate.run_reference import adopt_reference
from curate.workspace import REFERENCE_FOLDER, open_workspace


def test_another_reference_is_refused(pristine_run: LocalRun, tmp_path: Path) -> None:
    place = pristine_run.folder / REFERENCE_FOLDER
    tree = {"input": {"shards": "x.tar"}, "output": {"run_dir": str(tmp_path / "run")}}
    work = open_workspace(parse_config(tree))
    adopted = adopt_reference(work, str(place))
    copy = reference_files.load(work.store, REFERENCE_FOLDER)
    assert copy.identity == adopted.identity
    assert adopt_reference(work, str(place)).identity == adopted.identity

    other = reference_files.load(Store(str(place)), "")
    other.image.mean[0] += 1e-3
    reference_files.save_fitted(Store(str(tmp_path)), "other", other)
    with pytest.raises(RunDirError, match="another Reference"):
        adopt_reference(work, str(tmp_path / "other"))
