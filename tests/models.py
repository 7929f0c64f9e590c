"""Tiny open_clip models with seeded random weights, in the `local-dir:` layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file


def tiny_config(siglip: bool = False) -> dict[str, Any]:
    model: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 2,
        },
    }
    if siglip:
        model |= {"init_logit_bias": -10.0, "init_logit_scale": 2.3}
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "resize_mode": "shortest"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def write_tiny_model(folder: Path, siglip: bool = False, seed: int = 0) -> str:
    """Write a tiny model; return its `local-dir:` name."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(siglip)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**config["model_cfg"])
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def tiny_clip(**vision: Any) -> Any:
    """The tiny CLIP model in memory, seeded, for inference; `vision` changes its image tower."""
    config = tiny_config()["model_cfg"]
    config["vision_cfg"] |= vision
    torch.manual_seed(0)
    model: Any = open_clip.model.CLIP(**config)
    return model.eval().requires_grad_(False)
