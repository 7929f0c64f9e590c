"""Data-Juicer at the work of the contenders; it runs in a Python that has Data-Juicer.

`python -m speed.peers.data_juicer RECIPE`, with the benchmarks on PYTHONPATH. This is what its
command `dj-process` does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    from data_juicer.config import init_configs
    from data_juicer.core import DefaultExecutor

    config = init_configs(["--config", sys.argv[1]])
    DefaultExecutor(config).run()
    given, kept = (_lines(path) for path in (config.dataset_path, config.export_path))
    scored = sum(bool(json.loads(line)["__dj__stats__"]["image_text_similarity"]) for line in kept)
    if scored != len(given):
        sys.exit(f"{config.export_path} has {scored} scores of {len(given)} pairs: see its log")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


if __name__ == "__main__":
    main()
