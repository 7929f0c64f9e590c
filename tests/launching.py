"""Commands that can be stopped by Ctrl-C, wherever the tests themselves were started."""

from __future__ import annotations

import sys
from typing import Final

# Not by `preexec_fn`, which may deadlock beside threads.
_LAUNCHER: Final = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def interruptible(*arguments: str) -> list[str]:
    """The command that runs Python with some arguments and with SIGINT as a terminal leaves it.

    A shell starts background jobs with SIGINT ignored, which every child inherits and Python then
    leaves alone.
    """
    return [sys.executable, "-ISc", _LAUNCHER, *arguments]
