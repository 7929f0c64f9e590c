"""The encoder against open_clip itself, and against models that cannot be used."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from factories import jpeg, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_config, write_tiny_model
from PIL import Image

from curate import loading
from curate.config import ModelConfig
from curate.encoder import (
    Encoder,
    fingerprint,
    pixel_spec,
    resolve_device,
    resolve_precision,
)
from curate.errors import ConfigError, ModelError
from curate.images import decode
from curate.loading import bound_caption, load_tokenizer, open_clip_name
from curate.pixels import to_pixels

CAPTIONS = [
    "A photo of a cat.",
    "two  DOGS\tin   the snow, it's late!",
    "naïve café — 東京タワー \U0001f408",
    "3.14159 & &amp; <start_of_text> x",
    "",
    "a",
]
BATCH = 6


def load(name: str, **fields: Any) -> Encoder:
    # Pillow resizes as open_clip does, to the bit; how near torch comes is told by test_pixels.
    return Encoder(ModelConfig(name=name, **{"device": "cpu", "resampling": "pillow"} | fields))


def batch(encoder: Encoder) -> tuple[Any, Any]:
    images = [decode(jpeg(40 + 9 * i, 70 - 8 * i, seed=i), 10**6) for i in range(BATCH)]
    pixels = np.stack([to_pixels(image, encoder.info.pixels) for image in images])
    tokenize = load_tokenizer(encoder.info.name, encoder.info.context_length)
    return pixels, tokenize(CAPTIONS)


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.fixture(params=["clip", "siglip"])
def name(request: pytest.FixtureRequest, tiny_model: str, tiny_siglip: str) -> str:
    return tiny_model if request.param == "clip" else tiny_siglip


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and this machine has none")
    return chosen


# --- the numbers ----------------------------------------------------------------------------


def open_clip_embeddings(name: str) -> tuple[Any, Any, Any, Any]:
    """What a user of open_clip gets: its own preprocessing, tokenizer and towers."""
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    images = [decode(jpeg(40 + 9 * i, 70 - 8 * i, seed=i), 10**6) for i in range(BATCH)]
    with torch.inference_mode():
        image = model.eval().encode_image(
            torch.stack([preprocess(Image.fromarray(i)) for i in images])
        )
        text = model.encode_text(tokenizer(CAPTIONS))
    return image, text, image.norm(dim=1), text.norm(dim=1)


TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2, "fp16": 4e-3}
"""Largest difference of a component of a unit vector: 8 and 11 bits of mantissa, some layers."""


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_embeddings_are_those_of_open_clip(name: str, device: str, precision: str) -> None:
    ours = load(name, precision=precision, device=device)
    found = ours.encode(*batch(ours))
    image, text, image_norm, text_norm = open_clip_embeddings(name)
    tolerance = TOLERANCE[precision] * (10 if device == "cuda" else 1)
    for got, want in ((found.image, unit(image)), (found.text, unit(text))):
        assert got.dtype == torch.float32
        assert got.device.type == device
        torch.testing.assert_close(got.cpu(), want, rtol=0, atol=tolerance)
        torch.testing.assert_close(got.norm(dim=1).cpu(), torch.ones(BATCH), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.image_norm.cpu(), image_norm, rtol=tolerance, atol=0)
    torch.testing.assert_close(found.text_norm.cpu(), text_norm, rtol=tolerance, atol=0)


def test_a_pair_does_not_depend_on_its_batch(name: str) -> None:
    ours = load(name)
    pixels, tokens = batch(ours)
    whole = ours.encode(pixels, tokens)
    for size in (1, 2, 5):
        parts = [
            ours.encode(pixels[i : i + size], tokens[i : i + size]) for i in range(0, BATCH, size)
        ]
        for field in ("image", "text", "image_norm", "text_norm"):
            joined = torch.cat([getattr(part, field) for part in parts])
            torch.testing.assert_close(joined, getattr(whole, field), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "computed"), [(1, 1), (7, 7), (8, 8), (9, 16), (17, 24)])
def test_batches_of_any_size_come_in_few_shapes(
    name: str, count: int, computed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load(name)
    pixels, tokens = (np.resize(part, (count, *part.shape[1:])) for part in batch(ours))
    alone = [ours.encode(pixels[i : i + 1], tokens[i : i + 1]).image for i in range(count)]
    encode, seen = ours._encode_image, []

    def watched(frames: torch.Tensor) -> torch.Tensor:
        seen.append(len(frames))
        return encode(frames)

    monkeypatch.setattr(ours, "_encode_image", watched)
    found = ours.encode(pixels, tokens)
    assert seen == [computed]
    torch.testing.assert_close(found.image, torch.cat(alone), rtol=1e-5, atol=1e-6)


def test_the_same_batch_gives_the_same_bits(tiny_encoder: Encoder) -> None:
    pixels, tokens = batch(tiny_encoder)
    first, second = tiny_encoder.encode(pixels, tokens), tiny_encoder.encode(pixels, tokens)
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.text, second.text)


def test_read_only_and_strided_arrays_are_taken_in_silence(tiny_encoder: Encoder) -> None:
    pixels, tokens = batch(tiny_encoder)
    want = tiny_encoder.encode(pixels, tokens)
    strided = np.repeat(pixels, 2, axis=0)[::2]
    for array in (pixels, tokens, strided):
        array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tiny_encoder.encode(pixels, tokens)
        again = tiny_encoder.encode(strided, tokens.astype(np.int64))
    assert torch.equal(found.image, want.image)
    assert torch.equal(again.image, want.image)
    assert torch.equal(again.text, want.text)


def test_no_gradient_is_kept(tiny_encoder: Encoder) -> None:
    assert not tiny_encoder.encode(*batch(tiny_encoder)).image.requires_grad


# --- what a model says of itself ------------------------------------------------------------


def test_link_scale_and_bias_are_the_models(tiny_model: str, tiny_siglip: str) -> None:
    clip, siglip = load(tiny_model).info, load(tiny_siglip).info
    assert (clip.link, siglip.link) == ("softmax", "sigmoid")
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert clip.logit_bias == 0
    assert siglip.logit_scale == pytest.approx(np.exp(2.3), rel=1e-5)
    assert siglip.logit_bias == pytest.approx(-10)
    assert (clip.dim, clip.context_length, clip.pixels.size) == (16, 16, (32, 32))
    assert json.loads(json.dumps(clip.describe()))["dim"] == 16


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_link_can_be_overridden(name: str, link: str) -> None:
    assert load(name, link=link).info.link == link


def test_a_fingerprint_is_of_the_weights_alone(tmp_path: Path, tiny_model: str) -> None:
    folder = Path(tiny_model.removeprefix("local-dir:"))
    shutil.copytree(folder, tmp_path / "elsewhere")
    want = load(tiny_model).info.fingerprint
    assert load(tiny_model, precision="bf16").info.fingerprint == want
    assert load(f"local-dir:{tmp_path / 'elsewhere'}").info.fingerprint == want
    other = write_tiny_model(tmp_path / "other", seed=1)
    assert load(other).info.fingerprint != want


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_one_bit_of_one_weight_changes_the_fingerprint(data: st.DataObject) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    before = fingerprint(model)
    tensors = [t for t in model.state_dict().values() if t.dtype == torch.float32]
    tensor = data.draw(st.sampled_from(tensors)).view(-1).view(torch.int32)
    at = data.draw(st.integers(0, len(tensor) - 1))
    tensor[at] ^= 1 << data.draw(st.integers(0, 22))
    assert fingerprint(model) != before


def test_a_fingerprint_tells_names_and_shapes_apart() -> None:
    def of(**shapes: tuple[int, ...]) -> str:
        model = torch.nn.Module()
        for name, shape in shapes.items():
            model.register_buffer(name, torch.ones(shape))
        return fingerprint(model)

    found = [of(a=(2, 3)), of(a=(3, 2)), of(a=(6,)), of(b=(2, 3)), of(a=(2, 3), b=(1,)), of()]
    assert len(set(found)) == len(found)
    assert of(a=(1,), b=(2,)) == of(b=(2,), a=(1,))


def test_a_fingerprint_takes_half_precision_tensors() -> None:
    model = torch.nn.Module()
    model.register_buffer("a", torch.ones(3, dtype=torch.bfloat16))
    model.register_buffer("b", torch.tensor(1.0, dtype=torch.float16))
    assert len(fingerprint(model)) == 64


def test_precision_and_device_resolve() -> None:
    assert resolve_precision("auto", "cpu") == "fp32"
    assert resolve_precision("fp16", "cpu") == "fp16"
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"model\.device=cuda.*auto or cpu"):
        resolve_device("cuda")


def test_the_geometry_is_that_of_the_model(tmp_path: Path) -> None:
    name = write_tiny_model(tmp_path / "m")
    path = tmp_path / "m" / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["preprocess_cfg"] |= {"resize_mode": "longest", "interpolation": "bilinear"}
    content["preprocess_cfg"] |= {"fill_color": 7}
    path.write_text(json.dumps(content))
    ours = load(name)
    assert ours.info.pixels.resize_mode == "longest"
    _, _, preprocess = open_clip.create_model_and_transforms(name)
    image = picture(50, 20)
    want = preprocess(image)
    frame = torch.from_numpy(to_pixels(np.array(image), ours.info.pixels)).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(content["preprocess_cfg"][k]).view(3, 1, 1) for k in ("mean", "std"))
    torch.testing.assert_close((frame - mean) / std, want, rtol=0, atol=1e-5)


def test_an_unknown_geometry_is_refused() -> None:
    base = {"size": 32, "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}
    assert pixel_spec(base | {"size": (24, 32)}, "torch").size == (24, 32)
    with pytest.raises((ModelError, ConfigError), match="resize_mode"):
        pixel_spec(base | {"resize_mode": "melt"}, "torch")


# --- models that cannot be used -------------------------------------------------------------


def refused(name: str, **fields: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(name, **fields)
    text = str(caught.value)
    assert "model." in text
    return text


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refused(f"local-dir:{tmp_path}/nowhere")


@pytest.mark.parametrize("missing", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_folder_without_config_or_weights_is_named(tmp_path: Path, missing: str) -> None:
    name = write_tiny_model(tmp_path / "m")
    (tmp_path / "m" / missing).unlink()
    assert str(tmp_path / "m") in refused(name)


@pytest.mark.parametrize("keep", [0, 100, 50_000])
def test_weights_that_are_cut_short_are_refused(tmp_path: Path, keep: int) -> None:
    name = write_tiny_model(tmp_path / "m")
    path = tmp_path / "m" / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "complete" in refused(name)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    name = write_tiny_model(tmp_path / "m")
    path = tmp_path / "m" / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["model_cfg"]["text_cfg"]["layers"] = 3
    path.write_text(json.dumps(content))
    refused(name)


def test_a_broken_config_is_refused(tmp_path: Path) -> None:
    name = write_tiny_model(tmp_path / "m")
    (tmp_path / "m" / "open_clip_config.json").write_text("{")
    refused(name)


def test_an_unknown_name_is_refused() -> None:
    text = refused("ViT-B-23", pretrained="openai")
    assert "ViT-B-23" in text
    assert "local-dir:PATH" in text


def test_missing_weights_are_refused_with_the_tags_there_are() -> None:
    text = refused("ViT-B-32")
    assert "model.pretrained is missing" in text
    assert "laion2b_s34b_b79k" in text


@pytest.mark.parametrize("tag", ["laion3b", "/none/model.pt", "x" * 5000, "a\0b"])
def test_an_unknown_tag_is_refused_with_the_ones_there_are(tag: str) -> None:
    text = refused("ViT-B-32", pretrained=tag)
    assert "laion2b_s34b_b79k" in text


def test_a_hub_that_cannot_be_reached_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    begin = time.monotonic()
    text = refused("hf-hub:curate-tests/no-such-model")
    assert time.monotonic() - begin < 20
    assert "hub" in text
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer("hf-hub:curate-tests/no-such-model", 77)


# --- checkpoint files -----------------------------------------------------------------------


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tiny architecture under a name of open_clip's own list."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "curate-tiny", tiny_config()["model_cfg"])
    torch.manual_seed(5)
    return open_clip.model.CLIP(**tiny_config()["model_cfg"])


def test_a_checkpoint_file_is_loaded(tmp_path: Path, builtin: Any) -> None:
    path = tmp_path / "epoch_1.pt"
    torch.save({"state_dict": builtin.state_dict(), "epoch": 1}, path)
    assert load("curate-tiny", pretrained=str(path)).info.fingerprint == fingerprint(builtin)


class Dangerous:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_a_checkpoint_that_carries_code_is_refused(tmp_path: Path, builtin: Any) -> None:
    path, trace = tmp_path / "epoch_1.pt", tmp_path / "trace"
    torch.save({"state_dict": builtin.state_dict(), "x": Dangerous(trace)}, path)
    text = refused("curate-tiny", pretrained=str(path))
    assert str(path) in text
    assert not trace.exists()


def test_random_weights_are_seeded(builtin: Any) -> None:
    first = load("curate-tiny", pretrained="random").info.fingerprint
    torch.manual_seed(99)
    assert load("curate-tiny", pretrained="random").info.fingerprint == first


# --- the tokenizer --------------------------------------------------------------------------


def test_tokens_are_those_of_open_clip(tiny_model: str) -> None:
    want = open_clip.get_tokenizer(tiny_model)(CAPTIONS).numpy()
    found = load_tokenizer(tiny_model, 16)(CAPTIONS)
    assert found.dtype == np.int32
    assert np.array_equal(found, want)


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(words, max_size=12).map(" ".join), min_size=1, max_size=4))
def test_captions_of_ordinary_length_are_tokenised_as_by_open_clip(captions: list[str]) -> None:
    ours, theirs = tokenizers()
    assert np.array_equal(ours(captions), theirs(captions, context_length=16).numpy())


def tokenizers() -> tuple[Any, Any]:
    if "pair" not in _MADE:
        pair = (load_tokenizer("ViT-B-32", 16), open_clip.get_tokenizer("ViT-B-32"))
        _MADE["pair"] = pair
    return _MADE["pair"]


_MADE: dict[str, Any] = {}


def test_spaces_do_not_count_against_the_bound() -> None:
    ours, theirs = tokenizers()
    captions = [" " * 5000 + "a red cat", "a" + "\t \n" * 3000 + "dog", "\u3000" * 600 + "x"]
    assert np.array_equal(ours(captions), theirs(captions, context_length=16).numpy())


HOSTILE = {
    "letters": "x" * 20_000,
    "many words": "word " * 10_000,
    "one ideogram": "猫" * 16_000,
    "ideograms": "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(16_000)),
    "emoji": "\U0001f408" * 12_000,
    "combining": "e" + "\u0301" * 30_000,
    "entities": "&amp;" * 13_000,
    "punctuation": "!?" * 30_000,
    "mojibake": "Ã©â€™" * 9_000,
    "pseudo-random": "".join(chr(97 + i * i * 31 % 26) for i in range(50_000)),
    "spaces": " " * 60_000,
    "brackets": "<start_of_text>" * 4000,
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_no_caption_takes_long(kind: str) -> None:
    tokenize = load_tokenizer("ViT-B-32", 77)
    begin = time.perf_counter()
    tokens = tokenize([HOSTILE[kind]])
    assert tokens.shape == (1, 77)
    # Unbounded, 20,000 letters take minutes; the bound holds on a busy machine too.
    assert time.perf_counter() - begin < 2.0


def test_bounding_keeps_the_beginning() -> None:
    assert bound_caption("a  b\tc", 77) == "a b c"
    long = bound_caption("word " * 50_000, 77)
    assert long.startswith("word word")
    assert len(long) <= 77 * loading.MAX_CHARS_PER_TOKEN
    assert len(bound_caption("x" * 50_000, 77)) == loading.MAX_RUN_CHARS


def test_the_memory_of_the_tokenizer_is_bounded_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "TOKENIZER_CACHE_WORDS", 50)
    kept: list[Any] = []
    real = open_clip.get_tokenizer

    def spy(*arguments: Any, **options: Any) -> Any:
        kept.append(real(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr(open_clip, "get_tokenizer", spy)
    tokenize = load_tokenizer("ViT-B-32", 16)
    before = tokenize(CAPTIONS)
    for number in range(200):
        tokenize(
            [f"word{chr(97 + number % 26)}{chr(97 + number // 26)} zq{'abcdefgh'[number % 8]}x"]
        )
        assert len(kept[0].cache) <= 60
    assert np.array_equal(tokenize(CAPTIONS), before)


def test_a_name_means_what_open_clip_means() -> None:
    assert open_clip_name("ViT-B-32") == "ViT-B-32"
    assert open_clip_name("embedded").startswith("local-dir:/")


def test_pictures_reach_the_model_unrotated_and_in_rgb(tiny_encoder: Encoder) -> None:
    red = np.asarray(Image.new("RGB", (32, 32), (255, 0, 0)))
    blue = np.asarray(Image.new("RGB", (32, 32), (0, 0, 255)))
    tokens = np.zeros((2, 16), np.int32)
    found = tiny_encoder.encode(np.stack([red, blue]), tokens).image
    model, _, preprocess = open_clip.create_model_and_transforms(tiny_encoder.info.name)
    with torch.inference_mode():
        want = unit(model.eval().encode_image(torch.stack([preprocess(Image.fromarray(red))])))
    torch.testing.assert_close(found[:1], want, rtol=0, atol=1e-5)
    assert not torch.allclose(found[0], found[1], atol=1e-3)
