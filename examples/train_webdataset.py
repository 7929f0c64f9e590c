"""Train a contrastive model on filtered shards with a plain webdataset loader.

    python examples/train_webdataset.py RUN_DIR/shards/NAME --model ViT-B-32 --steps 1000
    torchrun --nproc_per_node 8 examples/train_webdataset.py RUN_DIR/shards/NAME --resample
    python examples/train_webdataset.py RUN_DIR/shards/NAME --weigh clip_score --by sampling

The scores lie beside each shard (`00000.parquet` beside `00000.tar`) and are joined by key while a
shard is read. `--weigh COLUMN` uses one as a weight: of a pair in the loss, or of its chance to be
drawn. It is an example to copy from: no checkpoints, and each process takes its negatives from its
own batch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import webdataset as wds
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

SHUFFLED = 2000  # pairs in the buffer; more mixes better and takes memory
SHARDS_SHUFFLED = 10_000  # names of shards; more than most pools have


def shards_of(folder: Path) -> dict[str, int]:
    """Path of every shard -> how many pairs it holds, from sizes.json."""
    sizes: dict[str, int] = json.loads((folder / "sizes.json").read_text())
    return {str(folder / name): pairs for name, pairs in sorted(sizes.items())}


class JoinScores:
    """Adds a score to every sample, from the table beside the shard that it comes from.

    One table is held at a time: samples of a shard arrive one after the other.
    """

    def __init__(self, column: str | None) -> None:
        self.column, self._url, self._scores = column, "", dict[str, float]()

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The sample with `__weight__`, 1 without a column; the underscores keep it undecoded."""
        if self.column is None:
            return {**sample, "__weight__": 1.0}
        if sample["__url__"] != self._url:
            self._url = sample["__url__"]
            table = pq.read_table(
                Path(self._url).with_suffix(".parquet"), columns=["key", self.column]
            )
            keys, scores = (table[name].to_pylist() for name in ("key", self.column))
            self._scores = dict(zip(keys, scores, strict=True))
        key = sample["__key__"].rpartition("/")[2]
        return {**sample, "__weight__": max(0.0, self._scores[key])}


def highest(shards: dict[str, int], column: str) -> float:
    """The largest value of a score over all shards, a table at a time."""
    tables = (
        pq.read_table(Path(shard).with_suffix(".parquet"), columns=[column]) for shard in shards
    )
    return max(pc.max(table[column]).as_py() for table in tables)


class Draw:
    """Passes a sample on with a chance in proportion to its weight; those that pass weigh alike."""

    def __init__(self, largest: float, seed: int) -> None:
        self.largest, self.rng = largest, random.Random(seed)

    def __call__(self, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The samples that pass."""
        for sample in samples:
            if self.rng.random() * self.largest < sample["__weight__"]:
                yield {**sample, "__weight__": 1.0}


def make_loader(
    folder: Path,
    preprocess: Callable[[Any], torch.Tensor],
    tokenize: Callable[[str], torch.Tensor],
    *,
    batch: int = 256,
    workers: int = 4,
    resample: bool = False,
    column: str | None = None,
    sampling: bool = False,
    seed: int = 0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Any]]:
    """Batches of pixels, tokens and weights; endless with `resample`, else one pass.

    Without `resample` the shards are shuffled alike everywhere, then divided among nodes and
    workers: every process needs at least one shard, and they may end after different numbers of
    batches. With it, each worker draws shards with replacement: no process is ever without work,
    which is what training on several nodes wants.
    """
    shards = shards_of(folder)
    if resample:
        source = [wds.ResampledShards(list(shards), deterministic=True)]
    else:
        source = [
            wds.SimpleShardList(list(shards)),
            wds.detshuffle(SHARDS_SHUFFLED, seed=seed),  # before the split: alike in all processes
            wds.split_by_node,
            wds.split_by_worker,
        ]
    drawn = [Draw(highest(shards, column), seed)] if column and sampling else []
    dataset = wds.DataPipeline(
        *source,
        wds.tarfile_to_samples(),
        wds.map(JoinScores(column)),  # before the shuffle: a table is read once per shard
        *drawn,
        wds.shuffle(SHUFFLED),
        wds.decode("pilrgb"),
        wds.rename(image="jpg;jpeg;png;webp", text="txt"),
        wds.map_dict(image=preprocess, text=lambda text: tokenize(text)[0]),
        wds.to_tuple("image", "text", "__weight__"),
        wds.batched(batch, partial=False),
    )
    return iter(wds.WebLoader(dataset, batch_size=None, num_workers=workers))


def weighted_loss(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """CLIP's loss of L2-normalised embeddings [n, d], each pair with its weight [n]."""
    logits, own = scale * images @ texts.T, torch.arange(len(images), device=images.device)
    losses = cross_entropy(logits, own, reduction="none")
    losses = (losses + cross_entropy(logits.T, own, reduction="none")) / 2
    return (weights * losses).sum() / weights.sum()


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shards", type=Path, help="folder of filtered shards: RUN_DIR/shards/NAME")
    parser.add_argument("--model", default="ViT-B-32", help="of open_clip")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--resample", action="store_true", help="draw shards with replacement")
    parser.add_argument("--weigh", metavar="COLUMN", help="score that weighs the pairs")
    parser.add_argument("--by", choices=("loss", "sampling"), default="loss")
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate")
    return parser.parse_args()


def main() -> None:
    """Train for some steps, and print the loss of each."""
    options = arguments()
    model, preprocess, _ = open_clip.create_model_and_transforms(options.model)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # as torchrun sets it
    device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    model = model.to(device).train()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        model = DistributedDataParallel(model)
    batches = make_loader(
        options.shards,
        preprocess,
        open_clip.get_tokenizer(options.model),
        batch=options.batch,
        workers=options.workers,
        resample=options.resample,
        column=options.weigh,
        sampling=options.by == "sampling",
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate)
    for step, (pixels, tokens, weights) in zip(range(options.steps), batches, strict=False):
        images, texts, scale = model(pixels.to(device), tokens.to(device))[:3]  # L2-normalised
        weights = torch.as_tensor(weights, dtype=torch.float32, device=device)
        loss = weighted_loss(images, texts, scale, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
