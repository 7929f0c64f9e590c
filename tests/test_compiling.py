"""Compiled towers: asked for explicitly, part of what scores depend on, and refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from curate.compiling import WARM_UP_PAIRS
from curate.config import ModelConfig, parse_config
from curate.encoder import Encoder
from curate.errors import ModelError
from curate.workspace import configured_parts


def test_the_image_tower_is_compiled_once_for_all_batch_sizes(
    tiny_model: str, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    sizes: list[int] = []

    def compile_(encode: Any, **options: Any) -> Any:
        asked.append(options)

        def fast(frames: torch.Tensor) -> torch.Tensor:
            sizes.append(len(frames))
            encoded: torch.Tensor = encode(frames)
            return encoded

        return fast

    monkeypatch.setattr(torch, "compile", compile_)
    encoder = Encoder(ModelConfig(name=tiny_model, device="cpu", compile=True))
    assert asked == [{"dynamic": True}]
    assert sizes == [WARM_UP_PAIRS]
    rng = np.random.default_rng(0)
    side, context = encoder.info.pixels.size[0], encoder.info.context_length
    pixels = rng.integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    tokens = rng.integers(1, 400, (5, context), dtype=np.int32)
    found, plain = encoder.encode(pixels, tokens), tiny_encoder.encode(pixels, tokens)
    assert sizes == [WARM_UP_PAIRS, 5]
    # Layers that oneDNN computes are not compiled.
    torch.testing.assert_close(found.image, plain.image, rtol=0, atol=2e-6)
    assert encoder.info == tiny_encoder.info
    assert Encoder(ModelConfig(name=tiny_model, device="cpu"), encoder.share()).info == encoder.info


def test_what_cannot_be_compiled_is_an_error_with_its_remedy(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_(encode: Any, **options: Any) -> Any:
        def fast(frames: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("No working C++ compiler found\nand a page of advice")

        return fast

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(ModelError, match=r"compiler found\); set model\.compile to false"):
        Encoder(ModelConfig(name=tiny_model, device="cpu", compile=True))


def test_scores_of_compiled_towers_are_others() -> None:
    def parts(**model: Any) -> Any:
        tree = {"model": model, "input": {"shards": "x"}, "output": {"run_dir": "y"}}
        return configured_parts(parse_config(tree))["model"]

    assert parts(compile=True) == parts() | {"compile": True}
    assert "compile" not in parts()
