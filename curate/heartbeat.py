"""Signs of life of a running command: one small file, replaced every half minute.

`heartbeat.json` lies in the run directory while a command works there, and is removed when it ends,
however it ends. Where it is left behind and grows old, its command was killed. It holds what the
progress line says, so that another shell need not count markers to see how fast a run is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from curate.errors import OutputError
from curate.log_lines import is_moment
from curate.outputs import Store

LOGGER: Final = logging.getLogger(__name__)

HEARTBEAT: Final = "heartbeat.json"

BEAT_SECONDS: Final = 30.0
"""Between two signs: nothing beside the other requests of a run, and near enough to look at."""

TICK_SECONDS: Final = 2.0
"""How soon the log of a command is there after its run directory is."""

SILENT_SECONDS: Final = 150.0
"""Silence that means death: some beats, and a store that has to be asked again."""

HISTORY_SHARE: Final = 0.05
HISTORY_SECONDS: Final = 600.0
"""The log gets a line of progress when a stage is older by this share than at the last one, and
every ten minutes at least: some 80 lines in the first hours, then 144 a day, 40 kB."""

END_SECONDS: Final = 10.0
"""How long the end of a command waits for a sign that is being written."""


def due(seconds: float, recorded: float) -> bool:
    """Whether the log gets another line of progress.

    Args:
        seconds: age of the stage.
        recorded: its age at the last line; 0 if there was none.
    """
    passed = seconds - recorded
    return passed >= BEAT_SECONDS and passed >= min(seconds * HISTORY_SHARE, HISTORY_SECONDS)


@contextmanager
def beating(
    store: Store,
    tell: Callable[[], Mapping[str, Any]],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Write signs of life while the block runs.

    Args:
        store: the run directory; nothing is written before it is there.
        tell: what a sign says; called from another thread.
        tick: called from there as well, every two seconds.
    """
    stop = threading.Event()

    def loop() -> None:
        last = time.monotonic()
        while not stop.wait(min(TICK_SECONDS, BEAT_SECONDS)):
            try:
                tick()
                if time.monotonic() - last < BEAT_SECONDS:
                    continue
                last = time.monotonic()
                if store.exists(""):
                    store.write_json(HEARTBEAT, tell())
            except Exception:  # drivers raise their own; none is worth a run
                LOGGER.debug("no heartbeat", exc_info=True)

    thread = threading.Thread(target=loop, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(END_SECONDS)
        try:
            store.remove_file(HEARTBEAT)
        except Exception:
            LOGGER.debug("the heartbeat is left behind", exc_info=True)


def read_heartbeat(store: Store) -> dict[str, Any] | None:
    """The last sign of life; None if no command works here, or its sign cannot be understood."""
    try:
        found = store.read_json(HEARTBEAT)
    except (FileNotFoundError, OutputError):
        return None
    return found if isinstance(found, dict) and is_moment(found.get("time")) else None
