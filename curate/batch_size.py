"""How many pairs go through the model at once: what fits into a device's memory, settled per run.

Scores depend on the batch size by rounding. So the size that is found is written into the run
directory and taken from there ever after: by the Reference's sample and the scores, on resume, and
by all machines of a cluster, whatever memory they have. A number in the configuration is taken as
it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
import torch

from curate.encoder import Encoder
from curate.errors import OutputError
from curate.loading import load_tokenizer
from curate.outputs import Store

LOGGER: Final = logging.getLogger(__name__)

BATCH_SIZE: Final = "batch_size.json"
"""In the run directory."""

CPU_BATCH: Final = 32
"""On CPUs, where a batch only has to hide what calls cost: EfficientNet-Lite0 goes through in fours
anyway, and a vision transformer gains nothing from more."""

GPU_BATCH: Final = 256
"""The most on a GPU. At 224 pixels a ViT-B/32 makes 12,800 tokens of it and a ViT-L/14 65,792, rows
of its products: hundreds of tiles for some 130 multiprocessors, beyond which products do not become
faster. More would only hold more pixels in the object store, 38 MB a batch already."""

MEMORY_SHARE: Final = 0.8
"""Of the free memory, for all embedders of a device together: allocators lose some to gaps, and
captions and pictures of a later batch may take more than those that were measured."""

PROBE_PAIRS: Final = (4, 16)
"""Batches that are measured: their difference is free of what does not grow with the batch."""


class Probe(Protocol):
    """Measures the memory of a device."""

    def free(self) -> int:
        """Bytes that all embedders of the device together could take for batches."""
        ...

    def peak(self, pairs: int) -> int:
        """Bytes that a batch of so many pairs takes at most, beside the model."""
        ...


def largest_batch(
    per_pair: float, fixed: float, budget: float, most: int = GPU_BATCH, at_once: int = 1
) -> int:
    """The largest power of two that fits, from 1 to `most`.

    Args:
        per_pair: bytes that each pair of a batch takes.
        fixed: bytes that a batch takes whatever its size.
        budget: bytes there are.
        most: pairs, not more than that.
        at_once: batches that are in the device at the same time.
    """
    size = 1
    while 2 * size <= most and at_once * (fixed + 2 * size * per_pair) <= budget:
        size *= 2
    return size


def fitting_batch(probe: Probe, embedders: int, at_once: int, most: int = GPU_BATCH) -> int:
    """Measure a device, and take the largest batch that fits; see `largest_batch`.

    Args:
        probe: of the device, with the model in it.
        embedders: that share the device, each with its own copy of the model.
        at_once: batches that each of them has in the device at the same time.
        most: pairs, not more than that.
    """
    small, large = PROBE_PAIRS
    peaks = probe.peak(small), probe.peak(large)
    per_pair = max(peaks[1] - peaks[0], 0) / (large - small)
    fixed = max(peaks[0] - small * per_pair, 0.0)
    return largest_batch(per_pair, fixed, MEMORY_SHARE * probe.free() / embedders, most, at_once)


class CudaProbe:
    """Measures the device of an encoder that is loaded, while nothing else computes there."""

    def __init__(self, encoder: Encoder, embedders: int) -> None:
        """Take a device as it is.

        Args:
            encoder: on the device.
            embedders: that share it, this one included.
        """
        self._encoder = encoder
        self._embedders = embedders
        self._device = torch.device(encoder.info.device)

    def free(self) -> int:
        """Bytes that all embedders of the device together could take for batches."""
        torch.cuda.empty_cache()
        free = int(torch.cuda.mem_get_info(self._device)[0])
        # The others may not have loaded their models yet.
        return free - (self._embedders - 1) * int(torch.cuda.memory_allocated(self._device))

    def peak(self, pairs: int) -> int:
        """Bytes that a batch of so many pairs takes at most, beside the model."""
        pixels, tokens = probe_batch(self._encoder, pairs)
        self._encoder.encode(pixels, tokens)  # libraries take their work space at the first call
        torch.cuda.synchronize(self._device)
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._encoder.encode(pixels, tokens)
        torch.cuda.synchronize(self._device)
        return int(torch.cuda.max_memory_allocated(self._device)) - before


def probe_batch(encoder: Encoder, pairs: int) -> tuple[Any, Any]:
    """Pixels and tokens of the costliest pairs: captions that are all different, and all full."""
    info = encoder.info
    tokenize = load_tokenizer(info.name, info.context_length)
    height, width = info.pixels.size
    tail = " ".join(["word"] * info.context_length)
    tokens = tokenize([f"{number} {tail}" for number in range(pairs)])
    return np.zeros((pairs, height, width, 3), dtype=np.uint8), tokens


# --- settled once per run -----------------------------------------------------------------------


def settled(store: Store) -> int | None:
    """The size that the run has settled on; None if it has not.

    Raises:
        OutputError: what is written there is no size.
    """
    try:
        found = store.read_json(BATCH_SIZE)
    except FileNotFoundError:
        return None
    size = found.get("pairs") if isinstance(found, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise OutputError(
            f"{store.path(BATCH_SIZE)} holds no batch size; give compute.batch_size as a number,"
            " or delete it to have it measured again"
        )
    return size


def settle(store: Store, configured: int | str, find: Callable[[], int]) -> int:
    """The batch size of a run; the first one is kept in the run directory.

    Args:
        store: the run directory.
        configured: a number, which is taken as it is, or `auto`.
        find: finds the size where nothing is settled.

    Raises:
        OutputError: what is written in the run directory is no size.
    """
    kept = settled(store)
    if not isinstance(configured, int):
        size = find() if kept is None else kept
    else:
        size = configured
        if kept is not None and kept != size:
            LOGGER.warning(
                "compute.batch_size=%d, but this run began with %d: scores that are made from here"
                " on differ by rounding from what they would have been",
                size,
                kept,
            )
    if kept is None:
        store.write_json(BATCH_SIZE, {"pairs": size})
        LOGGER.info("batch size: %d pairs", size)
    return size
