"""Carrying out a command: which function it is, logged in its run directory, stopped cleanly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from curate import commands
from curate.config import Config
from curate.outputs import Store
from curate.run_log import RunLog
from curate.stopping import terminable
from curate.workspace import Outcome

UNREADABLE: Final = 3
"""Exit code of a command that is done, but for shards that could not be read."""


def carry_out(config: Config, command: str) -> tuple[Outcome, int]:
    """Carry out a command.

    Args:
        config: of the run.
        command: fit, score, select, sweep, filter, all or paper.

    Returns:
        What it did, and the exit code of that: 0, or UNREADABLE unless that is tolerated.

    Raises:
        CurateError: whatever the command raises.
        Terminated: the process was asked to end.
    """
    log = RunLog(Store(config.output.run_dir))
    with terminable(), log.command(command, config) as ended:
        outcome = _function_of(command)(config)
        log.unreadable(outcome.unreadable)
        ended["seconds_of"] = outcome.seconds
        tolerated = config.limits.tolerate_unreadable_shards
        code = UNREADABLE if outcome.unreadable and not tolerated else 0
        ended["exit_code"] = code
    return outcome, code


def _function_of(command: str) -> Callable[[Config], Outcome]:
    if command == "paper":
        from curate.paper import command as paper_command

        return paper_command.run_paper
    if command == "sweep":
        from curate.sweep.command import run_sweep

        return run_sweep
    found: Callable[[Config], Outcome] = getattr(commands, f"run_{command}")
    return found
