"""What peers read beside shards: a model as transformers has it, pictures as files, a recipe."""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import yaml

from speed.contenders import pairs
from speed.stub import STUB

MERGES = (
    49152 - 256 - 2
)  # of CLIP's vocabulary: its bytes, with and without an end of word, and two
IMAGE, END = "<__dj__image>", "<|__dj__eoc|>"
NEMO_CLIP = (
    "openai/clip-vit-large-patch14"  # the one name under which NeMo Curator looks for a CLIP
)
KEEP_ALL = (-1.0, 1.0)  # of the cosine: weights are random, so that a threshold would mean nothing


def write_transformers(model: str, folder: Path) -> Path:
    """Write a CLIP of seeded random weights with its processor; returns the folder.

    Args:
        model: a built-in name of open_clip, or the stub as `local-dir:...`.
        folder: to write into; what is there is kept.
    """
    if (folder / "model.safetensors").exists():
        return folder
    transformers: Any = importlib.import_module("transformers")  # it is typed in part only
    torch.manual_seed(0)
    local = model.startswith("local-dir:")
    config = transformers.CLIPConfig(**geometry(STUB if local else _builtin(model)))
    pictures, captions = transformers.CLIPImageProcessor(), _tokenizer(transformers)
    transformers.CLIPProcessor(pictures, captions).save_pretrained(folder)
    transformers.CLIPModel(config).save_pretrained(folder)
    return folder


def geometry(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of transformers' CLIPConfig for a plain CLIP in open_clip's terms."""
    image, text = config["vision_cfg"], config["text_cfg"]
    return {
        "projection_dim": config["embed_dim"],
        "vision_config": {
            "hidden_size": image["width"],
            "intermediate_size": 4 * image["width"],
            "num_hidden_layers": image["layers"],
            "num_attention_heads": image["width"] // image.get("head_width", 64),
            "image_size": image["image_size"],
            "patch_size": image["patch_size"],
        },
        "text_config": {
            "vocab_size": text["vocab_size"],
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
            "pad_token_id": text["vocab_size"] - 1,
        },
    }


def link_models(model: Path, folder: Path) -> Path:
    """Make a folder of models in which NeMo Curator finds a model; returns the folder."""
    path = folder / NEMO_CLIP
    path.parent.mkdir(parents=True)
    path.symlink_to(model)
    return folder


def write_recipe(folder: Path, model: Path, shards: Sequence[Path], processes: int) -> Path:
    """Write the samples of some shards, whose pictures are unpacked beside them, and the recipe."""
    samples = folder / "samples.jsonl"
    with samples.open("w") as file:
        for shard in shards:
            for path, caption in _unpacked(shard):
                text = f"{IMAGE} {caption} {END}"
                file.write(json.dumps({"text": text, "images": [str(path)]}) + "\n")
    low, high = KEEP_ALL
    similarity = {"hf_clip": str(model), "min_score": low, "max_score": high}
    recipe = {
        "dataset_path": str(samples),
        "export_path": str(folder / "kept" / "kept.jsonl"),
        "work_dir": str(folder / "work"),
        "ds_cache_dir": str(folder / "cache"),
        "use_cache": False,
        "keep_stats_in_res_ds": True,
        "np": processes,
        "process": [{"image_text_similarity_filter": similarity}],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def _unpacked(shard: Path) -> list[tuple[Path, str]]:
    """The pictures of a shard as files, written if they are not there, and their captions."""
    folder = shard.parent / "unpacked" / shard.stem
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, (picture, caption) in enumerate(pairs(str(shard))):
        path = folder / f"{number:04d}.jpg"
        if not path.exists():
            path.write_bytes(picture)
        found.append((path, caption))
    return found


def _builtin(model: str) -> dict[str, Any]:
    config: dict[str, Any] = open_clip.get_model_config(model)
    return config


def _tokenizer(transformers: Any) -> Any:
    """CLIP's tokenizer of transformers, from the merges that open_clip ships."""
    path = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : MERGES + 1]
    merges = [tuple(line.split()) for line in lines]
    vocabulary = open_clip.tokenizer.SimpleTokenizer().encoder
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    words = {special.get(word, word): number for word, number in vocabulary.items()}
    return transformers.CLIPTokenizer(words, merges)
