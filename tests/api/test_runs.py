"""Runs from Python, on a real Ray: the commands, quiet; their tables; Ray Datasets."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from factories import jpeg, sample_members, tar_bytes
from pools import config_tree

import curate
from curate.errors import ConfigError, RunDirError
from curate.numerics import selection
from curate.reference import check_model
from curate.reference_files import load_sample_table
from curate.rules import build
from curate.run_reference import adopt_reference
from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import Shard
from curate.workspace import open_workspace

pytestmark = pytest.mark.ray

CLOSE = {"rtol": 5e-4, "atol": 2e-6}
SCORES = ("image_informativeness", "text_informativeness", "clip_score", "image_norm", "text_norm")


@pytest.fixture(scope="module")
def tree(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("api")
    pool = folder / "pool"
    pool.mkdir()
    for shard, size in ((0, 7), (1, 4)):
        members = [
            member
            for i in range(size)
            for member in sample_members(f"{shard}{i:04d}", f"thing {shard} {i}", 10 * shard + i)
        ]
        members += [(f"{shard}bad.jpg", b"no picture"), (f"{shard}bad.txt", b"a caption")]
        (pool / f"{shard:05d}.tar").write_bytes(tar_bytes(members))
    rules = {"all": [{"image_informativeness": {"drop_lowest": 0.3}}]}
    return config_tree(tiny_model, f"{pool}/*.tar", folder / "run", rules=rules)


@pytest.fixture(scope="module")
def outcome(local_ray: None, tree: dict[str, Any]) -> curate.Outcome:
    return curate.run(tree)


def samples_of(tar: Path) -> list[Sample]:
    with tar.open("rb") as stream:
        reader = ShardReader(stream, Shard(tar.stem, str(tar), None), SamplePolicy())
        return [item for item in reader if isinstance(item, Sample)]


def test_a_run_is_that_of_the_command(outcome: curate.Outcome, tree: dict[str, Any]) -> None:
    assert outcome.subset is not None
    assert outcome.subset.counts.read == 13
    assert outcome.output_shards == 2
    assert outcome.unreadable == {}
    run = curate.open_run(outcome.run_dir)
    assert run.config == curate.Run(tree).config
    assert run.shards() == ["00000", "00001"]
    assert repr(run) == f"<curate.Run {outcome.run_dir!r}>"
    decisions = run.decisions()
    assert decisions.column_names == ["shard", "index", "key", "uid", "kept", "reason"]
    assert sum(decisions["kept"].to_pylist()) == outcome.subset.counts.kept == 8
    assert list(run.subsets()) == ["default"]
    log = (Path(run.run_dir) / "log.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    assert [e["command"] for e in events if e["event"] == "command ends"] == ["all"]
    captions = pq.read_table(f"{run.run_dir}/reference/sample_captions.parquet")
    sample = pq.read_table(f"{run.run_dir}/reference/sample_scores.parquet")
    assert captions["key"].to_pylist() == sample["key"].to_pylist()
    assert captions["caption"].to_pylist()[:2] == ["thing 0 0", "thing 0 1"]


def test_nothing_is_printed_unless_asked(
    outcome: curate.Outcome, tree: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    run = curate.Run(tree)
    run.select("quiet", {"all": [{"clip_score": {"keep_highest": 0.5}}]})
    run.filter("quiet", samples_per_shard=3)
    assert capfd.readouterr() == ("", "")
    run.show_progress = True
    run.select("loud", {"all": []})
    out, err = capfd.readouterr()
    assert out == ""
    assert "select" in err
    assert sorted(run.subsets()) == ["default", "loud", "quiet"]
    assert sum(run.decisions("quiet")["kept"].to_pylist()) == 5
    with pytest.raises(RunDirError, match="subset 'none' is not there"):
        run.decisions("none")


def test_a_sweep_from_python(outcome: curate.Outcome, tree: dict[str, Any], capfd: Any) -> None:
    swept = tree | {"sweep": {"strict": {"all": [{"clip_score": {"min": 0.9}}]}}}
    found = curate.Run(swept).sweep()
    assert found.sweep is not None
    assert capfd.readouterr() == ("", "")
    with pytest.raises(RunDirError, match="'strict' has no decisions yet"):
        curate.Run(tree).decisions("strict")
    (one,) = curate.open_run(outcome.run_dir).explain("00000/00003", subset="strict", neighbours=1)
    assert one.verdict is not None
    assert one.verdict.subset == "strict"


def test_scores_of_a_run_are_those_of_a_scorer(
    outcome: curate.Outcome, tree: dict[str, Any], tiny_model: str
) -> None:
    run = curate.open_run(outcome.run_dir)
    scores = run.scores(["key", "status", *SCORES])
    model = curate.load_model(tiny_model, device="cpu")
    scorer = curate.Scorer(model, run.reference())
    assert (
        run.reference().identity == curate.Reference.load(f"{outcome.run_dir}/reference").identity
    )
    pool = Path(tree["input"]["shards"]).parent
    found = [s for tar in sorted(pool.glob("*.tar")) for s in samples_of(tar)]
    table = scorer.score([s.image for s in found], [s.caption for s in found])
    assert [s.key for s in found] == scores["key"].to_pylist()
    assert table["status"].to_pylist() == scores["status"].to_pylist()
    assert table["status"].to_pylist().count("undecodable_image") == 2
    for name in SCORES:
        theirs, ours = (t[name].to_numpy(zero_copy_only=False) for t in (scores, table))
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_a_ray_dataset_is_scored(outcome: curate.Outcome, tiny_model: str) -> None:
    import ray.data

    pictures = [*(jpeg(seed=i) for i in range(7)), b"no picture"]
    rows = [{"id": i, "jpg": data, "text": f"thing {i}"} for i, data in enumerate(pictures)]
    reference = f"{outcome.run_dir}/reference"
    named = {"model": tiny_model, "reference": reference, "image": "jpg", "keep": ["id"]}
    found = ray.data.from_items(rows).map_batches(
        curate.Scorer, fn_constructor_kwargs=named, batch_size=4, concurrency=1
    )
    told = sorted(found.take_all(), key=lambda row: row["id"])
    expected = curate.Scorer(tiny_model, reference).score(pictures, [r["text"] for r in rows])
    assert [row["status"] for row in told] == expected["status"].to_pylist()
    assert told[7]["status"] == "undecodable_image"
    for name in SCORES:
        theirs = expected[name].to_numpy(zero_copy_only=False)
        ours = np.array([row[name] for row in told], dtype=np.float32)
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_a_reference_from_arrays_is_adopted_by_a_run(
    tree: dict[str, Any], tiny_model: str, tmp_path: Path
) -> None:
    """`reference.path` takes it: the weights are those of the run, its sample serves the rules."""
    model = curate.load_model(tiny_model, device="cpu")
    images, texts = model.embed([jpeg(seed=i) for i in range(20)], [f"so {i}" for i in range(20)])
    reference = curate.Reference.fit(images, texts, model=model)
    reference.save(tmp_path / "reference")
    own = tree | {
        "reference": {"path": str(tmp_path / "reference")},
        "rules": {"all": [{"clip_score": {"drop_lowest": 0.5, "of": "reference"}}]},
        "output": {"run_dir": str(tmp_path / "run")},
    }
    work = open_workspace(curate.Run(own).config)
    adopted = adopt_reference(work, str(tmp_path / "reference"))
    check_model(adopted, model.info)
    assert adopted.identity == reference.identity
    (test,) = selection.tests_of(
        build(work.config.rules, {}, load_sample_table(work.store, "reference"))
    )
    assert test.cut.value == sorted(reference.score(images, texts)["clip_score"].to_pylist())[10]


@pytest.mark.shared
def test_real_pairs_score_as_in_a_run(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    """Real dev pairs and the embedded model: the run's Parquet against the API."""
    with tarfile.open(shared_data / "dev-00100.tar") as archive:
        wanted = [m for m in archive.getmembers() if m.isfile()][:120]
        members = [(m.name, archive.extractfile(m).read()) for m in wanted]  # type: ignore[union-attr]
    tar = tmp_path / "00000.tar"
    tar.write_bytes(tar_bytes(members))
    outcome = curate.run(config_tree("embedded", str(tar), tmp_path / "run"))
    run = curate.open_run(outcome.run_dir)
    found = samples_of(tar)
    scorer = curate.Scorer(curate.load_model("embedded"), run.reference())
    table = scorer.score([s.image for s in found], [s.caption for s in found])
    scores = run.scores()
    assert len(found) > 30
    kept = [i for i, key in enumerate(scores["key"].to_pylist()) if key in {s.key for s in found}]
    for name in SCORES:
        np.testing.assert_allclose(table[name], scores[name].take(kept), **CLOSE)


# --- configurations ---------------------------------------------------------------------------


def test_a_configuration_is_a_mapping_a_file_or_a_config(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    from curate.config import to_yaml

    path = tmp_path / "run.yaml"
    config = curate.Run(tree).config
    path.write_text(to_yaml(config))
    for kind in (tree, config, path, str(path)):
        assert curate.Run(kind).config == config
        seeded = curate.Run(kind, ["reference.seed=7"]).config
        assert seeded.reference.seed == 7
    with pytest.raises(ConfigError, match="unknown key"):
        curate.Run(tree | {"nothing": 1})
    with pytest.raises(RunDirError, match="holds no run"):
        curate.open_run(tmp_path)
    with pytest.raises(ConfigError, match="drop"):
        curate.Run(tree).select("x", {"all": [{"clip_score": {"drop": 1}}]})
