"""Train a causal language model on captions: `python -P jobs/train_language_model.py --help`."""

import logging
import sys
from argparse import ArgumentParser
from pathlib import Path

from curate.errors import CurateError
from curate.training.language_model import config_of_arguments, train_language_model


def main() -> None:
    """Train, log the held-out perplexity, and write the model."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--shards", nargs="+", type=Path, required=True, help="tars of pairs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--config", type=Path, help="YAML with further choices")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    train_language_model(config_of_arguments(arguments), arguments.out)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main()
    except CurateError as error:
        sys.exit(str(error))
