"""A cluster of several nodes on this machine, and the processes on them."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ray._private.utils import get_ray_address_file
from ray.cluster_utils import Cluster
from ray.experimental import internal_kv

from chaosing.hooks import SITECUSTOMIZE
from chaosing.orders import VARIABLE
from curate.pipeline.cluster import ENVIRONMENT
from curate.stopping import handler_kept

BENCHMARKS: Final = Path(__file__).resolve().parents[1]

STORE_BYTES: Final = 80 << 20
"""Of a node's object store; Ray wants 75 MiB at least."""

DYING_SECONDS: Final = 30.0
SETTLING_SECONDS: Final = 0.5

# A node that is gone is noticed within seconds instead of a quarter of a minute.
SYSTEM: Final = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}


def psutil() -> Any:
    """The module, which Ray brings with it."""
    importlib.import_module("ray._private.utils")  # makes it importable
    return importlib.import_module("psutil")


def environment(site: Path, board: Path) -> dict[str, str]:
    """What the processes of a cluster and the drivers on it need; writes the site's folder.

    Args:
        site: receives what every Python process executes at its start.
        board: where the suite and the processes talk, see `orders`.
    """
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
    board.mkdir(parents=True, exist_ok=True)
    return {
        "PYTHONPATH": os.pathsep.join([str(site), str(BENCHMARKS), str(BENCHMARKS.parent)]),
        VARIABLE: str(board),
        "OMP_NUM_THREADS": "1",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        **ENVIRONMENT,
    }


class Nodes:
    """A head without CPUs, where drivers live, and nodes that do the work."""

    def __init__(self, nodes: int, cpus: int) -> None:
        """Nothing runs before `start`; all that runs inherits this process's environment then.

        Args:
            nodes: beside the head.
            cpus: logical ones of each.
        """
        self._wanted, self._cpus = nodes, cpus
        self._cluster: Cluster | None = None
        self._workers: list[Any] = []
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Start the head and the nodes."""
        logging.getLogger("ray").setLevel(logging.ERROR)
        # Not below the run's folder: the paths of Unix sockets have 107 bytes.
        self._temporary = tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)
        head = {
            "num_cpus": 0,
            "object_store_memory": STORE_BYTES,
            "temp_dir": self._temporary.name,
            "include_dashboard": False,
            "_system_config": SYSTEM,
        }
        # Ray notes the address for all of the machine, in a folder that only its own start makes.
        noted = Path(get_ray_address_file(None))
        noted.parent.mkdir(parents=True, exist_ok=True)
        with handler_kept(), _client_kept():  # Ray would end this process its own way
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
        # Whoever starts without an address would join it, and be ended by Ray a minute after this
        # cluster was.
        noted.unlink(missing_ok=True)
        for _ in range(self._wanted):
            self.add()

    @property
    def address(self) -> str:
        """Of the cluster."""
        return str(self._running().address)

    @property
    def count(self) -> int:
        """Nodes beside the head."""
        return len(self._workers)

    def add(self) -> None:
        """Add a node; it is last."""
        options = {"num_cpus": self._cpus, "object_store_memory": STORE_BYTES}
        with handler_kept(), _client_kept():
            self._workers.append(self._running().add_node(**options))

    def restore(self) -> None:
        """Add or take away nodes until there are as many as in the beginning."""
        while self.count < self._wanted:
            self.add()
        while self.count > self._wanted:
            self.lose(self.count - 1)

    def lose(self, number: int) -> None:
        """Kill a node with all that runs on it."""
        node = self._workers.pop(number)
        workers = self.processes(node)
        self._running().remove_node(node, allow_graceful=False)
        _kill(workers)

    def lose_head(self) -> None:
        """Kill the head with all that runs on it; the other nodes go on without."""
        cluster = self._running()
        workers = self.processes(cluster.head_node)
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        _kill(workers)

    def close(self) -> None:
        """Kill everything that is left."""
        if self._cluster is None:
            return
        left = [process for node in self._workers for process in self.processes(node)]
        nodes, self._workers = self._workers, []
        for node in nodes:
            with contextlib.suppress(Exception):  # it may be dead, which is all that is wanted
                self._cluster.remove_node(node, allow_graceful=False)
        if self._cluster.head_node is not None:
            left += self.processes(self._cluster.head_node)
            with contextlib.suppress(Exception):  # likewise
                self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)
        _kill(left)
        self._cluster = None
        if self._temporary is not None:
            # The last words of processes that are dying may make a folder again.
            time.sleep(SETTLING_SECONDS)
            self._temporary.cleanup()
            shutil.rmtree(self._temporary.name, ignore_errors=True)

    # --- processes ---------------------------------------------------------------------------

    def processes(self, node: Any) -> list[Any]:
        """The raylet of a node and its workers."""
        tools = psutil()
        found = []
        for kind, started in node.all_processes.items():
            for one in started:
                if kind == "reaper":
                    continue
                with contextlib.suppress(tools.NoSuchProcess):
                    process = tools.Process(one.process.pid)
                    found += [process, *process.children(recursive=True)]
        return found

    def titled(self, *titles: str) -> list[Any]:
        """The workers of all nodes whose title begins so, in order of nodes and age."""
        return [p for node in self._workers for p in self._titled(node, titles)]

    def titles(self) -> list[str]:
        """What the workers of all nodes call themselves."""
        return [title(p) for p in self.titled("ray::")]

    def titled_on(self, number: int, *titles: str) -> list[Any]:
        """The same of one node."""
        return self._titled(self._workers[number], titles)

    def _titled(self, node: Any, titles: tuple[str, ...]) -> list[Any]:
        return [p for p in self.processes(node) if title(p).startswith(titles)]

    def node_of(self, pid: int) -> int | None:
        """The number of the node that a process is on; None for the head or none."""
        for number, node in enumerate(self._workers):
            if any(process.pid == pid for process in self.processes(node)):
                return number
        return None

    def _running(self) -> Cluster:
        if self._cluster is None:
            raise RuntimeError("the cluster was not started")
        return self._cluster


@contextlib.contextmanager
def _client_kept() -> Iterator[None]:
    """Leave this process's own connection to Ray as it is.

    Whoever starts a head has Ray's key-value client pointed at it. Calls of another cluster in this
    process would go there when it is dead, and Ray ends a driver that waits for that for a minute.
    """
    before = internal_kv.internal_kv_get_gcs_client()
    try:
        yield
    finally:
        internal_kv._internal_kv_reset()
        if before is not None:
            internal_kv._initialize_internal_kv(before)


def title(process: Any) -> str:
    """What a process calls itself; empty if it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil().Error:
        return ""


def _kill(processes: list[Any]) -> None:
    tools = psutil()
    for process in processes:
        with contextlib.suppress(tools.NoSuchProcess):
            process.kill()
    tools.wait_procs(processes, timeout=DYING_SECONDS)
