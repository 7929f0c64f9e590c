"""The last block of a vision transformer, for the class token alone.

A tower that is pooled at its class token uses one row of what its last block returns. The other
rows are needed as keys and values there, but neither their own attention nor their MLP: of ViT-B/32
that is 7 % of all products, of ViT-L/14 3 %. Whether a model allows it is not concluded from its
class: it is tried on the loaded weights.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from curate.numerics.similarity import normalise

TOLERANCE: Final = 1e-5
"""Largest difference of a component of a unit embedding, in float32; what is left differs by 1e-7,
from the order of sums."""

PROBES: Final = 1
"""Pictures of noise that a loaded model is tried on."""


class ClassTokenBlock(torch.nn.Module):
    """A residual attention block of open_clip that returns its first row alone."""

    def __init__(self, block: Any) -> None:
        """Wrap a block whose inputs are [n, length, width]."""
        super().__init__()
        self.block: Any = block

    def get_weight_dtype(self) -> torch.dtype:
        """The dtype of the block's weights, which the tower asks its first block for."""
        dtype: torch.dtype = self.block.get_weight_dtype()
        return dtype

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Map [n, length, width] to [n, 1, width]."""
        if attn_mask is not None:
            raise NotImplementedError("a block with a mask is not one of a vision transformer")
        block = self.block
        rows = block.ln_1(x)
        attended, _ = block.attn(rows[:, :1], rows, rows, need_weights=False)
        first = x[:, :1] + block.ls_1(attended)
        pooled: torch.Tensor = first + block.ls_2(block.mlp(block.ln_2(first)))
        return pooled


@torch.inference_mode()
def use_class_token(model: Any) -> bool:
    """Spare a model's image tower what is not used of its last block, if nothing changes by it.

    Args:
        model: a model of open_clip, in float32; its tower is changed in place.

    Returns:
        Whether it was changed.
    """
    blocks = getattr(getattr(model.visual, "transformer", None), "resblocks", None)
    if not blocks:
        return False
    frames = _noise(model)
    whole = _unit(model.encode_image(frames))
    last = blocks[-1]
    blocks[-1] = ClassTokenBlock(last)
    try:
        difference = float((_unit(model.encode_image(frames)) - whole).abs().max())
    except (RuntimeError, AttributeError, IndexError, TypeError):
        difference = float("inf")  # this tower is of another make
    if difference <= TOLERANCE:  # which nan is not
        return True
    blocks[-1] = last
    return False


def _noise(model: Any) -> torch.Tensor:
    size = model.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(PROBES, 3, height, width, generator=generator)
    return frames.to(next(model.parameters()).device)


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return normalise(rows.float())[0]
