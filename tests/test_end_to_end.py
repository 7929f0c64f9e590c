"""Whole runs on a real Ray: numbers against a naive oracle, promises against the files."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from factories import sample_members, tar_bytes
from PIL import Image
from pools import SIZES, config_of, config_tree, snapshot, stamps, write_shards

from curate import commands
from curate.config import Config
from curate.errors import RunDirError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.run_log import RunLog, read_log
from curate.status import look
from curate.verification import verify

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

RULES = {
    "all": [
        {"image_informativeness": {"drop_lowest": 0.25}},
        {"text_informativeness": {"drop_lowest": 0.2, "of": "reference"}},
    ]
}


@dataclass(frozen=True)
class Run:
    """A finished run."""

    config: Config
    folder: Path
    pool: Path
    outcome: commands.Outcome


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Run:
    """A run over five shards with embeddings saved; not to be changed."""
    return _run(tmp_path_factory.mktemp("base"), tiny_model)


def _run(folder: Path, model: str) -> Run:
    write_shards(folder / "pool")
    config = config_of(
        model,
        f"{folder}/pool/*.tar",
        folder / "run",
        rules=RULES,
        output={"save_embeddings": True},
    )
    return Run(config, folder / "run", folder / "pool", commands.run_all(config))


@pytest.fixture
def copy(base: Run, tmp_path: Path) -> Run:
    """The finished run in another place, over the same pool, free to be gone on with."""
    shutil.copytree(base.folder, tmp_path / "run")
    output = base.config.output.model_copy(update={"run_dir": str(tmp_path / "run")})
    config = base.config.model_copy(update={"output": output})
    return Run(config, tmp_path / "run", base.pool, base.outcome)


# --- the oracle -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Oracle:
    """What a plain loop over open_clip says of a shard: one pair at a time, no batches."""

    image: np.ndarray
    text: np.ndarray
    image_norm: np.ndarray
    text_norm: np.ndarray


def embed_naively(model_name: str, shard: Path) -> Oracle:
    """Read with tarfile, preprocess and encode with open_clip's own functions."""
    import open_clip
    import torch

    model, preprocess = open_clip.create_model_from_pretrained(model_name)
    tokenizer = open_clip.get_tokenizer(model_name)
    model.eval()
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    with tarfile.open(shard) as archive, torch.inference_mode():
        content = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]  # all are files
        for key in sorted({name.partition(".")[0] for name in content}):
            picture = Image.open(io.BytesIO(content[f"{key}.jpg"]))
            image = model.encode_image(preprocess(picture).unsqueeze(0))
            text = model.encode_text(tokenizer([content[f"{key}.txt"].decode()]))
            rows.append((image[0].double().numpy(), text[0].double().numpy()))
    image, text = (np.stack(side) for side in zip(*rows, strict=True))
    image_norm, text_norm = np.linalg.norm(image, axis=1), np.linalg.norm(text, axis=1)
    return Oracle(image / image_norm[:, None], text / text_norm[:, None], image_norm, text_norm)


