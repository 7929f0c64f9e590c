"""Train a small contrastive model, and measure it: `python -P jobs/train.py --help`."""

import json
import logging
import sys
from argparse import ArgumentParser
from pathlib import Path

from curate.errors import CurateError
from curate.training.config import add_arguments, config_of_arguments
from curate.training.measure import measure
from curate.training.run import train


def main() -> None:
    """Train unless only measuring; measure when asked."""
    parser = ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--cache", type=Path, required=True, help="folder for image features")
    parser.add_argument("--measure", nargs="+", type=Path, help="labelled tars to measure on")
    parser.add_argument("--skip-training", action="store_true", help="measure the model in --out")
    config = config_of_arguments(args := parser.parse_args())
    if not args.skip_training:
        train(config, args.out, args.cache)
    if args.measure:
        print(json.dumps(measure(config, args.out, args.measure, args.cache), indent=2))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main()
    except CurateError as error:
        sys.exit(str(error))
