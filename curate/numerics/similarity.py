"""Similarity of a pair, from the same embeddings: the baseline users compare with."""

from __future__ import annotations

import torch

from curate.errors import NumericsError


def normalise(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """L2-normalise the rows of `x`.

    The norm is taken in float64, so that half-precision embeddings and extreme magnitudes neither
    overflow nor vanish, and rounded to float32 once. A zero row stays zero. A row that holds NaN
    or infinity gets a norm that is not finite: the caller's sign to reject it.

    Args:
        x: [n, d], any floating dtype.

    Returns:
        (unit float32 [n, d], norms float32 [n]), on the device of x.

    Raises:
        NumericsError: x is not a floating [n, d].
    """
    if x.ndim != 2 or not x.is_floating_point():
        raise NumericsError(f"normalise: x is {x.dtype} {tuple(x.shape)}; expected float [n, d]")
    wide = x.double()
    norms = torch.linalg.vector_norm(wide, dim=1)
    divisor = torch.where(norms == 0, torch.ones_like(norms), norms)
    return (wide / divisor[:, None]).float(), norms.float()


def clip_score(image_unit: torch.Tensor, text_unit: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of each pair: <u_i, v_i> of normalised rows, in [-1, 1] up to rounding.

    Args:
        image_unit: [n, d], L2-normalised.
        text_unit: [n, d], L2-normalised, row-aligned.

    Returns:
        [n], dtype and device of the inputs.

    Raises:
        NumericsError: the shapes differ or are not [n, d].
    """
    if image_unit.ndim != 2 or image_unit.shape != text_unit.shape:
        raise NumericsError(
            f"clip_score: image {tuple(image_unit.shape)} and text {tuple(text_unit.shape)}; "
            "expected the same [n, d]"
        )
    return (image_unit * text_unit).sum(dim=1)
