"""The same work in other ways: read shards, preprocess, tokenise, embed, keep one score a pair.

Each is a process of its own: `python contenders.py NAME MODEL THREADS SHARD...`
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

BATCH = 32


def load(name: str) -> tuple[Any, Any, Any]:
    """Model, evaluation transform and tokenizer of open_clip; a built-in name is random."""
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(
        name, pretrained=None, require_pretrained=name.startswith("local-dir:")
    )
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def pairs(shard: str) -> Iterator[tuple[bytes, str]]:
    """Pictures and captions of a shard, by the standard library."""
    with tarfile.open(shard) as tar:
        found: dict[str, bytes] = {}
        for member in tar:
            _, _, extension = member.name.partition(".")
            file = tar.extractfile(member)
            found[extension] = b"" if file is None else file.read()
            if extension == "json":
                yield found["jpg"], found["txt"].decode()


def batches(shards: list[str]) -> Iterator[list[tuple[bytes, str]]]:
    """Batches over all shards."""
    batch = []
    for shard in shards:
        for pair in pairs(shard):
            batch.append(pair)
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


@torch.inference_mode()
def bare_loop(model_name: str, shards: list[str]) -> int:
    """open_clip as its README shows it: one process, no framework, captions of full length."""
    model, preprocess, tokenizer = load(model_name)
    kept = []
    for batch in batches(shards):
        images = torch.stack([preprocess(Image.open(io.BytesIO(data))) for data, _ in batch])
        image = model.encode_image(images, normalize=True)
        text = model.encode_text(tokenizer([caption for _, caption in batch]), normalize=True)
        kept.append((image * text).sum(1))
    return _save(torch.cat(kept).numpy())


def improved_loop(model_name: str, shards: list[str]) -> int:
    """The bare loop with what saves work for a pair: exact decoding, captions without padding."""
    from curate import encoder

    # torch's own layers, every row of every block.
    for name in ("use_onednn", "use_class_token"):
        setattr(encoder, name, lambda model: None)
    return loop_of_all_savings(model_name, shards)


@torch.inference_mode()
def loop_of_all_savings(model_name: str, shards: list[str]) -> int:
    """The bare loop with every saving of `curate`: what is left to it is the framework."""
    from curate.config import ModelConfig
    from curate.encoder import Encoder
    from curate.images import decode
    from curate.loading import load_tokenizer
    from curate.pixels import to_pixels

    builtin = not model_name.startswith("local-dir:")
    encoder = Encoder(ModelConfig(name=model_name, pretrained="random" if builtin else None))
    tokenize = load_tokenizer(model_name, encoder.info.context_length)
    kept = []
    for batch in batches(shards):
        pixels = [to_pixels(decode(data, 50_000_000), encoder.info.pixels) for data, _ in batch]
        found = encoder.encode(np.stack(pixels), tokenize([caption for _, caption in batch]))
        kept.append((found.image * found.text).sum(1))
    return _save(torch.cat(kept).numpy())


def ray_recipe(model_name: str, shards: list[str]) -> int:
    """Ray Data as its documentation shows it: read_webdataset, map, map_batches on actors."""
    import ray

    class Embed:
        def __init__(self) -> None:
            torch.set_num_threads(1)
            self.model, _, self.tokenizer = load(model_name)

        @torch.inference_mode()
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            image = self.model.encode_image(
                torch.from_numpy(np.stack(batch["pixels"])), normalize=True
            )
            text = self.model.encode_text(self.tokenizer(list(batch["txt"])), normalize=True)
            return {"key": batch["__key__"], "score": (image * text).sum(1).numpy()}

    _, preprocess, _ = load(model_name)

    def prepare(row: dict[str, Any]) -> dict[str, Any]:
        image = Image.open(io.BytesIO(row["jpg"])).convert("RGB")
        return {
            "__key__": row["__key__"],
            "pixels": preprocess(image).numpy(),
            "txt": row["txt"].decode() if isinstance(row["txt"], bytes) else row["txt"],
        }

    ray.init("local", include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    dataset = ray.data.read_webdataset(shards, decoder=None).map(prepare)
    scored = dataset.map_batches(Embed, batch_size=BATCH, concurrency=1, num_cpus=1)
    scored.write_parquet(str(Path.cwd() / "ray-recipe"))
    return sum(1 for _ in shards)


def _save(scores: Any) -> int:
    pq.write_table(pa.table({"score": scores}), "scores.parquet")
    return len(scores)


CONTENDERS: dict[str, Callable[[str, list[str]], int]] = {
    "bare loop": bare_loop,
    "improved loop": improved_loop,
    "all savings": loop_of_all_savings,
    "Ray recipe": ray_recipe,
}


if __name__ == "__main__":
    name, model_name, threads, *shards = sys.argv[1:]
    torch.set_num_threads(int(threads))
    CONTENDERS[name](model_name, shards)
