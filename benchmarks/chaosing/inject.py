"""Faults of processes and nodes: what is done to them once the run is where it is wanted."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import Any, Final

from chaosing.driver import Driver
from chaosing.nodes import DYING_SECONDS, Nodes, psutil
from chaosing.plan import Point

EMBEDDER: Final = "ray::Embedder"
WORKER: Final = "ray::MapWorker"

HEAD_SECONDS: Final = 90.0
"""How long a driver may live on without a head."""


class MissedError(Exception):
    """The fault could not be injected: there was nothing to inject it into."""


@dataclass
class Scene:
    """What a fault is injected into.

    Attributes:
        nodes: the cluster.
        run: of the driver.
        waiting: the process at the gate; it may be the driver itself.
    """

    nodes: Nodes
    run: Driver
    waiting: int


def inject(point: Point, scene: Scene) -> None:
    """Do it. Raises MissedError."""
    if scene.run.ended():
        raise MissedError("the run had ended")
    FAULTS[point.kind.name](point, scene)


def _kill_embedder(point: Point, scene: Scene) -> None:
    found = scene.nodes.titled(EMBEDDER)
    if not found:
        raise MissedError(f"there was no embedder among {scene.nodes.titles()}")
    _kill(found[point.victim % len(found)])


def _kill_waiting(point: Point, scene: Scene) -> None:
    if scene.waiting == scene.run.pid:
        raise MissedError("the driver waited, no worker")
    try:
        _kill(psutil().Process(scene.waiting))
    except psutil().NoSuchProcess as exc:
        raise MissedError("the worker had ended") from exc


def _kill_node(point: Point, scene: Scene) -> None:
    # The node of the process that waits, or any: both are worth a try.
    here = scene.nodes.node_of(scene.waiting)
    number = point.victim % scene.nodes.count
    scene.nodes.lose(here if here is not None and point.victim % 3 else number)
    scene.nodes.add()


def _add_node(point: Point, scene: Scene) -> None:
    scene.nodes.add()


def _kill_driver(point: Point, scene: Scene) -> None:
    scene.run.signal(signal.SIGKILL)


def _kill_head(point: Point, scene: Scene) -> None:
    scene.nodes.lose_head()
    scene.run.wait(HEAD_SECONDS)


def _terminate(point: Point, scene: Scene) -> None:
    scene.run.signal(signal.SIGTERM)


def _interrupt(point: Point, scene: Scene) -> None:
    scene.run.signal(signal.SIGINT)


def _kill(process: Any) -> None:
    with contextlib.suppress(psutil().NoSuchProcess):
        process.kill()
        process.wait(DYING_SECONDS)


FAULTS: Final = {
    "embedder killed": _kill_embedder,
    "reader killed": _kill_waiting,
    "writer killed": _kill_waiting,
    "node killed": _kill_node,
    "node added": _add_node,
    "driver killed": _kill_driver,
    "head killed": _kill_head,
    "SIGTERM": _terminate,
    "SIGINT": _interrupt,
}
"""Kind -> what is done."""
