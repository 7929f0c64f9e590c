"""A model of no size in open_clip's own layout, with which the engine is what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

STUB = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 224,
        "layers": 1,
        "width": 32,
        "head_width": 32,
        "patch_size": 32,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}
PREPROCESSING = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize_mode": "shortest"}


def write_stub(folder: Path) -> str:
    """Write it, with seeded random weights; returns its name."""
    folder.mkdir(parents=True, exist_ok=True)
    description = {"model_cfg": STUB, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(description))
    torch.manual_seed(0)
    state = open_clip.model.CLIP(**STUB).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"
