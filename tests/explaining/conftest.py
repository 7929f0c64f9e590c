"""A run that explanations are asked of."""

from __future__ import annotations

import pytest
from explained_runs import write_config
from local_run import LocalRun


@pytest.fixture
def explained_run(scored_run: LocalRun, tiny_model: str) -> LocalRun:
    """The small run with its configuration; nothing is selected yet."""
    write_config(scored_run, tiny_model)
    return scored_run
