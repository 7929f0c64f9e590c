"""Target sets from files, the run's copy of them, and the scores against them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_reference import model, pairs

from curate.config import BaselinesConfig, Config, ReferenceConfig
from curate.errors import ReferenceFileError, RunDirError, TargetError
from curate.held import Held, baseline_parts, hold, needs_sample
from curate.numerics.clip_loss import NegClipLoss
from curate.outputs import Store
from curate.reference import Reference, SampleEmbeddings, fit
from curate.schema import BASELINE_COLUMNS
from curate.scorer import Scorer
from curate.targets import (
    BLOCK_ROWS,
    Needs,
    held_target,
    read_target,
    target_description,
    target_of,
)

ALL = Needs(texts=True, members=True)
IMAGES = Needs(texts=False, members=True)
KEYS = {"image": "l14_img", "text": "l14_txt"}


def config(path: object, keys: dict[str, str] | None = None) -> BaselinesConfig:
    return BaselinesConfig.model_validate({"target": str(path), "target_keys": keys})


def unit(rows: Any) -> Any:
    wide = rows.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


@pytest.fixture
def rows() -> tuple[Any, Any]:
    """As a CLIP model gives them: not normalised."""
    rng = np.random.default_rng(3)
    return tuple((4 * rng.normal(size=(7, 5)) + 1).astype(np.float32) for _ in range(2))


@pytest.fixture
def npz(tmp_path: Path, rows: tuple[Any, Any]) -> Path:
    np.savez(tmp_path / "t.npz", l14_img=rows[0], l14_txt=rows[1], uid=np.arange(7))
    return tmp_path / "t.npz"


# --- the user's file --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_images_are_normalised_and_kept_as_moments(
    tmp_path: Path, rows: tuple[Any, Any], dtype: Any
) -> None:
    np.save(tmp_path / "t.npy", rows[0].astype(dtype))
    found = read_target(config(tmp_path / "t.npy"), 5, IMAGES)
    u = unit(rows[0].astype(dtype))
    assert found.size == 7
    assert found.text_moment is found.cross_moment is None
    assert found.image is not None
    assert found.image.dtype == np.float32
    np.testing.assert_allclose(found.image, u, rtol=1e-6)
    np.testing.assert_allclose(found.image_moment, u.T @ u / 7, rtol=1e-9)
    assert read_target(config(tmp_path / "t.npy"), 5, Needs(False, False)).image is None


def test_pairs_come_from_an_npz(npz: Path, rows: tuple[Any, Any]) -> None:
    found = read_target(config(npz, KEYS), 5, ALL)
    u, v = map(unit, rows)
    np.testing.assert_allclose(found.image_moment, u.T @ u / 7, rtol=1e-9)
    np.testing.assert_allclose(found.text_moment, v.T @ v / 7, rtol=1e-9)
    np.testing.assert_allclose(found.cross_moment, u.T @ v / 7, rtol=1e-9, atol=1e-12)


def test_a_target_may_lie_on_any_filesystem(rows: tuple[Any, Any]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, rows[0])
    with fsspec.open("memory://targets/t.npy", "wb") as file:
        file.write(buffer.getvalue())
    assert read_target(config("memory://targets/t.npy"), 5, IMAGES).size == 7


def test_blocks_change_nothing() -> None:
    image = np.random.default_rng(0).normal(size=(BLOCK_ROWS + 3, 3)).astype(np.float16)
    found = target_of(image, None, members=True)
    u = unit(image)
    np.testing.assert_allclose(found.image_moment, u.T @ u / len(u), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.image, u, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "norm 0.0"), (np.nan, "norm nan"), (np.inf, "norm inf")]
)
def test_a_row_without_a_direction_is_refused(
    tmp_path: Path, rows: tuple[Any, Any], value: float, told: str
) -> None:
    rows[1][4] = value
    np.savez(tmp_path / "t.npz", l14_img=rows[0], l14_txt=rows[1])
    with pytest.raises(TargetError, match=rf"baselines\.target: .*texts: row 4 has {told}.*drop"):
        read_target(config(tmp_path / "t.npz", KEYS), 5, ALL)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 4), np.float32),
        np.ones((0, 5), np.float32),
        np.ones(5, np.float32),
        np.ones((3, 5), np.int64),
        np.ones((3, 5), np.complex64),
    ],
)
def test_an_array_of_another_kind_is_refused(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(TargetError, match=r"t\.npy, images: .*expected floating \[m, 5\]"):
        read_target(config(tmp_path / "t.npy"), 5, IMAGES)


class Loud:
    """Tells when a pickle is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a target was unpickled",)


