"""What a worker of the fuzzer may do to it: light to import, since workers start anew."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

HANGS, DIES, GROWS = 3, 5, 7


def prepare(folder: Path) -> Callable[[int], int]:
    """Cases that double their number, but for some."""
    assert folder.is_dir()
    return run


def run(case: int) -> int:
    """Do what the number says."""
    if case == HANGS:
        time.sleep(600)
    if case == DIES:
        os._exit(9)
    if case == GROWS:
        return len(bytearray(b"\1") * (130 << 20)) & 0
    return 2 * case
