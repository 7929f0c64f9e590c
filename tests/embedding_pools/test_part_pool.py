"""Whole runs over pools of metadata on a real Ray, against a naive implementation of the rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datacomp_pool import ALL_ROW_FAULTS, Pool, make_pool
from local_run import load_uids
from pools import snapshot, stamps

from curate import commands
from curate.config import Config, parse_config
from curate.errors import ConfigError, ReferenceFileError, RunDirError, ShardError
from curate.manifest import RunDir
from curate.numerics.keys import format_uids
from curate.outputs import Store
from curate.verification import verify

RULES = {
    "all": [
        {"clip_l14_similarity_score": {"keep_highest": 0.6}},
        {"caption_words": {"min": 2}},
        {"text_informativeness": {"drop_lowest": 0.2}},
    ]
}


def config_of(source: dict[str, Any], run: Path, **sections: Any) -> Config:
    tree: dict[str, Any] = {
        "input": source,
        "reference": {"samples": 120},
        "rules": RULES,
        "output": {"run_dir": str(run)},
        "compute": {"workers": 2},
    }
    return parse_config(tree | sections)


def naive_uids(pool: Pool, run: Path, embedded: bool) -> list[str]:
    """The rules of this module, row by row, over what was written and over own score columns."""
    rows = pool.table.to_pandas()
    rows["words"] = [0 if t is None else len(t.split()) for t in pool.table["text"].to_pylist()]
    own = pd.concat([pd.read_parquet(run / f"scores/{stem}.parquet") for stem in pool.stems])
    assert own["uid"].tolist() == rows["uid"].tolist()
    # Without embeddings nothing is known of their faults.
    good = rows["status"] == "ok" if embedded else rows["status"] != "invalid_uid"
    if embedded:
        rows["text_informativeness"] = own["text_informativeness"].to_numpy()
    rows = rows[good].drop_duplicates("uid")
    kept = set(rows["uid"][rows["words"] >= 2])
    by_score = rows.sort_values(["clip_l14_similarity_score", "uid"])["uid"]
    kept &= set(by_score[len(rows) - int(len(rows) * 0.6) :])
    if embedded:
        by_value = rows.sort_values(["text_informativeness", "uid"])["uid"]
        kept &= set(by_value[int(len(rows) * 0.2) :])
    return sorted(kept)


def test_no_model_and_no_image_library_is_loaded() -> None:
    code = (
        "import sys, curate.pipeline.part_pool, curate.commands;"
        "print(sorted({'open_clip', 'timm', 'transformers', 'PIL', 'simplejpeg'} & {*sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Three files with every fault of a row; not to be changed."""
    folder = tmp_path_factory.mktemp("pool") / "metadata"
    return make_pool(folder, (300, 200, 250), faults=ALL_ROW_FAULTS)


