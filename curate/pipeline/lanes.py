"""Batches side by side on a GPU: the copy of one runs beside the compute of the other.

Work that two threads put into the same CUDA stream runs one after the other, copies included, and
who waits for its own result waits for the other's kernels too. So each batch in the device has a
stream of its own. Tensors live and die within their lane, which keeps the allocator's books right.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

CUDA: Final[Any] = torch.cuda
"""Some of its constructors have no types."""

AT_ONCE: Final = 2
"""Batches in a GPU: one that is computed, and one on its way."""


class Lanes:
    """CUDA streams that are used by one batch at a time; nothing on other devices."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @contextmanager
    def lane(self, device: str) -> Iterator[None]:
        """Compute a batch in this block, whose results are on the host at its end."""
        if device == "cpu":
            yield
            return
        # Not by thread: Ray's threads are not Python's, and may change.
        try:
            stream = self._idle.get_nowait()
        except queue.Empty:
            stream = CUDA.Stream(device)
        try:
            with CUDA.stream(stream):
                yield
        finally:
            self._idle.put(stream)


def finish_loading(device: str) -> None:
    """Wait until what was just loaded is in the device, since lanes do not wait for each other."""
    if device != "cpu":
        CUDA.synchronize(device)
