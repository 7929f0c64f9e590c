"""What the scripts in jobs/ share: the same commands, as entry points for `ray job submit`."""

from __future__ import annotations

import sys

from curate import cli


def submit_main(command: str) -> None:
    """Run `curate COMMAND` with the script's arguments, exit codes included.

    Args:
        command: fit, score, select, sweep, filter, run or paper.
    """
    sys.argv[1:1] = [command]
    cli.main()
