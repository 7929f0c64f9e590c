"""Runs that explanations are asked of."""

from __future__ import annotations

from pathlib import Path

from local_run import LocalRun
from pools import config_of

from curate.config import Config, to_yaml
from curate.workspace import CONFIG


def write_config(made: LocalRun, model: str, **sections: object) -> Config:
    """Leave a configuration in the run directory, as `curate score` does."""
    shards = str(Path(made.shards[0].url).parent / "*.tar")
    config = config_of(model, shards, made.folder, **sections)
    made.store.write_bytes(CONFIG, to_yaml(config).encode())
    return config
