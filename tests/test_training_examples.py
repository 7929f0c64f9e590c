"""The examples of docs/training.md, run on filtered shards: open_clip's trainer and webdataset."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from local_run import filter_locally, score_locally, write_pool
from packaging.specifiers import SpecifierSet

from curate.config import Rules
from curate.encoder import Encoder
from curate.manifest import RunDir
from curate.outputs import Store

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples"
WANTED = SpecifierSet("<=0.2.86")  # as open_clip's extra `training` does
SCORE = "image_informativeness"

# webdataset leaves its last shard open, which is its own affair.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Path:
    """Filtered shards of a few pairs each."""
    folder = tmp_path_factory.mktemp("examples")
    spec = write_pool(folder / "pool")
    made = score_locally(RunDir(Store(str(folder / "run"))), spec, tiny_encoder)
    rules = Rules.model_validate({"all": [{"clip_score": {"drop_lowest": 0.2}}]})
    assert filter_locally(made.store, made.select(rules), 4) == {}
    return folder / "run" / "shards" / "default"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / "train_webdataset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores_of(shards: Path) -> dict[str, float]:
    """Key -> score of every kept pair."""
    tables = [
        pq.read_table(path, columns=["key", SCORE]) for path in sorted(shards.glob("*.parquet"))
    ]
    return {row["key"]: row[SCORE] for table in tables for row in table.to_pylist()}


def load(example: ModuleType, shards: Path, **options: Any) -> list[Any]:
    """Batches of pictures' sizes, captions' lengths and weights: no model is needed for them."""
    loader = example.make_loader(
        shards,
        lambda image: torch.tensor(image.size),
        lambda text: torch.tensor([[len(text)]]),
        workers=0,
        **options,
    )
    return list(loader)


def test_one_pass_meets_every_kept_pair_once(example: ModuleType, shards: Path) -> None:
    kept = scores_of(shards)
    assert sum(example.shards_of(shards).values()) == len(kept)
    batches = load(example, shards, batch=1, column=SCORE)
    assert len(batches) == len(kept)
    weights = np.concatenate([np.asarray(weight) for _, _, weight in batches])
    assert np.sort(weights) == pytest.approx(sorted(kept.values()))
    assert [float(weight[0]) for _, _, weight in load(example, shards, batch=1)] == [1.0] * len(
        kept
    )


def test_sampling_draws_in_proportion(example: ModuleType) -> None:
    samples = [{"__weight__": weight} for weight in (0.0, 1.0, 4.0)] * 4000
    weights = [one["__weight__"] for one in samples]
    passed = list(example.Draw(4.0, seed=0)({**one, "was": one["__weight__"]} for one in samples))
    share = {w: sum(one["was"] == w for one in passed) / weights.count(w) for w in set(weights)}
    assert share[0.0] == 0
    assert share[1.0] == pytest.approx(0.25, abs=0.02)
    assert share[4.0] == 1
    assert {one["__weight__"] for one in passed} == {1.0}


def test_sampling_and_resampling_from_shards(example: ModuleType, shards: Path) -> None:
    kept = scores_of(shards)
    assert example.highest(example.shards_of(shards), SCORE) == pytest.approx(max(kept.values()))
    drawn = load(example, shards, batch=1, column=SCORE, sampling=True)
    assert 0 < len(drawn) < len(kept)
    endless = example.make_loader(
        shards,
        lambda image: torch.tensor(image.size),
        lambda text: torch.tensor([[len(text)]]),
        workers=0,
        batch=4,
        resample=True,
    )
    assert all(next(endless)[0].shape == (4, 2) for _ in range(len(kept)))


def test_the_weighted_loss_is_clips_where_weights_are_equal(example: ModuleType) -> None:
    torch.manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(6, 8), dim=-1) for _ in "ab")
    scale = torch.tensor(5.0)
    expected = open_clip.ClipLoss()(images, texts, scale)
    assert example.weighted_loss(images, texts, scale, torch.full((6,), 3.0)) == pytest.approx(
        float(expected)
    )
    one = torch.zeros(6)
    one[2] = 1
    logits = scale * images @ texts.T
    alone = -(logits.log_softmax(1)[2, 2] + logits.log_softmax(0)[2, 2]) / 2
    assert example.weighted_loss(images, texts, scale, one) == pytest.approx(float(alone))


def run(*command: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def test_the_webdataset_example_trains(shards: Path, tiny_model: str) -> None:
    said = run(
        sys.executable, str(EXAMPLES / "train_webdataset.py"), str(shards), "--model", tiny_model,
        "--steps", "3", "--batch", "4", "--workers", "1", "--resample", "--weigh", SCORE,
    )  # fmt: skip
    assert [line.split(":")[0] for line in said.splitlines() if "loss" in line] == [
        "step 1",
        "step 2",
        "step 3",
    ]


@pytest.mark.skipif(
    version("webdataset") not in WANTED, reason=f"open_clip's trainer wants webdataset {WANTED}"
)
def test_the_open_clip_example_trains(shards: Path, tiny_model: str, tmp_path: Path) -> None:
    said = run(
        str(EXAMPLES / "train_open_clip.sh"), str(shards), "--model", tiny_model, "--device", "cpu",
        "--precision", "fp32", "--batch-size", "4", "--workers", "1", "--epochs", "1",
        "--warmup", "1", "--logs", str(tmp_path), "--name", "tiny",
    )  # fmt: skip
    pairs = len(scores_of(shards))
    assert f"/{-(-pairs // 4) * 4} (100%)" in said
    assert (tmp_path / "tiny" / "checkpoints" / "epoch_1.pt").is_file()
