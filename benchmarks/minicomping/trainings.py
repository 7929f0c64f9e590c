"""All trainings, side by side in processes; a finished one is a file and is not repeated."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from minicomping.config import MiniCompConfig
from minicomping.train import Data, Indices, evaluate, train

FORMAT: Final = 1  # raise it when an equal training would come to other figures


@dataclass(frozen=True, eq=False)
class Training:
    """Pairs and a seed."""

    seed: int
    rows: Indices


@dataclass
class _Process:
    """What a process of the pool holds: sent once, not with every training."""

    given: list[tuple[MiniCompConfig, Data]] = field(default_factory=list)


_PROCESS = _Process()


def _begin(config: MiniCompConfig, data: Data) -> None:
    torch.set_num_threads(1)
    _PROCESS.given = [(config, data)]


def _run(rows: Indices, seed: int, path: Path) -> None:
    if path.is_file():  # another comparison on the same folder was faster
        return
    ((config, data),) = _PROCESS.given
    began = time.process_time()
    figures = evaluate(train(config, data, rows, seed), data)
    found = {"figures": figures, "cpu_seconds": round(time.process_time() - began, 1)}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found), encoding="utf-8")
    partial.replace(path)


def key_of(config: MiniCompConfig, identity: str, rows: Indices, seed: int) -> str:
    """Names a training by everything that decides its outcome."""
    settings = config.training(seed).model_dump(mode="json", exclude={"shards"})
    given = [FORMAT, settings, config.budget.samples_seen, identity]
    key = json.dumps(given, sort_keys=True).encode() + np.asarray(rows, "<i8").tobytes()
    return hashlib.sha256(key).hexdigest()[:24]


def identity_of(data: Data) -> str:
    """sha256 of all that trainings are made of."""
    parts = (data.features, data.tokens, data.evaluation_features, data.evaluation_tokens)
    found = hashlib.sha256(str([(part.shape, str(part.dtype)) for part in parts]).encode())
    for part in parts:
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def run_trainings(
    config: MiniCompConfig,
    data: Data,
    trainings: Sequence[Training],
    processes: int,
    observe: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Train and evaluate whatever has no result yet.

    Args:
        config: the protocol; results are kept in its `work_dir`.
        data: the pool.
        trainings: what to do, in the order in which it is begun.
        processes: how many at once, of one thread each; 1 for none but this one.
        observe: called with how many are done, and of how many, as each ends.

    Returns:
        `figures` (see `metrics.measure`) and `cpu_seconds` of every training.
    """
    folder, identity = config.work_dir / "trainings", identity_of(data)
    folder.mkdir(parents=True, exist_ok=True)
    keys = [key_of(config, identity, one.rows, one.seed) for one in trainings]
    paths = [folder / f"{key}.json" for key in keys]
    missing = [(one, at) for one, at in zip(trainings, paths, strict=True) if not at.is_file()]
    observe(done := len(trainings) - len(missing), len(trainings))
    if processes == 1:
        _begin(config, data)
        for one, path in missing:
            _run(one.rows, one.seed, path)
            observe(done := done + 1, len(trainings))
    elif missing:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, _begin, (config, data)) as pool:
            jobs = [pool.submit(_run, one.rows, one.seed, path) for one, path in missing]
            for job in as_completed(jobs):
                job.result()
                observe(done := done + 1, len(trainings))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]
