"""Commands leave nothing half-written behind, whoever died in the middle of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pools import config_of, write_shards

from curate import commands
from curate.config import Config
from curate.workspace import Outcome, Workspace


@pytest.mark.parametrize("run", [commands.run_score, commands.run_all])
def test_what_a_killed_worker_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Config], Outcome]
) -> None:
    write_shards(tmp_path / "pool", (1,))
    left = tmp_path / "run" / "state" / "00000.json.12345678.partial"

    def scoring(work: Workspace, ray: Any, outcome: Outcome) -> None:
        assert not left.exists()  # of an earlier run
        left.write_bytes(b"{")
        outcome.seconds["score"] = 1.0

    for stage in ("_select", "_filter"):
        monkeypatch.setattr(commands, stage, lambda *arguments: None)
    monkeypatch.setattr(commands, "_score", scoring)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"{")
    run(config_of("embedded", f"{tmp_path}/pool/*.tar", tmp_path / "run"))
    assert not left.exists()
