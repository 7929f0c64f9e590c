"""A miniature DataComp: train one small model on what each filter keeps of one noisy pool.

Usage: python benchmarks/minicomp.py configs/minicomp.yaml [--processes 2] [--docs docs]

Writes the pool, embeds it, filters it with curate, trains every arm with every seed for the same
number of samples seen, and measures retrieval on clean pairs that no arm has trained on. What is
finished stays in the work directory: run again, it goes on where it was. `results.json`, the
tables and the figure come last. See docs/minicomp.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from minicomping import report
from minicomping.arms import Arm, baseline_arms, filtered_arms, in_order
from minicomping.config import OWN, MiniCompConfig
from minicomping.pool import NoisyPool, shards_of, write_pool
from minicomping.results import Results, results
from minicomping.scorers import SHIPPED, embed_pool, own_model
from minicomping.train import Data, make_data
from minicomping.trainings import Training, identity_of, key_of, run_trainings
from tokenizers import Tokenizer

from curate.errors import CurateError
from curate.training.config import load_as
from curate.training.features import Features, extract, join, select
from curate.training.measure import noise_labels
from curate.training.sources import ShardChunk
from curate.training.tokenizer import learn_tokenizer


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config", type=Path, help="YAML: see configs/minicomp.yaml")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--docs", type=Path, help="also renew the tables and figures there")
    return parser.parse_args(given)


def features_of(config: MiniCompConfig, shards: Sequence[Path], processes: int) -> Features:
    """Frozen features of all pictures, cached; and the captions."""
    chunks = [ShardChunk(shard) for shard in shards]
    folder = config.work_dir / "features"
    return join(extract(chunks, config.architecture, folder, processes=processes))


def clean_pairs(config: MiniCompConfig, processes: int) -> Features:
    """The pairs that are retrieved: those of the evaluation shards that were not tampered with."""
    shards = shards_of(config.evaluation)
    found = features_of(config, shards, processes)
    return select(found, [not label for label in noise_labels(shards)])


def all_arms(
    config: MiniCompConfig, pool: NoisyPool, pictures: Features, data: Data, tokenizer: Tokenizer
) -> list[Arm]:
    """Arms without scores, then those of each scoring model."""
    arms, identity = baseline_arms(config, pool), identity_of(data)
    everything = next(iter(arms[0].rows.values()))
    own = f"{OWN}-{key_of(config, identity, everything, config.scorer_seed)}"
    for scorer in config.scorers:
        folder = config.work_dir / "scorers" / (own if scorer == OWN else f"{scorer}-{identity}")
        model = SHIPPED
        if scorer == OWN:
            model = own_model(config, data, tokenizer, folder / "model")
        metadata = embed_pool(model, pool, pictures, folder / "metadata")
        arms += filtered_arms(config, pool, scorer, metadata, folder / "run")
    return in_order(arms)


def compare(config: MiniCompConfig, processes: int) -> Results:
    """Everything but the report."""
    began = time.monotonic()
    print(f"pool and features in {config.work_dir}", flush=True)
    pool = write_pool(config, config.work_dir)
    pictures = features_of(config, pool.shards, processes)
    sizes = config.architecture
    tokenizer = learn_tokenizer(pictures.texts, sizes.vocabulary, sizes.context_length)
    data = make_data(pictures, clean_pairs(config, processes), tokenizer)
    arms = all_arms(config, pool, pictures, data, tokenizer)
    # Seed by seed: what is there after the first tells of all arms.
    trainings = [Training(seed, arm.rows[seed]) for seed in config.seeds for arm in arms]

    def observe(done: int, total: int) -> None:
        minutes = (time.monotonic() - began) / 60
        print(f"trainings {done}/{total}, {minutes:.1f} min", flush=True)

    found = run_trainings(config, data, trainings, processes, observe)
    by_arm = [found[number :: len(arms)] for number in range(len(arms))]
    return results(config, pool, arms, by_arm, len(data.evaluation_tokens))


def main() -> int:
    options = arguments()
    try:
        config = load_as(MiniCompConfig, options.config)
        found = compare(config, options.processes)
    except CurateError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    report.write(found, config.work_dir)
    if options.docs is not None:
        report.write_docs(config.work_dir, options.docs)
    print(report.tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
