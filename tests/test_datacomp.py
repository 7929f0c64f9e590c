"""DataComp's track from its metadata to uids, each subset against DataComp's rules in pandas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datacomp_pool import Pool, make_pool

from curate import commands
from curate.config import Config, load_config
from curate.language import english
from curate.sweep.command import run_sweep
from curate.workspace import Outcome

pytestmark = pytest.mark.ray

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "datacomp"


@dataclass(frozen=True)
class Swept:
    """A synthetic pool that was scored and swept with the configuration of the repository."""

    pool: Pool
    frame: pd.DataFrame
    config: Config
    outcome: Outcome
    folder: Path

    def uids(self, name: str) -> np.ndarray:
        return np.load(self.folder / "subsets" / name / "uids.npy")


@pytest.fixture(scope="module")
def swept(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("datacomp")
    pool = make_pool(folder / "metadata", files=(700, 400, 500), seed=3)
    config = load_config(
        CONFIGS / "sweep.yaml",
        [
            f"input.embeddings={folder / 'metadata'}",
            "input.shards=null",
            "reference.samples=600",
            f"output.run_dir={folder / 'run'}",
        ],
    )
    assert commands.run_score(config).unreadable == {}
    outcome = run_sweep(config)
    tables = [pq.read_table(path) for path in sorted((folder / "metadata").glob("*.parquet"))]
    frame = pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    return Swept(pool, frame, config, outcome, folder / "run")


def as_submission(uids: Any) -> np.ndarray:
    """Uids as DataComp's scripts save them."""
    pairs = [(int(uid[:16], 16), int(uid[16:], 16)) for uid in uids]
    array = np.array(pairs, np.dtype("u8,u8"))
    array.sort()
    return array


def basic(frame: pd.DataFrame) -> pd.Series:
    sides = frame[["original_width", "original_height"]]
    ratio = sides.max(axis=1) / sides.min(axis=1)
    words, chars = frame.text.apply(lambda x: len(x.split())), frame.text.apply(len)
    wide = (sides.min(axis=1) >= 200) & (ratio <= 3.0)
    return pd.Series(english(frame.text) == 1) & (words > 2) & (chars > 5) & wide


def clip_score(frame: pd.DataFrame) -> pd.Series:
    scores = frame["clip_l14_similarity_score"]
    return scores >= -np.sort(-scores.values)[int(len(frame) * 0.3)]


def laion_like(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(english(frame.text) == 1) & (frame["clip_b32_similarity_score"] >= 0.28)


@pytest.mark.parametrize(
    ("name", "rule"), [("basic", basic), ("clip-score", clip_score), ("laion-like", laion_like)]
)
def test_baselines_keep_what_datacomp_keeps(
    swept: Swept, name: str, rule: Callable[[pd.DataFrame], pd.Series]
) -> None:
    expected = as_submission(swept.frame.uid[rule(swept.frame)])
    assert 0 < len(expected) < len(swept.frame)
    found = swept.uids(name)
    assert found.dtype == np.dtype("u8,u8")
    assert np.array_equal(found, expected)


def test_grid_points_keep_their_fraction_to_the_last(swept: Swept) -> None:
    assert swept.outcome.sweep is not None
    rows = {row["subset"]: row for row in swept.outcome.sweep.subsets.to_pylist()}
    assert len(rows) == 5 * 3 * 3 + 2 + 3
    for fraction in (0.2, 0.25, 0.3, 0.35, 0.4):
        name = f"grid-{fraction}-none-none"
        assert rows[name]["kept"] == int(round(fraction * 100) * len(swept.frame) // 100)
        order = swept.frame.sort_values(["clip_l14_similarity_score", "uid"], ascending=False)
        expected = as_submission(order.uid[: rows[name]["kept"]])
        assert np.array_equal(swept.uids(name), expected)
    for row in rows.values():
        assert row["read"] == row["kept"] + row["dropped"] + row["rejected"] == len(swept.frame)


def test_what_select_makes_is_what_the_sweep_made(swept: Swept) -> None:
    """And a metadata pool, which has no embeddings, gives the same as one that has."""
    name = "grid-0.3-0.05-0.1"
    assert swept.config.sweep is not None
    rules = swept.config.sweep.rule_sets(swept.config.rules)[name]
    output = swept.config.output.model_copy(update={"subset": "chosen"})
    config = swept.config.model_copy(update={"rules": rules, "output": output})
    outcome = commands.run_select(config)
    assert outcome.subset is not None
    assert np.array_equal(swept.uids("chosen"), swept.uids(name))
    baseline = load_config(
        CONFIGS / "basic.yaml",
        [
            f"input.metadata={swept.folder.parent / 'metadata'}",
            f"output.run_dir={swept.folder.parent / 'basic'}",
        ],
    )
    commands.run_all(baseline)
    found = np.load(swept.folder.parent / "basic" / "subsets" / "default" / "uids.npy")
    assert np.array_equal(found, swept.uids("basic"))
