"""The study of temperatures: its rows against the numerics, its counts against the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from paper_samples import make_sample

from curate.config import PaperConfig
from curate.numerics.agreement import agreement
from curate.numerics.information_gain import information_gain
from curate.numerics.posterior import estimate_priors
from curate.paper.forms import EXACT, score_forms
from curate.paper.sample import Labelled
from curate.paper.temperatures import area_below, temperatures

CONFIG = PaperConfig(temperatures=(1.0, 4.0), bootstrap=20)


def test_the_area_is_the_chance_of_a_lower_score() -> None:
    rng = np.random.default_rng(0)
    scores, bad = rng.integers(0, 8, 50), rng.random(50) < 0.3
    pairs = [(a < b) + 0.5 * (a == b) for a in scores[bad] for b in scores[~bad]]
    assert area_below(scores, bad) == pytest.approx(np.mean(pairs))
    assert np.isnan(area_below(scores, np.zeros(50, dtype=bool)))


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_exact_form_is_the_information_gain(link: str) -> None:
    sample = make_sample(60, 16, link)
    posterior = sample.posterior(3.0, -1.0)
    image, text = sample.image, sample.text
    found = score_forms((image, text), {"own": (image, text)}, posterior, seed=0)
    p_image, p_text = estimate_priors(image, text, posterior)
    for modality, u, v, prior in (("image", image, text, p_text), ("text", text, image, p_image)):
        exact = information_gain(u, v, prior, posterior)
        np.testing.assert_allclose(found["own", modality][EXACT], exact, rtol=1e-4)
        # As many landmarks as candidates, for want of more, are exact too.
        np.testing.assert_allclose(found["own", modality]["landmarks"], exact, rtol=1e-4)


def test_every_model_temperature_and_form_has_a_row() -> None:
    samples = [make_sample(80), replace(make_sample(80, link="sigmoid", seed=1), name="other")]
    held_out = make_sample(40, seed=2)
    bad = np.arange(40) % 5 == 0
    section = temperatures(samples, {"main": Labelled(held_out, bad, ~bad)}, CONFIG)
    whole = {t.name: t for t in section.tables}
    lines = whole["temperatures_all"].records()
    # 3 temperatures x 2 modalities x 3 forms; the first model on two sets of queries.
    assert len(lines) == 3 * 2 * 3 * (2 + 1)
    caught = whole["caught"].records()
    assert len(caught) == 3 * 4 + 1
    assert {r["score"] for r in caught} == {
        "exact",
        "paper",
        "corrected",
        "landmarks",
        "CLIP score",
    }
    clip_score = (held_out.image * held_out.text).sum(axis=1)
    assert caught[-1]["image AUC"] == pytest.approx(area_below(clip_score, bad))
    assert caught[-1]["text AUC"] == pytest.approx(area_below(clip_score, ~bad))
    assert "temperatures" in section.figures
    assert section.missing == ()


def test_without_labels_the_sample_is_shown_and_the_rest_named() -> None:
    sample = make_sample(80)
    section = temperatures([sample], {}, CONFIG)
    (row, *_) = section.tables[0].records()
    scores = score_forms(
        (sample.image, sample.text),
        {"sample": (sample.image, sample.text)},
        sample.posterior(1.0),
        CONFIG.seed,
    )["sample", "image"]
    assert row["corrected R²"] == pytest.approx(agreement(scores["corrected"], scores[EXACT]).r2)
    assert "set paper.labelled" in section.missing[0]
    assert all(table.name != "caught" for table in section.tables)
