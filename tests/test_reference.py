"""The Reference against the formulas written out in float64, and against damaged files."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import LocalRun

from curate import reference_files
from curate.config import ReferenceConfig
from curate.encoder import ModelInfo
from curate.errors import ReferenceFileError
from curate.fidelity import with_fidelity
from curate.numerics.agreement import agreement
from curate.numerics.information_gain import information_gain
from curate.numerics.landmarks import LandmarkGain
from curate.outputs import Store
from curate.pixels import PixelSpec
from curate.reference import (
    Reference,
    Sample,
    SampleEmbeddings,
    check_model,
    fit,
    posterior_of,
    to_bytes,
)
from curate.reference_files import copy, load, load_sample, save, save_fitted
from curate.schema import COSTLY_COLUMNS, GAIN_COLUMNS
from curate.scorer import Scorer

SIDES = ("image", "text")
FIELDS = ("mean", "metric", "factor", "offset")


def model(link: str = "softmax", **fields: Any) -> ModelInfo:
    values = {
        "name": "tiny",
        "fingerprint": "f" * 64,
        "link": link,
        "logit_scale": 9.5,
        "logit_bias": -3.0 if link == "sigmoid" else 0.0,
        "dim": 5,
        "pixels": PixelSpec((32, 32)),
        "context_length": 16,
        "device": "cpu",
        "precision": "fp32",
    }
    return ModelInfo(**(values | fields))


def pairs(n: int = 12, d: int = 5, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n, d)) + 1.5
    text = 0.5 * image + rng.normal(size=(n, d)) - 0.7
    return tuple(
        (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (image, text)
    )


# --- the formulas ---------------------------------------------------------------------------


def naive_prior(queries: Any, candidates: Any, link: str, s: float, b: float) -> list[float]:
    """p(t): the mean over the queries of p(t | i), one exponential at a time."""
    total = [0.0] * len(candidates)
    for u in queries:
        dots = [math.fsum(x * y for x, y in zip(u, v, strict=True)) for v in candidates]
        if link == "softmax":
            weights = [math.exp(s * x) for x in dots]
        else:
            weights = [1 / (1 + math.exp(-(s * x + b))) for x in dots]
        for t, weight in enumerate(weights):
            total[t] += weight / math.fsum(weights) / len(queries)
    return total


def naive_side(
    own: Any, other: Any, own_prior: Any, prior: Any, correction: Any, s: float, b: float
) -> tuple[Any, Any]:
    """(ubar, G): the mean of the queries and the covariance of the candidates' gradients.

    `correction` has the share of the correction and its unit; None for no correction at all.
    """
    d = own.shape[1]
    mean = np.zeros(d)
    for p, u in zip(own_prior, own, strict=True):
        mean += p * u
    gains = [s] * len(other)
    if correction is not None:
        slopes = [[1 / (1 + math.exp(s * math.fsum(v * u) + b)) for u in own] for v in other]
        averages = [s * math.fsum(row) / len(own) for row in slopes]
        level = math.fsum(p * w for p, w in zip(prior, averages, strict=True))
        gains = [level + correction["blend"] * (w - level) for w in averages]
    gradients = [gain * v for gain, v in zip(gains, other, strict=True)]
    centre = sum(p * g for p, g in zip(prior, gradients, strict=True))
    metric = np.zeros((d, d))
    for p, g in zip(prior, gradients, strict=True):
        metric += p * np.outer(g - centre, g - centre)
    return mean, metric * (1.0 if correction is None else correction["unit"])


@pytest.mark.parametrize("temperature", [1.0, 4.0, "model"])
@pytest.mark.parametrize("covariance", ["corrected", "paper"])
@pytest.mark.parametrize("prior", ["model", "uniform"])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_reference_is_the_formula_written_out(
    link: str, prior: str, covariance: str, temperature: Any
) -> None:
    image, text = pairs()
    info = model(link)
    config = ReferenceConfig(prior=prior, covariance=covariance, temperature=temperature)
    found, sample = fit(image, text, config, info)
    s = info.logit_scale if temperature == "model" else temperature
    b = info.logit_bias if temperature == "model" else 0.0
    u, v = image.astype(np.float64), text.astype(np.float64)
    if prior == "model":
        want_image, want_text = naive_prior(v, u, link, s, b), naive_prior(u, v, link, s, b)
    else:
        want_image = want_text = [1 / len(u)] * len(u)
    np.testing.assert_allclose(sample.image_weights, want_image, rtol=1e-12)
    np.testing.assert_allclose(sample.text_weights, want_text, rtol=1e-12)
    corrected = link == "sigmoid" and covariance == "corrected"
    for side, (own, other, p_own, p_other) in {
        "image": (u, v, want_image, want_text),
        "text": (v, u, want_text, want_image),
    }.items():
        correction = found.description["correction"][side] if corrected else None
        mean, metric = naive_side(own, other, p_own, p_other, correction, s, b)
        got = getattr(found, side)
        np.testing.assert_allclose(got.mean, mean, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(got.metric, metric, rtol=1e-10, atol=1e-14)
        factor = got.factor.astype(np.float64)
        np.testing.assert_allclose(factor @ factor.T, metric, rtol=0, atol=3e-7 * np.trace(metric))
    described = found.description
    assert (described["samples"], described["dim"], described["link"]) == (12, 5, link)
    assert (described["scale"], described["bias"]) == (s, b)


def quadratic(rows: Any, side: Any) -> list[float]:
    """Half of the quadratic form, term by term."""
    out = []
    for row in rows.astype(np.float64):
        c = row - side.mean
        out.append(
            0.5 * math.fsum(c[j] * side.metric[j, k] * c[k] for j in range(5) for k in range(5))
        )
    return out


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_score_is_half_the_quadratic_form(link: str) -> None:
    image, text = pairs(40)
    found, _ = fit(image, text, ReferenceConfig(), model(link))
    new_image, new_text = pairs(9, seed=7)
    scores = Scorer(found)(torch.from_numpy(new_image), torch.from_numpy(new_text))
    for name, rows, side in (
        ("image_informativeness", new_image, found.image),
        ("text_informativeness", new_text, found.text),
    ):
        assert scores[name].dtype == torch.float32
        np.testing.assert_allclose(
            scores[name].numpy(), quadratic(rows, side), rtol=2e-5, atol=1e-9
        )
    dots = [math.fsum(a * b) for a, b in zip(new_image, new_text, strict=True)]
    np.testing.assert_allclose(scores["clip_score"].numpy(), dots, rtol=1e-5, atol=1e-7)


def test_a_pair_scores_the_same_in_any_batch() -> None:
    image, text = (torch.from_numpy(x) for x in pairs(50))
    scorer = Scorer(fit(image.numpy(), text.numpy(), ReferenceConfig(), model())[0])
    whole = scorer(image, text)
    for size in (1, 7):
        parts = [scorer(image[i : i + size], text[i : i + size]) for i in range(0, 50, size)]
        for name, values in whole.items():
            joined = torch.cat([part[name] for part in parts])
            torch.testing.assert_close(joined, values, rtol=1e-5, atol=1e-8)
    assert all(len(values) == 0 for values in scorer(image[:0], text[:0]).values())


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(15)), st.sampled_from(["softmax", "sigmoid"]))
def test_the_order_of_pairs_changes_rounding_only(order: list[int], link: str) -> None:
    image, text = pairs(15)
    one = fit(image, text, ReferenceConfig(), model(link))[0]
    two = fit(image[order], text[order], ReferenceConfig(), model(link))[0]
    for side in SIDES:
        np.testing.assert_allclose(getattr(one, side).mean, getattr(two, side).mean, rtol=1e-12)
        np.testing.assert_allclose(
            getattr(one, side).metric, getattr(two, side).metric, rtol=1e-9, atol=1e-15
        )
    fresh = [torch.from_numpy(x) for x in pairs(6, seed=3)]
    for name, values in Scorer(one)(*fresh).items():
        torch.testing.assert_close(Scorer(two)(*fresh)[name], values, rtol=1e-5, atol=1e-8)


def test_temperature_is_ours_or_the_models() -> None:
    info = model("sigmoid")
    assert posterior_of(ReferenceConfig(), info).scale == 1
    assert posterior_of(ReferenceConfig(), info).bias == 0
    assert posterior_of(ReferenceConfig(temperature="model"), info).scale == 9.5
    assert posterior_of(ReferenceConfig(temperature="model"), info).bias == -3
    assert posterior_of(ReferenceConfig(temperature=2.5), info).scale == 2.5


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs_are_refused(n: int) -> None:
    image, text = pairs(2)
    with pytest.raises(ReferenceFileError, match=rf"only {n} usable pairs.*reference\.shards"):
        fit(image[:n], text[:n], ReferenceConfig(), model())


@pytest.mark.parametrize("n", [2, 3])
def test_fewer_pairs_than_dimensions_are_enough(n: int) -> None:
    image, text = pairs(n)
    found = fit(image, text, ReferenceConfig(), model())[0]
    assert found.image.factor.shape == (5, n - 1)
    assert all(
        torch.isfinite(v).all()
        for v in Scorer(found)(torch.from_numpy(image), torch.from_numpy(text)).values()
    )


def test_pairs_that_are_all_alike_score_zero() -> None:
    image, text = (np.repeat(x[:1], 4, axis=0) for x in pairs())
    found = fit(image, text, ReferenceConfig(), model())[0]
    fresh = [torch.from_numpy(x) for x in pairs(3, seed=1)]
    assert float(Scorer(found)(*fresh)["image_informativeness"].abs().max()) < 1e-12


# --- files ----------------------------------------------------------------------------------


@pytest.fixture
def fitted() -> Reference:
    return fit(*pairs(), ReferenceConfig(seed=4), model())[0]


@pytest.mark.parametrize("folder", ["reference", ""])
def test_what_is_saved_loads_to_the_bit(tmp_path: Path, fitted: Reference, folder: str) -> None:
    store = Store(str(tmp_path))
    save_fitted(store, folder, fitted)
    again = load(store, folder)
    for side in SIDES:
        for field in FIELDS:
            one, two = (getattr(getattr(r, side), field) for r in (fitted, again))
            assert one.dtype == two.dtype
            assert one.tobytes() == two.tobytes()
    assert again.description == json.loads(json.dumps(fitted.description))
    assert again.identity == fitted.identity
    first = (tmp_path / folder / "reference.npz").read_bytes()
    save_fitted(store, folder, again)
    assert (tmp_path / folder / "reference.npz").read_bytes() == first == to_bytes(fitted)


def test_a_sample_is_saved_with_its_scores(scored_run: LocalRun) -> None:
    with np.load(scored_run.folder / "reference" / "sample.npz") as arrays:
        assert np.array_equal(arrays["image"], scored_run.sample.embeddings.image)
        assert arrays["text_weights"].sum() == pytest.approx(1, abs=1e-12)
    table = reference_files.load_sample_table(scored_run.store, "reference")
    assert table.equals(scored_run.sample.table)


def test_identities_follow_the_numbers_and_the_weights(fitted: Reference) -> None:
    others = [
        fit(*pairs(seed=1), ReferenceConfig(), model())[0],
        fit(*pairs(), ReferenceConfig(prior="uniform"), model())[0],
        fit(*pairs(), ReferenceConfig(), model(fingerprint="0" * 64))[0],
    ]
    assert len({r.identity for r in [fitted, *others]}) == 4
    assert fit(*pairs(), ReferenceConfig(seed=4), model())[0].identity == fitted.identity


def resealed(folder: Path, data: bytes) -> None:
    """Put other arrays in place, with a checksum that fits."""
    (folder / "reference.npz").write_bytes(data)
    path = folder / "reference.json"
    content = json.loads(path.read_text()) | {"sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(content))


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "reference.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


DAMAGES = {
    "no npz": lambda f: (f / "reference.npz").unlink(),
    "no json": lambda f: (f / "reference.json").unlink(),
    "cut npz": lambda f: (f / "reference.npz").write_bytes(
        (f / "reference.npz").read_bytes()[:-100]
    ),
    "empty npz": lambda f: (f / "reference.npz").write_bytes(b""),
    "cut json": lambda f: (f / "reference.json").write_text('{"format_version": 1'),
    "binary json": lambda f: (f / "reference.json").write_bytes(b"\xff\xfe"),
    "json list": lambda f: (f / "reference.json").write_text("[]"),
    "json null": lambda f: (f / "reference.json").write_text("null"),
    "old version": lambda f: edit(f, format_version=0),
    "no checksum": lambda f: edit(f, sha256=None),
    "another model": lambda f: edit(f, model={"name": "x", "fingerprint": "0" * 64}),
    "no model": lambda f: edit(f, model=None),
    "resealed junk": lambda f: resealed(f, b"junk"),
    "resealed empty npz": lambda f: resealed(f, npz()),
    "resealed pickle": lambda f: resealed(f, npz(image_mean=np.array([{}], dtype=object))),
    "npz is a folder": lambda f: ((f / "reference.npz").unlink(), (f / "reference.npz").mkdir()),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_every_damage_is_a_reference_file_error(
    tmp_path: Path, fitted: Reference, damage: str
) -> None:
    save_fitted(Store(str(tmp_path)), "reference", fitted)
    DAMAGES[damage](tmp_path / "reference")
    with pytest.raises(ReferenceFileError, match="reference") as caught:
        load(Store(str(tmp_path)), "reference")
    assert str(tmp_path) in str(caught.value)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_the_arrays_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = Store(str(tmp_path_factory.mktemp("flip")))
    save_fitted(store, "r", fit(*pairs(), ReferenceConfig(), model())[0])
    content = bytearray(store.read_bytes("r/reference.npz"))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    store.write_bytes("r/reference.npz", bytes(content))
    with pytest.raises(ReferenceFileError, match="checksum"):
        load(store, "r")


def test_a_missing_or_broken_sample_is_named(tmp_path: Path, fitted: Reference) -> None:
    store = Store(str(tmp_path))
    save_fitted(store, "reference", fitted)
    with pytest.raises(ReferenceFileError, match=r"sample_scores\.parquet is missing.*of: pool"):
        reference_files.load_sample_table(store, "reference")
    store.write_bytes("reference/sample_scores.parquet", b"junk")
    with pytest.raises(ReferenceFileError, match=r"sample_scores\.parquet"):
        reference_files.load_sample_table(store, "reference")


def test_a_reference_of_another_model_is_refused(fitted: Reference) -> None:
    check_model(fitted, model(precision="bf16", device="cuda"))
    other = model(fingerprint="0123456789abcdef" * 4, name="other")
    with pytest.raises(ReferenceFileError) as caught:
        check_model(fitted, other)
    for part in ("'tiny'", "'other'", "0123456789ab", "ffffffffffff"):
        assert part in str(caught.value)


def test_a_reference_lies_on_any_store(fitted: Reference) -> None:
    store = Store("memory://curate-reference-test")
    save_fitted(store, "reference", fitted)
    assert load(store, "reference").identity == fitted.identity
    store.remove("")


# --- what is not normalised, what is costly ---------------------------------------------------


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 3.0])
@pytest.mark.parametrize("side", [0, 1])
def test_embeddings_that_are_not_normalised_are_refused(side: int, value: float) -> None:
    rows = [x.copy() for x in pairs()]
    rows[side][3] = value
    name = ("image", "text")[side]
    with pytest.raises(ReferenceFileError, match=f"1 {name} embeddings .* row 3"):
        fit(*rows, ReferenceConfig(), model())


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_temperature_may_name_scale_and_bias(link: str) -> None:
    config = ReferenceConfig(temperature={"scale": 7.0, "bias": -2.0})
    posterior = posterior_of(config, model(link))
    assert (posterior.scale, posterior.bias) == (7.0, -2.0)
    assert fit(*pairs(), config, model(link))[0].posterior == posterior


@pytest.fixture(scope="module")
def with_landmarks() -> tuple[Reference, SampleEmbeddings]:
    config = ReferenceConfig(landmarks=6, temperature=9.0)
    return fit(*pairs(60), config, model(), landmarks=True)


def test_costly_columns_are_the_numerics_of_the_sample(
    with_landmarks: tuple[Reference, SampleEmbeddings],
) -> None:
    found, sample = with_landmarks
    fresh = pairs(9, seed=7)
    scores = Scorer(found, costly=GAIN_COLUMNS, sample=sample)(*map(torch.from_numpy, fresh))
    assert set(scores) >= set(GAIN_COLUMNS)
    for name, rows, other, prior in (
        ("image_information_gain", fresh[0], sample.text, sample.text_weights),
        ("text_information_gain", fresh[1], sample.image, sample.image_weights),
    ):
        exact = information_gain(rows, other, prior, found.posterior)
        np.testing.assert_allclose(scores[name].numpy(), exact, rtol=1e-4)
        side = found.image if name.startswith("image") else found.text
        landmarks = LandmarkGain(side.landmarks, found.posterior, dtype=torch.float64)
        expected = landmarks(torch.from_numpy(rows).double())
        np.testing.assert_allclose(scores[f"{name}_landmarks"].numpy(), expected, rtol=1e-4)


def test_only_the_columns_asked_for_are_computed(
    with_landmarks: tuple[Reference, SampleEmbeddings],
) -> None:
    found, sample = with_landmarks
    rows = tuple(map(torch.from_numpy, pairs(3)))
    asked = ("text_information_gain", "image_information_gain_landmarks")
    scores = Scorer(found, costly=asked, sample=sample)(*rows)
    assert set(scores) & set(COSTLY_COLUMNS) == set(asked)
    assert not set(Scorer(found)(*rows)) & set(COSTLY_COLUMNS)


def test_a_costly_column_without_its_state_is_refused(fitted: Reference) -> None:
    with pytest.raises(ReferenceFileError, match="holds no landmarks"):
        Scorer(fitted, costly=["image_information_gain_landmarks"])
    with pytest.raises(ReferenceFileError, match=r"sample\.npz"):
        Scorer(fitted, costly=["image_information_gain"])
    uniform, sample = fit(*pairs(), ReferenceConfig(prior="uniform"), model())
    with pytest.raises(ReferenceFileError, match="prior: model"):
        Scorer(uniform, costly=["image_information_gain"], sample=sample)


def test_landmarks_and_the_sample_survive_their_files(
    tmp_path: Path, with_landmarks: tuple[Reference, SampleEmbeddings]
) -> None:
    found, sample = with_landmarks
    store = Store(str(tmp_path))
    save(store, "r", found, Sample(sample, pa.table({"key": ["a"] * 60})))
    again = load(store, "r")
    assert again.identity == found.identity
    held = load_sample(store, "r", again)
    rows = tuple(map(torch.from_numpy, pairs(5, seed=3)))
    for name, values in Scorer(found, costly=GAIN_COLUMNS, sample=sample)(*rows).items():
        assert torch.equal(Scorer(again, costly=GAIN_COLUMNS, sample=held)(*rows)[name], values)
    assert found.description["landmarks"] == 6


def test_a_sample_of_another_reference_is_refused(
    tmp_path: Path, with_landmarks: tuple[Reference, SampleEmbeddings]
) -> None:
    found, sample = with_landmarks
    store = Store(str(tmp_path))
    save(store, "r", found, Sample(sample, pa.table({"key": ["a"] * 60})))
    (tmp_path / "r" / "sample.npz").write_bytes(b"junk")
    with pytest.raises(ReferenceFileError, match=r"sample\.npz does not match the checksum"):
        load_sample(store, "r", load(store, "r"))
    (tmp_path / "r" / "sample.npz").unlink()
    with pytest.raises(ReferenceFileError, match=r"sample\.npz is missing.*landmark scores"):
        load_sample(store, "r", load(store, "r"))


def test_a_copy_takes_what_is_left_of_the_sample(
    tmp_path: Path, with_landmarks: tuple[Reference, SampleEmbeddings]
) -> None:
    found, sample = with_landmarks
    store = Store(str(tmp_path / "one"))
    save(store, "", found, Sample(sample, pa.table({"key": ["a"] * 60})))
    other = Store(str(tmp_path / "two"))
    assert copy(store, other, "r").identity == found.identity
    assert np.array_equal(load_sample(other, "r", load(other, "r")).image, sample.image)
    (tmp_path / "one" / "sample.npz").unlink()
    bare = Store(str(tmp_path / "three"))
    assert "sample_sha256" not in copy(store, bare, "r").description
    with pytest.raises(ReferenceFileError, match=r"sample\.npz is missing"):
        load_sample(bare, "r", load(bare, "r"))


# --- fidelity -------------------------------------------------------------------------------


def test_the_description_tells_what_the_scores_are_worth(
    with_landmarks: tuple[Reference, SampleEmbeddings],
) -> None:
    found, sample = with_landmarks
    told = with_fidelity(*with_landmarks).description["fidelity"]
    asked = np.arange(60) % 5 == 0
    priors = (w[~asked] / w[~asked].sum() for w in (sample.image_weights, sample.text_weights))
    others = SampleEmbeddings(sample.image[~asked], sample.text[~asked], *priors)
    rows = torch.from_numpy(sample.image[asked]), torch.from_numpy(sample.text[asked])
    scores = Scorer(found, costly=GAIN_COLUMNS, sample=others)(*rows)
    for name, of in (
        ("image_informativeness", "image_information_gain"),
        ("text_information_gain_landmarks", "text_information_gain"),
    ):
        expected = agreement(scores[name].numpy(), scores[of].numpy())
        assert told[name]["r2"] == pytest.approx(expected.r2)
        assert told[name]["slope"] == pytest.approx(expected.slope)
        assert told[name]["n"] == 12
    assert json.loads(json.dumps(told)) == told


def test_without_landmarks_or_a_prior_less_is_told(fitted: Reference) -> None:
    _, sample = fit(*pairs(), ReferenceConfig(seed=4), model())
    told = with_fidelity(fitted, sample).description
    assert set(told["fidelity"]) == {"image_informativeness", "text_informativeness"}
    assert "truncation" not in told
    uniform = with_fidelity(*fit(*pairs(), ReferenceConfig(prior="uniform"), model()))
    assert "fidelity" not in uniform.description


def test_a_truncated_form_reports_its_error() -> None:
    image, text = pairs(200)
    found, sample = fit(image, text, ReferenceConfig(trace_share=0.8), model())
    full, _ = fit(image, text, ReferenceConfig(), model())
    told = with_fidelity(found, sample).description["truncation"]
    asked = np.arange(200) % 5 == 0
    rows = torch.from_numpy(image[asked]), torch.from_numpy(text[asked])
    cut, whole = Scorer(found)(*rows), Scorer(full)(*rows)
    for side in SIDES:
        one = cut[f"{side}_informativeness"].double().numpy()
        all_of_it = whole[f"{side}_informativeness"].double().numpy()
        lost = (all_of_it - one) / all_of_it
        assert told[side]["rank"] == getattr(found, side).factor.shape[1] < 5
        assert 0.8 <= told[side]["kept"] < 1
        assert told[side]["mean_relative_error"] == pytest.approx(lost.mean(), rel=1e-3)
        assert told[side]["largest_relative_error"] == pytest.approx(lost.max(), rel=1e-3)
        assert 0 <= told[side]["lowest_5_percent_overlap"] <= 1
