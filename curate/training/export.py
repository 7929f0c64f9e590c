"""A trained model as a folder that open_clip loads with ``local-dir:``."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from tokenizers import Tokenizer

from curate.training.config import FrozenConfig, TrainConfig
from curate.training.model import PREPROCESS, model_config
from curate.training.tokenizer import save_tokenizer

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
RECIPE = "training.json"


def export_model(model: CLIP, tokenizer: Tokenizer, config: TrainConfig, folder: Path) -> None:
    """Write weights, configuration, tokenizer and recipe into ``folder``.

    Matrices, gains and biases are float16; logit scale and bias stay exact in float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.to(torch.float16) if tensor.is_floating_point() and tensor.ndim else tensor
        for name, tensor in model.state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)
    document = {
        "model_cfg": model_config(config, tokenizer.get_vocab_size()),
        "preprocess_cfg": PREPROCESS,
    }
    _write_json(folder / CONFIG, document)
    save_tokenizer(tokenizer, folder, config.architecture.context_length)
    write_recipe(config, folder / RECIPE)


def write_recipe(config: FrozenConfig, path: Path) -> None:
    """Write a run's choices; shards by file name only, since where they lay does not matter."""
    recipe = config.model_dump(mode="json")
    recipe["shards"] = [Path(shard).name for shard in recipe["shards"]]
    _write_json(path, recipe)


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
