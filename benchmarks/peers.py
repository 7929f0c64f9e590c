"""Scoring a pool end to end in other frameworks, beside the bare loop and `curate`, in one run.

    python benchmarks/peers.py --clip-retrieval PYTHON --data-juicer PYTHON --nemo-curator PYTHON
    python benchmarks/peers.py ... --model stub --samples 512 4096

Each peer has a virtual environment of its own, made by the commands in docs/performance.md and
named by its Python; a peer that is not named is not run. The work, the pool and the way it is
measured are those of end_to_end.py. Weights are random: nothing is downloaded.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import end_to_end
from speed.contenders import BATCH
from speed.peers.inputs import link_models, write_recipe, write_transformers
from speed.table import Row, markdown

CLIP_RETRIEVAL, DATA_JUICER, NEMO_CURATOR = "clip-retrieval", "Data-Juicer", "NeMo Curator"
NOTES = {
    CLIP_RETRIEVAL: "embeddings in float16 for scores",
    DATA_JUICER: "pictures unpacked beforehand, pair by pair",
    NEMO_CURATOR: "pictures only, embeddings for scores",
}
OURS = ("bare loop", "curate")


def command(
    pythons: Mapping[str, Path], contender: str, model: str, shards: list[Path], folder: Path
) -> list[str]:
    """The command line that runs a peer, or one of our contenders, over some shards."""
    if contender not in pythons:
        return end_to_end.command(contender, model, shards, folder)
    work = [str(BATCH), str(len(shards) * end_to_end.SHARD_SAMPLES), *map(str, shards)]
    if contender == CLIP_RETRIEVAL:
        return _driver(pythons[contender], "clip_retrieval", [model, *work])
    name = "stub" if model.startswith("local-dir:") else model
    weights = write_transformers(model, shards[0].parent / f"transformers-{name}")
    if contender == NEMO_CURATOR:
        models = link_models(weights, folder / "models")
        return _driver(pythons[contender], "nemo_curator", [str(models), *work])
    recipe = write_recipe(folder, weights, shards, os.cpu_count() or 1)
    return _driver(pythons[contender], "data_juicer", [str(recipe)])


def _driver(python: Path, module: str, arguments: list[str]) -> list[str]:
    """A driver in a peer's Python: it sees the benchmarks and looks for nothing on a hub."""
    variables = [f"PYTHONPATH={Path(__file__).resolve().parent}", "HF_HUB_OFFLINE=1"]
    return ["env", *variables, str(python), "-m", f"speed.peers.{module}", *arguments]


def noted(rows: list[Row]) -> list[Row]:
    """The rows of end_to_end.py, with what a reader must know of each peer."""
    return [
        replace(row, note="; ".join(filter(None, [NOTES.get(row.contender), row.note])))
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip-retrieval", type=Path, help="the Python that has clip-retrieval")
    parser.add_argument("--data-juicer", type=Path, help="the Python that has Data-Juicer")
    parser.add_argument("--nemo-curator", type=Path, help="the Python that has NeMo Curator")
    parser.add_argument("--model", default="ViT-B-32", help="of open_clip, or stub")
    parser.add_argument("--samples", type=int, nargs=2, default=[128, 384])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/speed"))
    options = parser.parse_args()
    named = {
        CLIP_RETRIEVAL: options.clip_retrieval,
        DATA_JUICER: options.data_juicer,
        NEMO_CURATOR: options.nemo_curator,
    }
    # Not resolved: the link is what tells Python that it belongs to an environment.
    pythons = {peer: python.absolute() for peer, python in named.items() if python is not None}
    first, second = options.samples
    found = end_to_end.measure(
        options.model,
        (first, second),
        options.rounds,
        options.folder.resolve(),
        (*OURS, *pythons),
        partial(command, pythons),
    )
    print(f"\n{markdown(noted(end_to_end.rows_of(options.model, found)))}")


if __name__ == "__main__":
    main()
