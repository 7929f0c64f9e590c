"""Features of the frozen image tower, computed once, in processes, and cached.

With a frozen tower an epoch needs no pixel: the training loop reads rows of a feature bank.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from PIL import Image

from curate.training.config import ArchitectureConfig
from curate.training.model import PREPROCESS, TRUNK, imagenet_weights, load_trunk, preprocessing
from curate.training.sources import Chunk

BATCH = 8  # images; larger batches fall out of the CPU's cache and are slower per image
CACHE_FORMAT = 1  # raise it when features of the same name would change


@dataclass(frozen=True)
class Features:
    """Features of some pictures.

    Attributes:
        rows: float16 [n, width].
        texts: caption, or design of a placeholder, per picture.
    """

    rows: npt.NDArray[np.float16]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


def join(parts: Sequence[Features]) -> Features:
    """One after the other."""
    texts = tuple(text for part in parts for text in part.texts)
    return Features(np.concatenate([part.rows for part in parts]), texts)


def select(features: Features, mask: Sequence[bool]) -> Features:
    """The rows where ``mask`` is true."""
    chosen = np.flatnonzero(np.asarray(mask, dtype=np.bool_))
    return Features(features.rows[chosen], tuple(features.texts[i] for i in chosen))


class _Tower:
    """The frozen trunk of one process."""

    def __init__(self, sizes: ArchitectureConfig) -> None:
        torch.set_num_threads(1)
        trunk: Any = timm.create_model(TRUNK, pretrained=False)
        load_trunk(trunk, imagenet_weights())
        trunk.reset_classifier(0)
        self._trunk = trunk.eval().to(memory_format=torch.channels_last)
        self._transform: Any = preprocessing(sizes)

    def embed(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float16]:
        pixels = torch.stack([self._transform(picture) for picture in pictures])
        with torch.inference_mode():
            pooled = self._trunk(pixels.to(memory_format=torch.channels_last))
        return np.asarray(pooled.to(torch.float16).numpy())

    def chunk(self, chunk: Chunk) -> Features:
        rows: list[npt.NDArray[np.float16]] = []
        texts: list[str] = []
        pending: list[Image.Image] = []
        for item in chunk.items():
            texts.append(item.text)
            pending.append(item.image)
            if len(pending) == BATCH:
                rows.append(self.embed(pending))
                pending = []
        if pending:
            rows.append(self.embed(pending))
        return Features(np.concatenate(rows), tuple(texts))


_TOWERS: dict[ArchitectureConfig, _Tower] = {}  # one per process and size; loading takes seconds


def _place(chunk: Chunk, sizes: ArchitectureConfig, folder: Path) -> Path:
    """The file of a chunk in the cache."""
    key = f"{CACHE_FORMAT} {chunk.name} {TRUNK} {sizes.image_size} {PREPROCESS}"
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


def _compute(job: tuple[Chunk, ArchitectureConfig, Path]) -> None:
    """Compute a chunk and write its file."""
    chunk, sizes, path = job
    if sizes not in _TOWERS:
        _TOWERS[sizes] = _Tower(sizes)
    features = _TOWERS[sizes].chunk(chunk)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, rows=features.rows, texts=np.array(features.texts, dtype=np.str_))
    partial.replace(path)


def load_features(path: Path) -> Features:
    """Read a cached chunk."""
    with np.load(path, allow_pickle=False) as archive:
        return Features(archive["rows"], tuple(str(text) for text in archive["texts"]))


def extract(
    chunks: Sequence[Chunk],
    sizes: ArchitectureConfig,
    folder: Path,
    *,
    processes: int | None = None,
) -> list[Features]:
    """Features of each of ``chunks``, in order, from the cache in ``folder`` or computed.

    Args:
        chunks: what to embed; each is one unit of work and one file of the cache.
        sizes: gives the side of the pictures.
        folder: the cache; created when missing.
        processes: how many work at once; all cores when omitted, 1 for none but this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_place(chunk, sizes, folder) for chunk in chunks]
    jobs = [(c, sizes, path) for c, path in zip(chunks, paths, strict=True) if not path.is_file()]
    workers = min(len(jobs), processes or os.cpu_count() or 1)
    if workers > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for _ in pool.map(_compute, jobs):
                pass
    else:
        for job in jobs:
            _compute(job)
    return [load_features(path) for path in paths]
