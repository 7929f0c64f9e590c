"""What the suite tells the processes of a run, and they tell it: small files in one folder.

Processes of a cluster get their environment from its nodes, long before there is a run; so the
environment names the folder alone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "CURATE_CHAOS"
"""Environment variable that names the folder."""

POLL_SECONDS: Final = 0.02
GATE_SECONDS: Final = 60.0
"""How long a process waits for a fault before it goes on by itself."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the first process that gets there waits.

    Attributes:
        place, name, nth: as in `plan.Trigger`.
    """

    place: str
    name: str
    nth: int = 1


@dataclass(frozen=True, slots=True)
class Orders:
    """What holds for all processes.

    Attributes:
        attempt: names this run of the driver; another one has gates of its own.
        gate: where to wait, if anywhere.
        roots: first part of a path on the faulty store -> folder.
        store: how the store fails: `hiccups`, `stalls`, `short` or nothing.
        every: of how many requests one fails so, on average.
        refused: name of a file that the store refuses for good, reading or writing.
        poison: name of a shard whose opening kills.
        full: name of a file that no disk has room for.
    """

    attempt: str = ""
    gate: Gate | None = None
    roots: dict[str, str] = field(default_factory=dict)
    store: str = ""
    every: int = 0
    refused: str = ""
    poison: str = ""
    full: str = ""


class Board:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_environment(cls) -> Board | None:
        """The folder that the environment names, if it names one."""
        named = os.environ.get(VARIABLE)
        return None if named is None else cls(Path(named))

    # --- the suite -------------------------------------------------------------------------

    def order(self, orders: Orders) -> None:
        """Replace the orders; processes look at every step."""
        _write(self.folder / "orders.json", asdict(orders))

    def reached(self, attempt: str) -> int | None:
        """The process that waits at the gate of an attempt."""
        try:
            found: dict[str, int] = json.loads((self.folder / f"{attempt}-reached").read_text())
        except FileNotFoundError:
            return None
        return found["pid"]

    def release(self, attempt: str) -> None:
        """Let the process that waits go on."""
        (self.folder / f"{attempt}-released").touch()

    # --- processes of a run ----------------------------------------------------------------

    def read(self) -> Orders:
        """The orders that hold now."""
        try:
            value: dict[str, Any] = json.loads((self.folder / "orders.json").read_text())
        except FileNotFoundError:
            return Orders()
        gate = value.pop("gate")
        return Orders(**value, gate=None if gate is None else Gate(**gate))

    def is_gate(self, place: str, name: str) -> bool:
        """Whether this process has to wait here; counts how often the place was reached."""
        orders = self.read()
        gate = orders.gate
        if gate is None or (gate.place, gate.name) != (place, name):
            return False
        passed = 1
        while not self._claim(f"{orders.attempt}-passed-{passed}"):
            passed += 1
        return passed == gate.nth

    def wait(self) -> None:
        """Tell that this process is at the gate, and wait until it is released."""
        attempt = self.read().attempt
        _write(self.folder / f"{attempt}-reached", {"pid": os.getpid()})
        deadline = time.monotonic() + GATE_SECONDS
        while not (self.folder / f"{attempt}-released").exists():
            if time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)

    def _claim(self, name: str) -> bool:
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _write(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
