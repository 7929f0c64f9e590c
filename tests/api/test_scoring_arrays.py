"""Models, References and Scorers over what notebooks hold, against the engine."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from factories import encode, jpeg, picture, read_shard, sample_members, tar_bytes
from local_run import LocalClient, LocalRun, plan_of
from PIL import Image

import curate
from curate.encoder import Encoder
from curate.errors import ConfigError, NumericsError, ReferenceFileError
from curate.schema import REJECTIONS, SCORE_COLUMNS
from curate.scoring import score_samples

CAPTIONS = [f"red cat {i}" for i in range(12)]
BYTES = [jpeg(seed=i) for i in range(12)]
COSTLY = ["image_information_gain", "text_information_gain", "vas", "negcliploss"]
CLOSE = {"rtol": 2e-4, "atol": 1e-6}


@pytest.fixture(scope="module")
def model(tiny_model: str) -> curate.Model:
    return curate.load_model(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def pairs(model: curate.Model) -> curate.EmbeddedPairs:
    return model.embed(BYTES, CAPTIONS)


@pytest.fixture(scope="module")
def reference(model: curate.Model, pairs: curate.EmbeddedPairs) -> curate.Reference:
    images, texts = pairs
    return curate.Reference.fit(images, texts, model=model, captions=CAPTIONS)


# --- models -----------------------------------------------------------------------------------


def test_pairs_are_embedded_as_the_engine_does(
    model: curate.Model, pairs: curate.EmbeddedPairs, tiny_encoder: Encoder
) -> None:
    members = [m for i in range(12) for m in sample_members(str(i), CAPTIONS[i], i)]
    items, _ = read_shard(tar_bytes(members))
    rows = score_samples(items, "s", plan_of(tiny_encoder, 32), LocalClient(tiny_encoder))
    image, text = rows.embeddings(np.float32)
    np.testing.assert_array_equal(pairs.images, image)
    np.testing.assert_array_equal(pairs.texts, text)
    assert pairs.images.dtype == np.float32
    assert pairs.status == ["ok"] * 12
    engine = rows.to_table()
    for name in pairs.table.column_names:
        assert pairs.table[name].to_pylist() == engine[name].to_pylist()
    assert {"image_norm", "text_norm", "width", "caption_words"} <= set(pairs.table.column_names)
    assert not {"clip_score", "key", "tar_offset"} & set(pairs.table.column_names)
    assert model.info.dim == pairs.images.shape[1]
    assert "16 dimensions, softmax, on cpu" in repr(model)


def test_every_kind_of_picture_is_the_same_picture(model: curate.Model, tmp_path: Path) -> None:
    data = encode(picture(seed=3), "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    opened = Image.open(io.BytesIO(data))
    kinds = [
        data, bytearray(data), memoryview(data), path, str(path), opened, picture(seed=3),
        np.asarray(picture(seed=3)), {"bytes": data, "path": None},
        {"bytes": None, "path": str(path)},
    ]  # fmt: skip
    found = model.embed(kinds, ["a cat"] * len(kinds))
    assert found.status == ["ok"] * len(kinds)
    for row in found.images[1:]:
        np.testing.assert_array_equal(row, found.images[0])
    for mode in ("L", "RGBA", "P", "CMYK"):
        image = picture(seed=3, mode=mode)
        stored = encode(image, "TIFF" if mode == "CMYK" else "PNG")
        both = model.embed([image, stored], ["a", "a"]).images
        np.testing.assert_array_equal(both[0], both[1])


BAD: list[tuple[Any, Any, str]] = [
    (b"no picture", "a cat", "undecodable_image"),
    (BYTES[0][:300], "a cat", "undecodable_image"),
    (Path("nowhere.jpg"), "a cat", "undecodable_image"),
    (None, "a cat", "missing_image"),
    ({"bytes": None, "path": None}, "a cat", "missing_image"),
    (BYTES[0], None, "missing_text"),
    (BYTES[0], " \u200b", "empty_caption"),
    (BYTES[0], "x" * 70_000, "caption_too_long"),
    (BYTES[0], "\ud800", "invalid_caption"),
    (Image.new("L", (8000, 8000)), "a cat", "image_too_large"),
]


def test_a_bad_pair_is_a_row_with_a_reason(
    model: curate.Model, reference: curate.Reference
) -> None:
    images = [BYTES[0], *(image for image, _, _ in BAD), BYTES[1]]
    texts = [CAPTIONS[0], *(text for _, text, _ in BAD), CAPTIONS[1]]
    found = model.embed(images, texts)
    expected = ["ok", *(status for _, _, status in BAD), "ok"]
    assert found.status == expected
    assert np.isnan(found.images[1:-1]).all()
    assert np.isfinite(found.images[[0, -1]]).all()
    table = curate.Scorer(model, reference).score(images, texts)
    assert table["status"].to_pylist() == expected
    for row in table.to_pylist():
        assert (row["status"] == "ok") == (row["clip_score"] is not None)
        assert (row["status"] == "ok") == (row["error"] is None)
    alone = model.embed([None], ["a cat"])
    assert alone.images.shape == (1, model.info.dim)
    assert model.embed([], []).images.shape == (0, model.info.dim)


@pytest.mark.parametrize(
    ("images", "texts", "error"),
    [
        ([BYTES[0]], [], ValueError),
        ([3], ["a"], TypeError),
        ([np.zeros((4, 4, 3))], ["a"], TypeError),
        ([np.zeros((4, 4, 7), np.uint8)], ["a"], TypeError),
        ([BYTES[0]], [b"a"], TypeError),
    ],
)
def test_what_is_no_pair_is_an_error(
    model: curate.Model, images: Any, texts: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"expected|give as many"):
        model.embed(images, texts)


def test_models_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="carries its own weights"):
        curate.load_model("embedded", pretrained="openai")
    with pytest.raises(ConfigError, match="load_model: device"):
        curate.load_model(device="tpu")  # type: ignore[arg-type]


# --- References -------------------------------------------------------------------------------


def test_a_reference_is_the_one_of_the_commands(
    pristine_run: LocalRun, model: curate.Model
) -> None:
    sample = pristine_run.sample
    fitted = curate.Reference.fit(sample.embeddings.image, sample.embeddings.text, model=model)
    loaded = curate.Reference.load(pristine_run.folder / "reference")
    assert loaded.identity == pristine_run.reference.identity
    table = loaded.score(sample.embeddings.image, sample.embeddings.text, COSTLY[:2])
    again = fitted.score(sample.embeddings.image, sample.embeddings.text, COSTLY[:2])
    for name in ("image_informativeness", "text_informativeness", "clip_score"):
        np.testing.assert_allclose(table[name], sample.table[name], **CLOSE)
        np.testing.assert_allclose(again[name], sample.table[name], **CLOSE)
    assert table.column_names == ["status", "error", *SCORE_COLUMNS, *COSTLY[:2]]
    assert table["image_informativeness"].type == pa.float32()


def test_a_reference_round_trips(reference: curate.Reference, tmp_path: Path) -> None:
    reference.save(tmp_path / "r")
    reference.save(tmp_path / "r")  # the same one
    loaded = curate.Reference.load(str(tmp_path / "r"))
    assert loaded.identity == reference.identity
    assert loaded.description["samples"] == 12
    assert "12 pairs, 16 dimensions" in repr(loaded)
    copy = tmp_path / "copy"
    loaded.save(copy)
    for name in ("reference.npz", "reference.json", "sample.npz", "sample_captions.parquet"):
        assert (copy / name).read_bytes() == (tmp_path / "r" / name).read_bytes()
    captions = pq.read_table(copy / "sample_captions.parquet")
    assert captions["caption"].to_pylist() == CAPTIONS
    (copy / "sample_scores.parquet").unlink()
    assert curate.Reference.load(copy).held(COSTLY).sample is not None
    (copy / "sample.npz").unlink()
    bare = curate.Reference.load(copy)
    with pytest.raises(ReferenceFileError, match="sample"):
        bare.score(np.eye(16)[:3], np.eye(16)[:3], COSTLY)
    bare.save(tmp_path / "bare")
    assert curate.Reference.load(tmp_path / "bare").identity == reference.identity
    with pytest.raises(ReferenceFileError, match="holds another Reference"):
        curate.Reference.fit(np.eye(16), np.eye(16)).save(tmp_path / "r")


def test_arrays_of_every_kind_are_scored_alike() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 40, 8)) * 5
    reference = curate.Reference.fit(
        u, v, link="sigmoid", landmarks=4, keys=[str(i) for i in range(40)]
    )
    assert reference.description["link"] == "sigmoid"
    first = reference.score(u, v, ["image_information_gain_landmarks"])
    for kind in (torch.from_numpy, np.float32, lambda rows: rows.astype(np.float64).tolist()):
        other = reference.score(kind(u), kind(v), ["image_information_gain_landmarks"])
        for name in first.column_names[2:]:
            np.testing.assert_allclose(other[name], first[name], **CLOSE)
    np.testing.assert_allclose(first["image_norm"], np.linalg.norm(u, axis=1), rtol=1e-6)
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(first["clip_score"], cosine, atol=1e-6)


def test_rows_without_a_direction_are_left_out_and_told() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 30, 8))
    whole = curate.Reference.fit(u, v)
    u2, v2 = np.vstack([u, np.zeros((1, 8)), u[:1]]), np.vstack([v, v[:1], np.full((1, 8), np.nan)])
    reference = curate.Reference.fit(u2, v2)
    assert reference.identity == whole.identity
    table = reference.score(u2, v2)
    assert table["status"].to_pylist() == ["ok"] * 30 + ["zero_embedding", "nonfinite_embedding"]
    assert table["error"].to_pylist()[-1] == REJECTIONS["nonfinite_embedding"]
    assert table["image_informativeness"].null_count == 2
    assert reference.score(u2[:0], v2[:0]).num_rows == 0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda r: curate.Reference.fit(np.eye(3), np.eye(3)[:2]), NumericsError, "the same"),
        (lambda r: curate.Reference.fit(np.ones(3), np.ones(3)), NumericsError, r"\[n, d\]"),
        (lambda r: curate.Reference.fit(np.eye(3, dtype=int), np.eye(3)), NumericsError, "floats"),
        (lambda r: curate.Reference.fit(np.eye(3), np.eye(3), keys=["a"]), NumericsError, "1 keys"),
        (
            lambda r: curate.Reference.fit(np.eye(3), np.eye(3), temperature=-1),
            ConfigError,
            "temper",
        ),
        (
            lambda r: curate.Reference.fit(np.eye(3), np.eye(3), temperature="model"),
            ConfigError,
            "scale",
        ),
        (
            lambda r: curate.Reference.fit(np.eye(3)[:1], np.eye(3)[:1]),
            ReferenceFileError,
            "only 1",
        ),
        (lambda r: r.score(np.eye(3), np.eye(3)), ReferenceFileError, "3 dimensions"),
        (lambda r: r.score(np.eye(16), np.eye(16), ["clip"]), ConfigError, "no 'clip'; known are"),
        (lambda r: r.score(np.eye(16), np.eye(16), ["caption_english"]), ConfigError, "captions"),
        (lambda r: curate.Reference.load("nowhere"), ReferenceFileError, "no complete Reference"),
    ],
)
def test_misuse_is_told(
    reference: curate.Reference, call: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        call(reference)


# --- Scorers ----------------------------------------------------------------------------------


def test_a_scorer_gives_what_the_reference_says_of_embeddings(
    model: curate.Model, reference: curate.Reference, pairs: curate.EmbeddedPairs
) -> None:
    table = curate.Scorer(model, reference, scores=COSTLY).score(BYTES, CAPTIONS)
    other = reference.score(pairs.images, pairs.texts, COSTLY)
    for name in ("image_informativeness", "text_informativeness", "clip_score", *COSTLY):
        np.testing.assert_allclose(table[name], other[name], **CLOSE)
    assert table["image_norm"].to_pylist() == pairs.table["image_norm"].to_pylist()
    small = curate.Scorer(model, reference, batch_size=5).score(BYTES, CAPTIONS)
    np.testing.assert_allclose(small["clip_score"], table["clip_score"], **CLOSE)


def test_a_batch_comes_back_as_what_it_was(
    model: curate.Model, reference: curate.Reference
) -> None:
    scorer = curate.Scorer(model, reference, image="jpg", text="txt", keep=["key"])
    lists = {"jpg": [*BYTES[:2], b"no"], "txt": CAPTIONS[:3], "key": ["a", "b", "c"]}
    found = scorer(lists)
    assert found["key"] == ["a", "b", "c"]
    arrays = {name: np.array(column, dtype=object) for name, column in lists.items()}
    other = scorer(arrays)
    assert other["key"] is arrays["key"]
    table = scorer(pa.table(lists))
    assert table["key"].to_pylist() == ["a", "b", "c"]
    for batch in (found, other):
        for name in ("clip_score", "width", "caption_words"):
            assert batch[name].dtype == np.float32
            assert np.isnan(batch[name]).tolist() == [False, False, True]
            assert batch[name].tolist()[:2] == table[name].to_pylist()[:2]
        assert batch["status"] == table["status"].to_pylist()
        assert batch["error"][:2] == ["", ""]
    # The types are those of a batch in which all is well, or nothing.
    for one in (["jpg", BYTES[0]], ["jpg", b"no"]):
        batch = scorer({"jpg": one[1:], "txt": ["a"], "key": ["a"]})
        assert {n: getattr(c, "dtype", str) for n, c in batch.items()} == {
            n: getattr(c, "dtype", str) for n, c in found.items()
        }
    with pytest.raises(ConfigError, match="no column 'txt', but jpg; name those of pictures"):
        scorer({"jpg": []})


def test_a_scorer_pickles_as_names(model: curate.Model, reference: curate.Reference) -> None:
    scorer = curate.Scorer(model, reference, text="t", keep=["k"])
    data = pickle.dumps(scorer)
    batch = {"image": BYTES[:2], "t": CAPTIONS[:2], "k": [1, 2]}
    again = pickle.loads(data)(batch)
    assert again["clip_score"].tolist() == scorer(batch)["clip_score"].tolist()
    assert again["k"] == [1, 2]
    assert len(data) < 200_000


def test_a_reference_of_another_model_is_refused(model: curate.Model) -> None:
    other = curate.Reference.fit(np.eye(16), np.eye(16))
    with pytest.raises(ReferenceFileError, match="was fitted with model 'arrays'"):
        curate.Scorer(model, other)


def test_a_batch_of_datasets_is_scored(
    model: curate.Model, reference: curate.Reference, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {
        "image": [{"bytes": data, "path": None} for data in [*BYTES[:5], b"no picture"]],
        "text": CAPTIONS[:6],
    }
    kind = datasets.Features(
        {"image": datasets.Image(decode=False), "text": datasets.Value("string")}
    )
    dataset = datasets.Dataset.from_dict(rows, kind)
    scorer = curate.Scorer(model, reference)
    cache = str(tmp_path / "cache.arrow")
    scored = dataset.map(scorer, batched=True, batch_size=4, cache_file_name=cache)
    expected = scorer.score(rows["image"], CAPTIONS[:6])
    assert scored["status"][:] == expected["status"].to_pylist()
    assert scored["status"][5] == "undecodable_image"
    assert np.isnan(scored["clip_score"][5])
    assert scored.features["clip_score"].dtype == "float32"
    from datasets.fingerprint import Hasher

    # Equal scorers are one to the cache of `map`.
    assert Hasher.hash(scorer) == Hasher.hash(curate.Scorer(model, reference))
    assert Hasher.hash(scorer) != Hasher.hash(curate.Scorer(model, reference, batch_size=3))
    np.testing.assert_allclose(
        scored["clip_score"][:5], expected["clip_score"].to_pylist()[:5], **CLOSE
    )
    decoded = dataset.select(range(5)).cast_column("image", datasets.Image())
    again = decoded.map(scorer, batched=True, remove_columns=["image"], cache_file_name=cache + "2")
    np.testing.assert_allclose(again["clip_score"][:], scored["clip_score"][:5], **CLOSE)
