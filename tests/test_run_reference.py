"""Adopting a Reference that another run fitted."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_run import LocalRun

from curate import reference_files
from curate.config import parse_config
from curate.errors import RunDirError
from curate.manifest import Counts
from curate.outputs import Store
from curate.run_reference import adopt_reference, preview_of, watch_of
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


def test_shards_are_compared_with_what_the_rules_drop_of_the_sample(
    pristine_run: LocalRun, tmp_path: Path
) -> None:
    def alarms(rule: dict[str, object]) -> list[str]:
        tree = {
            "input": {"shards": "x.tar"},
            "scores": ["vas"],
            "output": {"run_dir": str(tmp_path / "run")},
            "rules": {"all": [rule]},
        }
        work = open_workspace(parse_config(tree))
        adopt_reference(work, str(pristine_run.folder / REFERENCE_FOLDER))
        watch = watch_of(work, preview_of(work))
        shard = Counts(10_000, {}, 10_000, {})
        return [str(alarm) for _ in range(5) for alarm in watch.add(shard)]

    (alarm,) = alarms({"clip_score": {"min": 2.0}})
    assert alarm.startswith("0 % dropped of the last 40,000 samples")
    assert "but 100 % of the Reference's sample" in alarm
    assert alarms({"clip_score": {"min": -2.0}}) == []
    # A cut of the pool is not known yet, and a sample may lack a score of this run.
    assert alarms({"clip_score": {"drop_lowest": 0.5}}) == []
    assert alarms({"vas": {"min": 2.0}}) == []
