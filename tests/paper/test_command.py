"""`curate paper` from the configuration to its files, on a real Ray."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from factories import sample_members, tar_bytes
from models import write_tiny_model
from PIL import Image
from pools import config_of, stamps, write_shards

from curate import commands
from curate.config import Config
from curate.numerics.agreement import agreement
from curate.numerics.information_gain import information_gain
from curate.numerics.posterior import Posterior, estimate_priors
from curate.paper.command import run_paper

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

ATTRIBUTES = [{"image_id": at, "attributes": [{"attributes": ["red"] * at}]} for at in range(9)]


@dataclass(frozen=True)
class Report:
    """A finished report."""

    config: Config
    folder: Path

    @property
    def paper(self) -> Path:
        return self.folder / "paper"

    @property
    def results(self) -> dict[str, Any]:
        found = json.loads((self.paper / "results.json").read_text())
        return {section["name"]: section for section in found["sections"]}

    def sample(self, name: str) -> Any:
        return np.load(self.folder / f"models/{name}/reference/sample.npz", allow_pickle=False)

    def rows(self, name: str) -> Any:
        table = pq.read_table(self.folder / f"models/{name}/reference/sample_scores.parquet")
        return table.to_pylist()


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: str,
    tiny_siglip: str,
    tiny_language_model: Path,
) -> Report:
    """Every part but Table 5, whose processes have tests of their own; not to be changed."""
    folder = tmp_path_factory.mktemp("paper")
    write_shards(folder / "pool", (13, 9, 18))
    (folder / "vg").mkdir()
    members = [m for at in range(8) for m in sample_members(f"{at}", "x", 90 + at, image_id=at)]
    (folder / "vg" / "0.tar").write_bytes(tar_bytes(members))
    (folder / "attributes.json").write_text(json.dumps(ATTRIBUTES))
    other = write_tiny_model(folder / "other", siglip=True, seed=5)
    vg = {"attributes": str(folder / "attributes.json"), "shards": f"{folder}/vg/*.tar"}
    config = config_of(
        tiny_model,
        f"{folder}/pool/*.tar",
        folder / "run",
        reference={"samples": 36},
        paper={
            "unnormalised": {"name": other, "device": "cpu"},
            "normalised": {"name": tiny_siglip, "device": "cpu"},
            "language_model": str(tiny_language_model),
            "visual_genome": vg,
            "sizes": [],
            "sample_sizes": [16],
            "extremes": 3,
            "bootstrap": 40,
        },
    )
    run_paper(config)
    return Report(config, folder / "run")


def test_every_table_and_figure_is_there(report: Report) -> None:
    index = (report.paper / "index.md").read_text()
    sections = report.results
    assert list(sections)[:6] == [f"table{n}" for n in range(1, 7)]
    for section in sections.values():
        assert f"## {section['title']}" in index
        assert section["reading"] in index
        for name, rows in section["tables"].items():
            for end in ("md", "csv", "parquet"):
                assert (report.paper / f"tables/{name}.{end}").stat().st_size > 0
            assert pq.read_table(report.paper / f"tables/{name}.parquet").num_rows == len(rows) > 0
        for figure in section["figures"]:
            assert f"]({figure})" in index
            with Image.open(report.paper / figure) as picture:
                assert picture.format == "PNG"
                assert 900 <= picture.width <= 1100
                assert len(picture.convert("RGB").getcolors(1 << 20) or [0] * 9) > 8
    assert (report.paper / "config.yaml").is_file()
    assert "- pool: " in index
    assert "torch 2" in index


def test_what_was_not_run_says_how_to(report: Report) -> None:
    index = (report.paper / "index.md").read_text()
    assert report.results["table5"]["not_run"] == ["not run: set paper.sizes"]
    assert "**not run: set paper.sizes**" in index
    assert "further models: not run: set paper.compare" in index
    assert report.results["table2"]["not_run"] == []


@pytest.mark.parametrize("modality", ["image", "text"])
def test_table_6_agrees_with_the_float64_formulas(report: Report, modality: str) -> None:
    arrays = report.sample("main")
    own, other = arrays[modality], arrays["text" if modality == "image" else "image"]
    posterior = Posterior("softmax")
    prior, other_prior = estimate_priors(own, other, posterior)
    kl = information_gain(own, other, other_prior, posterior)
    centred = own - prior @ own.astype(np.float64)
    shifted = other - other_prior @ other.astype(np.float64)
    norm = np.einsum("nd,de,ne->n", centred, (shifted.T * other_prior) @ shifted, centred)
    expected = agreement(norm, 2 * kl)
    rows = report.results["table6"]["tables"]["table6"]
    (row,) = [r for r in rows if r["modality"] == modality and r["norm"] == "paper"]
    assert row["n"] == 36
    for name in ("r2", "slope", "intercept"):
        assert row[name] == pytest.approx(getattr(expected, name), rel=1e-3, abs=1e-6)


def test_table_1_shows_the_captions_of_the_shards(report: Report) -> None:
    rows = report.results["table1"]["tables"]["table1"]
    assert len(rows) == 12
    for row in rows:
        if row["modality"] == "text":
            assert row["text"].endswith(f"thing {row['key']}")
    highest = [r["kl"] for r in rows if (r["modality"], r["end"]) == ("text", "highest")]
    lowest = [r["kl"] for r in rows if (r["modality"], r["end"]) == ("text", "lowest")]
    assert highest == sorted(highest, reverse=True)
    assert lowest == sorted(lowest)
    assert min(highest) > max(lowest)


def test_table_2_matches_annotations_to_their_images(report: Report) -> None:
    arrays, main = report.sample("main-visual-genome"), report.sample("main")
    _, prior = estimate_priors(main["image"], main["text"], Posterior("softmax"))
    kl = information_gain(arrays["image"], main["text"], prior, Posterior("softmax"))
    counts = [int(row["key"]) for row in report.rows("main-visual-genome")]
    rows = report.results["table2"]["tables"]["table2"]
    assert [row["n"] for row in rows] == [36, 36, 36, 8]
    assert rows[3]["r2"] == pytest.approx(agreement(counts, kl).r2, rel=1e-3)


def test_the_same_pairs_are_embedded_by_every_model(report: Report) -> None:
    names = ("main", "unnormalised", "normalised")
    keys = [[(r["shard"], r["index"], r["key"]) for r in report.rows(name)] for name in names]
    assert keys[0] == keys[1] == keys[2]
    assert len(keys[0]) == 36


def test_running_again_embeds_nothing_and_says_what_is_missing(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    original = commands.run_fit
    monkeypatch.setattr("curate.paper.command.run_fit", lambda c: fits.append(c) or original(c))
    before = stamps(report.folder / "models/main/reference")
    bare = {"unnormalised": None, "language_model": None, "visual_genome": None}
    paper = report.config.paper.model_copy(update=bare)
    run_paper(report.config.model_copy(update={"paper": paper}))
    assert len(fits) == 1
    assert stamps(report.folder / "models/main/reference") == before
    results = report.results
    for table in ("table3", "table4"):
        assert results[table]["not_run"] == ["not run: set paper.unnormalised and paper.normalised"]
    assert (
        "-log p under a language model: not run: set paper.language_model"
        in (results["table2"]["not_run"])
    )
    assert "attributes per image: not run: set paper.visual_genome" in results["table2"]["not_run"]
    assert len(results["table2"]["tables"]["table2"]) == 2
