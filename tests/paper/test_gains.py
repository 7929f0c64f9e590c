"""Information Gain and norms against the formulas written out in Python floats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from paper_samples import make_sample

from curate.config import PaperConfig
from curate.numerics.posterior import Posterior
from curate.paper import characteristics, extremes, models, norms
from curate.paper.characteristics import SURPRISAL, Annotated, Characterised
from curate.paper.gains import exact, line, measure
from curate.paper.language import Surprisal
from curate.paper.norms import SQUARED_NORM, embeddings

SETTINGS = PaperConfig(bootstrap=50)


def posteriors(queries: Any, candidates: Any, link: str) -> list[list[float]]:
    rows = []
    for u in queries:
        dots = [
            math.fsum(float(a) * float(b) for a, b in zip(u, v, strict=True)) for v in candidates
        ]
        weights = [math.exp(x) if link == "softmax" else 1 / (1 + math.exp(-x)) for x in dots]
        total = math.fsum(weights)
        rows.append([w / total for w in weights])
    return rows


def naive(image: Any, text: Any, link: str) -> tuple[list[float], list[float]]:
    """(KL of the images, the paper's norms of the images), one number at a time."""
    rows, back = posteriors(image, text, link), posteriors(text, image, link)
    p_text = [math.fsum(row[t] for row in rows) / len(rows) for t in range(len(text))]
    p_image = [math.fsum(row[i] for row in back) / len(back) for i in range(len(image))]
    kl = [math.fsum(p * math.log(p / q) for p, q in zip(row, p_text, strict=True)) for row in rows]
    mean_u = sum(p * u.astype(float) for p, u in zip(p_image, image, strict=True))
    mean_v = sum(p * v.astype(float) for p, v in zip(p_text, text, strict=True))
    cov = sum(p * np.outer(v - mean_v, v - mean_v) for p, v in zip(p_text, text, strict=True))
    return kl, [float((u - mean_u) @ cov @ (u - mean_u)) for u in image]


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("kind", norms.KINDS)
def test_both_modalities_match_the_formulas(link: Any, kind: Any) -> None:
    image, text = embeddings(make_sample(12, 5), kind)
    found = measure(image, text, Posterior(link))
    for gains, (own, other) in ((found.image, (image, text)), (found.text, (text, image))):
        kl, norm = naive(own, other, link)
        np.testing.assert_allclose(gains.kl, kl, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(gains.norms["paper"], norm, rtol=1e-9)
        np.testing.assert_allclose(gains.squared_norm, (own**2).sum(axis=1), rtol=1e-12)


def test_un_normalised_embeddings_are_those_of_the_model() -> None:
    sample = make_sample()
    image, text = embeddings(sample, "un-normalised")
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), sample.image_norm, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), sample.text_norm, rtol=1e-6)


def test_large_inner_products_stay_finite() -> None:
    sample = make_sample(30)
    found = measure(40 * sample.image, 40 * sample.text, Posterior("sigmoid"))
    assert np.isfinite(found.image.kl).all()
    assert (found.text.kl > -1e-5).all()


def test_images_of_another_pool_are_queries_like_any() -> None:
    sample, other = make_sample(20), make_sample(8, seed=1)
    found = measure(sample.image, sample.text, Posterior("softmax"))
    both = exact(
        np.concatenate([other.image, sample.image]),
        sample.text,
        found.text_prior,
        Posterior("softmax"),
    )
    np.testing.assert_allclose(both[8:], found.image.kl, rtol=1e-5)


def test_a_line_without_variation_has_no_interval() -> None:
    found = line(np.ones(5), np.arange(5.0), SETTINGS)
    assert math.isnan(found.r2)
    assert math.isnan(found.r2_low)
    assert found.n == 5


# --- studies ----------------------------------------------------------------------------------


def least_squares(x: Any, y: Any) -> tuple[float, float, float]:
    design = np.stack([x, np.ones_like(x)], axis=1)
    (slope, intercept), residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    return 1 - float(residual[0]) / float(((y - y.mean()) ** 2).sum()), slope, intercept


