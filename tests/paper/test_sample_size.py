"""The study of sample sizes: a section with tables and a figure, from a sample alone."""

from __future__ import annotations

import io
import math

import numpy as np
import pyarrow as pa
import pytest

from curate.config import PaperConfig
from curate.errors import NumericsError
from curate.paper.sample import PaperSample
from curate.paper.sample_size import draw_figure, sample_size


def sample(n: int) -> PaperSample:
    rng = np.random.default_rng(n)
    image, text = (rng.normal(size=(n, 5)) + 1 for _ in range(2))
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text))
    return PaperSample(
        name="main",
        model={"name": "tiny"},
        link="softmax",
        scale=10.0,
        bias=0.0,
        image=image.astype(np.float32),
        text=text.astype(np.float32),
        image_norm=np.ones(n, np.float32),
        text_norm=np.ones(n, np.float32),
        table=pa.table({"index": np.arange(n)}),
    )


def test_the_section_holds_tables_and_a_figure() -> None:
    config = PaperConfig(sample_sizes=(20, 40, 100), seed=3)
    section = sample_size([sample(160)], {}, config)
    errors, ranking, powers = section.tables
    assert errors.columns["pairs"].to_pylist() == [20, 40, 80] * 2
    assert errors.columns["modality"].to_pylist() == ["image"] * 3 + ["text"] * 3
    assert set(ranking.columns.column_names) >= {"spearman", "lowest_apart", "lowest_apart_sd"}
    assert powers.columns.num_rows == 10
    apart = [r["spearman_apart"] for r in ranking.records() if r["pairs"] == 80]
    assert "two disjoint samples of 80 pairs" in section.reading
    assert f"{min(apart):.4f}" in section.reading
    with io.BytesIO() as sink:
        section.figures["sample_size"].savefig(sink, format="png")
        assert sink.getvalue().startswith(b"\x89PNG")
    again = sample_size([sample(160)], {}, config)
    assert again.tables == section.tables


def test_samples_that_agree_wholly_can_be_drawn() -> None:
    measures = ("mean", "covariance", "operator", "spearman_apart", "lowest_apart")
    rows = [
        {"modality": name, "pairs": size, **dict.fromkeys(measures, 1.0)}
        | {f"{measure}_sd": math.nan for measure in measures}
        for name in ("image", "text")
        for size in (100, 200)
    ]
    with io.BytesIO() as sink:
        draw_figure(rows).savefig(sink, format="png")
        assert sink.getvalue().startswith(b"\x89PNG")


def test_a_sample_that_is_too_small_is_refused() -> None:
    with pytest.raises(NumericsError, match=r"lower paper\.sample_sizes"):
        sample_size([sample(30)], {}, PaperConfig(sample_sizes=(16,)))
