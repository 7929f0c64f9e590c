"""`torch.compile` for the image tower, if it is asked for: minutes of start for faster batches.

The text tower is left as it is: its batches are cut to many lengths, each of which would be
compiled again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from curate.errors import ModelError

WARM_UP_PAIRS: Final = 16
"""The batch that a tower is compiled with. Kernels are chosen by its size: were it that of the
first batch that happens to come, a run that is resumed could compute with others."""

Encode = Callable[[torch.Tensor], torch.Tensor]


def compiled(encode: Encode) -> Encode:
    """An image tower, to be compiled for batches of any size when it is first called."""
    fast: Encode = torch.compile(encode, dynamic=True)
    return fast


def warm_up(encode: Callable[[], object], name: str) -> None:
    """Have a tower compiled now, by embedding a batch.

    Args:
        encode: embeds a batch of WARM_UP_PAIRS.
        name: of the model.

    Raises:
        ModelError: it cannot be compiled here.
    """
    try:
        encode()
    except Exception as exc:  # compilers and their drivers raise their own, unrelated classes
        headline = str(exc).strip().partition("\n")[0]
        raise ModelError(
            f"model.compile: the image tower of {name!r} cannot be compiled here"
            f" ({type(exc).__name__}: {headline}); set model.compile to false, or install what"
            " torch.compile needs: a C++ compiler for CPUs, triton for GPUs"
        ) from exc
