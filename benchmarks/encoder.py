"""Encoder throughput against the bare model, side by side on one device.

Usage: python benchmarks/encoder.py [--model ViT-B-32] [--batch 256] [--seconds 5]

Prints pairs/s of: the bare open_clip model in each precision on inputs that already lie on the
device; `Encoder.encode` from uint8 in host memory; the same followed by the scores; and the latter
from two threads, as an embedder on a GPU runs. Weights are random: only speed is measured.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable

import numpy as np
import open_clip
import torch

from curate.config import ModelConfig, ReferenceConfig
from curate.encoder import AUTOCAST_DTYPE, Encoder, resolve_device
from curate.reference import fit
from curate.scorer import Scorer


def rate(step: Callable[[], object], batch: int, seconds: float, threads: int = 1) -> float:
    """Pairs per second of a step that ends with a result on the host or a synchronised device."""
    counts = [0] * threads

    def work(me: int, until: float) -> None:
        while time.perf_counter() < until:
            step()
            counts[me] += batch

    for _ in range(3):
        step()
    begin = time.perf_counter()
    workers = [threading.Thread(target=work, args=(i, begin + seconds)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - begin)


def bare(model_name: str, precision: str, device: str, batch: int, seconds: float) -> float:
    """The model alone, weights cast once, inputs on the device."""
    model = open_clip.create_model(model_name, precision=precision, device=device).eval()
    size = model.visual.image_size
    side = size if isinstance(size, int) else size[0]
    dtype = AUTOCAST_DTYPE[precision] or torch.float32
    frames = torch.randn(batch, 3, side, side, device=device, dtype=dtype)
    ids = torch.randint(1, 400, (batch, model.context_length), device=device)

    @torch.inference_mode()
    def step() -> None:
        model.encode_image(frames)
        model.encode_text(ids).float().sum().cpu()

    return rate(step, batch, seconds)


def ours(config: ModelConfig, batch: int, seconds: float) -> dict[str, float]:
    """The encoder, with and without scores, from one thread and from two."""
    encoder = Encoder(config)
    info, rng = encoder.info, np.random.default_rng(0)
    height, width = info.pixels.size
    pixels = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    tokens = rng.integers(1, 400, (batch, info.context_length), dtype=np.int32)
    first = encoder.encode(pixels, tokens)
    embeddings = first.image.cpu().numpy(), first.text.cpu().numpy()
    reference, _ = fit(*embeddings, ReferenceConfig(samples=batch), info)
    scorer = Scorer(reference, info.device)

    def encode() -> torch.Tensor:
        return encoder.encode(pixels, tokens).image_norm.cpu()

    def score() -> list[torch.Tensor]:
        out = encoder.encode(pixels, tokens)
        return [v.cpu() for v in scorer(out.image, out.text).values()]

    return {
        "encode": rate(encode, batch, seconds),
        "encode and score": rate(score, batch, seconds),
        "encode and score, two threads": rate(score, batch, seconds, threads=2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    device = resolve_device("auto")
    where = (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )
    print(f"{args.model}, batch {args.batch}, {where}\n")
    print("| precision | what | pairs/s | of the bare model |\n|---|---|---|---|")
    for precision in ("fp32", "bf16", "fp16") if device == "cuda" else ("fp32",):
        limit = bare(args.model, precision, device, args.batch, args.seconds)
        print(f"| {precision} | bare model | {limit:,.0f} | 1.00 |", flush=True)
        config = ModelConfig(name=args.model, pretrained="random", precision=precision)
        for name, value in ours(config, args.batch, args.seconds).items():
            print(f"| {precision} | {name} | {value:,.0f} | {value / limit:.2f} |", flush=True)


if __name__ == "__main__":
    main()
