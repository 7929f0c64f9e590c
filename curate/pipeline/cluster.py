"""Connecting to Ray, or starting it on this machine, when it is first needed."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from curate.errors import ResourceError
from curate.stopping import handler_kept

ENVIRONMENT: Final = {
    # Ray starts workers at nice 15, which starves them beside any other load.
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's core warns about the constructor arguments of every pool of Ray Data, on stderr. The
    # driver keeps them alive, and whatever fails is raised as well.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}

STDERR: Final = 2

LISTENING_SECONDS: Final = 20.0
"""How long a cluster may take to accept a connection."""


class Cluster:
    """A Ray cluster that is connected to by the first call that needs it.

    Importing Ray takes a second and starting it several: a run that finds everything done, or only
    selects, does neither.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connected = False
        self._owned = False

    def connect(self) -> None:
        """Connect, once. Raises ResourceError if there is no cluster at the address."""
        if self._connected:
            return
        import ray

        if not ray.is_initialized():
            self._start()
            self._owned = True
        _be_quiet()
        self._connected = True

    def connect_importing(self, module: str) -> None:
        """Connect, and import a module meanwhile that takes seconds and does not need Ray.

        Raises:
            ResourceError: there is no cluster at the address.
        """
        importing = threading.Thread(target=_try_import, args=(module,))
        importing.start()
        try:
            self.connect()
        finally:
            importing.join()

    def _start(self) -> None:
        import ray

        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        target = self._address
        if target == "auto":
            target = os.environ.get("RAY_ADDRESS", "local")
        try:
            _check_listening(target)
            with _muted_stderr(), handler_kept():
                ray.init(
                    address=target,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False if target == "local" else None,
                )
        except Exception as exc:  # Ray raises that very class when it gives up waiting for itself
            if target == "local":
                raise ResourceError(
                    f"Ray could not be started on this machine: {exc} If the machine is busy, wait"
                    " and run again; if memory or /dev/shm is short, make room"
                ) from exc
            raise ResourceError(
                f"compute.ray_address={self._address!r}: no Ray cluster answers at {target!r}"
                f" ({exc}); start one with `ray start --head`, or use ray_address: local"
            ) from exc

    def resources(self) -> tuple[float, float]:
        """Logical CPUs and GPUs of the cluster."""
        import ray

        self.connect()
        total = ray.cluster_resources()
        return float(total.get("CPU", 0.0)), float(total.get("GPU", 0.0))

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        if self._owned:
            import ray

            ray.shutdown()
        self._connected = self._owned = False


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """Offer the cluster at `address` while the block runs.

    `auto` means the cluster that this process is part of (`ray job submit` sets RAY_ADDRESS), else
    a new one on this machine, which ends with the block. A Ray that is connected already is used
    and left alone.
    """
    offered = Cluster(address)
    try:
        yield offered
    except BaseException as exc:
        _let_go(exc)
        raise
    finally:
        offered.close()


def _let_go(exc: BaseException | None) -> None:
    # Ctrl-C and SIGTERM come between any two lines, also of Ray Data. Frames that are done with
    # would hold its executor until Ray is gone; ending only then, it starts another Ray.
    seen: set[int] = set()  # an error may be among its own causes
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        traceback.clear_frames(exc.__traceback__)
        exc = exc.__cause__ or exc.__context__


def _try_import(module: str) -> None:
    # Whoever needs it imports it again, and is told where it failed.
    with suppress(ImportError):
        importlib.import_module(module)


def _check_listening(target: str) -> None:
    # Ray itself goes on trying for minutes.
    host, colon, port = target.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=LISTENING_SECONDS).close()


def _be_quiet() -> None:
    from ray.data import DataContext

    # One progress line is ours; Ray Data's bars and its per-operator log lines would bury it.
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


@contextmanager
def _muted_stderr() -> Iterator[None]:
    # Ray's core is C++ and writes past sys.stderr; a line about its log level cannot be turned off.
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(STDERR)
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
