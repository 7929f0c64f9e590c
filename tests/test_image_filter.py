"""From metadata to filtered shards on a real Ray: every uid that is kept and available, no more."""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from datacomp_pool import ALL_ROW_FAULTS, ImageShards, make_image_shards, make_pool
from open_clip_train.data import get_dataset_size
from pools import snapshot, stamps

from curate import cli, commands
from curate.config import Config, parse_config
from curate.manifest import RunDir
from curate.numerics.keys import format_uids
from curate.outputs import Store
from curate.sweep.command import run_sweep
from curate.verification import verify
from curate.workspace import Outcome

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@dataclass(frozen=True)
class Made:
    """A pool of metadata that was run to its filtered shards."""

    config: Config
    shards: ImageShards
    outcome: Outcome
    folder: Path

    def uids(self, name: str) -> set[str]:
        return set(format_uids(np.load(self.folder / "run/subsets" / name / "uids.npy")))

    def written(self, name: str) -> list[str]:
        """Uids in the output shards, in their order."""
        found: list[str] = []
        for path in sorted((self.folder / "run/shards" / name).glob("*.tar")):
            with tarfile.open(path) as archive:
                texts = [archive.extractfile(m) for m in archive if m.name.endswith(".json")]
                found += [json.load(text)["uid"] for text in texts]  # type: ignore[arg-type]
        return found


@pytest.fixture(scope="module")
def made(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("images")
    pool = make_pool(folder / "metadata", files=(120, 90, 100), faults=ALL_ROW_FAULTS)
    shards = make_image_shards(pool, folder / "shards", shards=5, missing=0.1)
    tree = {
        "input": {"embeddings": str(pool.folder), "shards": shards.pattern},
        "reference": {"samples": 80},
        "rules": {"all": [{"clip_l14_similarity_score": {"keep_highest": 0.6}}]},
        "sweep": {"rules": {"wide": {"all": [{"width": {"min": 900}}]}}},
        "output": {"run_dir": str(folder / "run"), "samples_per_shard": 30},
        "compute": {"workers": 2},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(tree))
    config = parse_config(tree)
    return Made(config, shards, commands.run_all(config), folder)


def test_exactly_the_available_uids_of_the_subset_are_written(made: Made) -> None:
    wanted = made.uids("default")
    available = wanted & set(made.shards.place)
    assert 0 < len(available) < len(wanted) < 310
    assert made.written("default") == sorted(available, key=lambda u: made.shards.place[u])
    images = made.outcome.images
    assert images is not None
    assert images.missing_images == len(wanted & made.shards.missing) > 0
    assert images.counts.read == len(made.shards.place)
    assert made.outcome.unreadable == {}
    tars = sorted((made.folder / "run/shards/default").glob("*.tar"))
    assert made.outcome.output_shards == len(tars) == -(-len(available) // 30)


# open_clip leaves sizes.json open, which is its own affair.
@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_trainer_reads_the_number_of_samples(made: Made) -> None:
    folder = made.folder / "run/shards/default"
    last = len(list(folder.glob("*.tar"))) - 1
    number, shards = get_dataset_size(f"{folder}/{{00000..{last:05d}}}.tar")
    assert (number, shards) == (len(made.written("default")), last + 1)


def test_a_subset_of_a_sweep_is_filtered_by_its_name(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sweep(made.config)
    path = str(made.folder / "run.yaml")
    monkeypatch.setattr(sys, "argv", ["curate", "filter", path, "--subset", "wide"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert "uids of the subset have no usable image" in capsys.readouterr().out
    available = made.uids("wide") & set(made.shards.place)
    assert made.written("wide") == sorted(available, key=lambda u: made.shards.place[u])


def test_everything_verifies_and_again_does_nothing(made: Made) -> None:
    run = RunDir(Store(str(made.folder / "run")))
    assert verify(run, deep=True).problems == []
    before = snapshot(made.folder / "run"), stamps(made.folder / "run")
    again = commands.run_all(made.config)
    assert again.images == made.outcome.images
    assert (snapshot(made.folder / "run"), stamps(made.folder / "run")) == before