def test_nothing_is_unpickled(tmp_path: Path, rows: tuple[Any, Any]) -> None:
    objects = np.array([Loud(), Loud()], dtype=object)
    np.save(tmp_path / "t.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "t.npz", l14_img=objects, l14_txt=rows[1])
    for found in (config(tmp_path / "t.npy"), config(tmp_path / "t.npz", KEYS)):
        with pytest.raises(TargetError, match=r"cannot be read as \.npy or \.npz of numbers"):
            read_target(found, 5, IMAGES)


def test_a_file_that_holds_nothing_of_use_is_refused(tmp_path: Path, npz: Path) -> None:
    with pytest.raises(TargetError, match=r"none\.npy is missing; correct the path"):
        read_target(config(tmp_path / "none.npy"), 5, IMAGES)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(npz.read_bytes()[:200])
    (tmp_path / "junk.npy").write_bytes(b"junk")
    (tmp_path / "empty.npy").write_bytes(b"")
    for path, keys in ((cut, KEYS), (tmp_path / "junk.npy", None), (tmp_path / "empty.npy", None)):
        with pytest.raises(TargetError, match=r"baselines\.target: .* cannot be read as"):
            read_target(config(path, keys), 5, IMAGES)


def test_keys_that_do_not_fit_are_named(tmp_path: Path, npz: Path, rows: tuple[Any, Any]) -> None:
    with pytest.raises(TargetError, match=r"l14_img, l14_txt, uid: name its arrays in"):
        read_target(config(npz), 5, IMAGES)
    for field in ("image", "text"):
        with pytest.raises(TargetError, match=rf"no array 'b32'; .*target_keys\.{field}"):
            read_target(config(npz, KEYS | {field: "b32"}), 5, ALL)
    np.save(tmp_path / "t.npy", rows[0])
    with pytest.raises(TargetError, match=r"remove baselines\.target_keys"):
        read_target(config(tmp_path / "t.npy", KEYS), 5, IMAGES)
    with pytest.raises(TargetError, match=r"images only, but text_vas and cross_vas"):
        read_target(config(tmp_path / "t.npy"), 5, ALL)
    np.savez(tmp_path / "t.npz", l14_img=rows[0], l14_txt=rows[1][:6])
    with pytest.raises(TargetError, match=r"7 images and 6 texts; they must be row-aligned"):
        read_target(config(tmp_path / "t.npz", KEYS), 5, ALL)


# --- the run's copy ---------------------------------------------------------------------------


def test_the_copy_serves_when_the_original_has_gone(tmp_path: Path, npz: Path) -> None:
    store, settings = Store(str(tmp_path / "run")), config(npz, KEYS)
    assert target_description(store, "reference") is None
    first = held_target(store, "reference", settings, 5, ALL)
    npz.unlink()
    again = held_target(store, "reference", settings, 5, ALL)
    assert again.size == first.size
    for name in ("image", "image_moment", "text_moment", "cross_moment"):
        assert np.array_equal(getattr(again, name), getattr(first, name))


def test_a_copy_of_another_target_or_for_other_scores_is_refused(tmp_path: Path, npz: Path) -> None:
    store = Store(str(tmp_path / "run"))
    held_target(store, "reference", config(npz, KEYS), 5, IMAGES)
    with pytest.raises(RunDirError, match="texts was False and is True now"):
        held_target(store, "reference", config(npz, KEYS), 5, ALL)
    with pytest.raises(RunDirError, match=r"target was '.*' and is 'other\.npz' now"):
        held_target(store, "reference", config("other.npz", KEYS), 5, IMAGES)


def test_a_damaged_copy_is_refused(tmp_path: Path, npz: Path) -> None:
    store, settings = Store(str(tmp_path / "run")), config(npz, KEYS)
    held_target(store, "reference", settings, 5, IMAGES)
    copy = tmp_path / "run" / "reference" / "target.npz"
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(TargetError, match=r"target\.npz does not match the checksum"):
        held_target(store, "reference", settings, 5, IMAGES)
    copy.unlink()
    with pytest.raises(TargetError, match=r"target\.npz cannot be read"):
        held_target(store, "reference", settings, 5, IMAGES)
    copy.with_name("target.json").write_text("[")
    with pytest.raises(TargetError, match=r"target\.json"):
        held_target(store, "reference", settings, 5, IMAGES)


# --- scores -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> tuple[Reference, SampleEmbeddings]:
    return fit(*pairs(30), ReferenceConfig(), model())


def config_with(scores: list[str], **baselines: Any) -> Config:
    return Config.model_validate(
        {
            "input": {"shards": "pool/*.tar"},
            "output": {"run_dir": "run"},
            "scores": scores,
            "baselines": baselines,
        }
    )


def scores_of(held: Held, n: int = 6) -> dict[str, Any]:
    found = held.scorer("cpu")(*map(torch.from_numpy, pairs(n, seed=5)))
    return {name: values.double().numpy() for name, values in found.items()}


def test_baseline_columns_are_their_formulas(
    tmp_path: Path, npz: Path, rows: tuple[Any, Any], fitted: tuple[Reference, SampleEmbeddings]
) -> None:
    settings = {"target": str(npz), "target_keys": KEYS, "batches": 3, "temperature": 0.1}
    asked = config_with(list(BASELINE_COLUMNS), **settings, seed=2)
    held = hold(Store(str(tmp_path / "run")), "reference", asked, *fitted)
    found = scores_of(held)
    (t, s), (u, v) = map(unit, rows), map(unit, pairs(6, seed=5))
    expected = {
        "vas": ((u @ t.T) ** 2).mean(axis=1),
        "text_vas": ((v @ s.T) ** 2).mean(axis=1),
        "cross_vas": ((u @ t.T) * (v @ s.T)).mean(axis=1),
        "normsim_2": np.linalg.norm(u @ t.T, axis=1),
        "normsim_inf": np.abs(u @ t.T).max(axis=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    loss = NegClipLoss(fitted[1].image, fitted[1].text, batches=3, temperature=0.1, seed=2)
    direct = loss(*map(torch.from_numpy, pairs(6, seed=5)))
    np.testing.assert_allclose(found["negcliploss"], direct, rtol=1e-6)
    assert set(BASELINE_COLUMNS) <= set(found)


def test_without_a_target_the_sample_is_one(
    tmp_path: Path, fitted: tuple[Reference, SampleEmbeddings]
) -> None:
    asked = config_with(["vas", "cross_vas"])
    held = hold(Store(str(tmp_path / "run")), "reference", asked, *fitted)
    found = scores_of(held)
    u, v = map(unit, pairs(6, seed=5))
    t, s = fitted[1].image, fitted[1].text
    np.testing.assert_allclose(found["vas"], ((u @ t.T) ** 2).mean(axis=1), rtol=1e-4)
    cross = ((u @ t.T) * (v @ s.T)).mean(axis=1)
    np.testing.assert_allclose(found["cross_vas"], cross, rtol=1e-4, atol=1e-6)
    assert not (tmp_path / "run").exists()
    assert set(found) & set(BASELINE_COLUMNS) == {"vas", "cross_vas"}


def test_only_what_is_listed_is_read(npz: Path) -> None:
    target = {"target": str(npz), "target_keys": KEYS}
    assert not needs_sample(config_with(["clip_score", "caption_english"]))
    assert not needs_sample(config_with(["vas", "normsim_inf"], **target))
    for scores, baselines in (
        (["vas"], {}),
        (["negcliploss"], target),
        (["text_information_gain"], target),
    ):
        assert needs_sample(config_with(scores, **baselines))


def test_scores_of_other_methods_tell_what_they_depend_on(
    tmp_path: Path, npz: Path, fitted: tuple[Reference, SampleEmbeddings]
) -> None:
    store = Store(str(tmp_path / "run"))
    plain = hold(store, "reference", config_with(["clip_score", "caption_english"]), *fitted)
    assert baseline_parts(store, "reference", plain) == {}
    asked = config_with(["vas"], target=str(npz), target_keys=KEYS)
    held = hold(store, "reference", asked, fitted[0], None)
    parts = baseline_parts(store, "reference", held)
    assert set(parts) == {"target_sha256"}
    assert len(parts["target_sha256"]) == 64


def test_a_score_without_what_it_compares_with_is_refused(
    rows: tuple[Any, Any], fitted: tuple[Reference, SampleEmbeddings]
) -> None:
    reference, sample = fitted
    with pytest.raises(ReferenceFileError, match=r"negcliploss .*sample\.npz"):
        Scorer(reference, costly=["negcliploss"])
    with pytest.raises(ReferenceFileError, match=r"baselines\.batches is 31, .* 30 pairs"):
        Scorer(
            reference,
            costly=["negcliploss"],
            sample=sample,
            baselines=BaselinesConfig(batches=31),
        )
    with pytest.raises(TargetError, match="give one"):
        Scorer(reference, costly=["vas"])
    images = target_of(rows[0], None, members=False)
    for name, told in (("cross_vas", "holds no texts"), ("normsim_inf", "members of the target")):
        with pytest.raises(TargetError, match=told):
            Scorer(reference, costly=[name], target=images)
    narrow = target_of(rows[0][:, :4], None, members=False)
    with pytest.raises(TargetError, match="4 dimensions, the Reference of 5"):
        Scorer(reference, costly=["vas"], target=narrow)


def test_images_of_an_npz_need_no_texts_beside_them(npz: Path) -> None:
    found = read_target(config(npz, {"image": "l14_img"}), 5, IMAGES)
    assert found.image is not None
    with pytest.raises(TargetError, match=r"name them in baselines\.target_keys"):
        read_target(config(npz, {"image": "l14_img"}), 5, ALL)
    with pytest.raises(ValidationError, match="target_keys has no effect without"):
        BaselinesConfig.model_validate({"target_keys": KEYS})
