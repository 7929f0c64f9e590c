"""Embedders that sleep: real Ray actors that import no torch, so that 64 fit into one machine.

Client, workers and driver are the real ones, and so is every answer: it is computed once, by the
real model, and kept pickled. An actor passes it on as it is, and who gets it unpickles it. So each
takes 67 MB, where one that imports torch takes 330.

A sitecustomize puts them into the driver in the place of `Embedder`. Their environment must have
the folder of this package on its PYTHONPATH, and name the answers by `ANSWERS`.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from chaosing.hooks import AfterImport

ANSWERS = "CURATE_BENCHMARK_ANSWERS"
"""Environment variable: the file of the answers."""

HOOK = "from speed.sleepers import install\n\ninstall()\n"
"""A sitecustomize; in workers and actors, which do not import `stages`, it does nothing."""


def install() -> None:
    """Have this process start embedders that sleep, once it imports what starts embedders."""
    import sys

    sys.meta_path.insert(0, AfterImport({"curate.pipeline.stages": put_into}))


class Answers(NamedTuple):
    """What all embedders say, pickled, and after how many seconds they say it of a batch."""

    info: bytes
    tokenizer: bytes
    scores: bytes
    batch: int
    seconds: float


class Pickled:
    """An object that is there for whoever receives it; here it stays bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (self._content,)


class Sleeper:
    """Takes the calls of `curate.pipeline.embedder.Embedder` that scoring makes."""

    def __init__(self, config: object, threads: int, shared: tuple[Any, ...] = ()) -> None:
        """Read the answers; the arguments are those of an Embedder, and of no use."""
        self._answers: Answers = pickle.loads(Path(os.environ[ANSWERS]).read_bytes())  # noqa: S301

    def info(self) -> Pickled:
        """A ModelInfo."""
        return Pickled(self._answers.info)

    def tokenizer(self) -> Pickled:
        """The frozen tokenizer."""
        return Pickled(self._answers.tokenizer)

    def share(self) -> None:
        """Nothing: the others have their answers already."""

    def fitting_batch(self, embedders: int, at_once: int) -> int:
        """Pairs of a batch."""
        return self._answers.batch

    def score(
        self,
        pixels: Any,
        tokens: Any,
        reference: object,
        keep_embeddings: bool,
        watched: object = None,
    ) -> Pickled:
        """Sleep; a ModelOutput of the scores of `Answers.batch` pairs."""
        time.sleep(self._answers.seconds)
        return Pickled(self._answers.scores)


def put_into(stages: ModuleType) -> None:
    """Have `curate.pipeline.stages` start sleepers, and spare them classes that import torch."""

    def handle(identity: str, objects: object, run: object, folder: str, config: Any) -> Any:
        # Of a ReferenceHandle workers read this alone, and sleepers nothing.
        return SimpleNamespace(config=SimpleNamespace(costly_scores=config.costly_scores))

    vars(stages).update(Embedder=Sleeper, ReferenceHandle=handle)


def write_answers(path: Path, model: str, run: Path, batch: int, seconds: float) -> None:
    """Compute the answers by the real model.

    Args:
        path: of the file that is written.
        model: its name.
        run: the run directory of the Reference.
        batch: pairs of every batch.
        seconds: that a batch takes.
    """
    # Here, since the actors import this module.
    import numpy as np

    from curate.config import ModelConfig
    from curate.encoder import Encoder
    from curate.in_process import scoring
    from curate.outputs import Store
    from curate.reference_files import load
    from curate.scorer import Scorer
    from curate.work_times import EMBEDDING
    from curate.workspace import REFERENCE_FOLDER

    encoder = Encoder(ModelConfig(name=model, device="cpu"))
    scorer = Scorer(load(Store(str(run)), REFERENCE_FOLDER))
    shape = (batch, *encoder.info.pixels.size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tokens = np.ones((batch, encoder.info.context_length), np.int32)
    output = scoring(encoder, scorer)(pixels, tokens)
    output = replace(output, spent={EMBEDDING: round(seconds * 1e3)})
    info, tokenizer, scores = map(pickle.dumps, (encoder.info, encoder.tokenizer(), output))
    path.write_bytes(pickle.dumps(Answers(info, tokenizer, scores, batch, seconds)))
