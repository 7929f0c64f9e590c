"""clip-retrieval at the work of the contenders; it runs in a Python that has clip-retrieval.

`python -m speed.peers.clip_retrieval MODEL BATCH PAIRS SHARD...`, the benchmarks on PYTHONPATH. It
writes normalised embeddings of pictures and captions in float16 where others write scores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

PREPROCESSORS = 1  # a process beside the one that embeds, so that two cores are at work


def registered(model: str) -> str:
    """The name of a model for open_clip; a folder in open_clip's layout is registered first."""
    if not model.startswith("local-dir:"):
        return model
    folder = Path(model.removeprefix("local-dir:"))
    description = json.loads((folder / "open_clip_config.json").read_text())
    path = Path.cwd() / "local.json"
    path.write_text(json.dumps(description["model_cfg"]))
    open_clip.add_model_config(path)
    return path.stem


def leave_untrained() -> None:
    """Have open_clip make models with seeded random weights, whatever weights are asked for."""
    create = open_clip.create_model_and_transforms

    def untrained(name: str, **options: Any) -> Any:
        torch.manual_seed(0)
        return create(name, **options | {"pretrained": None})

    open_clip.create_model_and_transforms = untrained


def main() -> None:
    from clip_retrieval.clip_inference import clip_inference

    model, batch, pairs, *shards = sys.argv[1:]
    output = Path.cwd() / "embeddings"
    leave_untrained()
    clip_inference(
        input_dataset=shards[0] if len(shards) == 1 else f"{{{','.join(shards)}}}",
        output_folder=str(output),
        input_format="webdataset",
        clip_model=f"open_clip:{registered(model)}/untrained",
        batch_size=int(batch),
        num_prepro_workers=PREPROCESSORS,
    )
    for kind in ("img_emb", "text_emb"):
        found = len(np.load(output / kind / f"{kind}_0.npy", mmap_mode="r"))
        if found != int(pairs):
            sys.exit(f"{output / kind} has {found} embeddings of {pairs} pairs: see its warnings")


if __name__ == "__main__":
    main()
