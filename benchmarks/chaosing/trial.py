"""One point: a run with a fault, runs that go on from there, and what came of it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from chaosing import compare, pool
from chaosing.disk import SmallDisk, needed
from chaosing.driver import POLL_SECONDS, Driver, driver
from chaosing.faulty import PROTOCOL, register
from chaosing.inject import EMBEDDER, WORKER, MissedError, Scene, inject
from chaosing.nodes import Nodes
from chaosing.orders import Board, Gate, Orders
from chaosing.plan import SET_ASIDE, STOPPED, Point, Start

ATTEMPT_SECONDS: Final = 240.0
"""Of one run of the driver; an undisturbed one takes about 20 s."""

ATTEMPTS: Final = 4
"""Runs of the driver per point: after the fault is over, the next one must do."""

LOOK_SECONDS: Final = 0.3
"""Between two looks at the processes of a node."""

REFUSED: Final = ("reference.npz", "{}.parquet", "uids.npy", "{}.tar")
"""Files that a store refuses to take, one of them."""


@dataclass
class Ended:
    """What came of a point.

    Attributes:
        point: which.
        exits: of the driver's runs, first to last; None for one that was killed for taking long.
        seconds: in all.
        problems: what was not as it must be; none if all held.
        note: what else is worth a word.
    """

    point: Point
    exits: list[int | None] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    note: str = ""


class Suite:
    """Runs points on one cluster, one after the other."""

    def __init__(
        self,
        folder: Path,
        nodes: Nodes,
        board: Board,
        shards: Path,
        settings: Mapping[str, Any],
        variables: Mapping[str, str],
    ) -> None:
        """Make ready.

        Args:
            folder: for run directories.
            nodes: a cluster that was started.
            board: that its processes look at; the environment of this one names it, too.
            shards: the pool.
            settings: `model` and `embedders` of the configuration.
            variables: environment of drivers.
        """
        self.folder = folder
        self._nodes, self._board, self._shards = nodes, board, shards
        self._settings, self._variables = dict(settings), dict(variables)
        self._expected: dict[bool, dict[str, str]] = {}
        self._needed = 0
        register()

    # --- what is expected ------------------------------------------------------------------

    def reference(self, remote: bool) -> dict[str, str]:
        """The snapshot of an undisturbed run, which is made once.

        Raises:
            RuntimeError: even that fails.
        """
        if remote not in self._expected:
            folder = self._fresh(self._undisturbed(remote).name)
            orders = Orders("undisturbed", roots=self._roots(folder))
            code, told = self._drive(folder, "0", remote, orders)
            problems = [] if code else self._unbalanced(folder, remote)
            if code != 0 or problems:
                raise RuntimeError(f"the undisturbed run ended with {code}: {problems}\n{told}")
            self._expected[remote] = compare.snapshot(folder / "run")
            self._needed = needed(folder / "run")
        return self._expected[remote]

    def _undisturbed(self, remote: bool) -> Path:
        return self.folder / ("undisturbed-remote" if remote else "undisturbed")

    # --- a point -----------------------------------------------------------------------------

    def run(self, point: Point) -> Ended:
        """Run a point; its folder is kept if something was wrong."""
        expected = self.reference(point.kind.remote)
        begin = time.monotonic()
        self._nodes.restore()
        folder = self._fresh(f"{point.seed}-{point.number}")
        ended = Ended(point)
        disk = None
        self._begin(point, folder)
        try:
            disk, orders = self._prepare(point, folder, ended)
            self._disturb(point, folder, orders, ended, expected)
            if disk is not None:
                disk.make_room()
            self._go_on(point, folder, ended)
            self._check(point, folder, ended, expected)
        finally:
            if disk is not None:
                if ended.problems:
                    shutil.copytree(folder / "run", folder / "run-kept", dirs_exist_ok=True)
                disk.close()
        ended.seconds = time.monotonic() - begin
        if not ended.problems:
            shutil.rmtree(folder)
        return ended

    def _begin(self, point: Point, folder: Path) -> None:
        """Put into the run directory what is there when the run begins."""
        done = self._undisturbed(point.kind.remote) / "run"
        rng = random.Random(point.victim)
        shards = [path.stem for path in sorted(self._shards.glob("*.tar"))]
        committed = {shard for shard in shards if shard != point.shard and rng.random() < 0.5}
        for path in sorted(done.rglob("*")):
            name = path.relative_to(done)
            if path.is_file() and is_there(str(name), point.start, committed):
                (folder / "run" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / "run" / name)

    def _prepare(self, point: Point, folder: Path, ended: Ended) -> tuple[SmallDisk | None, Orders]:
        """The orders of the first run, and the disk that is to be full."""
        trigger, kind = point.trigger, point.kind.name
        gate = None if trigger is None else Gate(trigger.place, trigger.name, trigger.nth)
        often = 6 + point.victim % 4
        orders = Orders(
            attempt=f"{point.seed}-{point.number}",
            gate=gate,
            roots=self._roots(folder),
            store=point.kind.store,
            every=5 * often if point.kind.store == "stalls" else often,  # each takes seconds
        )
        if kind == "store refuses to read":
            return None, replace(orders, refused=f"r:{point.shard}.tar")
        if kind == "shard kills workers":
            return None, replace(orders, poison=f"{point.shard}.tar")
        if kind == "store refuses to write":
            name = REFUSED[point.victim % len(REFUSED)].format(point.shard)
            return None, replace(orders, refused=f"w:{name}")
        if kind != "disk full":
            return None, orders
        try:
            (folder / "run").mkdir(exist_ok=True)
            return SmallDisk(folder / "run", round(point.share * self._needed)), orders
        except PermissionError as exc:
            ended.note = f"no disk could be mounted ({exc}); a file was refused instead"
            return None, replace(orders, full=f"{point.shard}.parquet")

    def _disturb(
        self,
        point: Point,
        folder: Path,
        orders: Orders,
        ended: Ended,
        expected: Mapping[str, str],
    ) -> None:
        """The run with the fault."""
        used = [0]

        def at_gate(run: Driver, waiting: int) -> None:
            scene = Scene(self._nodes, run, waiting)
            try:
                if point.delay is not None:
                    self._board.release(orders.attempt)
                    time.sleep(point.delay)
                inject(point, scene)
            except MissedError as exc:
                ended.problems.append(f"no fault: {exc}")
            finally:
                self._board.release(orders.attempt)

        def look() -> None:
            used[0] += len(self._nodes.titled_on(-1, WORKER, EMBEDDER))

        watched = look if point.kind.name == "node added" else None
        code, told = self._drive(folder, "0", point.kind.remote, orders, at_gate, watched)
        ended.exits.append(code)
        self._check_end(point, folder, ended, told)
        if point.kind.name == "node added" and not used[0]:
            ended.problems.append("nothing ran on the node that was added")
        if code not in (0, *SET_ASIDE):
            found = compare.snapshot(folder / "run")
            ended.problems += compare.wrong_so_far(found, expected)

    def _check_end(self, point: Point, folder: Path, ended: Ended, told: str) -> None:
        code, kind = ended.exits[-1], point.kind
        if code not in kind.exits:
            ended.problems.append(f"exit code {code}, not {sorted(kind.exits)}: {_last(told)}")
            return
        words = " ".join(told.split())
        ended.problems += [f"it did not tell {text!r}" for text in kind.told if text not in words]
        if kind.exits == STOPPED:
            place = f"{PROTOCOL}://run/" if kind.remote else f"{folder / 'run'}/"
            if place.removeprefix(f"{PROTOCOL}://") not in told:
                ended.problems.append(f"it did not name a file in {place}")
        if code != 0 and "Traceback" in told:
            ended.problems.append(f"it showed a traceback: {_last(told)}")

    def _go_on(self, point: Point, folder: Path, ended: Ended) -> None:
        """Run again until it ends well."""
        if point.kind.name == "head killed":
            self._nodes.close()
            self._nodes.start()
        while ended.exits[-1] != 0:
            number = len(ended.exits)
            if number == ATTEMPTS or (number > 1 and ended.exits[-1] is None):
                ended.problems.append(f"not done after {number} runs")
                return
            orders = Orders(f"{point.seed}-{point.number}-{number}", roots=self._roots(folder))
            code, told = self._drive(folder, str(number), point.kind.remote, orders)
            ended.exits.append(code)
            if code != 0:
                ended.problems.append(f"run again, it ended with {code}: {_last(told)}")

    def _check(self, point: Point, folder: Path, ended: Ended, expected: Mapping[str, str]) -> None:
        if ended.exits[-1] != 0:
            return
        found = compare.snapshot(folder / "run")
        ended.problems += compare.differences(found, expected)
        if not ended.problems:
            ended.problems += self._unbalanced(folder, point.kind.remote)

    # --- helpers -----------------------------------------------------------------------------

    def _drive(
        self,
        folder: Path,
        name: str,
        remote: bool,
        orders: Orders,
        at_gate: Callable[[Driver, int], None] | None = None,
        look: Callable[[], None] | None = None,
    ) -> tuple[int | None, str]:
        """One run of the driver: its exit code, None if it took too long; and what it told."""
        config = folder / "run.yaml"
        tree = pool.configuration(self._shards, remote, **self._settings)
        config.write_text(yaml.safe_dump(tree), "utf-8")
        self._board.order(orders)
        variables = {**self._variables, "RAY_ADDRESS": self._nodes.address}
        deadline = time.monotonic() + ATTEMPT_SECONDS
        looked = 0.0
        with driver(folder, config, folder / f"log-{name}.txt", variables) as run:
            while not run.ended() and time.monotonic() < deadline:
                waiting = self._board.reached(orders.attempt)
                if waiting is not None and at_gate is not None:
                    at_gate(run, waiting)
                    at_gate = None
                if look is not None and time.monotonic() > looked + LOOK_SECONDS:
                    look()
                    looked = time.monotonic()
                time.sleep(POLL_SECONDS)
            code = run.process.poll()
        if at_gate is not None and orders.gate is not None:
            return code, f"{run.told()}\nthe gate at {orders.gate} was not reached"
        return code, run.told()

    def _unbalanced(self, folder: Path, remote: bool) -> list[str]:
        self._board.order(Orders("verify", roots=self._roots(folder)))
        url = f"{PROTOCOL}://run" if remote else str(folder / "run")
        return compare.unbalanced(folder / "run", self._shards, url)

    def _roots(self, folder: Path) -> dict[str, str]:
        return {"pool": str(self._shards), "run": str(folder / "run")}

    def _fresh(self, name: str) -> Path:
        folder = self.folder / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder


_OF_FITTING: Final = (
    *("config.yaml", "manifest.parquet", "reference", "identity.json"),
    "batch_size.json",
)
"""Files and folders that are there once a run is fitted."""


def is_there(name: str, start: Start, committed: set[str]) -> bool:
    """Whether a file of a finished run is there at a start.

    Args:
        name: relative to the run directory.
        start: at which.
        committed: shards that are scored, where not all are.
    """
    if start == "nothing" or compare.is_moment(name):
        return False
    first, _, rest = name.partition("/")
    if first in _OF_FITTING:
        return True
    if first == "subsets" or rest == "duplicates.npz":
        return start == "selected"
    if first == "shards" or "/" in rest:
        return False
    return start != "fitted" or Path(rest).stem in committed


def _last(told: str) -> str:
    lines = [line for line in told.splitlines() if line.strip()]
    return " / ".join(lines[-2:])[-400:]