def quadratic(embeddings: np.ndarray, mean: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Half of (u - mean)^T G (u - mean), row by row, in float64 (Eq. 5)."""
    return np.array([0.5 * (u - mean) @ metric @ (u - mean) for u in embeddings])


def check_scores(run: Run, model: str) -> None:
    arrays = np.load(run.folder / "reference" / "reference.npz")
    for shard in sorted(run.pool.glob("*.tar")):
        table = pq.read_table(run.folder / "scores" / f"{shard.stem}.parquet")
        naive = embed_naively(model, shard)
        columns = {
            "image_norm": naive.image_norm,
            "text_norm": naive.text_norm,
            "clip_score": (naive.image * naive.text).sum(1),
            "image_informativeness": quadratic(
                naive.image, arrays["image_mean"], arrays["image_metric"]
            ),
            "text_informativeness": quadratic(
                naive.text, arrays["text_mean"], arrays["text_metric"]
            ),
        }
        assert table["status"].to_pylist() == ["ok"] * len(naive.image)
        for name, expected in columns.items():
            found = table[name].to_numpy()
            # Decoding may differ by one grey level from open_clip's, in float32 arithmetic.
            np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5, err_msg=name)


def test_scores_are_what_a_plain_loop_says(base: Run) -> None:
    check_scores(base, base.config.model.name)


def test_the_reference_is_that_of_its_sample(base: Run) -> None:
    sample = np.load(base.folder / "reference" / "sample.npz")
    arrays = np.load(base.folder / "reference" / "reference.npz")
    image, text = sample["image"].astype(float), sample["text"].astype(float)
    p_image, p_text = sample["image_weights"], sample["text_weights"]
    assert len(image) == len(text) == 30
    # The paper's prior: p(t) is the mean over images of the softmax over texts, at scale 1.
    posterior = np.exp(image @ text.T)
    np.testing.assert_allclose(
        p_text, (posterior / posterior.sum(1, keepdims=True)).mean(0), rtol=1e-6
    )
    np.testing.assert_allclose(arrays["image_mean"], p_image @ image, rtol=1e-6, atol=1e-9)
    centred = text - p_text @ text
    metric = (centred * p_text[:, None]).T @ centred
    np.testing.assert_allclose(arrays["image_metric"], metric, rtol=1e-5, atol=1e-9)


def test_sample_scores_are_those_of_the_pool(base: Run) -> None:
    sample = pq.read_table(base.folder / "reference" / "sample_scores.parquet").to_pylist()
    rows = {}
    for path in (base.folder / "scores").glob("*.parquet"):
        rows |= {(r["shard"], r["key"]): r for r in pq.read_table(path).to_pylist()}
    assert len({(r["shard"], r["key"]) for r in sample}) == 30
    for row in sample:
        pooled = rows[row["shard"], row["key"]]
        for name in ("image_informativeness", "text_informativeness", "clip_score"):
            assert row[name] == pytest.approx(pooled[name], rel=1e-4, abs=1e-6)


def test_siglip_is_scored_by_its_own_link(tmp_path: Path, tiny_siglip: str) -> None:
    write_shards(tmp_path / "pool", (11, 6))
    reference = {"samples": 12, "temperature": "model"}
    config = config_of(tiny_siglip, f"{tmp_path}/pool/*.tar", tmp_path / "run", reference=reference)
    run = Run(config, tmp_path / "run", tmp_path / "pool", commands.run_score(config))
    check_scores(run, tiny_siglip)
    described = json.loads((run.folder / "reference" / "reference.json").read_text())
    assert described["link"] == "sigmoid"
    assert described["bias"] == pytest.approx(-10.0)


# --- files ------------------------------------------------------------------------------------


def test_embeddings_are_aligned_with_the_scores(base: Run) -> None:
    for path in sorted((base.folder / "embeddings").glob("*.npz")):
        table = pq.read_table(base.folder / "scores" / f"{path.stem}.parquet")
        arrays = np.load(path)
        assert arrays["key"].tolist() == table["key"].to_pylist()
        assert arrays["image"].dtype == arrays["text"].dtype == np.float16
        cosine = (arrays["image"].astype(float) * arrays["text"].astype(float)).sum(1)
        np.testing.assert_allclose(cosine, table["clip_score"].to_numpy(), atol=3e-3)


def test_the_rules_are_kept(base: Run) -> None:
    tables = [pq.read_table(p) for p in sorted((base.folder / "scores").glob("*.parquet"))]
    image = np.concatenate([t["image_informativeness"].to_numpy() for t in tables])
    text = np.concatenate([t["text_informativeness"].to_numpy() for t in tables])
    sample = pq.read_table(base.folder / "reference" / "sample_scores.parquet")
    reference = np.sort(sample["text_informativeness"].to_numpy())
    text_cut = reference[int(0.2 * len(reference))]
    image_cut = np.sort(image)[int(0.25 * len(image))]
    paths = sorted((base.folder / "subsets" / "default" / "decisions").glob("*.parquet"))
    decisions = [pq.read_table(path) for path in paths]
    kept = np.concatenate([t["kept"].to_numpy(zero_copy_only=False) for t in decisions])
    assert kept.tolist() == ((image >= image_cut) & (text >= text_cut)).tolist()
    assert 0 < kept.sum() < len(kept) == sum(SIZES)


def test_filtered_shards_hold_the_kept_samples(base: Run) -> None:
    kept = []
    for path in sorted((base.folder / "subsets" / "default" / "decisions").glob("*.parquet")):
        kept += [r["key"] for r in pq.read_table(path).to_pylist() if r["kept"]]
    found = []
    originals = {}
    for shard in base.pool.glob("*.tar"):
        with tarfile.open(shard) as archive:
            originals |= {m.name: archive.extractfile(m).read() for m in archive}
    folder = base.folder / "shards" / "default"
    for number, tar in enumerate(sorted(folder.glob("*.tar"))):
        assert tar.stem == f"{number:05d}"
        with tarfile.open(tar) as archive:
            for member in archive:
                assert archive.extractfile(member).read() == originals[member.name]
                found.append(member.name)
    assert found == [f"{key}.{kind}" for key in kept for kind in ("jpg", "txt", "json")]
    sizes = json.loads((folder / "sizes.json").read_text())
    assert sum(sizes.values()) == len(kept)


def test_accounts_balance_and_verify_agrees(base: Run) -> None:
    counts = base.outcome.subset.counts
    assert counts.read == sum(SIZES) == counts.kept + sum(counts.dropped.values())
    findings = verify(RunDir(Store(str(base.folder))), deep=True)
    assert findings.problems == []
    assert findings.samples == sum(SIZES)
    assert not base.outcome.unreadable


# --- going on with a run ----------------------------------------------------------------------


def test_a_second_run_touches_nothing_and_starts_nothing(
    copy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise AssertionError("a finished run connected to Ray")

    monkeypatch.setattr("curate.pipeline.cluster.Cluster.connect", refuse)
    before = stamps(copy.folder)
    begin = time.monotonic()
    # The run directory is part of config.yaml: the first run in the new place notes it.
    before.pop("config.yaml")
    outcome = commands.run_all(copy.config)
    after = stamps(copy.folder)
    after.pop("config.yaml")
    assert after == before
    assert commands.run_all(copy.config).seconds == {}
    assert time.monotonic() - begin < 5
    assert outcome.subset.counts == copy.outcome.subset.counts
    assert outcome.output_shards == copy.outcome.output_shards


def test_a_changed_threshold_selects_and_filters_again(copy: Run) -> None:
    before = stamps(copy.folder)
    rules = {"all": [{"clip_score": {"keep_highest": 0.5}}]}
    config = config_of(
        copy.config.model.name,
        copy.config.input.shards,
        copy.folder,
        rules=rules,
        output={"save_embeddings": True},
    )
    outcome = commands.run_all(config)
    after = stamps(copy.folder)
    unchanged = {name for name in before if before[name] == after.get(name)}
    scored = {n for n in before if re.match(r"scores/|embeddings/|reference/|state/\d+\.json", n)}
    assert scored
    assert scored <= unchanged
    assert outcome.subset.counts.kept == sum(SIZES) // 2
    assert set(outcome.seconds) == {"select", "filter"}
    assert verify(RunDir(Store(str(copy.folder))), deep=True).problems == []


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        ("model", {"precision": "bf16"}, "bf16"),
        ("model", {"name": "ViT-B-32", "pretrained": "random"}, "ViT-B-32"),
        ("reference", {"seed": 5}, "'seed': 5"),
        ("limits", {"image_pixels": 1000}, "1000"),
    ],
)
def test_another_way_of_scoring_is_refused_before_anything_starts(
    copy: Run, section: str, change: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise AssertionError("connected to Ray before checking the run directory")

    monkeypatch.setattr("curate.pipeline.cluster.Cluster.connect", refuse)
    before = stamps(copy.folder)
    tree = copy.config.model_dump(mode="json", exclude_none=True)
    tree[section] |= change
    with pytest.raises(RunDirError, match=re.escape(named)) as caught:
        commands.run_all(Config.model_validate(tree))
    assert "output.run_dir" in str(caught.value)
    assert stamps(copy.folder) == before


def test_other_weights_under_the_same_name_are_refused(copy: Run, tmp_path: Path) -> None:
    from models import write_tiny_model

    # As if the folder of the model had been trained on: same path, other weights.
    folder = Path(copy.config.model.name.removeprefix("local-dir:"))
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    (copy.folder / "state" / "00000.json").unlink()  # something is left to score
    try:
        write_tiny_model(folder, seed=1)
        with pytest.raises(RunDirError, match="weights was"):
            commands.run_all(copy.config)
    finally:
        shutil.copytree(kept, folder, dirs_exist_ok=True)


WORDY = 5
"""Shards of other data than the Reference was fitted on."""


def write_wordy(folder: Path, first: int) -> list[str]:
    """Shards of 20 pairs whose captions are longer than any of `pools.write_shards`."""
    paths = []
    for number in range(first, first + WORDY):
        keys = [f"{number:05d}{i:04d}" for i in range(20)]
        members = [m for key in keys for m in sample_members(key, "word " * 20 + key, int(key))]
        paths.append(folder / f"{number:05d}.tar")
        paths[-1].write_bytes(tar_bytes(members))
    return [str(path) for path in paths]


def test_added_shards_are_scored_with_the_same_reference_which_they_are_compared_with(
    copy: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The same files in the same place, as the manifest demands; others come after them.
    links = [str(copy.pool / f"{i:05d}.tar") for i in range(len(SIZES))]
    before = stamps(copy.folder)
    config = config_of(
        copy.config.model.name,
        [*links, *write_wordy(tmp_path, len(SIZES))],
        copy.folder,
        # None that needs the whole pool, so that they are decided while it is scored.
        rules={"all": [RULES["all"][1], {"caption_words": {"max": 12}}]},
        output={"save_embeddings": True},
    )
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own, which a command has not
    store = Store(str(copy.folder))
    with RunLog(store).command("all", config):
        outcome = commands.run_all(config)
    after = stamps(copy.folder)
    old = [n for n in before if re.match(r"scores/|embeddings/|reference/|state/\d+\.json", n)]
    assert [n for n in old if before[n] != after[n]] == []
    assert "scores/00005.parquet" in after
    assert outcome.subset.counts.read == sum(SIZES) + 20 * WORDY

    # The operator hears of it on stderr, from the log, and from `curate status`.
    err = capsys.readouterr().err
    (alarm,) = [line for line in err.splitlines() if line.startswith("alarm: ")]
    assert "% dropped of the last 80 samples (4 shards), but" in alarm
    assert "score  10/10 shards" in err
    assert "1 alarm" in err
    (logged,) = [event for event in read_log(store) if event["event"] == "alarm"]
    assert alarm == f"alarm: {logged['text']}"
    status = look(RunDir(store))
    assert [found["text"] for found in status.alarms] == [logged["text"]]
    assert status.command is not None
    assert (status.command.name, status.command.state) == ("all", "done")


# --- bad input --------------------------------------------------------------------------------


def test_bad_shards_do_not_stop_a_run(
    shared_data: Path, tmp_path: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from curate.cli import app

    tree = config_tree(
        tiny_model,
        [str(shared_data / "bad" / "*.tar")],
        tmp_path / "run",
        rules={"all": [{"image_informativeness": {"drop_lowest": 0.05}}]},
        compute={"workers": 2},
    )
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(tree))
    with capsys.disabled():
        result = CliRunner().invoke(app, ["run", str(path)])
    assert result.exit_code == 3, result.output
    names = {p.stem for p in (shared_data / "bad").glob("*.tar")}
    scored = {p.stem for p in (tmp_path / "run" / "scores").glob("*.parquet")}
    failed = {p.stem for p in (tmp_path / "run" / "state" / "failed").glob("*.json")}
    assert scored | failed == names
    assert not scored & failed
    for shard in failed:
        assert shard in result.output
    run = RunDir(Store(str(tmp_path / "run")))
    findings = verify(run, deep=True)
    assert findings.problems == []
    assert findings.samples == sum(run.require_marker(s).counts.read for s in scored)
    # A shard that is cut or corrupt is scored as far as it goes, and says so.
    for shard in ("01_truncated_tar", "03_corrupt_header_middle", "23_huge_declared_size"):
        marker = run.require_marker(shard)
        assert marker.damage
        assert marker.counts.read >= 2
    for path in (tmp_path / "run" / "scores").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert (row["status"] == "ok") == (row["error"] is None), row
    temporary = Path(tarfile.__file__).anchor + "tmp"
    assert not Path(temporary, "PICKLE_WAS_EXECUTED").exists()
    assert not list(Path(temporary).glob("bad_marker_*"))


def test_unreadable_shards_can_be_tolerated(tmp_path: Path, tiny_model: str) -> None:
    from typer.testing import CliRunner

    from curate.cli import app

    write_shards(tmp_path / "pool", (4, 3))
    (tmp_path / "pool" / "broken.tar").write_bytes(b"")
    tree = config_tree(tiny_model, f"{tmp_path}/pool/*.tar", tmp_path / "run")
    tree["limits"] = {"tolerate_unreadable_shards": True}
    tree["reference"] = {"samples": 5}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(tree))
    result = CliRunner().invoke(app, ["run", str(path)])
    assert result.exit_code == 0, result.output
    assert "broken" in result.output
    # Repaired, it is scored by the next run, which has nothing to report any more.
    write_shards(tmp_path / "other", (2,))
    shutil.copy(tmp_path / "other" / "00000.tar", tmp_path / "pool" / "broken.tar")
    result = CliRunner().invoke(app, ["run", str(path)])
    assert result.exit_code == 0, result.output
    assert "could not be read" not in result.output
    assert RunDir(Store(str(tmp_path / "run"))).failures() == {}


def test_runs_in_other_orders_give_the_same_bytes(base: Run, tmp_path: Path) -> None:
    paths = sorted(map(str, base.pool.glob("*.tar")), reverse=True)
    config = config_of(
        base.config.model.name,
        paths,
        tmp_path / "run",
        rules=RULES,
        output={"save_embeddings": True},
        compute={"workers": 3},
    )
    commands.run_all(config)
    # What lists the shards in order, or names this run directory, may differ.
    pure = re.compile(
        r"scores/|embeddings/|reference/|subsets/default/(decisions/|uids)|identity\.json"
    )
    before, after = snapshot(base.folder), snapshot(tmp_path / "run")
    assert {n: h for n, h in after.items() if pure.match(n)} == {
        n: h for n, h in before.items() if pure.match(n)
    }
