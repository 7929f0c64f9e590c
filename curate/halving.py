"""A batch that does not fit into memory, in halves: the same rows, in the same order.

Rows of a batch do not depend on one another but for the order of sums within a kernel, so that
halves give the same scores within rounding. It is never silent: who calls is told of every halving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from curate.encoder import Pixels
from curate.errors import ResourceError
from curate.loading import Tokens
from curate.scoring import ModelOutput

OF_ALLOCATORS: Final = (
    "can't allocate memory",  # torch on a CPU
    "out of memory",  # CUDA's own errors, which torch passes on as they are
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
"""What RuntimeErrors say that mean the same as torch.OutOfMemoryError, in lower case."""

Compute = Callable[[Pixels, Tokens], ModelOutput]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a device or of the host, is used up."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in OF_ALLOCATORS)


def in_halves(
    compute: Compute,
    pixels: Pixels,
    tokens: Tokens,
    on_split: Callable[[int, str], None],
    release: Callable[[], None] = torch.cuda.empty_cache,
) -> ModelOutput:
    """Compute a batch, or its halves, or theirs, down to single pairs.

    Args:
        compute: the output of a batch of any size.
        pixels: uint8 [n, height, width, 3].
        tokens: int32 [n, context].
        on_split: told the pairs of each batch that did not fit, and what was said of it.
        release: gives back what the allocator keeps of the failed attempt; without a GPU, torch's
            own does nothing.

    Raises:
        ResourceError: a single pair does not fit.
        Exception: whatever else `compute` raises.
    """
    try:
        return compute(pixels, tokens)
    except Exception as exc:
        if not is_out_of_memory(exc):
            raise
        if len(pixels) < 2:
            raise ResourceError(
                f"the device ran out of memory with a single pair ({exc}); lower"
                " compute.embedders_per_gpu, leave the device to this run, or use one with more"
                " memory"
            ) from exc
        said = str(exc)
    # Outside of the handler, whose exception keeps the tensors of the failed attempt alive.
    release()
    on_split(len(pixels), said)
    half = (len(pixels) + 1) // 2
    return joined(
        in_halves(compute, pixels[:half], tokens[:half], on_split, release),
        in_halves(compute, pixels[half:], tokens[half:], on_split, release),
    )


def joined(first: ModelOutput, second: ModelOutput) -> ModelOutput:
    """The output of two batches as that of one, in this order."""
    scores = {
        name: np.concatenate([values, second.scores[name]]) for name, values in first.scores.items()
    }
    return ModelOutput(
        scores,
        _stacked(first.image, second.image),
        _stacked(first.text, second.text),
        _added(first.spent, second.spent),
    )


def _stacked(
    first: npt.NDArray[Any] | None, second: npt.NDArray[Any] | None
) -> npt.NDArray[Any] | None:
    return None if first is None or second is None else np.concatenate([first, second])


def _added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {
        name: first.get(name, 0) + second.get(name, 0)
        for name in sorted(first.keys() | second.keys())
    }
