"""The model that curate carries: it loads offline, is small, and finds what says nothing."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

import curate
from curate.numerics.posterior import Posterior
from curate.synthetic.drawings import draw_scene
from curate.synthetic.placeholders import draw_placeholder
from curate.synthetic.scrubbed import scrubbed_caption
from curate.training.evaluate import fit, recall_among_lowest

FOLDER = Path(curate.__file__).parent / "models" / "embedded"
LIMIT_BYTES = 24_000_000
UNSEEN = 77_000  # seeds that no training run uses


@dataclass(frozen=True)
class Model:
    """The embedded model, as any user of open_clip has it."""

    model: open_clip.CLIP
    preprocess: object
    tokenizer: open_clip.tokenizer.HFTokenizer

    def images(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float64]:
        pixels = [self.preprocess(picture) for picture in pictures]
        with torch.inference_mode():
            rows = [
                self.model.encode_image(torch.stack(pixels[at : at + 8]))
                for at in range(0, len(pixels), 8)
            ]
        return normalize(torch.cat(rows), dim=-1).double().numpy()

    def texts(self, captions: Sequence[str]) -> npt.NDArray[np.float64]:
        with torch.inference_mode():
            rows = [
                self.model.encode_text(self.tokenizer(list(captions[at : at + 64])))
                for at in range(0, len(captions), 64)
            ]
        return normalize(torch.cat(rows), dim=-1).double().numpy()


@pytest.fixture(scope="module")
def model() -> Model:
    name = f"local-dir:{FOLDER}"
    loaded, _, preprocess = open_clip.create_model_and_transforms(name)
    return Model(loaded.eval(), preprocess, open_clip.get_tokenizer(name))


def test_it_is_small_and_has_a_card() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= LIMIT_BYTES
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data and licences", "## Recipe", "## Measured", "## Limits"):
        assert heading in card


def test_noise_ranks_below_drawings(model: Model) -> None:
    rng = np.random.default_rng(UNSEEN)
    scenes = [draw_scene(rng) for _ in range(160)]
    images = model.images([image for image, _ in scenes])
    texts = model.texts([caption for _, caption in scenes])
    blanks = model.images([draw_placeholder(rng) for _ in range(60)])
    scrubbed = model.texts([scrubbed_caption(rng) for _ in range(200)])
    found = fit(images, texts, Posterior("softmax"))
    for good, noise in (
        (found.score_images(images), found.score_images(blanks)),
        (found.score_texts(texts), found.score_texts(scrubbed)),
    ):
        above = (good[:, None] > noise[None, :]).mean()
        assert above >= 0.97


def test_any_text_has_a_finite_embedding(model: Model) -> None:
    texts = ["", "\x00\x07", "word " * 12_000, "x" * 50_000, "日本語の説明", "🙂" * 9_000, "a\n\tb"]
    rows = model.texts(texts)
    assert np.isfinite(rows).all()
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)


def read_labelled(shard: Path) -> list[tuple[Image.Image, str, str]]:
    """Picture, caption and ground truth of every sample."""
    members: dict[str, dict[str, bytes]] = {}
    with tarfile.open(shard) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            key, _, suffix = member.name.partition(".")
            members.setdefault(key, {})[suffix] = stream.read()
    return [
        (
            Image.open(io.BytesIO(sample["jpg"])).convert("RGB"),
            sample["txt"].decode(),
            json.loads(sample["json"])["noise"] or "",
        )
        for sample in members.values()
    ]


@pytest.mark.shared
def test_it_finds_labelled_noise_in_a_real_pool(model: Model, shared_data: Path) -> None:
    samples = read_labelled(shared_data / "dev-00100.tar")
    images = model.images([image for image, _, _ in samples])
    texts = model.texts([caption for _, caption, _ in samples])
    noise = np.array([label for _, _, label in samples])
    found = fit(images, texts, Posterior("softmax"))  # on the pool as it is, noise and all
    assert recall_among_lowest(found.score_images(images), noise == "placeholder", 0.05) >= 0.92
    assert recall_among_lowest(found.score_texts(texts), noise == "caption", 0.05) >= 0.90
