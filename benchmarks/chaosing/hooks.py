"""What every process of a run does besides: it waits at gates, and fails where it is told to.

`install` is called at the start of every Python process (`SITECUSTOMIZE`), and does nothing but
listen until modules of curate are imported.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any, Final

from chaosing.orders import Board

SITECUSTOMIZE: Final = "from chaosing.hooks import install\n\ninstall()\n"
"""For a folder on PYTHONPATH, with the folder of this package."""

STALL_SECONDS: Final = 1.5
"""What counts as a stalled read in a run of the suite; curate's own two minutes would be idle."""

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5


def install() -> None:
    """Arm modules of curate as they are imported, if the environment names a board."""
    board = Board.of_environment()
    if board is None or any(isinstance(finder, AfterImport) for finder in sys.meta_path):
        return
    arm: dict[str, Callable[[Any], None]] = {
        "curate.outputs": lambda module: arm_outputs(module, board),
        "curate.shards": lambda module: arm_shards(module, board),
        "curate.retrying": arm_retrying,
        "curate.places": arm_places,
    }
    for name in arm.keys() & sys.modules.keys():
        arm[name](sys.modules[name])
    sys.meta_path.insert(0, AfterImport(arm))


class AfterImport(MetaPathFinder):
    """Calls a function on a module once it is executed."""

    def __init__(self, arm: dict[str, Callable[[Any], None]]) -> None:
        self._arm = arm

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        """Wrap the loader of the modules to arm."""
        if name not in self._arm:
            return None
        spec: ModuleSpec | None = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            self._arm[name](module)

        spec.loader.exec_module = executed  # type: ignore[method-assign]  # this loader's alone
        return spec


# --- modules of curate --------------------------------------------------------------------------


def arm_outputs(module: Any, board: Board) -> None:
    """Wait before, and in the middle of, chosen files; have no room for others."""
    create = module.Store.create

    @contextmanager
    def watched(self: Any, relative: str, **options: Any) -> Iterator[Any]:
        if board.is_gate("before", relative):
            board.wait()
        with create(self, relative, **options) as sink:
            if board.read().full == PurePosixPath(relative).name:
                sink._raw = _Full()
            elif board.is_gate("half", relative):
                sink._raw = _Half(sink._raw, board)
            yield sink

    module.Store.create = watched


class _Full:
    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Half:
    def __init__(self, raw: Any, board: Board) -> None:
        self._raw = raw
        self._board: Board | None = board

    def write(self, data: bytes) -> int:
        board, self._board = self._board, None
        if board is None:
            return int(self._raw.write(data))
        self._raw.write(data[: len(data) // 2])
        self._raw.flush()
        board.wait()
        return int(self._raw.write(data[len(data) // 2 :]))


def arm_shards(module: Any, board: Board) -> None:
    """Wait before chosen shards are opened; die of others."""
    open_shard = module.open_shard

    def watched(shard: Any, **options: Any) -> Any:
        name = PurePosixPath(shard.url).name
        if board.is_gate("open", name):
            board.wait()
        if board.read().poison == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return open_shard(shard, **options)

    module.open_shard = watched


def arm_retrying(module: Any) -> None:
    """Shorten what a run waits for a store."""
    module.RETRY = replace(
        module.RETRY,
        stall=STALL_SECONDS,
        first_pause=FIRST_PAUSE_SECONDS,
        longest_pause=LONGEST_PAUSE_SECONDS,
    )


def arm_places(module: Any) -> None:
    """Make the faulty store known, before any place is looked at."""
    from chaosing.faulty import register

    register()
