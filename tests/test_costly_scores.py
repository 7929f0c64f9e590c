"""Scores that are computed only when listed, through whole runs on a real Ray."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pools import config_of, write_shards

from curate import commands
from curate.config import Config
from curate.errors import ReferenceFileError, RunDirError
from curate.held import read_held
from curate.manifest import RunDir
from curate.outputs import Store
from curate.schema import (
    ALL_SCORES,
    CAPTION_ENGLISH,
    COSTLY_COLUMNS,
    IMAGE_NORM,
    SCORE_COLUMNS,
    TEXT_NORM,
    scores_schema,
)
from curate.verification import verify

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

RULES = {
    "all": [
        {"image_information_gain_landmarks": {"drop_lowest": 0.25}},
        {"text_information_gain": {"drop_lowest": 0.2, "of": "reference"}},
    ]
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_siglip: str) -> Config:
    """A finished run with every score, at the model's own temperature."""
    folder = tmp_path_factory.mktemp("costly")
    write_shards(folder / "pool", (9, 7))
    config = config_of(
        tiny_siglip,
        f"{folder}/pool/*.tar",
        folder / "run",
        scores=[*SCORE_COLUMNS, *COSTLY_COLUMNS],
        rules=RULES,
        reference={"temperature": "model", "landmarks": 5},
        output={"save_embeddings": True},
    )
    commands.run_all(config)
    return config


def table_of(config: Config) -> pa.Table:
    return pq.read_table(f"{config.output.run_dir}/scores/")


def test_the_columns_are_those_of_the_scorer(config: Config) -> None:
    table = table_of(config)
    assert table.schema.names == scores_schema(ALL_SCORES).names
    scorer = read_held(Store(config.output.run_dir), "reference", config).scorer("cpu")
    rows = [np.load(p) for p in sorted(Path(config.output.run_dir, "embeddings").glob("*.npz"))]
    image, text = (
        torch.nn.functional.normalize(
            torch.tensor(np.concatenate([r[side] for r in rows]), dtype=torch.float32), dim=1
        )
        for side in ("image", "text")
    )
    scores = scorer(image, text)
    assert {*scores, IMAGE_NORM, TEXT_NORM, CAPTION_ENGLISH} == set(ALL_SCORES)
    for name, values in scores.items():
        # The saved embeddings are float16.
        np.testing.assert_allclose(
            table[name].to_numpy(), values.numpy(), rtol=0.05, atol=2e-3 * float(values.abs().max())
        )


def test_the_sample_has_them_too(config: Config) -> None:
    sample = pq.read_table(f"{config.output.run_dir}/reference/sample_scores.parquet")
    every = {row["key"]: row for row in table_of(config).to_pylist()}
    assert set(sample["caption_english"].to_pylist()) <= {0.0, 1.0}
    for row in sample.to_pylist():
        for name in COSTLY_COLUMNS:
            assert row[name] == pytest.approx(every[row["key"]][name], rel=1e-3, abs=1e-6)


def test_other_settings_of_other_methods_are_refused(config: Config) -> None:
    changed = config.baselines.model_copy(update={"temperature": 0.5})
    with pytest.raises(RunDirError, match="baselines"):
        commands.run_score(config.model_copy(update={"baselines": changed}))


def test_rules_on_them_drop_and_every_sample_is_accounted_for(config: Config) -> None:
    run = RunDir(Store(config.output.run_dir))
    findings = verify(run, deep=True)
    assert not findings.problems
    summary = json.loads((Path(run.store.url) / "subsets/default/summary.json").read_text())
    dropped = summary["counts"]["dropped"]
    assert dropped["image_information_gain_landmarks.drop_lowest=0.25"] == 4
    beside = pq.read_table(next(Path(run.store.url, "shards/default").glob("*.parquet")))
    assert set(COSTLY_COLUMNS) <= set(beside.column_names)


def test_the_fit_is_told_what_its_scores_are_worth(config: Config) -> None:
    outcome = commands.run_fit(config)
    assert set(outcome.fidelity) == {
        "image_informativeness",
        "text_informativeness",
        "image_information_gain_landmarks",
        "text_information_gain_landmarks",
    }
    assert [t.column for t in outcome.thresholds] == [
        "image_information_gain_landmarks",
        "text_information_gain",
    ]


def test_other_scores_in_the_same_place_are_refused(config: Config) -> None:
    fewer = config.model_copy(update={"scores": SCORE_COLUMNS, "rules": type(config.rules)(all=())})
    with pytest.raises(RunDirError, match="costly_scores"):
        commands.run_score(fewer)


def test_an_adopted_reference_brings_landmarks_and_sample(config: Config, tmp_path: Path) -> None:
    path = f"{config.output.run_dir}/reference"
    again = config_of(
        config.model.name,
        config.input.shards,
        tmp_path / "run",
        scores=list(config.scores),
        reference={"path": path, "temperature": "model", "landmarks": 5},
    )
    commands.run_score(again)
    assert table_of(again).equals(table_of(config))


def test_an_adopted_reference_without_them_is_refused(config: Config, tmp_path: Path) -> None:
    plain = config_of(config.model.name, config.input.shards, tmp_path / "plain")
    commands.run_score(plain)
    assert table_of(plain).schema.names == scores_schema().names
    asked = config_of(
        config.model.name,
        config.input.shards,
        tmp_path / "asked",
        scores=["text_information_gain_landmarks"],
        reference={"path": str(tmp_path / "plain" / "reference")},
    )
    with pytest.raises(ReferenceFileError, match="holds no landmarks"):
        commands.run_score(asked)