def test_table_6_regresses_twice_the_gain_on_each_norm() -> None:
    clip, siglip = make_sample(), make_sample(link="sigmoid", seed=1)
    measured = [measure(s.image, s.text, s.posterior()) for s in (clip, siglip)]
    section = models.study(list(zip((clip, siglip), measured, strict=True)), SETTINGS)
    rows = section.tables[0].records()
    assert len(rows) == 8
    for row, one in zip(rows, [m for m in measured for _ in range(4)], strict=True):
        gains = one.of(row["modality"])
        r2, slope, intercept = least_squares(gains.norms[row["norm"]], 2 * gains.kl)
        assert [row["r2"], row["slope"], row["intercept"]] == pytest.approx([r2, slope, intercept])
        assert row["r2_low"] <= row["r2"] <= row["r2_high"]
        assert row["n"] == 40
    assert [row for row in rows if row["link"] == "softmax" and row["norm"] == "paper"] == [
        {**row, "norm": "paper"}
        for row in rows
        if row["link"] == "softmax" and row["norm"] == "corrected"
    ]
    assert set(section.figures) == {"table6-main"}  # both samples bear one name here
    assert section.missing == ("further models: not run: set paper.compare",)


def test_tables_3_and_4_have_every_case_once() -> None:
    trained = {kind: make_sample(seed=at) for at, kind in enumerate(norms.KINDS)}
    table3, table4 = norms.study(trained, SETTINGS)
    rows = table4.tables[0].records()
    cases = {(r["trained"], r["evaluated"], r["modality"], r["norm"]) for r in rows}
    assert len(cases) == len(rows) == 2 * 2 * 2 * 3
    for row in rows:
        constant = row["evaluated"] == "normalised" and row["norm"] == SQUARED_NORM
        assert (row["r2"] is None) == constant
    image, text = embeddings(trained["normalised"], "un-normalised")
    gains = measure(image, text, Posterior("sigmoid")).text
    chosen = ("normalised", "un-normalised", "text", SQUARED_NORM)
    (row,) = [r for r in rows if (r["trained"], r["evaluated"], r["modality"], r["norm"]) == chosen]
    assert row["r2"] == pytest.approx(least_squares(gains.squared_norm, 2 * gains.kl)[0])
    wide = table3.tables[0].records()
    assert [w["embedding"] for w in wide] == list(norms.KINDS)
    for w in wide:
        for r in rows:
            if r["trained"] == r["evaluated"] == w["embedding"]:
                assert w[f"{r['modality']} {r['norm']}"] == r["r2"]


def test_table_2_takes_what_is_known_and_names_the_rest() -> None:
    sample = make_sample()
    measured = measure(sample.image, sample.text, sample.posterior())
    bare = characteristics.study([Characterised(sample, measured, None)], None, SETTINGS)
    assert [r["quantity"] for r in bare.tables[0].records()] == [
        "characters of the caption",
        "words of the caption",
    ]
    assert "not run: set paper.language_model" in bare.missing[0]
    assert "not run: set paper.visual_genome" in bare.missing[1]

    rng = np.random.default_rng(0)
    said = Surprisal(rng.gamma(9, 4, 40), rng.integers(1, 9, 40), truncated=2, start="<s>")
    annotated = Annotated(measured.image.kl[:9], np.array([*range(8), np.nan]))
    settings = PaperConfig(visual_genome={"attributes": "a", "shards": "s"}, bootstrap=0)
    full = characteristics.study([Characterised(sample, measured, annotated)], said, settings)
    rows = full.tables[0].records()
    assert full.missing == ()
    r2, slope, _ = least_squares(said.nats, measured.text.kl)
    assert SURPRISAL in rows[2]["quantity"]
    assert [rows[2]["r2"], rows[2]["slope"]] == pytest.approx([r2, slope])
    assert (rows[3]["modality"], rows[3]["n"]) == ("image", 8)
    assert "2 of 40 captions were cut" in " ".join(full.notes[0].split())
    assert "1 have no entry" in full.notes[1]


def test_extremes_are_the_outermost_first() -> None:
    found = extremes.extremes([3.0, 1.0, 2.0, 1.0], 2)
    assert found["highest"].tolist() == [0, 2]
    assert found["lowest"].tolist() == [1, 3]
    assert extremes.extremes([1.0, 2.0], 5)["highest"].tolist() == [1, 0]