@pytest.fixture(scope="module")
def base(pool: Pool, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A finished run over the pool; not to be changed."""
    run = tmp_path_factory.mktemp("base") / "run"
    config = config_of({"embeddings": str(pool.folder)}, run)
    assert commands.run_fit(config).fidelity
    assert commands.run_score(config).unreadable == {}
    assert commands.run_select(config).subset is not None
    return config


@pytest.mark.ray
class TestPartPool:
    def test_the_uids_are_those_of_a_naive_implementation(self, base: Config, pool: Pool) -> None:
        store = Store(base.output.run_dir)
        expected = naive_uids(pool, Path(store.url), embedded=True)
        assert format_uids(load_uids(store)) == expected
        assert 100 < len(expected) < 450
        assert verify(RunDir(store), deep=True).problems == []
        statuses = pool.table["status"].to_pylist()
        counts = sum((RunDir(store).require_marker(s).counts for s in pool.stems[1:]),
                     RunDir(store).require_marker(pool.stems[0]).counts)  # fmt: skip
        assert counts.rejected == {
            status: statuses.count(status) for status in sorted(set(statuses) - {"ok"})
        }

    def test_the_sample_is_the_pairs_with_the_smallest_hashes(
        self, base: Config, pool: Pool
    ) -> None:
        from curate.sampling import sample_hash

        folder = Path(base.output.run_dir) / "reference"
        sample = pq.read_table(folder / "sample_scores.parquet").to_pylist()
        rows = pool.table.to_pylist()
        hashes = {
            (r["part"], r["uid"]): sample_hash(0, r["part"], r["uid"])
            for r in rows
            if r["status"] != "invalid_uid"
        }
        good = {(r["part"], r["uid"]) for r in rows if r["status"] == "ok"}
        chosen = sorted(hashes, key=hashes.__getitem__)[:120]
        assert [(r["shard"], r["key"]) for r in sample] == [
            (r["part"], r["uid"])
            for r in rows
            if (r["part"], r["uid"]) in {*chosen} & good and r["status"] == "ok"
        ]

    def test_a_run_goes_on_where_it_was_and_ends_in_the_same_bytes(
        self, base: Config, pool: Pool, tmp_path: Path
    ) -> None:
        run, without = tmp_path / "run", frozenset({"run.json", "config.yaml"})
        shutil.copytree(base.output.run_dir, run)
        made = snapshot(run, without)
        config = config_of({"embeddings": f"{pool.folder}/*"}, run)  # another name for the same
        lost = f"state/{pool.stems[1]}.json"
        (run / lost).unlink()
        before = stamps(run)
        outcome = commands.run_all(config)
        assert outcome.output_shards is None  # the images are nowhere
        assert snapshot(run, without) == made
        after = stamps(run)
        changed = {name for name, stamp in after.items() if before.get(name) != stamp}
        changed.remove("state/markers.cache")  # since a marker is another file now
        assert changed == {lost, f"scores/{pool.stems[1]}.parquet", "run.json", "config.yaml"}
        commands.run_all(config)
        assert stamps(run) == after
        other = config_of({"embeddings": str(pool.folder), "columns": ["original_width"]}, run)
        with pytest.raises(RunDirError, match="columns was"):
            commands.run_score(other)

    def test_a_part_that_cannot_be_read_fails_alone(self, base: Config, tmp_path: Path) -> None:
        pool = make_pool(tmp_path / "metadata", (40, 30))
        broken = pool.folder / f"{pool.stems[1]}.npz"
        broken.write_bytes(broken.read_bytes()[:-50])
        reference = {"path": f"{base.output.run_dir}/reference"}
        config = config_of({"embeddings": str(pool.folder)}, tmp_path / "run", reference=reference)
        outcome = commands.run_score(config)
        assert set(outcome.unreadable) == {pool.stems[1]}
        assert f"{pool.stems[1]}.npz" in outcome.unreadable[pool.stems[1]]
        run = RunDir(Store(str(tmp_path / "run")))
        assert (run.committed(), set(run.failures())) == ({pool.stems[0]}, {pool.stems[1]})
        for stem in pool.stems:
            (pool.folder / f"{stem}.npz").write_bytes(b"")
        bad = config_of({"embeddings": str(pool.folder)}, tmp_path / "bad")
        with pytest.raises(ShardError, match="no part of the pool can be read"):
            commands.run_score(bad)

    def test_a_reference_of_another_width_is_refused(
        self, base: Config, pool: Pool, tmp_path: Path
    ) -> None:
        keys = {"image": "b32_img", "text": "b32_txt"}
        source = {"embeddings": str(pool.folder), "embedding_keys": keys}
        reference = {"path": f"{base.output.run_dir}/reference"}
        config = config_of(source, tmp_path / "run", reference=reference)
        with pytest.raises(ReferenceFileError, match=r"of 24 dimensions, .* have 16"):
            commands.run_score(config)

    def test_metadata_alone_is_enough_for_rules_on_it(
        self, local_ray: None, pool: Pool, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        rules = {"all": RULES["all"][:2]}
        config = config_of({"metadata": str(pool.folder)}, run, rules=rules)
        commands.run_all(config)
        table = pq.read_table(run / f"scores/{pool.stems[0]}.parquet")
        assert "clip_score" not in table.column_names
        assert not (run / "reference").exists()
        expected = naive_uids(pool, run, embedded=False)
        assert format_uids(load_uids(Store(str(run)))) == expected


def test_what_metadata_alone_cannot_give_is_said(pool: Pool, tmp_path: Path) -> None:
    source = {"metadata": str(pool.folder)}
    config = config_of(source, tmp_path / "run", rules={"all": []})
    with pytest.raises(ConfigError, match=r"input\.metadata: a Reference is fitted on embeddings"):
        commands.run_fit(config)
    config = config_of(source, tmp_path / "run", rules={"all": []}, scores=["vas"])
    with pytest.raises(ConfigError, match="vas take embeddings"):
        commands.run_score(config)
    rules = {"all": [{"caption_words": {"drop_lowest": 0.1, "of": "reference"}}]}
    config = config_of(source, tmp_path / "run", rules=rules)
    with pytest.raises(ConfigError, match="of: reference"):
        commands.run_score(config)
    saving = {"run_dir": str(tmp_path / "run"), "save_embeddings": True}
    config = config_of({"embeddings": str(pool.folder)}, tmp_path / "run", output=saving)
    with pytest.raises(ConfigError, match=r"output\.save_embeddings"):
        commands.run_score(config)


def test_the_pools_scores_tie(pool: Pool) -> None:
    """Lest uids never decide in the tests above."""
    values = pool.column("clip_l14_similarity_score")
    assert len(np.unique(values)) < len(values) / 2
